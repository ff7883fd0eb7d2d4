#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Direct mode: host-proxy ends the clients' AMQP connections and puts their channels on one of its own."""
import itertools
import sys
import time
from pathlib import Path

import pika
import pika.exceptions
from pika.exceptions import ConnectionClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import RawClient, method
from harness.case import IntegrationTest, main
from harness.chain import DirectChain, Endpoint
from harness.net import Babbler, BlackHole, Forwarder, Silent
from harness.ports import free_port
from harness.workspace import wait_until

WAIT_S = 5  # how long host-proxy lets a client wait for a node


class Direct(IntegrationTest):
    """The chain in direct mode, whatever the mode of the run; forwarders stand for nodes."""
    through_proxies = True
    nodes = 1
    login = ""
    scheme = "amqp"

    @classmethod
    def make_chain(cls):
        broker = Endpoint(cls.node.host, cls.node.port)
        cls.forwarders = [cls.forwarder(broker) for _ in range(cls.nodes)]
        for forwarder in cls.forwarders:
            cls.addClassCleanup(forwarder.close)
        return cls.new_direct([forwarder.endpoint for forwarder in cls.forwarders])

    @classmethod
    def new_direct(cls, nodes) -> DirectChain:
        chain = DirectChain(cls.workspace, nodes, cls.guests, host_args=cls.host_args)
        if cls.login:
            chain.login, chain.path = cls.login, f"/{cls.vhost}"
        chain.scheme = cls.scheme
        return chain.start()

    @classmethod
    def forwarder(cls, broker: Endpoint) -> Forwarder:
        return Forwarder(broker)

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
        self.chain.host.wait_log(f"client joins user={user}")
        self.assertNotIn("secret/%", self.chain.host.text())

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


class Verifying(Direct):
    """A password that is changed at the broker is soon good for nobody new; who works goes on."""
    host_args = ("--verify-logins", "1s")

    def test_changed_password(self):
        user = f"changing-{self.vhost}"
        self.node.ctl("add_user", user, "old")
        self.addCleanup(self.node.ctl, "delete_user", user)
        self.node.ctl("set_permissions", "-p", self.vhost, user, ".*", ".*", ".*")
        before = self.connect(user=user, password="old")
        self.works(before)
        self.node.ctl("change_password", user, "new")
        wait_until(lambda: self.is_refused(user, "old"), what="the old password is refused")
        self.assertTrue(self.is_refused(user, "old"), "and stays so")
        self.works(before)
        self.works(self.connect(user=user, password="new"))
        self.assertEqual([row["user"] for row in self.broker_connections("user")].count(user), 2)

    def test_asking_leaves_no_trace(self):
        """What verifies a login is a connection that ends in order, and one that stands is used as before."""
        first = self.connect()
        made = self.made()
        for _ in range(3):
            time.sleep(1.1)
            self.serves()
        wait_until(lambda: sum(one.connected() for one in self.forwarders) == 1, 30, "one connection")
        self.assertEqual(self.made(), made + 3)
        self.works(first)

    def is_refused(self, user: str, password: str) -> bool:
        try:
            self.connect(user=user, password=password).close()
        except ProbableAuthenticationError:
            return True
        return False


class Fixed(Direct):
    """The guests' credentials are not looked at, host-proxy's own are shown to nobody."""
    PASSWORD = "pass/word@%41"

    @classmethod
    def make_chain(cls):
        cls.login = f"fixed-{cls.vhost}"
        cls.node.ctl("add_user", cls.login, cls.PASSWORD)
        cls.addClassCleanup(cls.node.ctl, "delete_user", cls.login)
        cls.node.ctl("set_permissions", "-p", cls.vhost, cls.login, ".*", ".*", ".*")
        secret = cls.workspace.path / "secret"
        secret.write_text(cls.PASSWORD + "\n")
        cls.host_args = ("--identity", "fixed", "--password-file", secret)
        return super().make_chain()

    def test_one_connection_for_all(self):
        for guest, user in ((101, "me"), (102, "you")):
            self.works(self.connect(guest, user=user, password="anything"))
        self.assertEqual(self.made(), 1, "in all its life")
        self.assertEqual([row["user"] for row in self.broker_connections("user")], [self.login])
        self.assertNotIn(self.PASSWORD, self.chain.host.text() + " ".join(self.chain.host.argv))

    def test_other_vhost(self):
        with self.assertRaises(pika.exceptions.AMQPConnectionError) as caught:
            pika.BlockingConnection(pika.ConnectionParameters(*self.chain.endpoint(), virtual_host="other"))
        self.assertIn("530", repr(caught.exception))
        self.assertIn(self.vhost, repr(caught.exception))


