#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Direct mode over amqps, to TLS listeners of RabbitMQ's own: what works, and what is said when it does not."""
import itertools
import sys
from pathlib import Path

from pika.exceptions import ConnectionClosedByBroker

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import RawClient
from harness.case import main
from harness.certificates import Authority, Certificate
from harness.chain import Endpoint
from harness.ports import free_port
from harness.rabbitmq import Broker
from harness.workspace import wait_until
from test_direct import Direct

BIG = 3 << 20  # a body of many frames and TLS records
FRAME_BODY = 131072 - 8  # all that one frame carries


class Tls(Direct):
    """One node. Its own TLS listener asks for nothing; two more are opened beside it: one demands a certificate of the
    client's, one shows a certificate that has expired."""
    own_broker = True
    scheme = "amqps"

    @classmethod
    def _broker(cls):
        cls.authority, cls.stranger = (Authority(cls.workspace.path, name) for name in ("authority", "stranger"))
        cls.own, cls.theirs = cls.authority.issue("host"), cls.stranger.issue("host")
        cls.good, cls.expired = cls.authority.issue("node"), cls.authority.issue("old", days=-1)
        cls.open, cls.demanding, cls.outdated = (Endpoint("127.0.0.1", free_port()) for _ in range(3))
        settings = (f"listeners.ssl.default = 127.0.0.1:{cls.open.port}\n"
                    f"ssl_options.cacertfile = {cls.authority.cert}\n"
                    f"ssl_options.certfile = {cls.good.cert}\nssl_options.keyfile = {cls.good.key}\n"
                    "ssl_options.verify = verify_none\n")
        node = Broker(cls.workspace, settings=settings).start().node
        cls.open_more(node)
        return node

    @classmethod
    def open_more(cls, node) -> None:
        """The two listeners that the node's settings know nothing of."""
        node.eval(cls.listen(cls.demanding, cls.good, ", {verify, verify_peer}, {fail_if_no_peer_cert, true}")
                  + ", " + cls.listen(cls.outdated, cls.expired, ""))

    @classmethod
    def listen(cls, endpoint: Endpoint, shown: Certificate, options: str) -> str:
        files = f'{{cacertfile, "{cls.authority.cert}"}}, {{certfile, "{shown.cert}"}}, {{keyfile, "{shown.key}"}}'
        return f'rabbit_networking:start_ssl_listener({{"{endpoint.host}", {endpoint.port}}}, [{files}{options}], 2)'

    @classmethod
    def make_chain(cls):
        cls.host_args = ("--tls-ca", cls.authority.cert)
        cls.forwarders = []
        return cls.new_direct([cls.open])

    def use(self, *nodes: Endpoint, ca: Authority = None, shown: Certificate = None, scheme: str = "amqps") -> None:
        """From now on host-proxy has these nodes, and these files."""
        files = ["--tls-ca", (ca or self.authority).cert] if scheme == "amqps" else []
        files += ["--tls-cert", shown.cert, "--tls-key", shown.key] if shown else []
        self.chain.host.terminate()
        self.chain.brokers, self.chain.scheme = nodes, scheme
        self.chain.host_args = ["--broker-wait", "3s", *files]
        self.chain.start_host()

    def refused(self, *words: str) -> None:
        """A client is told these words, behind the node that they are about; so is the log."""
        mark = self.chain.host.mark()
        with RawClient(self.chain.endpoint()) as client:
            client.start()
            client.start_ok()
            code, text = client.read_close()
        self.assertEqual(code, 320)
        for word in (f":{self.chain.brokers[0].port}", *words):
            self.assertIn(word, text)
            self.assertIn(word, self.chain.host.since(mark))

    # --- served

    def test_messages_of_all_sizes(self):
        self.use(self.open)
        channel = self.channel(confirm=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        bodies = [bytes([n]) * size for n, size in enumerate((0, 1, 16 << 10, BIG, FRAME_BODY, FRAME_BODY + 1, BIG, 2))]
        for body in bodies:
            channel.basic_publish("", queue, body, mandatory=True)
        came = [body for _method, _properties, body in itertools.islice(channel.consume(queue), len(bodies))]
        channel.basic_ack(0, multiple=True)
        self.assertTrue(came == bodies, [len(body) for body in came])

    def test_a_certificate_is_shown_and_guests_log_in_nonetheless(self):
        """It says that host-proxy may connect, not who a client is: EXTERNAL is offered to nobody."""
        self.use(self.demanding, shown=self.own)
        with RawClient(self.chain.endpoint()) as client:
            start = client.start()
        self.assertIn(b"PLAIN", start.payload)
        self.assertNotIn(b"EXTERNAL", start.payload)
        self.works(self.connect())
        wait_until(lambda: len(self.broker_connections()) == 1, what="the last host-proxy's connection has gone")
        (row,) = self.broker_connections("ssl", "auth_mechanism", "peer_cert_subject")
        self.assertEqual((row["ssl"], row["auth_mechanism"], row["peer_cert_subject"]), (True, "PLAIN", "CN=host"))

    def test_a_node_that_is_refused_does_not_keep_others_from_serving(self):
        self.use(Endpoint("localhost", self.open.port), self.outdated, self.open)
        self.serves()

    def test_broker_restarts(self):
        self.use(self.open)
        connection = self.connect()
        self.works(connection)
        self.node.ctl("stop_app")
        with self.assertRaises(ConnectionClosedByBroker) as caught:
            connection.process_data_events(10)
        self.assertEqual(caught.exception.reply_code, 320)
        self.node.ctl("start_app")
        self.serves()
        self.open_more(self.node)

    # --- refused, by us

    def test_unknown_authority(self):
        self.use(self.open, ca=self.stranger)
        self.refused("the server's certificate is refused: ", "no authority in tls-ca has signed it")

    def test_other_name(self):
        self.use(Endpoint("localhost", self.open.port))
        self.refused("localhost:", "the server's certificate is refused: hostname mismatch", "connect by a name that it is for")

    def test_expired(self):
        self.use(self.outdated)
        self.refused("the server's certificate is refused: certificate has expired", "have it renewed")

    # --- refused, by the node

    def test_no_certificate_to_show(self):
        self.use(self.demanding)
        self.refused("the server wants a certificate", "set tls-cert")

    def test_certificate_of_another_authority(self):
        self.use(self.demanding, shown=self.theirs)
        self.refused("the server refuses our certificate", "tls-cert must be signed by an authority that it trusts")

    # --- not what it was taken for

    def test_tls_to_a_plain_port(self):
        self.use(Endpoint(self.node.host, self.node.port))
        self.refused("this port of the server does not speak TLS")

    def test_no_tls_to_a_tls_port(self):
        self.use(self.open, scheme="amqp")
        self.refused("this port of the broker speaks TLS: it takes amqps")


if __name__ == "__main__":
    main()
