#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ crashes the channel of whoever publishes just while a quorum queue is deleted or a stream made, and ends its
connection (541, 506). That a client does both, or that two do it to each other, costs a shared connection nothing.

Alone it happens in nearly every round (AMQPVSOCK_MODE=broker has the publisher's connection to itself).
"""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
from pika.spec import Basic, Channel, Queue, Tx

from harness.amqp_client import AmqpClient
from harness.case import IntegrationTest, main

ROUNDS = 8
CHANNELS = 12  # RabbitMQ minds most the first publish of a channel
FANOUT = "amq.fanout"


def queue(name: str, kind: str) -> Queue.Declare:
    return Queue.Declare(queue=name, durable=True, arguments={"x-queue-type": kind})


class Crashes(IntegrationTest):
    through_proxies = True

    def setUp(self):
        super().setUp()
        self.maker, self.publisher = self.client(101), self.client(102)
        self.maker.call(1, Channel.Open(), Channel.OpenOk)

    def connections(self) -> list[str]:
        """The vhost's connections, as the broker tells them apart."""
        return [row["pid"] for row in self.node.connections("pid", vhost=self.vhost)]

    def client(self, guest: int) -> AmqpClient:
        client = AmqpClient(self.chain.endpoint(guest)).log_in(self.vhost)
        self.addCleanup(client.sock.close)
        return client

    def each_round(self, make, meanwhile, answers=()) -> None:
        """`make` says something slow to the maker's channel; before it is answered `meanwhile` speaks on each of the
        publisher's channels, which must all live, and hear these answers."""
        before = self.connections()
        prefix = self.id().rsplit(".", 1)[-1]
        for number in range(ROUNDS):
            channels = range(1, CHANNELS + 1)
            for channel in channels:
                self.publisher.call(channel, Channel.Open(), Channel.OpenOk)
            answer = make(f"{prefix}-{number}")
            for channel in channels:
                meanwhile(channel, f"{prefix}-{number}")
            self.maker.wait(1, answer)
            for channel in channels:
                for kind in answers:
                    self.publisher.wait(channel, kind)
                self.publisher.call(channel, Basic.Qos(), Basic.QosOk)
                self.publisher.call(channel, Channel.Close(0, "", 0, 0), Channel.CloseOk)
        self.assertEqual(self.connections(), before)

    def delete_quorum(self, name: str) -> type:
        self.maker.call(1, queue(name, "quorum"), Queue.DeclareOk)
        self.maker.call(1, Queue.Bind(queue=name, exchange=FANOUT), Queue.BindOk)
        self.maker.say(1, Queue.Delete(queue=name))
        return Queue.DeleteOk

    def declare_stream(self, name: str) -> type:
        self.maker.say(1, queue(name, "stream"))
        return Queue.DeclareOk

    def test_published_to_a_quorum_queue_that_is_deleted(self):
        self.each_round(self.delete_quorum, lambda channel, name: self.publisher.publish(channel, "", name, b"x"))

    def test_published_by_an_exchange_to_a_quorum_queue_that_is_deleted(self):
        self.each_round(self.delete_quorum, lambda channel, name: self.publisher.publish(channel, FANOUT, "", b"x"))

    def test_committed_to_a_quorum_queue_that_is_deleted(self):
        def commit(channel: int, name: str) -> None:
            self.publisher.say(channel, Tx.Select())
            self.publisher.publish(channel, "", name, b"x")
            self.publisher.say(channel, Tx.Commit())
        self.each_round(self.delete_quorum, commit, (Tx.SelectOk, Tx.CommitOk))

    def test_published_to_a_stream_that_is_made(self):
        self.each_round(self.declare_stream, lambda channel, name: self.publisher.publish(channel, "", name, b"x"))

    def test_published_before_a_stream_is_made(self):
        """What is on its way already counts as well."""
        def make(name: str) -> type:
            for channel in range(1, CHANNELS + 1):
                for _ in range(50):
                    self.publisher.publish(channel, "", name, b"x")
            return self.declare_stream(name)
        self.each_round(make, lambda channel, name: None)


if __name__ == "__main__":
    main()
