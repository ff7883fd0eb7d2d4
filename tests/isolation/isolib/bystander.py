# SPDX-License-Identifier: Apache-2.0
"""Somebody who does nothing wrong, and has at any time all that another could spoil."""
from pika.spec import Basic, Channel, Confirm, Queue, Tx

from harness.amqp_client import AmqpClient
from harness.chain import Endpoint
from harness.rabbitmq import NodeRef

OWN = "bystanders-own"  # exclusive
LETTERS = "bystanders-letters"  # exclusive, anybody may send to it
HELD = "bystanders-held"  # sleeps, see Held
LEDGER = "bystanders-ledger"

CONSUMING, PUBLISHING, TRANSACTION, READING, PENDING = range(1, 6)  # channels


class Held:
    """A queue whose process sleeps, so that no message to it is confirmed; it must be there before a bystander."""

    def __init__(self, node: NodeRef, vhost: str):
        self.node, self.vhost = node, vhost
        client = AmqpClient(Endpoint(node.host, node.port)).log_in(vhost)
        client.call(1, Channel.Open(), Channel.OpenOk)
        client.call(1, Queue.Declare(queue=HELD), Queue.DeclareOk)
        client.close()
        self._tell("suspend")

    def _tell(self, word: str) -> None:
        self.node.eval(f'{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{self.vhost}">>, queue, '
                       f'<<"{HELD}">>)), sys:{word}(amqqueue:get_pid(Queue))')

    def wake(self) -> None:
        self._tell("resume")


class Bystander:
    """Has a consumer, an unacknowledged delivery, an open transaction and pending confirms.

    `check` uses them all, and has new ones afterwards. Whatever it was not waiting for is an error.
    """

    def __init__(self, where, vhost: str):
        self.client = AmqpClient(where).log_in(vhost, capabilities={"connection.blocked": True,
                                                                     "consumer_cancel_notify": True})
        self.rounds = 0
        self._set_up()
        self._begin()

    def _set_up(self) -> None:
        call = self.client.call
        for channel in (CONSUMING, PUBLISHING, TRANSACTION, READING, PENDING):
            call(channel, Channel.Open(), Channel.OpenOk)
        for name in (OWN, LETTERS):
            call(CONSUMING, Queue.Declare(queue=name, exclusive=True), Queue.DeclareOk)
        call(CONSUMING, Queue.Bind(queue=OWN, exchange="amq.direct", routing_key="bystander"), Queue.BindOk)
        call(CONSUMING, Queue.Declare(queue=LEDGER), Queue.DeclareOk)
        call(CONSUMING, Queue.Purge(queue=LEDGER), Queue.PurgeOk)
        call(CONSUMING, Basic.Qos(prefetch_count=1), Basic.QosOk)  # so that the next delivery proves the last ack
        call(CONSUMING, Basic.Consume(queue=OWN, consumer_tag="bystander"), Basic.ConsumeOk)
        call(TRANSACTION, Tx.Select(), Tx.SelectOk)
        call(PUBLISHING, Confirm.Select(), Confirm.SelectOk)
        call(PENDING, Confirm.Select(), Confirm.SelectOk)

    # --- a round

    def _text(self, what: str) -> bytes:
        return f"{what} {self.rounds}".encode()

    def _begin(self) -> None:
        """Leaves all four in the air."""
        self.rounds += 1
        self._publish(OWN)
        self._take_delivery()
        self.client.publish(TRANSACTION, "", LEDGER, self._text("entry"))
        self.client.publish(PENDING, "", HELD, self._text("pending"), mandatory=True)
        self.client.call(TRANSACTION, Basic.Qos(), Basic.QosOk)
        self.client.call(PENDING, Basic.Qos(), Basic.QosOk)

    def _publish(self, queue: str) -> None:
        self.client.publish(PUBLISHING, "", queue, self._text("delivery"))
        tag = self.client.wait(PUBLISHING, Basic.Ack).method.delivery_tag
        assert tag == self.rounds, f"confirmed {tag} in round {self.rounds}"

    def _take_delivery(self) -> None:
        heard = self.client.wait(CONSUMING, Basic.Deliver)
        found = (heard.method.consumer_tag, heard.method.delivery_tag, heard.method.redelivered, heard.body)
        assert found == ("bystander", self.rounds, False, self._text("delivery")), f"got {found} in round {self.rounds}"

    def _read_ledger(self, expected: bytes) -> None:
        heard = self.client.call(READING, Basic.Get(queue=LEDGER, no_ack=True), Basic.GetOk)
        assert heard.body == expected, f"read {heard.body!r} instead of {expected!r}"
        self.client.call(READING, Basic.Get(queue=LEDGER, no_ack=True), Basic.GetEmpty)

    def check(self) -> None:
        """The delivery can be acknowledged, the transaction committed; nothing came that is not its own."""
        self._nothing_else()
        self.client.say(CONSUMING, Basic.Ack(self.rounds))
        self.client.call(TRANSACTION, Tx.Commit(), Tx.CommitOk)
        self._read_ledger(self._text("entry"))
        self._begin()
        self._nothing_else()

    def _nothing_else(self) -> None:
        assert not self.client.leftover(), f"the bystander has heard {self.client.leftover()}"

    # --- the end

    def expect_confirms(self) -> None:
        """All that were pending arrive, since HELD has woken."""
        highest = 0
        while highest < self.rounds:
            confirm = self.client.wait(PENDING, Basic.Ack).method
            assert confirm.multiple or confirm.delivery_tag == highest + 1, f"{confirm} behind {highest}"
            highest = confirm.delivery_tag
        assert highest == self.rounds, f"{highest} confirmed, {self.rounds} published"

    def close(self) -> None:
        self.client.close()