class FixedRefused(Direct):
    """host-proxy's own login is bad: its clients are told so, not that theirs is."""
    host_args = ("--identity", "fixed", "--broker-wait", "1s")
    login = "nobody:nothing"

    def test_reason(self):
        with RawClient(self.chain.endpoint()) as client:
            client.start()
            client.start_ok()
            client.ask_open(self.vhost)
            code, text = client.read_close()
        self.assertEqual(code, 320)
        self.assertRegex(text, "the broker refuses this host: .*ACCESS_REFUSED")


class Limits(Direct):
    """What one client may have is its own limit; what all may have together is RabbitMQ's for one connection."""
    PER_SESSION = 1200
    QUEUES = 3
    host_args = ("--channels-per-session", PER_SESSION, "--body-max", "64k", "--queue-type", "classic",
                 "--exclusive-queues-per-session", QUEUES, "--prefetch", 20, "--prefetch-wide", 50)

    def open_channels(self, client: RawClient, count: int) -> None:
        client.send(b"".join(method((20, 10), b"\0", channel=number) for number in range(1, count + 1)))

    def test_channels_of_one_client(self):
        with RawClient(self.chain.endpoint()) as client:
            client.open("/")  # another connection than the other test's, whose channels may still be closing
            self.open_channels(client, self.PER_SESSION + 1)
            for _ in range(self.PER_SESSION):
                client.expect((20, 11))
            code, text = client.read_close()
        self.assertEqual(code, 530)
        self.assertIn(f"has reached the negotiated channel_max ({self.PER_SESSION})", text)

    def test_channels_of_all(self):
        with RawClient(self.chain.endpoint(101)) as one, RawClient(self.chain.endpoint(102)) as other:
            for client in (one, other):
                client.open(self.vhost)
            self.open_channels(one, self.PER_SESSION)
            for _ in range(self.PER_SESSION):
                one.expect((20, 11))
            self.open_channels(other, self.PER_SESSION)
            while (found := other.read_frame()).method == (20, 11):
                pass
            self.assertEqual(found.close_reason()[0], 506)
            one.send(method((20, 40), b"\0\0\0\0\0\0\0", channel=1))  # the first goes on: channel.close
            one.expect((20, 41))

    def test_queue_types(self):
        self.channel().queue_declare("plain", arguments={"x-queue-type": "classic"}, auto_delete=True)
        with self.assertRaises(pika.exceptions.ChannelClosedByBroker) as caught:
            self.channel().queue_declare("other", durable=True, arguments={"x-queue-type": "quorum"})
        self.assertEqual(caught.exception.reply_code, 403)

    def test_exclusive_queues_of_one_client(self):
        connection = self.connect()
        for _ in range(self.QUEUES):
            connection.channel().queue_declare("", exclusive=True)
        with self.assertRaises(pika.exceptions.ChannelClosedByBroker) as caught:
            connection.channel().queue_declare("", exclusive=True)
        self.assertEqual(caught.exception.reply_code, 406)
        self.channel().queue_declare("", exclusive=True)

    def test_prefetch(self):
        """What the broker is asked for, whatever more the client wants."""
        channel = self.channel()
        channel.basic_qos(prefetch_count=1000)
        for queue, options in {"free": {"auto_ack": True}, "wide": {}, "alone": {"exclusive": True}}.items():
            channel.queue_declare(queue, exclusive=True)
            channel.basic_consume(queue, lambda *_: None, **options)
        rows = self.node.rows("list_consumers", "-p", self.vhost, "queue_name", "prefetch_count")
        self.assertEqual({row["queue_name"]: row["prefetch_count"] for row in rows},
                         {"free": 20, "wide": 20, "alone": 50})

    def test_body(self):
        channel = self.channel(confirm=True)
        channel.basic_publish("", "nowhere", bytes(64 << 10))
        with self.assertRaises(pika.exceptions.ChannelClosedByBroker) as caught:
            channel.basic_publish("", "nowhere", bytes((64 << 10) + 1))
        self.assertEqual(caught.exception.reply_code, 406)
        self.assertTrue(channel.connection.is_open)


class Detached(Direct):
    """A guest that is gone: its sessions wait for it, count for it, and leave nothing."""
    host_args = ("--detach-timeout", "3s", "--max-sessions-per-guest", "2")

    def test_gone_for_good(self):
        host, guest = self.chain.host, self.chain.guests[101].process
        names = [f"mine-{number}" for number in range(2)]
        clients = [pika.BlockingConnection(self.parameters(101)) for _ in names]
        for client, name in zip(clients, names):
            client.channel().queue_declare(name, exclusive=True)
        mark = host.mark()
        guest.kill()
        self.chain.start_guest(101)
        with RawClient(self.chain.endpoint(101)) as client:
            client.start()
            client.start_ok()
            code, text = client.read_close()
        self.assertEqual((code, text), (320, "CONNECTION_FORCED - session limit reached"))
        host.wait_log(r"guest=101 session=\w+ session detached", mark=mark)
        host.wait_log(r"guest=101 session=\w+ session closed code=session_expired", mark=mark)
        wait_until(self.is_served, what="there is room for new sessions")
        for name in names:
            wait_until(lambda name=name: self.is_gone(name), what=f"queue {name} is gone")

    def is_served(self) -> bool:
        try:
            self.serves()
        except pika.exceptions.AMQPConnectionError:
            return False
        return True

    def is_gone(self, queue: str) -> bool:
        try:
            self.channel(102).queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker as closed:
            return closed.reply_code == 404
        return False


