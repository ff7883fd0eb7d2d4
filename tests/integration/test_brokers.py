#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Several broker nodes: taken in turn, and the next one tried when one refuses or is silent."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import RawClient
from harness.case import IntegrationTest, main
from harness.chain import Chain, Endpoint
from harness.net import BlackHole, Forwarder
from harness.ports import free_port


class Nodes(IntegrationTest):
    """Two forwarders to the node stand for two nodes; between them is a third that is dead."""
    tunnel_only = "is about amqp-proxy; test_direct.py has host-proxy's nodes"

    @classmethod
    def make_chain(cls):
        broker = Endpoint(cls.node.host, cls.node.port)
        cls.nodes = [Forwarder(broker), Forwarder(broker)]
        for node in cls.nodes:
            cls.addClassCleanup(node.close)
        dead = Endpoint("127.0.0.1", free_port())
        return Chain(cls.workspace, [cls.nodes[0].endpoint, dead, cls.nodes[1].endpoint], guests=[101]).start()

    def test_in_turn_without_the_dead_one(self):
        before = [node.accepted for node in self.nodes]
        for _ in range(12):
            self.connect().close()
        taken = [node.accepted - count for node, count in zip(self.nodes, before)]
        self.assertEqual(sum(taken), 12, "each client reached a node")
        self.assertGreaterEqual(min(taken), 4, f"both nodes have a share: {taken}")

    def test_node_that_dies_takes_only_its_own(self):
        connections = [self.connect() for _ in range(4)]
        self.nodes[0].drop()
        alive = 0
        for connection in connections:
            try:
                connection.channel().close()
                alive += 1
            except Exception:  # pika has a class for each moment in which a connection can break
                pass
        self.assertIn(alive, (1, 2, 3))

    def test_reason_when_a_node_dies(self):
        """A client whose broker connection breaks is told so by a Connection.Close."""
        with RawClient(self.chain.endpoint()) as client:
            client.open(self.vhost)
            for node in self.nodes:
                node.drop()
            code, text = client.read_close()
        self.assertEqual(code, 320)
        self.assertIn("broker closed", text)


class SilentNodes(IntegrationTest):
    """Two of three nodes swallow every packet. Who waited for one of them to time out would not be served while the
    test lasts."""
    tunnel_only = "is about amqp-proxy; test_direct.py has host-proxy's nodes"

    @classmethod
    def make_chain(cls):
        holes = [BlackHole(), BlackHole()]
        for hole in holes:
            cls.addClassCleanup(hole.close)
        nodes = [hole.endpoint for hole in holes] + [Endpoint(cls.node.host, cls.node.port)]
        return Chain(cls.workspace, nodes, guests=[101], amqp_args=["--broker-timeout", "10m"]).start()

    def test_sessions_come_about(self):
        for _ in range(6):
            self.connect().close()


class NoNode(IntegrationTest):
    tunnel_only = "is about amqp-proxy; test_direct.py has host-proxy's nodes"

    @classmethod
    def make_chain(cls):
        hole = BlackHole()
        cls.addClassCleanup(hole.close)
        cls.refusing, cls.silent = Endpoint("127.0.0.1", free_port()), hole.endpoint
        return Chain(cls.workspace, [cls.silent, cls.refusing], guests=[101],
                     amqp_args=["--broker-timeout", "1s"]).start()

    def test_each_says_why(self):
        with RawClient(self.chain.endpoint()) as client:
            client.start()
            client.start_ok()
            code, text = client.read_close()
        self.assertEqual(code, 320)
        self.assertIn("broker unreachable", text)
        self.assertIn(f":{self.refusing.port}: connection refused", text)
        self.assertIn(f":{self.silent.port}: connection timed out", text)


if __name__ == "__main__":
    main()
