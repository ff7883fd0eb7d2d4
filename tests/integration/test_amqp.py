#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What AMQP 0-9-1 promises a client, through the proxies as without them."""
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path

import pika
from pika.exceptions import (ChannelClosedByBroker, ConnectionClosedByBroker, NackError, ProbableAccessDeniedError,
                             ProbableAuthenticationError, UnroutableError)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import HEARTBEAT, RawClient, frame
from harness.case import IntegrationTest, main
from harness.chain import Chain, mode
from harness.workspace import wait_until


class Publishing(IntegrationTest):
    def test_confirms(self):
        channel = self.channel(confirm=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        for i in range(200):
            channel.basic_publish("", queue, b"%d" % i, mandatory=True)  # raises unless confirmed
        self.assertEqual(channel.queue_declare(queue, passive=True).method.message_count, 200)

    def test_negative_confirm(self):
        channel = self.channel(confirm=True)
        queue = channel.queue_declare("", exclusive=True, arguments={
            "x-max-length": 1, "x-overflow": "reject-publish"}).method.queue
        channel.basic_publish("", queue, b"fits")
        with self.assertRaises(NackError):
            for _ in range(3):
                channel.basic_publish("", queue, b"does not fit")

    def test_return_of_unroutable(self):
        channel = self.channel(confirm=True)
        body = secrets.token_bytes(300_000)
        with self.assertRaises(UnroutableError) as caught:
            channel.basic_publish("", "no-such-queue", body, mandatory=True)
        message, = caught.exception.messages
        self.assertEqual((message.method.reply_code, message.method.reply_text), (312, "NO_ROUTE"))
        self.assertEqual(message.body, body)

    def test_transaction(self):
        channel, other = self.channel(101), self.channel(102)
        queue = "tx-" + secrets.token_hex(4)
        channel.queue_declare(queue)
        self.addCleanup(lambda: other.queue_delete(queue))
        channel.tx_select()
        for outcome in (channel.tx_rollback, channel.tx_commit):
            channel.basic_publish("", queue, outcome.__name__)
            self.assertIsNone(other.basic_get(queue)[0], "seen before the commit")
            outcome()
        self.assertEqual(other.basic_get(queue, auto_ack=True)[2], b"tx_commit")
        self.assertIsNone(other.basic_get(queue)[0], "a rolled back message is there")

    def test_properties_and_headers(self):
        channel = self.channel(confirm=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        sent = pika.BasicProperties(content_type="text/plain", headers={"n": 7, "text": "é", "list": [1, b"\xff"]},
                                    priority=3, correlation_id="c", reply_to="r", message_id="m", timestamp=1, type="t")
        channel.basic_publish("", queue, b"x", sent)
        self.assertEqual(channel.basic_get(queue)[1], sent)


class Consuming(IntegrationTest):
    def test_prefetch(self):
        channel = self.channel(confirm=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        for i in range(30):
            channel.basic_publish("", queue, b"%d" % i)
        got = []
        channel.basic_qos(prefetch_count=7)
        channel.basic_consume(queue, lambda _ch, method, _properties, body: got.append((method.delivery_tag, body)))
        self.drain(channel.connection, got, 7)
        channel.basic_ack(got[2][0], multiple=True)
        self.drain(channel.connection, got, 10)
        channel.basic_nack(got[9][0], requeue=False)
        self.drain(channel.connection, got, 11)
        self.assertEqual([body for _tag, body in got], [b"%d" % i for i in range(11)])

    def drain(self, connection, got: list, count: int) -> None:
        """Waits for `count` deliveries and a little longer, for one more that must not come."""
        deadline = time.monotonic() + 10
        while len(got) < count and time.monotonic() < deadline:
            connection.process_data_events(0.1)
        connection.process_data_events(0.3)
        self.assertEqual(len(got), count)

    def test_redelivery_when_the_consumer_leaves(self):
        publisher, queue = self.channel(102, confirm=True), "redelivery-" + secrets.token_hex(4)
        publisher.queue_declare(queue)
        self.addCleanup(lambda: publisher.queue_delete(queue))
        publisher.basic_publish("", queue, b"work")
        consumer = self.connect(101)
        self.assertEqual(consumer.channel().basic_get(queue)[2], b"work")
        consumer.close()
        method, _properties, body = wait_until(lambda: (lambda got: got[0] and got)(publisher.basic_get(queue)))
        self.assertEqual((method.redelivered, body), (True, b"work"))

    def test_exclusive_queue(self):
        owner, other = self.channel(101), self.channel(102)
        queue = owner.queue_declare("", exclusive=True).method.queue
        with self.assertRaises(ChannelClosedByBroker) as caught:
            other.basic_get(queue)
        self.assertEqual(caught.exception.reply_code, 405)
        owner.connection.close()
        visitor = self.connect(102)

        def is_gone():
            try:
                visitor.channel().queue_declare(queue, passive=True)
            except ChannelClosedByBroker as error:
                return error.reply_code == 404
        wait_until(is_gone, what="the exclusive queue goes with its connection")

    def test_request_and_reply(self):
        """NoChain reply-to between two guests."""
        server, client = self.channel(101), self.channel(102)
        requests = server.queue_declare("", exclusive=True).method.queue
        requests_for = server.basic_consume(requests, lambda ch, _m, properties, body: ch.basic_publish(
            "", properties.reply_to, body.upper()), auto_ack=True)
        replies = []
        client.basic_consume("amq.rabbitmq.reply-to", lambda *got: replies.append(got[3]), auto_ack=True)
        public = "rpc-" + secrets.token_hex(4)
        server.exchange_declare(public, auto_delete=True)
        server.queue_bind(requests, public, "do")
        client.basic_publish(public, "do", b"hello", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))
        deadline = time.monotonic() + 10
        while not replies and time.monotonic() < deadline:
            server.connection.process_data_events(0.05)
            client.connection.process_data_events(0.05)
        server.basic_cancel(requests_for)
        self.assertEqual(replies, [b"HELLO"])


class Connections(IntegrationTest):
    def test_heartbeats_of_idle_client(self):
        """Both sides send heartbeats every second and give up after two missed ones."""
        with RawClient(self.chain.endpoint()) as client:
            client.open(self.vhost, heartbeat=2)
            stop = threading.Event()

            def beat():
                while not stop.wait(1):
                    client.send(frame(HEARTBEAT, 0, b""))
            beating = threading.Thread(target=beat)
            beating.start()
            try:
                client.expect_silence(8)
            finally:
                stop.set()
                beating.join()
            self.assertGreaterEqual(client.heartbeats, 4)

    def test_broker_drops_a_silent_client(self):
        """Without the client's heartbeats the broker drops the connection, and the client's ends at once. The broker
        just cuts it, and so does host-proxy in direct mode; in tunnel mode the proxies say a Connection.Close first."""
        with RawClient(self.chain.endpoint()) as client:
            client.open(self.vhost, heartbeat=2)
            started = time.monotonic()
            if mode() != Chain.mode:
                client.expect_end()
            else:
                code, text = client.read_close()
                self.assertEqual(code, 320)
                self.assertIn("broker connection lost", text)
            self.assertLess(time.monotonic() - started, 20)  # the heartbeat that the broker proposes is 60 s

    def test_operator_closes_a_connection(self):
        connection = self.connect()
        self.node.close_connections(self.vhost, "maintenance of the moon")
        with self.assertRaises(ConnectionClosedByBroker) as caught:
            connection.process_data_events(10)
        self.assertEqual(caught.exception.reply_code, 320)
        self.assertIn("maintenance of the moon", caught.exception.reply_text)

    def test_wrong_password(self):
        with self.assertRaises(ProbableAuthenticationError) as caught:
            self.connect(password="wrong")
        self.assertIn("(403) 'ACCESS_REFUSED - Login was refused", repr(caught.exception))

    def test_wrong_password_as_amqp_tools_say_it(self):
        host, port = self.chain.endpoint(102)
        done = subprocess.run(["amqp-declare-queue", f"--server={host}", f"--port={port}", "--vhost=" + self.vhost,
                               "--username=guest", "--password=wrong", "-q", "x"],
                              capture_output=True, text=True, timeout=30)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("server connection error 403, message: ACCESS_REFUSED", done.stderr)

    def test_unknown_vhost(self):
        self.vhost, kept = "no-such-vhost", self.vhost
        self.addCleanup(setattr, self, "vhost", kept)
        with self.assertRaises(ProbableAccessDeniedError) as caught:
            self.connect()
        self.assertIn("(530) 'NOT_ALLOWED - vhost no-such-vhost not found'", repr(caught.exception))

    def test_connection_error_ends_only_its_connection(self):
        bystander = self.channel(102, confirm=True)
        with RawClient(self.chain.endpoint()) as client:
            client.open(self.vhost)
            client.send(b"\x09\x00\x00\x00\x00\x00\x00\xce")  # a frame type that does not exist
            code, _text = client.read_close()
        self.assertEqual(code, 501)
        bystander.queue_declare("", exclusive=True)

    def test_many_channels(self):
        connection = self.connect()
        channels = [connection.channel() for _ in range(200)]
        names = {channel.queue_declare("", exclusive=True).method.queue for channel in channels}
        self.assertEqual(len(names), 200)


if __name__ == "__main__":
    main()
