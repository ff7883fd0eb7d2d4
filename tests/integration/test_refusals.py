#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What cannot be served is refused in words that the client can read: Connection.Close 320 with the reason."""
import subprocess
import sys
from pathlib import Path

import pika.exceptions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import HEADER, RawClient
from harness.case import IntegrationTest, main
from harness.chain import Chain, Endpoint, mode
from harness.workspace import wait_until

# AMQP 1.0: its header, as `AMQP` %d0 major minor revision, with protocol id 3 for SASL.
AMQP_1_0_SASL = b"AMQP\x03\x01\x00\x00"


class Refusal(IntegrationTest):
    through_proxies = True
    guest_args = ("--connect-timeout", "1s")

    def refused(self, guest: int = 101) -> str:
        """Connects and must be refused with 320; returns the text."""
        with RawClient(self.chain.endpoint(guest)) as client:
            client.start()
            client.start_ok()
            code, text = client.read_close()
        self.assertEqual(code, 320)
        self.assertTrue(text.startswith("CONNECTION_FORCED - "), text)
        return text


class HostMissing(Refusal):
    @classmethod
    def make_chain(cls):
        chain = cls.new_chain(guests=[101])
        chain.fabric.mkdir()
        chain.start_guest(101)
        return chain

    def test_reason(self):
        self.assertIn("host proxy unreachable", self.refused())

    def test_stock_clients_show_it(self):
        host, port = self.chain.endpoint()
        done = subprocess.run(["amqp-declare-queue", f"--server={host}", f"--port={port}", "-q", "x"],
                              capture_output=True, text=True, timeout=30)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("server connection error 320, message: CONNECTION_FORCED - host proxy unreachable", done.stderr)
        with self.assertRaises(pika.exceptions.AMQPConnectionError) as caught:
            self.connect()
        self.assertIn("(320) 'CONNECTION_FORCED - host proxy unreachable", repr(caught.exception))


class LateHost(Refusal):
    """A client that connects before the host proxy is there is served once it is."""
    guest_args = ("--connect-timeout", "20s")

    @classmethod
    def make_chain(cls):
        chain = cls.new_chain(guests=[101])
        chain.fabric.mkdir()
        chain.start_guest(101)
        return chain

    def test_waits(self):
        with RawClient(self.chain.endpoint()) as client:
            client.send(HEADER)
            client.expect_silence(1)
            self.chain.start_host()
            if mode() == Chain.mode:  # in direct mode host-proxy answers itself
                client.expect_silence(1)
                self.chain.start_amqp()
            self.assertIsNotNone(client.read_frame())


class LinkMissing(Refusal):
    tunnel_only = "there is no link"

    @classmethod
    def make_chain(cls):
        chain = cls.new_chain(guests=[101])
        chain.start_host()
        chain.start_guest(101)
        return chain

    def test_reason(self):
        self.assertRegex(self.refused(), "link|AMQP proxy|amqp-proxy")


class Limits(Refusal):
    host_args = ("--max-sessions", "5", "--max-sessions-per-guest", "3")

    def fill(self, guest: int, count: int) -> list:
        return [self.connect(guest) for _ in range(count)]

    def test_per_guest_and_in_all(self):
        first = self.fill(101, 3)
        self.fill(102, 2)
        self.assertIn("this guest has 3 sessions already", self.refused(101))
        self.assertIn("this host has 5 sessions already", self.refused(102))
        self.chain.host.wait_log(r"guest=101.*limit")
        self.chain.host.wait_log(r"guest=102.*limit")
        first[0].close()  # makes room for one, which the other guest takes
        third = wait_until(self.one_more, what="the place of a closed session is free again")
        self.assertIn("this host has 5 sessions already", self.refused(101))
        third.close()

    def one_more(self):
        try:
            return self.connect(102)
        except pika.exceptions.AMQPConnectionError:
            return None


class NotAmqp(Refusal):
    def answer(self, said: bytes) -> bytes:
        with RawClient(self.chain.endpoint()) as client:
            client.send(said)
            got = b""
            while piece := client.sock.recv(100):
                got += piece
            return got

    def test_header_is_sent_back(self):
        """Section 4.2.2 of AMQP 0-9-1: a wrong header is answered with the right one, and the connection closed."""
        for said in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"AMQP\x00\x00\x08\x00", b"\n"):
            with self.subTest(said=said):
                self.assertEqual(self.answer(said), HEADER)
        self.chain.guests[101].process.wait_log("not AMQP")

    def test_amqp_1_0_passes_through(self):
        """RabbitMQ without its AMQP 1.0 plugin answers a 1.0 header with its own: the broker's word, not ours."""
        with RawClient(Endpoint(self.node.host, self.node.port)) as client:
            client.send(AMQP_1_0_SASL)
            direct = client.receive(8)
        self.assertEqual(self.answer(AMQP_1_0_SASL), direct)


if __name__ == "__main__":
    main()
