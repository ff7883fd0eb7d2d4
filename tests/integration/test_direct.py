#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Direct mode: host-proxy ends the clients' AMQP connections and puts their channels on one of its own."""
import sys
import time
from pathlib import Path

import pika.exceptions
from pika.exceptions import ConnectionClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import RawClient
from harness.case import IntegrationTest, main
from harness.chain import DirectChain, Endpoint
from harness.net import Forwarder
from harness.ports import free_port
from harness.workspace import wait_until

PATIENCE_S = 3  # "within a second", on a busy machine with sanitizers


class Direct(IntegrationTest):
    """The chain in direct mode, whatever the mode of the run; forwarders stand for nodes."""
    through_proxies = True
    nodes = 1
    login = ""
    password = ""  # in a file

    @classmethod
    def make_chain(cls):
        broker = Endpoint(cls.node.host, cls.node.port)
        cls.forwarders = [Forwarder(broker) for _ in range(cls.nodes)]
        for forwarder in cls.forwarders:
            cls.addClassCleanup(forwarder.close)
        chain = DirectChain(cls.workspace, [forwarder.endpoint for forwarder in cls.forwarders], cls.guests,
                            host_args=cls.host_args)
        if cls.login:
            chain.login, chain.path = cls.login, f"/{cls.vhost}"
        return chain.start()

    def made(self) -> int:
        """Connections that host-proxy has made so far."""
        return sum(forwarder.accepted for forwarder in self.forwarders)

    def works(self, connection) -> None:
        """A message there and back."""
        channel = connection.channel()
        queue = channel.queue_declare("", auto_delete=True).method.queue
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"x", mandatory=True)
        self.assertEqual(channel.basic_get(queue, auto_ack=True)[2], b"x")
        channel.queue_delete(queue)
        channel.close()

    def serves(self) -> None:
        """A client is served, from its login to its end."""
        connection = self.connect()
        self.works(connection)
        connection.close()


class Sharing(Direct):
    def test_one_connection_for_two_guests(self):
        connections = [self.connect(guest) for guest in (101, 102, 101, 102)]
        for connection in connections:
            self.works(connection)
        (row,) = self.broker_connections("user", "client_properties")
        self.assertEqual(row["user"], "guest")
        properties = {name: value for name, _kind, value in row["client_properties"]}
        self.assertRegex(properties["connection_name"], r"^amqp-vsock host-proxy \S")
        self.assertEqual(properties["product"], "amqp-vsock")

    def test_login_is_verified_each_time(self):
        """The connection that stands was made with another password: it says nothing."""
        self.works(self.connect())
        for password in ("wrong", "", "gues", "guest1"):
            with self.assertRaises(ProbableAuthenticationError):
                self.connect(password=password)
        self.works(self.connect())

    def test_users_and_vhosts_apart(self):
        user = f"other-{self.vhost}"
        self.node.ctl("add_user", user, "secret/%")
        self.addCleanup(self.node.ctl, "delete_user", user)
        with self.assertRaises(ProbableAccessDeniedError) as caught:
            self.connect(user=user, password="secret/%")
        self.assertRegex(repr(caught.exception), f"access to vhost .*{self.vhost}.* refused for user .*{user}")
        self.node.ctl("set_permissions", "-p", self.vhost, user, "", "", "")
        connection = self.connect(user=user, password="secret/%")
        with self.assertRaises(pika.exceptions.ChannelClosedByBroker) as refused:
            connection.channel().queue_declare("mine")
        self.assertEqual(refused.exception.reply_code, 403)
        self.works(self.connect())
        self.assertEqual({row["user"] for row in self.broker_connections("user")}, {"guest", user})

    def test_no_other_services(self):
        self.chain.guests[101].process.terminate()
        services, self.chain.guest_args = self.chain.guest_args, ["--service.mqtt.listen", f"127.0.0.1:{free_port()}"]
        try:
            self.chain.start_guest(101)
            port = int(self.chain.guest_args[1].rsplit(":", 1)[1])
            with RawClient(Endpoint("127.0.0.1", port)) as client:
                client.expect_end()
            self.chain.host.wait_log("session refused.*unknown_service")
        finally:
            self.chain.guests[101].process.terminate()
            self.chain.guest_args = services
            self.chain.start_guest(101)


