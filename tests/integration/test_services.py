#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients on Unix sockets, and other protocols than AMQP as named services that pass through unread."""
import secrets
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import HEADER, RawClient
from harness.case import IntegrationTest, main
from harness.chain import Chain, Endpoint
from harness.net import Echo
from harness.ports import free_port

MIB = 1 << 20


def read_all(sock: socket.socket) -> bytes:
    """All that comes until the peer ends its data."""
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


class UnixSocket(IntegrationTest):
    tunnel_only = "named services need an amqp-proxy"

    def test_amqp_over_unix_socket(self):
        with RawClient(self.chain.guests[102].unix) as client:
            client.open(self.vhost)
            connections = self.broker_connections()
            self.assertEqual(len(connections), 1)

    def test_socket_file_goes_with_the_daemon(self):
        guest = self.chain.guests[102]
        self.assertTrue(guest.unix.is_socket())
        self.assertEqual(guest.process.terminate(), 0)
        self.assertFalse(guest.unix.exists())
        self.chain.start_guest(102)
        self.assertTrue(guest.unix.is_socket())

    def test_stale_socket_file_is_replaced(self):
        guest = self.chain.guests[102]
        guest.process.kill()
        self.assertTrue(guest.unix.is_socket())
        self.chain.start_guest(102)
        with RawClient(guest.unix) as client:
            client.open(self.vhost)


class NamedServices(IntegrationTest):
    """Three services at the guests: amqp-proxy knows `echo`, for `refused` nobody answers, and `lost` it does not know."""
    tunnel_only = "named services need an amqp-proxy"

    @classmethod
    def make_chain(cls):
        cls.echo = Echo()
        cls.addClassCleanup(cls.echo.close)
        cls.listen = {name: Endpoint("127.0.0.1", free_port()) for name in ("echo", "lost", "refused")}
        config = cls.workspace.path / "services.ini"
        config.write_text("".join(f"[service {name}]\nlisten = {where.host}:{where.port}\n"
                                  for name, where in cls.listen.items()))
        return Chain(cls.workspace, [Endpoint(cls.node.host, cls.node.port)], guests=[101],
                     amqp_args=["--service", f"echo=127.0.0.1:{cls.echo.endpoint.port}",
                                "--service", f"refused=127.0.0.1:{free_port()}"],
                     guest_args=["--config", config]).start()

    def dial(self, name: str = "echo") -> socket.socket:
        sock = socket.create_connection(self.listen[name], 20)
        self.addCleanup(sock.close)
        return sock

    def test_server_speaks_first(self):
        self.assertEqual(self.dial().recv(100), Echo.GREETING)

    def test_bytes_pass_unread(self):
        """What looks like AMQP is nothing special, nor is what looks like nothing."""
        for content in (HEADER * 3, b"GET / HTTP/1.0\r\n\r\n", b"\0", secrets.token_bytes(3 * MIB)):
            sock = self.dial()
            sender = threading.Thread(target=lambda: (sock.sendall(content), sock.shutdown(socket.SHUT_WR)))
            sender.start()
            got = read_all(sock)
            sender.join()
            self.assertEqual(len(got), len(Echo.GREETING + content + Echo.GOODBYE))
            self.assertTrue(got == Echo.GREETING + content + Echo.GOODBYE)

    def test_half_close(self):
        """The client's end of data reaches the server, whose last words still reach the client."""
        sock = self.dial()
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(sock), Echo.GREETING + Echo.GOODBYE)

    def test_server_closes(self):
        sock = self.dial()
        self.assertEqual(sock.recv(100), Echo.GREETING)
        self.echo.drop()
        try:
            self.assertIn(read_all(sock), (b"", Echo.GOODBYE))
        except ConnectionResetError:
            pass

    def test_amqp_beside_it(self):
        self.channel(101).queue_declare("", exclusive=True)

    def test_unknown_service(self):
        """Closed without a byte, since a protocol that is not ours has no words for why; the log has them."""
        mark = self.chain.guests[101].process.mark()
        self.assertEqual(self.read_end("lost"), b"")
        self.chain.guests[101].process.wait_log("no such service", mark=mark)

    def test_unreachable_service(self):
        mark = self.chain.guests[101].process.mark()
        self.assertEqual(self.read_end("refused"), b"")
        self.chain.guests[101].process.wait_log("unreachable", mark=mark)

    def read_end(self, name: str) -> bytes:
        try:
            return read_all(self.dial(name))
        except ConnectionResetError:
            return b""


if __name__ == "__main__":
    main()
