#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A session that stops reading in the middle of a flood of deliveries: the others on the shared connection work on, what is
held for it is bounded, and when it reads again it gets every message once, in order.

AMQPVSOCK_FLOOD_MIB is the size of each flood; the default is the quick form, 1024 the full one:

    AMQPVSOCK_MODE=direct AMQPVSOCK_FLOOD_MIB=1024 tests/isolation/test_slow_reader.py
"""
import itertools
import os
import struct
import sys
import time
from pathlib import Path

import pika
from pika import spec

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
from harness.amqp_client import AmqpClient
from harness.bystander import Bystander
from harness.case import IntegrationTest, main
from harness.chain import NoChain, mode

MIB = 1 << 20
FLOOD = int(os.environ.get("AMQPVSOCK_FLOOD_MIB", "48")) * MIB
MESSAGE = 64 * 1024
COUNT = FLOOD // MESSAGE
STALL = 3  # seconds without reading; by then everything that moves by itself has come to rest
# What host-proxy may hold for the session: the messages of a moderate prefetch (250, amqp/DIRECT.md), its transport's
# windows, and the allocator's slack.
BOUND = 36 * MIB
BATCH = 50


class Flood:
    """A queue full of numbered messages, put there past the proxies."""
    numbers = itertools.count(1)  # RabbitMQ fails now and then when a quorum queue's name is used again at once

    def __init__(self, node, vhost: str, kind: str):
        self.name, self.arguments = f"flood-{kind}-{next(self.numbers)}", {"x-queue-type": kind}
        parameters = pika.ConnectionParameters(node.host, node.port, vhost, heartbeat=0)
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()
        self.channel.queue_declare(self.name, durable=True, arguments=self.arguments)
        padding = bytes(MESSAGE - 4)
        for number in range(COUNT):
            self.channel.basic_publish("", self.name, struct.pack(">I", number) + padding)
        self.left()

    def left(self) -> int:
        """How many messages are in the queue, ready to be delivered."""
        return self.channel.queue_declare(self.name, durable=True, passive=True).method.message_count

    def close(self) -> None:
        self.channel.queue_delete(self.name)
        self.connection.close()


class SlowReader(IntegrationTest):
    own_broker = True  # floods of this size are nobody else's concern
    broker_settings = "vm_memory_high_watermark.absolute = 8GB\n"
    seconds = 90 + 6 * FLOOD // (4 * MIB)

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        with Bystander(cls.bystanders_parameters()) as idle:
            time.sleep(STALL)
        cls.idle = idle.mean
        cls.host = None if mode() == NoChain.mode else cls.chain.host
        cls.before = cls.host.rss_bytes() if cls.host else 0

    @classmethod
    def bystanders_parameters(cls) -> pika.ConnectionParameters:
        host, port = cls.chain.endpoint(102)
        return pika.ConnectionParameters(host, port, cls.vhost, heartbeat=0, socket_timeout=20, stack_timeout=30)

    def flood(self, kind: str) -> Flood:
        flood = Flood(self.node, self.vhost, kind)
        self.addCleanup(flood.close)
        return flood

    def begin(self, flood: Flood, no_ack: bool, prefetch: int) -> AmqpClient:
        client = AmqpClient(self.chain.endpoint(101), timeout=60).log_in(self.vhost)
        self.addCleanup(client.sock.close)
        client.call(1, spec.Channel.Open(), spec.Channel.OpenOk)
        client.call(1, spec.Queue.Declare(queue=flood.name, durable=True, arguments=flood.arguments), spec.Queue.DeclareOk)
        client.call(1, spec.Basic.Qos(prefetch_count=prefetch), spec.Basic.QosOk)
        client.say(1, spec.Basic.Consume(queue=flood.name, consumer_tag="slow", no_ack=no_ack))
        return client

    def stall(self) -> None:
        """Nobody reads for a while: the bystander works."""
        with Bystander(self.bystanders_parameters()) as bystander:
            time.sleep(STALL)
        print(f"    the bystander's round trip: {bystander.mean / self.idle:.2f} of idle")

    def assert_bounded(self) -> None:
        """Of host-proxy's memory at its peak; it may keep some from test to test."""
        if self.host:
            grown = self.host.peak_bytes() - self.before
            print(f"    host-proxy has grown by {grown / MIB:.1f} MiB")
            self.assertLess(grown, BOUND)

    def read_all(self, client: AmqpClient, acks_every: int) -> None:
        """Every message once, in order; with `acks_every` they are acknowledged in batches."""
        client.wait(1, spec.Basic.ConsumeOk)
        for number in range(COUNT):
            heard = client.wait(1, spec.Basic.Deliver)
            self.assertEqual(struct.unpack_from(">I", heard.body)[0], number)
            self.assertEqual((heard.method.consumer_tag, heard.method.redelivered), ("slow", False))
            self.assertEqual((heard.method.delivery_tag, len(heard.body)), (number + 1, MESSAGE))
            if acks_every and (number + 1) % acks_every == 0:
                client.say(1, spec.Basic.Ack(delivery_tag=number + 1, multiple=True))

    def check(self, kind: str, no_ack: bool, prefetch: int, acks_every: int) -> None:
        flood = self.flood(kind)
        client = self.begin(flood, no_ack, prefetch)
        self.stall()
        self.assert_bounded()
        self.read_all(client, acks_every)
        if not no_ack:
            client.say(1, spec.Basic.Ack(delivery_tag=0, multiple=True))
        client.close()
        self.assertEqual(flood.left(), 0)  # nothing came back to it
        self.assert_bounded()

    def test_classic_no_ack(self):
        self.check("classic", True, 0, 0)

    def test_classic_without_a_prefetch(self):
        """Nothing is acknowledged before the last has come, so the consumer must be let have all of them."""
        self.check("classic", False, 0, 0)

    def test_classic_prefetch_100(self):
        self.check("classic", False, 100, BATCH)

    def test_quorum_no_ack(self):
        self.check("quorum", True, 0, 0)

    def test_quorum_without_a_prefetch(self):
        """RabbitMQ lets a consumer of a quorum queue have 2,000 unacknowledged messages."""
        self.check("quorum", False, 0, 500)

    def test_quorum_prefetch_100(self):
        self.check("quorum", False, 100, BATCH)

    def test_who_goes_instead_of_reading(self):
        """What has not left for a client is in the queue again, with no_ack too."""
        flood = self.flood("classic")
        client = self.begin(flood, True, 0)
        self.stall()
        client.sock.close()
        deadline = time.monotonic() + 30
        while flood.left() == 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        left = flood.left()
        print(f"    {COUNT - left} of {COUNT} messages had left")
        self.assertGreater(left, 0)


if __name__ == "__main__":
    main()