class Fixed(Direct):
    """The guests' credentials are not looked at, host-proxy's own are shown to nobody."""
    login = "guest"
    host_args = ()

    @classmethod
    def make_chain(cls):
        secret = cls.workspace.path / "secret"
        secret.write_text("guest\n")
        cls.host_args = ("--identity", "fixed", "--password-file", secret)
        return super().make_chain()

    def test_one_connection_for_all(self):
        for guest, user in ((101, "me"), (102, "you")):
            self.works(self.connect(guest, user=user, password="anything"))
        self.assertEqual(self.made(), 1, "in all its life")
        self.assertEqual([row["user"] for row in self.broker_connections("user")], ["guest"])

    def test_other_vhost(self):
        with self.assertRaises(pika.exceptions.AMQPConnectionError) as caught:
            pika.BlockingConnection(pika.ConnectionParameters(*self.chain.endpoint(), virtual_host="other"))
        self.assertIn("530", repr(caught.exception))
        self.assertIn(self.vhost, repr(caught.exception))


class PerGuest(Direct):
    host_args = ("--connections", "per-guest")

    def test_one_for_each(self):
        for guest in (101, 102, 101, 102):
            self.works(self.connect(guest))
        self.assertEqual(self.made(), 2)
        names = {value for row in self.broker_connections("client_properties")
                 for name, _kind, value in row["client_properties"] if name == "connection_name"}
        self.assertEqual({name.rsplit(" ", 1)[1] for name in names}, {"guest=101", "guest=102"})


class Nodes(Direct):
    nodes = 2
    host_args = ("--broker-wait", "2s")

    def test_loss_is_told_and_the_next_node_serves(self):
        for _ in range(3):
            with RawClient(self.chain.endpoint()) as client:
                client.open(self.vhost)
                other = self.connect(102)
                for forwarder in self.forwarders:
                    forwarder.drop()
                code, text = client.read_close()
                self.assertEqual(code, 320)
                self.assertIn("the broker closed the connection without a reason", text)
                with self.assertRaises(ConnectionClosedByBroker) as caught:
                    other.process_data_events(10)
                self.assertEqual(caught.exception.reply_code, 320)
            self.serves()

    def test_one_node_is_gone(self):
        """Whichever the next one is, a client is served; when it is back it is used again."""
        self.forwarders[0].close()
        for _ in range(2):
            self.serves()
            self.forwarders[1].drop()
        type(self).forwarders[0] = back = Forwarder(self.forwarders[0].target, self.forwarders[0].endpoint.port)
        self.addClassCleanup(back.close)

        def used() -> bool:
            self.serves()
            for forwarder in self.forwarders:
                forwarder.drop()
            return back.accepted > 0
        wait_until(used, what="the node that is back is taken in turn")

    def test_no_node(self):
        """A client that logs in meanwhile is told after a while; once a node is back one is served in a second."""
        for forwarder in self.forwarders:
            forwarder.close()
        with RawClient(self.chain.endpoint()) as client:
            client.start()
            client.start_ok()
            began = time.monotonic()
            code, text = client.read_close()
        self.assertEqual(code, 320)
        self.assertRegex(text, "broker unreachable: .*connection refused")
        self.assertGreater(time.monotonic() - began, 1.5)
        with RawClient(self.chain.endpoint()) as client:
            client.start()
            client.start_ok()
            for number, gone in enumerate(self.forwarders):
                self.forwarders[number] = Forwarder(gone.target, gone.endpoint.port)
                self.addClassCleanup(self.forwarders[number].close)
            began = time.monotonic()
            client.finish_open(self.vhost)
            self.assertLess(time.monotonic() - began, PATIENCE_S)


if __name__ == "__main__":
    main()
