#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Garbage on every port: a log line, that connection closed, and nothing else touched.

The ports are guest-proxy's for clients, host-proxy's for guests (on the embedded fabric) and
amqp-proxy's for links. Beside each kind of garbage a well-behaved client goes on exchanging messages.
"""
import random
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness import wire
from harness.amqp_raw import CLOSE, HEADER, RawClient, plain_start_ok
from harness.bystander import Bystander
from harness.case import IntegrationTest, main
from harness.chain import DirectChain, GUEST_PORT, mode
from harness.process import Process
from harness.wire import Peer

HANDSHAKE_SECONDS = 2
TIMEOUT = ("--handshake-timeout", f"{HANDSHAKE_SECONDS}s")
SEEDS = range(20)

HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
TLS_HELLO = (bytes.fromhex("16030100a5010000a10303") + bytes(range(32)) + b"\x20" + bytes(32)
             + b"\x00\x02\x13\x01" + bytes(90))


def noise(seed: int, longest: int = 4096) -> bytes:
    rng = random.Random(seed)
    return rng.randbytes(rng.randint(1, longest))


class Garbage(IntegrationTest):
    through_proxies = True
    guests = (101, 102)
    amqp_args = host_args = guest_args = TIMEOUT

    def daemon(self) -> Process:
        """The one that gets the garbage."""
        raise NotImplementedError

    def dial(self) -> socket.socket:
        raise NotImplementedError

    def beside(self) -> Bystander:
        return Bystander(self.parameters(102))

    def closes(self, said: bytes, log: str = "", hang_up: bool = False) -> None:
        """Says it on a connection of its own, which must be closed, with such a line in the log."""
        daemon = self.daemon()
        mark = daemon.mark()
        with Peer(self.dial()) as peer:
            try:
                peer.send(said)
                if hang_up:
                    peer.sock.shutdown(socket.SHUT_WR)
                peer.expect_end()
            except BrokenPipeError:
                pass
        if log:
            daemon.wait_log(log, mark=mark)
        self.assertTrue(daemon.running())

    def drips(self, said: bytes, log: str) -> None:
        """One byte a second: closed once the time for the handshake is over, not a second per byte later."""
        mark = self.daemon().mark()
        with self.dial() as sock:
            sock.settimeout(1)
            for byte in said:
                try:
                    sock.send(bytes([byte]))
                    if sock.recv(100) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            else:
                self.fail("never closed")
        self.daemon().wait_log(log, mark=mark)


class GuestPort(Garbage):
    """What AMQP clients connect to."""

    def daemon(self):
        return self.chain.guests[101].process

    def dial(self):
        return socket.create_connection(self.chain.endpoint(101), 10)

    def answer_to(self, said: bytes) -> bytes:
        with self.dial() as sock:
            sock.sendall(said)
            got = b""
            try:
                while piece := sock.recv(1000):
                    got += piece
            except ConnectionResetError:
                pass
            return got

    def test_http_tls_and_noise(self):
        mark = self.daemon().mark()
        with self.beside():
            for said in (HTTP, TLS_HELLO, *(noise(seed) for seed in SEEDS)):
                self.assertEqual(self.answer_to(said), HEADER, said[:40])
        self.daemon().wait_log("not AMQP.*got=", mark=mark)

    def test_hostile_text_in_the_log(self):
        """No client can forge log lines or send escape sequences to the operator's terminal."""
        mark = self.daemon().mark()
        self.answer_to(b"\n\x1b[31m")
        self.daemon().wait_log("not AMQP", mark=mark)
        self.assertNotIn("\x1b", self.daemon().since(mark))
        self.assertEqual(len(self.daemon().since(mark).splitlines()), 1)

    def test_one_byte_a_second(self):
        with self.beside():
            self.drips(HEADER, "no protocol header in time")

    def test_silence(self):
        with self.beside():
            mark = self.daemon().mark()
            with self.dial() as sock:
                self.assertEqual(sock.recv(100), b"")
            self.daemon().wait_log("no protocol header in time", mark=mark)

    def test_half_a_header(self):
        with self.beside():
            with self.dial() as sock:
                sock.sendall(HEADER[:5])
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(sock.recv(100), b"")

    def test_noise_after_the_header(self):
        """From there on the broker judges; the client gets what the broker says, or the end."""
        with self.beside():
            for seed in SEEDS[:6]:  # RabbitMQ takes seconds over each
                with self.dial() as sock:
                    sock.sendall(HEADER + noise(seed))
                    try:
                        while sock.recv(65536):
                            pass
                    except ConnectionResetError:
                        pass

    def test_noise_in_an_open_connection(self):
        with self.beside():
            for seed in SEEDS:
                with RawClient(self.chain.endpoint(101), timeout=20) as client:
                    client.open(self.vhost)
                    client.send(b"\x01\x00\x00" + struct.pack(">I", 1 << 31) + noise(seed))
                    self.assertEqual(client.expect(CLOSE).close_reason()[0], 501)


