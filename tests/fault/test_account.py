#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The account itself, straight against the broker: what is lost, comes twice, is corrupt or disconnected is seen."""
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
from faultlib.load import Load, now_ms
from harness.case import IntegrationTest, main
from harness.chain import NoChain, Endpoint
from harness.workspace import wait_until

SESSIONS = 5  # a publisher, a consumer, an idler, a listener and its ticker
HEAD = struct.Struct("<QQII")  # struct message_head of load/message.h: number, sent_ms, pair, size


class Account(IntegrationTest):
    @classmethod
    def make_chain(cls):
        return NoChain(Endpoint(cls.node.host, cls.node.port))

    def setUp(self):
        self.load = Load(self.workspace, "seen", self.chain.endpoint(), self.vhost,
                         {"pairs": 1, "idlers": 1, "listeners": 1, "visitors": 0, "patience": 2})
        began = now_ms()
        wait_until(lambda: self.load.stat(began).behind == 0, what="all clients are at work")

    def insert(self, body: bytes) -> None:
        """A message from somebody else in the first pair's queue."""
        self.channel(confirm=True).basic_publish("", "seen-0", body, mandatory=True)

    def stop(self):
        return self.load.stop(30)

    def test_nothing_wrong(self):
        wait_until(lambda: self.load.stat().consumed > 500)
        account = self.stop()
        self.assertEqual(account.published, account.confirmed)
        self.assertEqual((account.lost, account.duplicated, account.corrupt, account.disconnects), (0, 0, 0, 0))
        self.assertEqual(self.load.complaints(), [])

    def test_duplicate(self):
        self.insert(HEAD.pack(0, now_ms(), 0, HEAD.size))
        self.assertEqual(self.stop().duplicated, 1)

    def test_corrupt(self):
        self.insert(HEAD.pack(0, now_ms(), 0, HEAD.size + 1))
        self.insert(HEAD.pack(0, now_ms(), 0, HEAD.size + 1) + b"?")
        self.assertEqual(self.stop().corrupt, 2)

    def test_lost(self):
        """Another consumer takes a message that was meant for the pair's."""
        channel, taken = self.channel(), []

        def take(_channel, method, _properties, _body):
            taken.append(method.delivery_tag)
            channel.stop_consuming()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("seen-0", take)
        channel.start_consuming()
        channel.basic_ack(taken[0])
        channel.connection.close()
        self.assertEqual(self.stop().lost, 1)

    def test_disconnect(self):
        self.node.close_connections(self.vhost, "as an operator would")
        wait_until(lambda: self.load.stat().disconnects == SESSIONS, what=lambda: self.load.stat())
        self.stop()
        self.assertIn("320 CONNECTION_FORCED - as an operator would", "\n".join(self.load.complaints()))


if __name__ == "__main__":
    main()
