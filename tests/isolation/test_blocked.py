#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A broker that is short of memory stops to read a connection that has published, and says so to it. On a shared
connection that concerns everybody: those who can be told are, also those who come later, and nobody else; and nothing
is lost."""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
from pika.spec import Basic, Channel, Confirm, Connection, Queue

from harness.amqp_client import AmqpClient
from harness.case import IntegrationTest, main

ALARM = "{resource_limit, memory, node()}"
QUIET_SECONDS = 0.5


class Blocked(IntegrationTest):
    through_proxies = True
    own_broker = True

    def client(self, guest: int, can_be_told: bool) -> AmqpClient:
        capabilities = {"connection.blocked": True} if can_be_told else None
        client = AmqpClient(self.chain.endpoint(guest)).log_in(self.vhost, capabilities=capabilities)
        self.addCleanup(client.sock.close)
        return client

    def alarm(self, is_on: bool) -> None:
        change = f"rabbit_alarm:set_alarm({{{ALARM}, []}})" if is_on else f"rabbit_alarm:clear_alarm({ALARM})"
        self.node.eval(change)

    def test_everybody_is_told_who_can_be(self):
        publisher, consumer, plain = self.client(101, True), self.client(102, True), self.client(102, False)
        for client in (publisher, consumer, plain):
            client.call(1, Channel.Open(), Channel.OpenOk)
        publisher.call(1, Confirm.Select(), Confirm.SelectOk)
        consumer.call(1, Queue.Declare(queue="q"), Queue.DeclareOk)
        consumer.call(1, Basic.Consume(queue="q"), Basic.ConsumeOk)
        self.alarm(True)
        self.addCleanup(self.alarm, False)
        publisher.publish(1, "", "q", b"in time of need")
        for client in (publisher, consumer):
            self.assertEqual(client.wait(0, Connection.Blocked).method.reason, "low on memory")
        late = self.client(101, True)
        self.assertEqual(late.wait(0, Connection.Blocked).method.reason, "low on memory")
        plain.say(1, Basic.Qos())  # is not read before the alarm is over
        plain.expect_silence(QUIET_SECONDS)

        self.alarm(False)
        for client in (publisher, consumer, late):
            client.wait(0, Connection.Unblocked)
        publisher.wait(1, Basic.Ack)
        self.assertEqual(consumer.wait(1, Basic.Deliver).body, b"in time of need")
        plain.wait(1, Basic.QosOk)
        for client in (publisher, consumer, late, plain):
            self.assertEqual(client.leftover(), [])


if __name__ == "__main__":
    main()
