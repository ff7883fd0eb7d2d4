# SPDX-License-Identifier: Apache-2.0
"""What belongs to a connection or a channel, and is neither mixed up nor left behind where several share one."""
from pika import spec
from pika.spec import Basic, Channel, Queue

from .leaving import closes, is_gone, is_refused, stranger
from .offender import says
from .program import FINE, LEFT, Program

REPLY_TO = "amq.rabbitmq.reply-to"
CAN_BE_CANCELLED = {"consumer_cancel_notify": True}


def request_and_reply(o) -> None:
    """A stranger answers to the address that it was given; the same address again is no secret to it."""
    o.do(Queue.Declare(queue="requests"), Basic.Consume(queue=REPLY_TO, no_ack=True))
    o.publish(key="requests", body=b"ping", properties=spec.BasicProperties(reply_to=REPLY_TO))
    other = stranger(o)
    request = other.call(1, Basic.Get(queue="requests", no_ack=True), Basic.GetOk)
    address = request.properties.reply_to
    other.call(1, Queue.Declare(queue=address, passive=True), Queue.DeclareOk)
    other.publish(1, "", address, b"pong")
    o.outcome.append(f"{o.client.wait(1, Basic.Deliver).body!r}")
    other.close()


def returned(o) -> None:
    """What can't be routed comes back to its sender, on its channel."""
    o.do(Channel.Open(), channel=2)
    o.publish(key="nowhere", body=b"lost", mandatory=True, channel=2)
    o.hear(Basic.Return, 2)


def cancelled(capabilities):
    """The queue is deleted under a consumer."""
    def act(o) -> None:
        o.again(capabilities=capabilities)
        o.do(Queue.Declare(queue="doomed"), Basic.Consume(queue="doomed", consumer_tag="t"))
        other = stranger(o)
        other.call(1, Queue.Delete(queue="doomed"), Queue.DeleteOk)
        other.close()
        if capabilities:
            o.hear(Basic.Cancel)
        o.do(Queue.Declare(queue="doomed"), Basic.Consume(queue="doomed", consumer_tag="other"))
    return act


def requeued(leave):
    """Unacknowledged messages of somebody who goes are there again for others."""
    def act(o) -> None:
        o.do(Queue.Declare(queue="requeued"), Queue.Purge(queue="requeued"))
        o.publish(key="requeued", body=b"again")
        o.do(Basic.Get(queue="requeued"))
        leave(o)
        other = stranger(o)
        other.say(1, Basic.Consume(queue="requeued"))
        other.wait(1, Basic.ConsumeOk)
        heard = other.wait(1, Basic.Deliver)
        o.outcome.append(f"then {heard.body!r} redelivered={heard.method.redelivered}")
        other.close()
    return act


def rolled_back(leave):
    """What was not committed was never said."""
    def act(o) -> None:
        o.do(Queue.Declare(queue="ledger"), spec.Tx.Select())
        o.publish(key="ledger", body=b"never")
        o.do(Basic.Qos())
        leave(o)
        other = stranger(o)
        count = other.call(1, Queue.Declare(queue="ledger", passive=True), Queue.DeclareOk).method.message_count
        o.outcome.append(f"then {count} messages")
        other.close()
    return act


PROGRAMS = [
    Program(FINE, "direct reply-to", request_and_reply),
    Program(406, "direct reply-to with acks", says(Basic.Consume(queue=REPLY_TO))),
    Program(406, "direct reply-to without consumer",
            lambda o: o.publish(key="nowhere", properties=spec.BasicProperties(reply_to=REPLY_TO))),
    Program(FINE, "a message returned", returned),
    Program(FINE, "a consumer cancelled that wants to know", cancelled(CAN_BE_CANCELLED)),
    Program(FINE, "a consumer cancelled that can't be told", cancelled(None)),
    Program(LEFT, "unacknowledged messages of somebody who closes", requeued(closes)),
    Program(LEFT, "unacknowledged messages of somebody who is gone", requeued(is_gone)),
    Program(LEFT, "unacknowledged messages of somebody who is refused", requeued(is_refused)),
    Program(LEFT, "a transaction of somebody who closes", rolled_back(closes)),
    Program(LEFT, "a transaction of somebody who is gone", rolled_back(is_gone)),
]
