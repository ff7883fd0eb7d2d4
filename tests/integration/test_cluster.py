#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A cluster of three nodes: clients are served whichever node carries their connection, wherever queues live, and when
a node dies."""
import sys
import unittest
from pathlib import Path
from typing import Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from pika import spec
from pika.spec import Basic, Channel, Confirm, Connection, Queue

from cluster_story import KINDS, Story
from harness.amqp_client import AmqpClient, Heard
from harness.case import IntegrationTest, main
from harness.chain import DirectChain, Endpoint, NoChain, mode
from harness.rabbitmq import Broker, Node
from harness.workspace import wait_until

REPLIES = "amq.rabbitmq.reply-to"
MESSAGES = 400


def confirmed(*heard: Heard) -> set[int]:
    """The numbers of the messages that these confirm."""
    acks = [one.method for one in heard if isinstance(one.method, Basic.Ack)]
    return {number for ack in acks for number in range(1 if ack.multiple else ack.delivery_tag, ack.delivery_tag + 1)}


class Cluster(IntegrationTest):
    own_broker = True
    maxDiff = None

    @classmethod
    def _broker(cls) -> Node:
        cls.cluster = Broker(cls.workspace, nodes=3, settings=cls.broker_settings).start()
        return cls.cluster.node

    @classmethod
    def make_chain(cls):
        nodes = [Endpoint(node.host, node.port) for node in cls.cluster.nodes]
        return NoChain(nodes[0]) if mode() == NoChain.mode else cls.new_chain(nodes).start()

    # --- clients

    def client(self, where: Optional[Node] = None, guest: int = 101, **options) -> AmqpClient:
        """One with channel 1 open: in that guest, or straight at that node."""
        endpoint = Endpoint(where.host, where.port) if where else self.chain.endpoint(guest)
        client = AmqpClient(endpoint, timeout=60).log_in(self.vhost, **options)
        self.addCleanup(client.sock.close)
        client.call(1, Channel.Open(), Channel.OpenOk)
        return client

    def connections(self) -> dict[str, Node]:
        """Those of the vhost; in direct mode those of host-proxy."""
        alive = next(node for node in self.cluster.nodes if node.process.running())
        rows = alive.connections("pid", "port", "client_properties", vhost=self.vhost)
        by_port = {node.port: node for node in self.cluster.nodes}
        return {row["pid"]: by_port[row["port"]] for row in rows
                if mode() != DirectChain.mode or ["product", "longstr", "amqp-vsock"] in row["client_properties"]}

    def client_and_carrier(self, guest: int = 101, **options) -> tuple[AmqpClient, Node]:
        """A client in that guest, and the node with its connection."""
        known = set() if mode() == DirectChain.mode else self.connections().keys()
        client = self.client(guest=guest, **options)

        def carriers() -> list:
            return [node for pid, node in self.connections().items() if pid not in known]
        (carrier,) = wait_until(lambda: len(carriers()) == 1 and carriers(), what="the client has one connection")
        return client, carrier

    def refused(self, client: AmqpClient, command: spec.amqp_object.Method) -> int:
        """The code of the channel's Close, after which it is open again."""
        code = client.call(1, command, Channel.Close).method.reply_code
        client.say(1, Channel.CloseOk())
        client.call(1, Channel.Open(), Channel.OpenOk)
        return code

    def revive(self, node: Node) -> None:
        """After which another one may die."""
        node.start()
        self.assertEqual(node.eval("io:put_chars(atom_to_binary("
                                   "rabbit_upgrade_preparation:await_online_quorum_plus_one(60000)))"), "true")

    # --- queues that live elsewhere

    def test_queues_anywhere(self):
        """Queues of all types on each of the nodes."""
        bodies = [b"%d" % number * size for number, size in enumerate((0, 1, 10, 70000) * 5)]
        for kind, options in KINDS.items():
            for node in self.cluster.nodes:
                queue = f"{kind}-at-{node.name}"
                maker = self.client(node)
                maker.call(1, Queue.Declare(queue=queue, **options), Queue.DeclareOk)
                maker.close()
                self.assertEqual(node.queue_homes(self.vhost)[queue], node.name)
                with self.subTest(queue=queue):
                    self.publish(queue, bodies)
                    self.consume(queue, kind, bodies)

    def publish(self, queue: str, bodies: list[bytes]) -> None:
        """With confirms."""
        client = self.client(guest=101)
        client.call(1, Confirm.Select(), Confirm.SelectOk)
        for body in bodies:
            client.publish(1, "", queue, body, mandatory=True)
        done = set()
        while len(done) < len(bodies):
            done |= confirmed(client.wait(1, Basic.Ack))
        client.close()

    def consume(self, queue: str, kind: str, bodies: list[bytes]) -> None:
        """The first by basic.get where there is such a thing."""
        client = self.client(guest=102)
        offset, first = ({"x-stream-offset": "first"}, 0) if kind == "stream" else ({}, 1)
        for body in bodies[:first]:
            self.assertEqual(client.call(1, Basic.Get(queue=queue, no_ack=True), Basic.GetOk).body, body)
        client.call(1, Basic.Qos(prefetch_count=7), Basic.QosOk)
        client.call(1, Basic.Consume(queue=queue, consumer_tag="c", arguments=offset), Basic.ConsumeOk)
        for body in bodies[first:]:
            heard = client.wait(1, Basic.Deliver)
            self.assertEqual(heard.body, body)
            client.say(1, Basic.Ack(heard.method.delivery_tag))
        client.call(1, Basic.Cancel("c"), Basic.CancelOk)
        client.call(1, Queue.Delete(queue=queue), Queue.DeleteOk)
        client.close()

    def test_exclusive_queue(self):
        """405 to others, be they in a guest or at any node; gone with its owner."""
        owner = self.client()
        owner.call(1, Queue.Declare(queue="mine", exclusive=True), Queue.DeclareOk)
        others = [self.client(guest=102), *map(self.client, self.cluster.nodes)]
        for other in others:
            for command in (Queue.Declare(queue="mine", passive=True), Basic.Get(queue="mine")):
                self.assertEqual(self.refused(other, command), 405)
        owner.close()
        for other in others:
            wait_until(lambda other=other: self.refused(other, Queue.Declare(queue="mine", passive=True)) == 404)

    def test_direct_reply_to(self):
        """Between guests, and from and to clients at any node."""
        for node in (None, *self.cluster.nodes):
            for requester, worker in ((self.client(guest=101), self.client(node, 102)),
                                      (self.client(node, 102), self.client(guest=101))):
                queue = worker.call(1, Queue.Declare(exclusive=True), Queue.DeclareOk).method.queue
                worker.call(1, Basic.Consume(queue=queue, no_ack=True), Basic.ConsumeOk)
                requester.call(1, Basic.Consume(queue=REPLIES, no_ack=True), Basic.ConsumeOk)
                requester.publish(1, "", queue, b"question", spec.BasicProperties(reply_to=REPLIES))
                asked = worker.wait(1, Basic.Deliver)
                worker.publish(1, "", asked.properties.reply_to, b"answer to " + asked.body)
                self.assertEqual(requester.wait(1, Basic.Deliver).body, b"answer to question")
                requester.close()
                worker.close()

    # --- a node with queues dies

    def test_home_is_killed(self):
        """What clients hear whose connections are on other nodes, and later when it is back, is what they would hear
        straight from those nodes."""
        carriers, stories = set(), []
        for number, can in enumerate(({"consumer_cancel_notify": True}, {})):
            client, carrier = self.client_and_carrier(capabilities=can)
            straight = self.client(carrier, capabilities=can)
            stories.append((Story(f"here{number}", client, bool(can)), Story(f"alone{number}", straight, bool(can))))
            carriers.add(carrier)
        everyone = [story for pair in stories for story in pair]
        home = next(node for node in self.cluster.nodes if node not in carriers)
        maker = self.client(home)
        for story in everyone:
            story.declare(maker)
            story.begin()
        home.kill()
        try:
            for story in everyone:
                story.go_on()
        finally:
            self.revive(home)
        for story in everyone:
            story.end()
        for here, alone in stories:
            self.assertEqual(here.heard(home.name), alone.heard(home.name))

    # --- the node with the connection ends

    @unittest.skipIf(mode() == NoChain.mode, "is about the daemons")
    def test_carrier_is_killed(self):
        self.lose(Node.kill, "broker connection|closed the connection|broker closed|reset|pipe")

    @unittest.skipIf(mode() == NoChain.mode, "is about the daemons")
    def test_carrier_is_stopped(self):
        self.lose(Node.stop, "shutdown")

    def lose(self, end, cause: str) -> None:
        """It ends in the midst of publishing, with the queue's leader. Clients hear of it, others are served, and
        nothing that was confirmed is lost."""
        client, carrier = self.client_and_carrier()
        queue = self.id()
        client.call(1, Queue.Declare(queue=queue, **KINDS["quorum"]), Queue.DeclareOk)
        client.call(1, Confirm.Select(), Confirm.SelectOk)
        for number in range(MESSAGES):
            client.publish(1, "", queue, b"%d" % number)
        heard = []
        while len(confirmed(*heard)) < MESSAGES / 4:
            heard.append(client.wait(1, Basic.Ack))
        end(carrier)
        try:
            heard += self.last_words(client)
            self.assertEqual(heard[-1].method.reply_code, 320)
            self.assertRegex(heard[-1].method.reply_text, cause)
            heir, node = self.client_and_carrier(guest=102)
            self.assertIsNot(node, carrier)
            self.expect_all(heir, queue, {b"%d" % (number - 1) for number in confirmed(*heard)})
        finally:
            self.revive(carrier)

    def last_words(self, client: AmqpClient) -> list[Heard]:
        """What comes until the connection's Close, and that."""
        heard = []
        while not heard or not isinstance(heard[-1].method, Connection.Close):
            heard.append(client.listen())
            self.assertIsNotNone(heard[-1], f"ended without a word, after {heard}")
        return heard

    def expect_all(self, client: AmqpClient, queue: str, bodies: set[bytes]) -> None:
        client.call(1, Basic.Consume(queue=queue, no_ack=True), Basic.ConsumeOk)
        while bodies:
            bodies.discard(client.wait(1, Basic.Deliver).body)


if __name__ == "__main__":
    main()
