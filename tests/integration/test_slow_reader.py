#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client that stops reading, or a broker that does, costs a window of memory and disturbs nobody."""
import hashlib
import secrets
import struct
import sys
import time
from pathlib import Path

import pika

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import BODY, CONTENT_HEADER, RawClient, frame, method
from harness.bystander import Bystander
from harness.case import IntegrationTest, main
from harness.chain import DirectChain, mode
from harness.workspace import wait_until

MIB = 1 << 20
MESSAGE = 64 * 1024
FLOOD = 256 * MIB
# What a daemon may hold of one session, both directions, its bookkeeping and the allocator's slack included.
# The sum of the default windows is under 3 MiB; the flood is a hundred times as much.
BOUND = 12 * MIB
# In direct mode host-proxy holds what the broker has sent before it is told to send less: an eighth of
# session-delivery-memory, and what was on its way.
DIRECT_BOUND = 40 * MIB
STALL = 4  # seconds without reading; by then everything that moves by itself has come to rest
ROUNDS = 20  # of the bystander's, beside the one that is stuck


class SlowReader(IntegrationTest):
    through_proxies = True
    own_broker = True

    def broker_channel(self):
        connection = pika.BlockingConnection(pika.ConnectionParameters(self.node.host, self.node.port, self.vhost,
                                                                       heartbeat=0))
        self.addCleanup(connection.close)
        return connection.channel()

    def watch_memory(self) -> dict:
        for process in self.chain.processes():
            process.reset_peak()
        return {process.name: process.peak_bytes() for process in self.chain.processes()}

    def assert_bounded(self, before: dict) -> None:
        grown = {process.name: (process.peak_bytes() - before[process.name]) / MIB
                 for process in self.chain.processes()}
        print("    memory grew by", ", ".join(f"{name} {size:.1f} MiB" for name, size in grown.items()))
        self.assertLess(max(grown.values()) * MIB, DIRECT_BOUND if mode() == DirectChain.mode else BOUND, grown)

    def warm_up(self) -> None:
        """A first load, so that what is measured is not the start of the allocators."""
        for guest in (101, 102):
            channel = self.channel(guest)
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.basic_publish("", queue, bytes(4 * MIB))
            wait_until(lambda: channel.basic_get(queue)[2])
            channel.connection.close()

    def test_client_stops_reading(self):
        self.warm_up()
        queue = "flood-" + secrets.token_hex(4)
        publisher = self.broker_channel()
        publisher.queue_declare(queue)
        self.addCleanup(lambda: self.broker_channel().queue_delete(queue))
        content = secrets.token_bytes(MESSAGE)
        for _ in range(FLOOD // MESSAGE):
            publisher.basic_publish("", queue, content)

        before = self.watch_memory()
        with RawClient(self.chain.endpoint(101), timeout=60) as slow, Bystander(self.parameters(102)) as bystander:
            slow.open(self.vhost)
            slow.send(method((20, 10), b"\0", channel=1))
            slow.expect((20, 11))
            name = bytes([len(queue)]) + queue.encode()
            slow.send(method((60, 20), b"\0\0" + name + b"\0\x02" + bytes(4), channel=1))  # consume, no-ack
            rounds = bystander.rounds + ROUNDS
            time.sleep(STALL)
            wait_until(lambda: bystander.rounds >= rounds or bystander.error, 60, "the bystander works on")
            self.assert_bounded(before)
            # It reads again: nothing was lost, and the order is kept.
            self.read_all(slow, content)
            self.assert_bounded(before)
        print(f"    {bystander.rounds} round trips beside it, the slowest {bystander.slowest * 1000:.0f} ms")

    def read_all(self, client: RawClient, content: bytes) -> None:
        expected = hashlib.sha256(content).hexdigest()
        got, messages = hashlib.sha256(), 0
        size = 0
        while messages < FLOOD // MESSAGE:
            found = client.read_frame()
            self.assertIsNotNone(found, f"closed after {messages} messages")
            if found.type != BODY:
                continue
            got.update(found.payload)
            size += len(found.payload)
            if size == MESSAGE:
                self.assertEqual(got.hexdigest(), expected)
                got, size, messages = hashlib.sha256(), 0, messages + 1

    def test_broker_stops_reading(self):
        """An alarm makes RabbitMQ stop reading from publishers; theirs waits, others are served."""
        if mode() == DirectChain.mode:
            self.skipTest("RabbitMQ stops reading from the connection, which all share")
        self.warm_up()
        bystander = self.channel(102)
        self.node.ctl("set_vm_memory_high_watermark", "0.00001")
        try:
            before = self.watch_memory()
            with RawClient(self.chain.endpoint(101), timeout=5) as publisher:
                publisher.open(self.vhost)
                publisher.send(method((20, 10), b"\0", channel=1))
                publisher.expect((20, 11))
                sent = self.publish_until_it_blocks(publisher)
                self.assertLess(sent, 24 * MIB, "the client was not held back")
                self.assert_bounded(before)
                # Connections that do not publish are not held back by the alarm.
                for _ in range(ROUNDS):
                    bystander.queue_declare("", exclusive=True)
        finally:
            self.node.ctl("set_vm_memory_high_watermark", "0.6")

    def publish_until_it_blocks(self, client: RawClient) -> int:
        """Publishes to nowhere until the socket takes nothing for two seconds; returns how much it took."""
        message = (method((60, 40), b"\0\0\0\x07nowhere\0", channel=1)
                   + frame(CONTENT_HEADER, 1, struct.pack(">HHQH", 60, 0, MESSAGE, 0))
                   + frame(BODY, 1, bytes(MESSAGE)))
        client.sock.settimeout(2)
        sent, block = 0, message * 16
        try:
            while sent < FLOOD:
                sent += client.sock.send(block[sent % len(block):])
        except TimeoutError:
            pass
        return sent


if __name__ == "__main__":
    main()
