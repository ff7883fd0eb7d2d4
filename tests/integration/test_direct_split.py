#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Direct mode with --connections split: clients publish on one connection and do all else on another."""
import sys
from pathlib import Path

from pika import spec
from pika.exceptions import ConnectionClosedByBroker
from pika.spec import Basic, Channel, Confirm, Exchange, Queue, Tx

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_client import AmqpClient
from harness.case import main
from harness.workspace import wait_until
from test_direct import Direct

REPLY_TO = "amq.rabbitmq.reply-to"
MAIN, PUBLISHING = "main", "publishing"


class Split(Direct):
    host_args = ("--connections", "split")

    def client(self, guest: int = 101) -> AmqpClient:
        """A client with channel 1 open."""
        client = AmqpClient(self.chain.endpoint(guest)).log_in(self.vhost)
        self.addCleanup(client.sock.close)
        client.call(1, Channel.Open(), Channel.OpenOk)
        return client

    def sides(self) -> dict[str, str]:
        """What host-proxy's connections are for, by their process at the broker."""
        rows = self.broker_connections("pid", "client_properties")
        names = {row["pid"]: {name: value for name, _kind, value in row["client_properties"]}["connection_name"]
                 for row in rows}
        return {pid: PUBLISHING if name.endswith(" publishing") else MAIN for pid, name in names.items()}

    def channels(self, column: str) -> dict[str, list]:
        """That of all channels of each side."""
        found = {MAIN: [], PUBLISHING: []}
        sides = self.sides()
        for row in self.node.channels("connection", column, vhost=self.vhost):
            found[sides[row["connection"]]].append(row[column])
        return found


class Sides(Split):
    def test_two_connections(self):
        connections = [self.connect(guest) for guest in (101, 102, 101, 102)]
        for connection in connections:
            self.works(connection)
        self.assertEqual(sorted(self.sides().values()), [MAIN, PUBLISHING])
        self.assertEqual(self.made(), 2)

    def test_who_does_what_where(self):
        consumer, publisher, both = self.client(), self.client(102), self.client(102)
        for client in (consumer, both):
            queue = client.call(1, Queue.Declare(exclusive=True), Queue.DeclareOk).method.queue
            client.call(1, Basic.Consume(queue=queue), Basic.ConsumeOk)
        for client in (publisher, both):
            client.call(1, Confirm.Select(), Confirm.SelectOk)
            client.publish(1, "", "nowhere", b"x")
            client.wait(1, Basic.Ack)
        consumers, confirms = self.channels("consumer_count"), self.channels("confirm")
        self.assertEqual((sum(consumers[MAIN]), sum(consumers[PUBLISHING])), (2, 0))
        self.assertEqual((sum(confirms[MAIN]), sum(confirms[PUBLISHING])), (0, 2))
        self.assertEqual((len(confirms[MAIN]), len(confirms[PUBLISHING])), (3, 2))

    def test_channels_go(self):
        client = self.client()
        client.call(1, Confirm.Select(), Confirm.SelectOk)
        client.publish(1, "", "nowhere", b"x")
        client.wait(1, Basic.Ack)
        client.call(1, Channel.Close(200, "", 0, 0), Channel.CloseOk)
        wait_until(lambda: self.channels("number") == {MAIN: [], PUBLISHING: []}, what="no channel is left")
        client.call(1, Channel.Open(), Channel.OpenOk)
        client.publish(1, "", "nowhere", b"x")
        client.sock.close()
        wait_until(lambda: self.channels("number") == {MAIN: [], PUBLISHING: []}, what="no channel is left")


