#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What ends a session for good is told: clients get Connection.Close 320 with the reason, connect again, and every
confirmed message is there."""
import sys
import time
from pathlib import Path

import pika
import pika.exceptions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import RawClient
from harness.case import IntegrationTest, main
from harness.workspace import wait_until

QUEUE = "kept"
PERSISTENT = pika.BasicProperties(delivery_mode=2)
DETACH_S = 2


class Clients:
    """A publisher in one guest and a raw client in each, at the moment when something ends."""

    def __init__(self, case: IntegrationTest):
        self.case = case
        self.confirmed: list[int] = []
        self.channel = case.channel(101, confirm=True)
        self.channel.queue_declare(QUEUE, durable=True)
        self.raw = {cid: RawClient(case.chain.endpoint(cid), timeout=30) for cid in case.guests}
        for client in self.raw.values():
            case.addCleanup(client.sock.close)
            client.open(case.vhost)

    def publish(self, count: int) -> None:
        for number in range(len(self.confirmed), len(self.confirmed) + count):
            self.channel.basic_publish("", QUEUE, b"%d" % number, PERSISTENT, mandatory=True)
            self.confirmed.append(number)  # basic_publish has waited for the confirm

    def publish_until_told(self) -> tuple[int, str]:
        """Goes on publishing until the connection is closed; code and text of the close."""
        try:
            while True:
                self.publish(1)
        except pika.exceptions.ConnectionClosed as closed:
            return closed.reply_code, closed.reply_text

    def expect(self, reason: str) -> None:
        """Everybody must be told 320 and this."""
        told = [self.publish_until_told()] + [client.read_close() for client in self.raw.values()]
        for code, text in told:
            self.case.assertEqual(code, 320, text)
            self.case.assertRegex(text, reason)

    def collect(self) -> None:
        """Connects again and takes everything out of the queue: each confirmed message must be there once, and
        nothing else but the one that was being published."""
        channel = self.case.channel(102)
        found = []
        while (got := channel.basic_get(QUEUE, auto_ack=True))[0]:
            found.append(int(got[2]))
        self.case.assertGreater(len(self.confirmed), 0)
        self.case.assertIn(found, (self.confirmed, self.confirmed + [len(self.confirmed)]))
        channel.queue_delete(QUEUE)


class Ends(IntegrationTest):
    """A broker of its own, since it is killed."""
    through_proxies = True
    own_broker = True
    seconds = 240
    amqp_args = ("--detach-timeout", f"{DETACH_S}s")
    host_args = ("--broker-wait", "2s")  # direct mode's

    def connect_again(self) -> None:
        """A client that comes now must be served, perhaps after some tries."""
        def try_once() -> bool:
            try:
                self.connect(102).close()
                return True
            except pika.exceptions.AMQPError:
                return False
        wait_until(try_once, 30, "a client is served again")

    def test_amqp_proxy_killed(self):
        """Its successor knows nothing of the sessions: the first resume tells."""
        clients = Clients(self)
        clients.publish(50)
        self.chain.amqp.kill()
        self.chain.start_amqp()
        clients.expect("session unknown to the far edge: it was restarted")
        self.connect_again()
        clients.collect()

    def test_amqp_proxy_gone(self):
        """Nobody takes its place: sessions expire, and the reason says what is missing."""
        clients = Clients(self)
        clients.publish(50)
        self.chain.amqp.kill()
        began = time.monotonic()
        clients.expect("session expired while detached: .*AMQP proxy")
        self.assertLess(time.monotonic() - began, DETACH_S + 30)  # by default it is a minute
        self.chain.start_amqp()
        self.connect_again()
        clients.collect()

    def test_amqp_proxy_drained(self):
        clients = Clients(self)
        clients.publish(50)
        self.chain.amqp.signal(15)
        clients.expect("amqp-proxy is shutting down")
        self.assertEqual(self.chain.amqp.wait(), 0)
        self.chain.start_amqp()
        self.connect_again()
        clients.collect()

    def test_broker_killed(self):
        clients = Clients(self)
        clients.publish(50)
        self.node.eval("dumped = mnesia:dump_log()")  # RabbitMQ 3.10 loses now and then what was declared last
        self.node.kill()
        clients.expect("broker connection lost|the broker closed the connection|the connection to the broker is lost")
        with RawClient(self.chain.endpoint(), timeout=30) as client:  # comes while there is none
            client.start()
            client.start_ok()
            code, text = client.read_close()
            self.assertEqual(code, 320)
            self.assertIn("broker unreachable", text)
        self.node.start()
        self.connect_again()
        clients.collect()


if __name__ == "__main__":
    main()