class FramePort(Garbage):
    """What the ports of host-proxy and amqp-proxy have in common: the session protocol."""
    role = 0
    bad = ""  # log line of a connection that breaks the rules
    late = ""  # log line of a handshake that takes too long

    def refused(self, *frames: bytes) -> None:
        self.closes(b"".join(frames), self.bad)

    def hello(self, **options) -> bytes:
        return wire.hello(self.role, **options)

    def test_http(self):
        with self.beside():
            self.refused(HTTP)

    def test_tls_hello(self):
        with self.beside():
            self.refused(TLS_HELLO)

    def test_noise(self):
        with self.beside():
            mark = self.daemon().mark()
            for seed in SEEDS:  # the log tells of the first ones at least: it is limited in its rate
                self.closes(noise(seed) + bytes(64))
            self.daemon().wait_log(self.bad, mark=mark)

    def test_noise_after_hello(self):
        with self.beside():
            mark = self.daemon().mark()
            for seed in SEEDS:
                # A first byte without the high bit, since unknown types with it are to be skipped.
                self.closes(self.hello() + b"\x7f" + noise(seed) + bytes(64))
            self.daemon().wait_log(self.bad, mark=mark)

    def test_one_byte_a_second(self):
        with self.beside():
            self.drips(self.hello(), self.late)

    def test_silence(self):
        with self.beside():
            self.closes(b"", self.late)

    def test_half_a_frame_and_the_end(self):
        with self.beside():
            self.closes(self.hello()[:20], hang_up=True)
            self.closes(self.hello() + wire.open_session(1)[:20], hang_up=True)

    def test_bad_hello(self):
        with self.beside():
            self.refused(self.hello(magic=b"AMVT"))
            self.refused(self.hello(version=99))
            self.refused(self.hello(max_frame=10))
            self.refused(wire.hello(wire.AMQP if self.role == wire.GUEST else wire.GUEST))
            self.refused(wire.frame(wire.HELLO, 0, b"AMVS"))
            self.refused(wire.frame(wire.HELLO, 7, self.hello()[12:]))

    def test_no_hello(self):
        with self.beside():
            self.refused(wire.open_session(1))
            self.refused(wire.frame(wire.PING, 0, bytes(8)))

    def test_second_hello(self):
        with self.beside():
            self.refused(self.hello(), self.hello())

    def test_oversized_length(self):
        with self.beside():
            self.refused(self.hello(), wire.frame(wire.OPEN, 1, bytes(100), length=1 << 30))
            self.refused(self.hello(), wire.frame(wire.OPEN, 1, bytes(100), length=0xFFFFFFFF))
            self.refused(self.hello(), wire.open_session(1), wire.frame(wire.DATA, 1, bytes(100), length=1 << 24))

    def test_short_payloads(self):
        with self.beside():
            for kind in (wire.OPEN, wire.OPEN_OK, wire.MAX_DATA, wire.RESET, wire.PING):
                self.refused(self.hello(), wire.frame(kind, 1, b"\x01"))
            self.refused(self.hello(), wire.open_session(1), wire.frame(wire.DATA, 1, b"\x01"))

    def test_bad_attributes(self):
        with self.beside():
            head = bytes(16) + struct.pack(">IQQQQ", 1, 0, 0, 0, 1 << 20)
            self.refused(self.hello(), wire.frame(wire.OPEN, 1, head + b"\0\1\0\xffabc"))
            self.refused(self.hello(), wire.frame(wire.OPEN, 1, head + b"\0\1\x01\0" + bytes(256)))

    def test_unknown_type(self):
        with self.beside():
            self.refused(self.hello(), wire.frame(0x42, 0, b"?"))

    def test_unknown_session(self):
        with self.beside():
            self.refused(self.hello(), wire.data(12345, 0, b"who?"))
            self.refused(self.hello(), wire.max_data(12345, 0, 1 << 20))

    def test_skipped_type_does_no_harm(self):
        """An unknown type with the high bit set is from a future version and is ignored."""
        with self.beside(), Peer(self.dial()) as peer:
            peer.send(self.hello(), wire.frame(0xC3, 0, b"from the future"))
            self.assert_serves(peer)

    def assert_serves(self, peer: Peer, session: int = 1) -> None:
        """Opens a session on the connection and reads the broker's Connection.Start through it."""
        peer.send(wire.open_session(session), wire.data(session, 0, HEADER))
        found = peer.expect(wire.DATA, session)
        self.assertEqual(found.payload[8:9], b"\x01")

    def reset(self, peer: Peer, session: int) -> tuple:
        found = peer.expect(wire.RESET, session)
        return found.reset_code(), found.reset_reason()

    def breaks_only_itself(self, *frames: bytes, code: int) -> None:
        """An opened session 1 that breaks a rule of sessions is reset with that code."""
        with Peer(self.dial()) as peer:
            peer.send(self.hello())
            self.assert_serves(peer)
            peer.send(*frames)
            self.assertEqual(self.reset(peer, 1)[0], code)
            self.after_reset(peer)

    def after_reset(self, peer: Peer) -> None:
        raise NotImplementedError

    def test_credit_exceeded(self):
        if mode() == DirectChain.mode:
            self.skipTest("host-proxy has seen by then that it is no AMQP, and reads on only to drop it")
        step = 60000
        flood = [wire.data(1, 8 + i * step, bytes(step)) for i in range(8 * (1 << 20) // step)]
        with self.beside():
            self.breaks_only_itself(*flood, code=wire.CREDIT_EXCEEDED)

    def test_offset_from_the_future(self):
        with self.beside():
            self.breaks_only_itself(wire.data(1, 1 << 40, b"x"), code=wire.OFFSET_RANGE)

    def test_reset_by_the_peer(self):
        """Is in order, and frees the session."""
        with self.beside(), Peer(self.dial()) as peer:
            peer.send(self.hello())
            self.assert_serves(peer)
            peer.send(wire.frame(wire.RESET, 1, struct.pack(">I", 1) + b"enough"))
            self.after_reset(peer)

    def test_resume_of_what_never_was(self):
        with self.beside(), Peer(self.dial()) as peer:
            peer.send(self.hello(), wire.open_session(1, attempt=2, flags=wire.RESUME))
            self.assertEqual(self.reset(peer, 1)[0], wire.UNKNOWN_SESSION)
            self.after_reset(peer)

    def test_unknown_service(self):
        with self.beside(), Peer(self.dial()) as peer:
            peer.send(self.hello(), wire.open_session(1, service=b"no-such-service\n\x1b[2J"))
            self.assertEqual(self.reset(peer, 1)[0], wire.UNKNOWN_SERVICE)
            self.after_reset(peer)
        self.assertNotIn("\x1b", self.daemon().text())


class HostPort(FramePort):
    """What guests connect to; a stream carries one session and ends with it."""
    role = wire.GUEST
    bad = "guest=103 .*code=protocol_error reason="
    late = "guest=103 .*handshake"

    def daemon(self):
        return self.chain.host

    def dial(self):
        return wire.guest_socket(self.chain.fabric, 103, GUEST_PORT)

    def after_reset(self, peer):
        peer.sock.shutdown(socket.SHUT_WR)
        peer.expect_end()

    def test_second_session_on_a_stream(self):
        """Is refused; the first goes on."""
        with self.beside(), Peer(self.dial()) as peer:
            peer.send(self.hello())
            self.assert_serves(peer)
            peer.send(wire.open_session(2))
            self.assertIn("too many sessions", self.reset(peer, 2)[1])
            peer.send(wire.data(1, len(HEADER), plain_start_ok()))
            peer.expect(wire.DATA, 1)

    def test_hello_without_open(self):
        with self.beside():
            self.closes(self.hello(), self.late)


class LinkPort(FramePort):
    tunnel_only = "is about amqp-proxy"
    """What host-proxies connect to; a session that breaks the rules leaves the others of its link alone."""
    role = wire.HOST
    bad = "warning .*code=protocol_error reason="
    late = "warning .*handshake"

    def daemon(self):
        return self.chain.amqp

    def dial(self):
        return socket.create_connection(self.chain.link, 10)

    def after_reset(self, peer):
        """The link goes on: a second session is served."""
        self.assert_serves(peer, session=2)

    def test_session_number_is_used_again(self):
        with self.beside():
            with Peer(self.dial()) as peer:
                peer.send(self.hello())
                self.assert_serves(peer)
                peer.send(wire.open_session(1))
                peer.expect_end()

    def test_session_zero(self):
        with self.beside():
            self.refused(self.hello(), wire.open_session(0))


del Garbage, FramePort  # unittest would run them on their own


if __name__ == "__main__":
    main()
