# SPDX-License-Identifier: Apache-2.0
"""Exclusive queues: a connection's own, to be used on all of its channels, and gone with it."""
import time

from pika.spec import Basic, Channel, Queue

from .bystander import LETTERS, OWN
from .leaving import closes, is_gone, is_refused, stranger
from .offender import says
from .program import FINE, LEFT, Program


def used_on_two_channels(o) -> None:
    """Exclusive means a connection's, not a channel's; and it outlives the channel."""
    o.do(Queue.Declare(queue="mine", exclusive=True))
    o.do(Channel.Open(), Basic.Consume(queue="mine"), channel=2)
    o.do(Channel.Close(200, "", 0, 0), Channel.Open())
    o.do(Queue.Declare(queue="mine", passive=True), Queue.Declare(queue="mine", exclusive=True))
    o.do(Queue.Delete(queue="mine"))


def gone_with_its_owner(leave):
    """A queue that a stranger sees locked, and then not at all."""
    def act(o) -> None:
        o.do(Queue.Declare(queue="inherited", exclusive=True))
        other = stranger(o)
        other.call(1, Queue.Declare(queue="inherited", passive=True), Channel.Close)
        other.say(1, Channel.CloseOk())
        leave(o)
        code = 405
        while code == 405:  # the broker takes a moment over it
            other.call(1, Channel.Open(), Channel.OpenOk)
            code = other.call(1, Queue.Declare(queue="inherited", passive=True), Channel.Close).method.reply_code
            other.say(1, Channel.CloseOk())
            time.sleep(0.02)
        o.outcome.append(f"then {code}")
        other.close()
    return act


def freed_by_deletion(o) -> None:
    """What its owner has deleted anybody may have."""
    o.do(Queue.Declare(queue="freed", exclusive=True), Queue.Delete(queue="freed"))
    other = stranger(o)
    other.call(1, Queue.Declare(queue="freed", exclusive=True), Queue.DeclareOk)
    other.close()


def freed_by_its_last_consumer(o) -> None:
    o.do(Queue.Declare(queue="passing", exclusive=True, auto_delete=True))
    o.do(Basic.Consume(queue="passing", consumer_tag="t"), Basic.Cancel("t"))
    other = stranger(o)
    other.call(1, Queue.Declare(queue="passing"), Queue.DeclareOk)
    other.call(1, Queue.Delete(queue="passing"), Queue.DeleteOk)
    other.close()


def named_by_the_broker(o) -> None:
    name = o.client.call(1, Queue.Declare(exclusive=True), Queue.DeclareOk).method.queue
    other = stranger(o)
    reason = other.call(1, Basic.Get(queue=name), Channel.Close).method
    o.outcome.append(f"a stranger: {reason.reply_code}")
    other.say(1, Channel.CloseOk())
    other.close()
    o.do(Queue.Declare(queue=name, passive=True))


PROGRAMS = [
    Program(405, "another's queue declared", says(Queue.Declare(queue=OWN))),
    Program(405, "another's queue declared exclusive", says(Queue.Declare(queue=OWN, exclusive=True))),
    Program(405, "another's queue declared passively", says(Queue.Declare(queue=OWN, passive=True))),
    Program(405, "another's queue by a name with a line end", says(Queue.Declare(queue=OWN + "\r\n", passive=True))),
    Program(405, "another's queue consumed", says(Basic.Consume(queue=OWN))),
    Program(405, "basic.get from another's queue", says(Basic.Get(queue=OWN))),
    Program(405, "another's queue purged", says(Queue.Purge(queue=OWN))),
    Program(405, "another's queue deleted", says(Queue.Delete(queue=OWN))),
    Program(405, "another's queue deleted if unused", says(Queue.Delete(queue=OWN, if_unused=True))),
    Program(405, "another's queue bound", says(Queue.Bind(queue=OWN, exchange="amq.direct", routing_key="k"))),
    Program(404, "another's queue bound to no exchange", says(Queue.Bind(queue=OWN, exchange="none"))),
    Program(405, "another's queue unbound",
            says(Queue.Unbind(queue=OWN, exchange="amq.direct", routing_key="bystander"))),
    Program(FINE, "another's queue unbound where it was not bound",
            says(Queue.Unbind(queue=OWN, exchange="amq.direct", routing_key="k"))),
    Program(FINE, "a message to another's queue", lambda o: o.publish(key=LETTERS)),
    Program(FINE, "an exclusive queue on two channels", used_on_two_channels),
    Program(FINE, "an exclusive queue by the broker's name", named_by_the_broker),
    Program(FINE, "an exclusive queue that is deleted", freed_by_deletion),
    Program(FINE, "an exclusive queue that deletes itself", freed_by_its_last_consumer),
    Program(LEFT, "an exclusive queue of somebody who closes", gone_with_its_owner(closes)),
    Program(LEFT, "an exclusive queue of somebody who is gone", gone_with_its_owner(is_gone)),
    Program(LEFT, "an exclusive queue of somebody who is refused", gone_with_its_owner(is_refused)),
]
