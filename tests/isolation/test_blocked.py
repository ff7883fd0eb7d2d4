#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A broker that is short of memory stops to read a connection that has published, and says so to it. On a shared
connection that concerns everybody: those who can be told are, also those who come later, and nobody else; and nothing
is lost."""
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
from pika.spec import Basic, Channel, Confirm, Connection, Queue

from harness.amqp_client import AmqpClient
from harness.case import IntegrationTest, main

ALARM = "{resource_limit, memory, node()}"
QUIET_SECONDS = 0.5
HEARTBEAT_SECONDS = 1
MESSAGES, SIZE = 48, 64 << 10  # more than RabbitMQ's socket takes while nobody reads it, less than one client may have waiting


class Alarmed(IntegrationTest):
    through_proxies = True
    own_broker = True
    host_args = ("--broker-heartbeat", f"{HEARTBEAT_SECONDS}s")

    def client(self, guest: int, can_be_told: bool) -> AmqpClient:
        capabilities = {"connection.blocked": True} if can_be_told else None
        client = AmqpClient(self.chain.endpoint(guest)).log_in(self.vhost, capabilities=capabilities)
        self.addCleanup(client.sock.close)
        return client

    def alarm(self, is_on: bool) -> None:
        change = f"rabbit_alarm:set_alarm({{{ALARM}, []}})" if is_on else f"rabbit_alarm:clear_alarm({ALARM})"
        self.node.eval(change)


class Blocked(Alarmed):
    host_args = ("--connections", "1")

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

    def test_that_may_last(self):
        """A broker that reads nothing for many heartbeats, and whose window is full, is not taken for one that is gone."""
        publisher = self.client(101, True)
        publisher.call(1, Channel.Open(), Channel.OpenOk)
        publisher.call(1, Confirm.Select(), Confirm.SelectOk)
        self.alarm(True)
        self.addCleanup(self.alarm, False)
        publisher.publish(1, "", "nowhere", b"first")
        publisher.wait(0, Connection.Blocked)
        for _ in range(MESSAGES):
            publisher.publish(1, "", "nowhere", bytes(SIZE))
        time.sleep(6 * HEARTBEAT_SECONDS)
        self.alarm(False)
        publisher.wait(0, Connection.Unblocked)
        while publisher.wait(1, Basic.Ack).method.delivery_tag < 1 + MESSAGES:
            pass


class Split(Alarmed):
    """With a connection for publishing, nobody is held up who does not publish."""
    host_args = ("--connections", "split")
    MESSAGES = 50

    def consumer(self, guest: int) -> AmqpClient:
        client = self.client(guest, True)
        client.call(1, Channel.Open(), Channel.OpenOk)
        client.call(1, Basic.Qos(prefetch_count=1), Basic.QosOk)
        return client

    def publisher(self, guest: int) -> AmqpClient:
        client = self.client(guest, True)
        client.call(1, Channel.Open(), Channel.OpenOk)
        client.call(1, Confirm.Select(), Confirm.SelectOk)
        return client

    def fill(self) -> None:
        filler = self.client(101, False)
        filler.call(1, Channel.Open(), Channel.OpenOk)
        filler.call(1, Queue.Declare(queue="q"), Queue.DeclareOk)
        for number in range(self.MESSAGES):
            filler.publish(1, "", "q", b"%d" % number)
        filler.call(1, Channel.Close(200, "", 0, 0), Channel.CloseOk)
        filler.close()

    def take(self, consumer: AmqpClient, count: int) -> None:
        """Deliveries come one by one, each when the last one is acknowledged."""
        for _ in range(count):
            tag = consumer.wait(1, Basic.Deliver).method.delivery_tag
            consumer.say(1, Basic.Ack(delivery_tag=tag))

    def test_consumers_go_on(self):
        self.fill()
        publisher, worker, consumer = self.publisher(101), self.publisher(102), self.consumer(102)
        self.alarm(True)
        self.addCleanup(self.alarm, False)
        publisher.publish(1, "", "nowhere", b"blocks the connection")
        for client in (publisher, worker, consumer):
            client.wait(0, Connection.Blocked)
        publisher.publish(1, "", "q", b"later")
        worker.call(1, Basic.Get(queue="q"), Basic.GetOk)  # it has not published yet
        worker.publish(1, "", "q", b"answer")
        worker.say(1, Basic.Ack(delivery_tag=1))  # behind what it has published: waits with that
        consumer.call(1, Basic.Consume(queue="q"), Basic.ConsumeOk)
        self.take(consumer, self.MESSAGES - 1)
        self.assertEqual(consumer.call(1, Queue.Declare(queue="q", passive=True), Queue.DeclareOk)
                         .method.message_count, 0)
        late = self.consumer(101)
        late.wait(0, Connection.Blocked)
        late.call(1, Queue.Declare(queue="other"), Queue.DeclareOk)
        for client in (publisher, worker):
            client.expect_silence(QUIET_SECONDS)

        self.alarm(False)
        for client in (publisher, worker, consumer, late):
            client.wait(0, Connection.Unblocked)
        self.assertEqual(publisher.wait(1, Basic.Ack).method.delivery_tag, 1)
        worker.wait(1, Basic.Ack)
        self.take(consumer, 2)
        self.assertEqual(worker.call(1, Queue.Delete(queue="q"), Queue.DeleteOk).method.message_count, 0)

    def test_a_publisher_that_leaves(self):
        """What it has published is not lost."""
        publisher, consumer = self.publisher(101), self.consumer(102)
        consumer.call(1, Queue.Declare(queue="left"), Queue.DeclareOk)
        self.alarm(True)
        self.addCleanup(self.alarm, False)
        for number in range(self.MESSAGES):
            publisher.publish(1, "", "left", b"%d" % number)
        publisher.wait(0, Connection.Blocked)
        publisher.sock.close()
        consumer.wait(0, Connection.Blocked)
        self.alarm(False)
        consumer.wait(0, Connection.Unblocked)
        consumer.call(1, Basic.Consume(queue="left"), Basic.ConsumeOk)
        self.take(consumer, self.MESSAGES)


if __name__ == "__main__":
    main()
