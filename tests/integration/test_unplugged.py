#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A network that is gone: packets are dropped, and nobody is told. All runs in a network of its own, whose loopback
interface is taken down; clients come by Unix sockets, which know nothing of that."""
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import RawClient, frame, method, short_string
from harness.case import IntegrationTest, main
from harness.chain import DirectChain, mode

INSIDE = "AMQPVSOCK_UNPLUGGED"  # set in the network of our own
UNSHARE = ("unshare", "--user", "--map-root-user", "--net")
PATIENCE_S = 60


def may_unshare() -> bool:
    return bool(shutil.which("unshare") and shutil.which("ip")) and subprocess.run(
        [*UNSHARE, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode == 0


def link(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


@unittest.skipUnless(INSIDE in os.environ, "needs a network namespace: not permitted here, or no unshare(1) and ip(8)")
class Unplugged(IntegrationTest):
    through_proxies = True
    own_broker = True
    host_args = ("--broker-heartbeat", "1s", "--ping-interval", "1s", "--ping-timeout", "1s")
    amqp_args = ("--ping-interval", "1s", "--ping-timeout", "1s")

    def client(self) -> RawClient:
        client = RawClient(self.chain.guests[101].unix, timeout=PATIENCE_S)
        self.addCleanup(client.sock.close)
        client.open(self.vhost)
        client.send(method((20, 10), b"\0", channel=1))
        client.expect((20, 11))
        return client

    def works(self, client: RawClient) -> None:
        """Something is asked, and answered."""
        client.send(self.declare())
        client.expect((50, 11))

    @staticmethod
    def declare() -> bytes:
        return method((50, 10), b"\0\0" + short_string("q") + b"\x08" + b"\0\0\0\0", channel=1)  # auto-delete

    @staticmethod
    def publish(size: int) -> bytes:
        return (method((60, 40), b"\0\0" + short_string("") + short_string("q") + b"\0", channel=1)
                + frame(2, 1, b"\0\x3c\0\0" + size.to_bytes(8, "big") + b"\0\0") + frame(3, 1, bytes(size)))

    @unittest.skipUnless(mode() == DirectChain.mode, "in tunnel mode sessions outlive it")
    def test_told(self):
        """The connection is given up, whether or not something is on its way; when the network is back all is well."""
        for in_flight in (b"", self.publish(100000)):
            client = self.client()
            self.works(client)
            link("down")
            client.send(in_flight)
            code, text = client.read_close()
            self.assertEqual(code, 320)
            self.assertIn("missed heartbeats from the broker", text)
            link("up")
            self.works(self.client())

    @unittest.skipUnless(mode() != DirectChain.mode, "in direct mode the broker's connection is given up")
    def test_survived(self):
        client = self.client()
        self.works(client)
        mark = self.chain.host.mark()
        link("down")
        client.send(self.publish(100000))
        self.chain.host.wait_log("link down", PATIENCE_S, mark)
        link("up")
        self.works(client)


if __name__ == "__main__":
    if INSIDE not in os.environ and may_unshare():
        os.execvpe(UNSHARE[0], [*UNSHARE, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-B",
                                *sys.argv], dict(os.environ, **{INSIDE: "1"}))
    main()
