#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bodies of 0 B to 64 MiB arrive unchanged, both ways, alone and at the same time."""
import hashlib
import random
import sys
import threading
from pathlib import Path

import pika

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.case import IntegrationTest, main

KIB, MIB = 1 << 10, 1 << 20
FRAME = 131072 - 8  # what fits one body frame at RabbitMQ's frame_max
SMALL = (0, 1, 7, 8, 255, 4096, 65535, 65536, 65537, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 300_000)
LARGE = (MIB, 16 * MIB + 1, 64 * MIB)


def body(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Bodies(IntegrationTest):
    def at_broker(self):
        """A channel straight to the broker, without proxies."""
        connection = pika.BlockingConnection(pika.ConnectionParameters(
            self.node.host, self.node.port, self.vhost, heartbeat=0))
        self.addCleanup(connection.close)
        return connection.channel()

    def at_guest(self, guest: int = 101):
        return self.channel(guest, heartbeat=0)

    def transfer(self, publisher, consumer, size: int) -> None:
        """One body from the one to the other channel, compared by digest; the queue ends with it."""
        publisher.confirm_delivery()
        queue = f"bodies-{size}"
        publisher.queue_declare(queue)
        content = body(size)
        publisher.basic_publish("", queue, content, mandatory=True)
        got = consumer.basic_get(queue, auto_ack=True)[2]
        publisher.queue_delete(queue)
        self.assertEqual((len(got), digest(got)), (size, digest(content)))

    def test_small_from_guest(self):
        publisher, consumer = self.at_guest(), self.at_broker()
        for size in SMALL:
            with self.subTest(size=size):
                self.transfer(publisher, consumer, size)

    def test_small_to_guest(self):
        publisher, consumer = self.at_broker(), self.at_guest()
        for size in SMALL:
            with self.subTest(size=size):
                self.transfer(publisher, consumer, size)

    def test_large_from_guest(self):
        for size in LARGE:
            with self.subTest(size=size):
                self.transfer(self.at_guest(), self.at_broker(), size)

    def test_large_to_guest(self):
        for size in LARGE:
            with self.subTest(size=size):
                self.transfer(self.at_broker(), self.at_guest(), size)

    def test_guest_to_guest(self):
        self.transfer(self.at_guest(101), self.at_guest(102), 8 * MIB)

    def test_small_frames(self):
        """The smallest frame_max: 8 MiB in more than two thousand frames."""
        self.transfer(self.channel(101, frame_max=4096), self.channel(102, frame_max=4096), 8 * MIB)

    def test_both_ways_at_once(self):
        """One connection sends and receives 32 MiB in bodies of all sizes at the same time."""
        channel = self.channel(101, heartbeat=0)
        queue = channel.queue_declare("", exclusive=True).method.queue
        sizes = [random.Random(i).randrange(512 * KIB) for i in range(128)]
        got = []
        channel.basic_consume(queue, lambda _ch, _m, _p, content: got.append(digest(content)), auto_ack=True)
        for size in sizes:
            channel.basic_publish("", queue, body(size))
            channel.connection.process_data_events(0)
        while len(got) < len(sizes):
            channel.connection.process_data_events(1)
        self.assertEqual(got, [digest(body(size)) for size in sizes])

    def test_eight_streams_at_once(self):
        """Eight connections over two guests move 4 MiB each at the same time."""
        failures = []

        def work(n: int) -> None:
            try:
                connection = pika.BlockingConnection(self.parameters(101 + n % 2, heartbeat=0))
                channel = connection.channel()
                queue = channel.queue_declare("", exclusive=True).method.queue
                channel.basic_publish("", queue, body(4 * MIB + n))
                for _method, _properties, content in channel.consume(queue, auto_ack=True, inactivity_timeout=60):
                    assert content is not None and digest(content) == digest(body(4 * MIB + n)), f"stream {n}"
                    break
                connection.close()
            except Exception as error:
                failures.append(error)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    main()
