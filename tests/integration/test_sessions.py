#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Five hundred concurrent sessions over two guests share one TCP connection."""
import sys
import threading
from pathlib import Path

import pika

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.case import IntegrationTest, main
from harness.chain import Chain, DirectChain, mode
from harness.net import established_to
from harness.workspace import wait_until

PER_GUEST = 250


class Sessions(IntegrationTest):
    def test_five_hundred_at_once(self):
        connections = [(guest, self.connect(guest, heartbeat=0)) for _ in range(PER_GUEST) for guest in (101, 102)]
        channels = [(guest, connection.channel()) for guest, connection in connections]
        queues = [(guest, channel, channel.queue_declare("", exclusive=True).method.queue)
                  for guest, channel in channels]
        # All publish before any one reads, so that all are busy at the same time.
        for guest, channel, queue in queues:
            channel.confirm_delivery()
            channel.basic_publish("", queue, f"{guest} {queue}", mandatory=True)
        for guest, channel, queue in queues:
            self.assertEqual(channel.basic_get(queue, auto_ack=True)[2], f"{guest} {queue}".encode())
        if mode() == DirectChain.mode:
            self.assertEqual(len(self.broker_connections()), 1)
            self.assertEqual(established_to(self.node.port, self.chain.host.pid), 1,
                             "connections between host-proxy and the broker")
        else:
            self.assertEqual(len(self.broker_connections()), 2 * PER_GUEST)
        if mode() == Chain.mode:
            self.assertEqual(established_to(self.chain.link.port), 1, "connections between host-proxy and amqp-proxy")
        for _guest, connection in connections:
            connection.close()
        if mode() == DirectChain.mode:
            self.assertEqual(len(self.broker_connections()), 1, "it is kept for those who come next")
        wait_until(lambda: not self.broker_connections(), what="the broker has no connections left")

    def test_churn(self):
        """Four clients per guest connect, work and close, over and over."""
        failures = []

        def work(guest: int) -> None:
            try:
                for _ in range(25):
                    connection = pika.BlockingConnection(self.parameters(guest))
                    channel = connection.channel()
                    queue = channel.queue_declare("", exclusive=True).method.queue
                    channel.basic_publish("", queue, b"x")
                    assert wait_until(lambda: channel.basic_get(queue)[2]) == b"x"
                    connection.close()
            except Exception as error:
                failures.append(error)
        threads = [threading.Thread(target=work, args=(guest,)) for guest in (101, 102) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    main()