class PerGuest(Direct):
    host_args = ("--connections", "per-guest")

    def test_one_for_each(self):
        for guest in (101, 102, 101, 102):
            self.works(self.connect(guest))
        self.assertEqual(self.made(), 2)
        names = {value for row in self.broker_connections("client_properties")
                 for name, _kind, value in row["client_properties"] if name == "connection_name"}
        self.assertEqual({name.rsplit(" ", 1)[1] for name in names}, {"guest=101", "guest=102"})


class PerGuestFixed(PerGuest):
    host_args = ("--connections", "per-guest", "--identity", "fixed")
    login = "guest:guest"


class Nodes(Direct):
    nodes = 2
    host_args = ("--broker-wait", f"{WAIT_S}s")

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
        """A client that logs in meanwhile is told after a while; one that still waits when a node is back is served."""
        for forwarder in self.forwarders:
            forwarder.close()
        with RawClient(self.chain.endpoint()) as client:
            client.start()
            client.start_ok()
            began = time.monotonic()
            code, text = client.read_close()
        self.assertEqual(code, 320)
        self.assertRegex(text, "broker unreachable: .*connection refused")
        self.assertGreater(time.monotonic() - began, WAIT_S - 0.5)
        with RawClient(self.chain.endpoint()) as client:
            client.start()
            client.start_ok()
            for number, gone in enumerate(self.forwarders):
                self.forwarders[number] = Forwarder(gone.target, gone.endpoint.port)
                self.addClassCleanup(self.forwarders[number].close)
            client.finish_open(self.vhost)


class DeadNodes(Direct):
    """A cluster of three of which two are dead, each in a way of its own: the third serves at once. Who waited for a dead
    one to time out would not be served while the test lasts."""
    host_args = ("--broker-timeout", "10m")

    @classmethod
    def make_chain(cls):
        gone = Endpoint("127.0.0.1", free_port())
        cls.dead = {"refused": gone}
        for name, server in {"black hole": BlackHole(), "silent": Silent(), "TLS": Babbler(b"\x15\3\3\0\2\2\x0a"),
                             "garbage": Babbler(bytes(range(200, 255)))}.items():
            cls.addClassCleanup(server.close)
            cls.dead[name] = server.endpoint
        cls.alive = cls.forwarder(Endpoint(cls.node.host, cls.node.port))
        cls.addClassCleanup(cls.alive.close)
        cls.forwarders = [cls.alive]
        return cls.new_direct([cls.alive.endpoint])

    def test_pairs(self):
        for one, other in itertools.combinations(self.dead, 2):
            with self.subTest(one=one, other=other):
                self.chain.host.terminate()
                self.chain.brokers = [self.dead[one], self.dead[other], self.alive.endpoint]
                self.chain.start_host()
                self.serves()

    def test_reasons(self):
        """Who can't be served learns what is wrong with each."""
        self.chain.host.terminate()
        self.chain.brokers = [self.dead["garbage"], self.dead["refused"], self.dead["TLS"]]
        self.chain.host_args, before = ["--broker-wait", "1s"], self.chain.host_args
        self.addCleanup(setattr, self.chain, "host_args", before)
        self.chain.start_host()
        with RawClient(self.chain.endpoint()) as client:
            client.start()
            client.start_ok()
            code, text = client.read_close()
        self.assertEqual(code, 320)
        for node, words in {"garbage": "does not speak AMQP", "refused": "refused", "TLS": "takes amqps"}.items():
            self.assertRegex(self.chain.host.text(), f"broker connection not up.*:{self.dead[node].port}: .*{words}")
        self.assertIn("broker unreachable: 127.0.0.1:", text)


class Frozen(Direct):
    """A node from which, all at once, no byte comes any more, nor an end: its network is gone, or its machine."""
    nodes = 2
    host_args = ("--broker-heartbeat", "1s")

    def test_noticed_by_heartbeats(self):
        for _ in self.forwarders:  # whichever is used first
            connection = self.connect(blocked_connection_timeout=None)
            self.works(connection)
            (used,) = (one for one in self.forwarders if one.connected())
            used.frozen.set()
            with self.assertRaises(ConnectionClosedByBroker) as caught:
                connection.process_data_events(60)
            self.assertEqual(caught.exception.reply_code, 320)
            self.assertIn("heartbeat", caught.exception.reply_text)
            self.serves()
            used.drop()
            used.frozen.clear()
            wait_until(lambda used=used: not used.connected(), what="the dead connection is forgotten")


if __name__ == "__main__":
    main()