class Order(Split):
    ROUNDS = 200

    def test_get_finds_what_was_published(self):
        client = self.client()
        client.call(1, Queue.Declare(queue="order"), Queue.DeclareOk)
        for number in range(self.ROUNDS):  # without waiting
            client.publish(1, "", "order", b"%d" % number)
            client.say(1, Basic.Get(queue="order", no_ack=True))
        for number in range(self.ROUNDS):
            self.assertEqual(client.wait(1, Basic.GetOk).body, b"%d" % number)

    def test_a_purge_finds_what_was_published(self):
        """And what is published behind it stays."""
        client = self.client()
        client.call(1, Queue.Declare(queue="purged"), Queue.DeclareOk)
        for _ in range(self.ROUNDS):
            client.publish(1, "", "purged", b"x")
            client.say(1, Queue.Purge(queue="purged"))
        client.publish(1, "", "purged", b"last")
        for _ in range(self.ROUNDS):
            self.assertEqual(client.wait(1, Queue.PurgeOk).method.message_count, 1)
        self.assertEqual(client.call(1, Basic.Get(queue="purged"), Basic.GetOk).body, b"last")

    def test_bindings(self):
        """A message goes by the bindings that were said before it, and by none that were said after."""
        client = self.client()
        client.call(1, Queue.Declare(queue="bound"), Queue.DeclareOk)
        client.say(1, Exchange.Declare(exchange="binding", type="direct", nowait=True))
        for number in range(self.ROUNDS):
            client.say(1, Queue.Bind(queue="bound", exchange="binding", routing_key="k"))
            client.publish(1, "binding", "k", b"%d" % number)
            client.say(1, Queue.Unbind(queue="bound", exchange="binding", routing_key="k"))
            client.publish(1, "binding", "k", b"not routed")
        for _ in range(self.ROUNDS):
            client.wait(1, Queue.BindOk)
            client.wait(1, Queue.UnbindOk)
        for number in range(self.ROUNDS):
            self.assertEqual(client.call(1, Basic.Get(queue="bound", no_ack=True), Basic.GetOk).body, b"%d" % number)
        client.call(1, Basic.Get(queue="bound"), Basic.GetEmpty)

    def test_a_worker_that_answers(self):
        """Each answer is published before its question is acknowledged."""
        worker, asker = self.client(), self.client(102)
        for queue in ("questions", "answers"):
            worker.call(1, Queue.Declare(queue=queue), Queue.DeclareOk)
        worker.call(1, Basic.Qos(prefetch_count=10), Basic.QosOk)
        worker.call(1, Basic.Consume(queue="questions"), Basic.ConsumeOk)
        for number in range(self.ROUNDS):
            asker.publish(1, "", "questions", b"%d" % number)
        for _ in range(self.ROUNDS):
            question = worker.wait(1, Basic.Deliver)
            worker.publish(1, "", "answers", question.body)
            worker.say(1, Basic.Ack(delivery_tag=question.method.delivery_tag))
        worker.sock.close()

        def is_acknowledged() -> bool:
            return asker.call(1, Queue.Delete(queue="questions"), Queue.DeleteOk).method.message_count == 0
        wait_until(lambda: not self.channels("consumer_count")[MAIN][1:], what="the worker has left")
        self.assertTrue(is_acknowledged())
        for number in range(self.ROUNDS):
            self.assertEqual(asker.call(1, Basic.Get(queue="answers"), Basic.GetOk).body, b"%d" % number)


