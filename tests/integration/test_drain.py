#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM drains each daemon: clients are told, and the daemon is out in time. A second signal ends it at once."""
import signal
import sys
import time
from pathlib import Path

import pika

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import BODY, CLOSE, CONTENT_HEADER, RawClient, method
from harness.case import IntegrationTest, main
from harness.chain import DirectChain, mode
from harness.process import Process

DRAIN_SECONDS = 2
LIMIT = ("--drain-timeout", f"{DRAIN_SECONDS}s")
IN_TIME = DRAIN_SECONDS + 6  # on a busy machine; by default it is ten seconds
LONG = ("--drain-timeout", "300s")


class Drain(IntegrationTest):
    """Each test has a chain of its own, since it ends a part of it."""
    through_proxies = True

    @classmethod
    def make_chain(cls):
        return cls.new_chain(guests=[101], amqp_args=LIMIT, host_args=LIMIT, guest_args=LIMIT)

    def setUp(self):
        self.limit(LIMIT)
        self.chain.start()
        self.addCleanup(self.chain.stop)  # after the clients that a test opens

    def limit(self, arguments) -> None:
        """For daemons that are started from now on."""
        self.chain.amqp_args, self.chain.host_args, self.chain.guest_args = (list(arguments) for _ in range(3))

    def daemon(self, name: str) -> Process:
        process = {"guest": self.chain.guests[101].process, "host": self.chain.host, "amqp": self.chain.amqp}[name]
        if process is None:
            self.skipTest("there is no amqp-proxy")
        return process

    def ends_in_order(self, name: str) -> None:
        """An open session is told 320 "shutting down"; the daemon then ends with exit code 0."""
        with RawClient(self.chain.endpoint()) as client:
            client.open(self.vhost)
            daemon, began = self.daemon(name), time.monotonic()
            daemon.signal(signal.SIGTERM)
            code, text = client.read_close()
            self.assertEqual(code, 320)
            self.assertIn("shutting down", text)
            self.assertEqual(daemon.wait(), 0)
            self.assertLess(time.monotonic() - began, IN_TIME)

    def test_guest_proxy(self):
        self.ends_in_order("guest")

    def test_host_proxy(self):
        if mode() != DirectChain.mode:  # where it is the only way
            self.daemon("host").terminate()
            self.chain.host_args = [*LIMIT, "--on-stop", "close"]
            self.chain.start_host()
        self.ends_in_order("host")

    def test_host_proxy_hands_over(self):
        """Unless told otherwise it leaves its sessions to the host-proxy that comes after it: their clients
        notice nothing."""
        if mode() == DirectChain.mode:
            self.skipTest("the sessions end with the host-proxy that they end at")
        client = self.channel(101, confirm=True)
        queue = client.queue_declare("", exclusive=True).method.queue
        for n in range(3):
            self.assertEqual(self.daemon("host").terminate(), 0)
            self.chain.start_host()
            client.basic_publish("", queue, b"%d" % n, mandatory=True)
            self.assertEqual(client.basic_get(queue, auto_ack=True)[2], b"%d" % n)

    def test_amqp_proxy(self):
        self.ends_in_order("amqp")

    def test_client_that_does_not_answer(self):
        """One that never reads nor says Close-Ok delays the end no longer than the limit."""
        with RawClient(self.chain.endpoint()) as client:
            client.open(self.vhost)
            daemon, began = self.daemon("guest"), time.monotonic()
            self.assertEqual(daemon.terminate(), 0)
            self.assertLess(time.monotonic() - began, IN_TIME)

    def test_idle_daemon_ends_at_once(self):
        """It waits for nothing, however long it might."""
        self.chain.stop()
        self.limit(LONG)
        self.chain.start()
        for daemon in reversed(self.chain.processes()):
            self.assertEqual(daemon.terminate(), 0, daemon.name)

    def test_second_signal(self):
        self.daemon("guest").terminate()
        self.limit(LONG)
        self.chain.start_guest(101)
        with RawClient(self.chain.endpoint()) as client:
            client.open(self.vhost)
            daemon = self.daemon("guest")
            mark = daemon.mark()
            daemon.signal(signal.SIGTERM)
            daemon.wait_log("stopping", mark=mark)
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 1)

    def test_close_comes_at_a_frame_boundary(self):
        """In the middle of a flood of deliveries the client can read frame after frame up to the Close."""
        broker = pika.BlockingConnection(pika.ConnectionParameters(self.node.host, self.node.port, self.vhost))
        self.addCleanup(broker.close)
        publisher = broker.channel()
        publisher.queue_declare("flood", auto_delete=False)
        self.addCleanup(lambda: broker.channel().queue_delete("flood"))
        for _ in range(200):
            publisher.basic_publish("", "flood", b"x" * 100_000)
        consumer = RawClient(self.chain.endpoint())
        with consumer as client:
            client.open(self.vhost)
            client.send(method((20, 10), b"\0", channel=1))  # channel.open
            client.expect((20, 11))
            client.send(method((60, 20), b"\0\0\x05flood\0\x02\0\0\0\0", channel=1))  # basic.consume, no-ack
            seen = 0
            while True:
                found = client.read_frame()
                self.assertIsNotNone(found, "closed without a word")
                if found.type in (BODY, CONTENT_HEADER) or found.method != CLOSE:
                    seen += 1
                    if seen == 20:
                        self.daemon("guest").signal(signal.SIGTERM)
                    continue
                self.assertEqual(found.close_reason()[0], 320)
                self.assertIn("shutting down", found.close_reason()[1])
                break
        self.assertEqual(self.daemon("guest").wait(), 0)


if __name__ == "__main__":
    main()
