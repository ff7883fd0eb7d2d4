#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""When a daemon runs out of descriptors it pauses accepting, serves those that it has, and goes on when it can."""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import HEADER, RawClient
from harness.bystander import Bystander
from harness.case import IntegrationTest, main
from harness.process import Process

LIMIT = 48  # descriptors, some of which every daemon needs for itself
CLIENTS = 60
LIMITS = [f"--nofile={LIMIT}:{LIMIT}"]


class Descriptors(IntegrationTest):
    through_proxies = True
    limited = ""

    @classmethod
    def make_chain(cls):
        chain = cls.new_chain(guest_args=["--connect-timeout", "60s"])
        chain.start_amqp(LIMITS if cls.limited == "amqp" else ())
        chain.start_host(LIMITS if cls.limited == "host" else ())
        chain.start_guest(101, LIMITS if cls.limited == "guest" else ())
        chain.start_guest(102)
        return chain

    def exhaust(self, daemon: Process, bystander_guest: int) -> None:
        """More clients than descriptors: those served go on, nothing spins, and all is well afterwards."""
        mark = daemon.mark()
        with Bystander(self.parameters(bystander_guest), pause=0.05):
            clients = []
            for _ in range(CLIENTS):
                client = RawClient(self.chain.endpoint(101), timeout=30)
                self.addCleanup(client.sock.close)
                client.send(HEADER)
                clients.append(client)
            time.sleep(1)
            before = daemon.cpu_seconds()
            time.sleep(2)
            self.assertLess(daemon.cpu_seconds() - before, 0.7, "it spins")
            self.assertLessEqual(daemon.descriptors(), LIMIT)
            for client in clients:
                client.sock.close()
        daemon.wait_log(r"(?i)accepting pauses|descriptor|too many open files|EMFILE", mark=mark)
        for _ in range(5):
            with RawClient(self.chain.endpoint(101), timeout=30) as client:
                client.open(self.vhost)


class GuestProxy(Descriptors):
    limited = "guest"

    def test_guest_proxy(self):
        self.exhaust(self.chain.guests[101].process, bystander_guest=101)


class HostProxy(Descriptors):
    limited = "host"

    def test_host_proxy(self):
        self.exhaust(self.chain.host, bystander_guest=102)


class AmqpProxy(Descriptors):
    tunnel_only = "is about amqp-proxy"
    limited = "amqp"

    def test_amqp_proxy(self):
        self.exhaust(self.chain.amqp, bystander_guest=102)


if __name__ == "__main__":
    main()