class Commands(Split):
    def test_confirms_and_returns(self):
        client = self.client()
        client.call(1, Confirm.Select(), Confirm.SelectOk)
        client.publish(1, "", "nowhere", b"lost", mandatory=True)
        self.assertEqual(client.wait(1, Basic.Return).body, b"lost")
        self.assertEqual(client.wait(1, Basic.Ack).method.delivery_tag, 1)

    def test_transactions(self):
        client = self.client()
        client.call(1, Queue.Declare(queue="ledger"), Queue.DeclareOk)
        client.publish(1, "", "ledger", b"before")
        client.call(1, Tx.Select(), Tx.SelectOk)
        client.publish(1, "", "ledger", b"never")
        client.call(1, Tx.Rollback(), Tx.RollbackOk)
        client.publish(1, "", "ledger", b"committed")
        client.call(1, Tx.Commit(), Tx.CommitOk)
        for body in (b"before", b"committed"):
            self.assertEqual(client.call(1, Basic.Get(queue="ledger"), Basic.GetOk).body, body)
        client.call(1, Basic.Get(queue="ledger"), Basic.GetEmpty)
        transactional = self.channels("transactional")
        self.assertEqual((sum(transactional[MAIN]), sum(transactional[PUBLISHING])), (1, 0))

    def check_replies(self, confirms: bool, published: int) -> None:
        """A request is answered; its confirm has the number that comes next."""
        client, server = self.client(), self.client(102)
        requests = server.call(1, Queue.Declare(exclusive=True), Queue.DeclareOk).method.queue
        server.call(1, Basic.Consume(queue=requests, no_ack=True), Basic.ConsumeOk)
        if confirms:
            client.call(1, Confirm.Select(), Confirm.SelectOk)
        for _ in range(published):
            client.publish(1, "", "nowhere", b"x")
        client.say(1, Basic.Consume(queue=REPLY_TO, no_ack=True))
        if confirms and published:
            self.assertEqual(client.wait(1, Basic.Ack).method.delivery_tag, published)
        client.wait(1, Basic.ConsumeOk)
        client.publish(1, "", requests, b"ping", spec.BasicProperties(reply_to=REPLY_TO))
        if confirms:
            self.assertEqual(client.wait(1, Basic.Ack).method.delivery_tag, published + 1)
        request = server.wait(1, Basic.Deliver)
        server.publish(1, "", request.properties.reply_to, b"pong")
        self.assertEqual(client.wait(1, Basic.Deliver).body, b"pong")

    def test_direct_replies(self):
        self.check_replies(confirms=False, published=0)

    def test_direct_replies_behind_other_messages(self):
        self.check_replies(confirms=False, published=3)

    def test_direct_replies_with_confirms(self):
        self.check_replies(confirms=True, published=0)

    def test_direct_replies_behind_confirmed_messages(self):
        self.check_replies(confirms=True, published=1)

    def test_another_ones_exclusive_queue(self):
        """To publish to it is allowed from any connection, its owner's two among them."""
        owner, other = self.client(), self.client(102)
        owner.call(1, Queue.Declare(queue="mine", exclusive=True), Queue.DeclareOk)
        for client in (owner, other):
            client.publish(1, "", "mine", b"x")
            client.call(1, Channel.Flow(True), Channel.FlowOk)
            owner.call(1, Basic.Get(queue="mine", no_ack=True), Basic.GetOk)

    def refused(self, client: AmqpClient, code: int) -> None:
        self.assertEqual(client.wait(1, Channel.Close).method.reply_code, code)
        client.say(1, Channel.CloseOk())
        client.call(1, Channel.Open(), Channel.OpenOk)

    def test_errors_of_each_side(self):
        client = self.client()
        client.call(1, Queue.Declare(queue="kept"), Queue.DeclareOk)
        client.publish(1, "", "kept", b"1")
        client.call(1, Basic.Get(queue="kept"), Basic.GetOk)
        client.publish(1, "no such exchange", "", b"x")
        client.publish(1, "", "kept", b"never")
        self.refused(client, 404)
        client.publish(1, "", "kept", b"2")
        client.say(1, Queue.Declare(queue="no such queue", passive=True))
        client.publish(1, "", "kept", b"never")
        self.refused(client, 404)
        client.call(1, Confirm.Select(), Confirm.SelectOk)
        client.say(1, Tx.Select())
        self.refused(client, 406)
        client.call(1, Tx.Select(), Tx.SelectOk)
        client.say(1, Confirm.Select())
        self.refused(client, 406)
        self.assertEqual(client.call(1, Queue.Delete(queue="kept"), Queue.DeleteOk).method.message_count, 2)
        self.assertEqual(client.leftover(), [])


class Losses(Split):
    nodes = 2

    def test_either_is_lost(self):
        """Whichever it is, all its clients are told, and the next ones are served by two again."""
        for side in (MAIN, PUBLISHING):
            connection = self.connect()
            self.works(connection)
            (pid,) = (pid for pid, purpose in self.sides().items() if purpose == side)
            self.node.eval(f'rabbit_networking:close_connection(list_to_pid("{pid}"), <<"{side} goes">>)')
            with self.assertRaises(ConnectionClosedByBroker) as caught:
                connection.process_data_events(20)
            self.assertEqual(caught.exception.reply_code, 320)
            self.assertIn(f"{side} goes", caught.exception.reply_text)
            self.serves()
            self.assertEqual(sorted(self.sides().values()), [MAIN, PUBLISHING])


class Fixed(Sides):
    host_args = ("--connections", "split", "--identity", "fixed")
    login = "guest:guest"


if __name__ == "__main__":
    main()
