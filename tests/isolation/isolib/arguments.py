# SPDX-License-Identifier: Apache-2.0
"""Arguments over which RabbitMQ closes the connection, or crashes."""
import struct
from itertools import count

from pika import spec
from pika.spec import Basic, Channel, Exchange, Queue

from harness.amqp_raw import long_string, method, short_string

from . import frames
from .offender import says
from .program import FINE, Program

FORGED = "amq.rabbitmq.reply-to.A.B"  # can't be decoded
NO_ADDRESS = "amq.rabbitmq.reply-to.A"  # does not look like one to RabbitMQ
# The credit that plugins give to consumers of other protocols.
CREDIT = b"F" + long_string(b"\x06creditl" + struct.pack(">q", 1) + b"\x05draint\0")
new_names = (f"arguments-{number}" for number in count())


def declare(arguments: dict, name: str = ""):
    """Declares a new durable queue with these arguments."""
    queue = name or next(new_names)
    return lambda o: o.say(Queue.Declare(queue=queue, durable=True, arguments=arguments))


def consume(arguments: dict, kind: str = "classic"):
    """Consumes with these arguments, from a new queue of that type."""
    name = next(new_names)

    def act(o) -> None:
        o.do(Basic.Qos(prefetch_count=10),
             Queue.Declare(queue=name, durable=True, arguments={"x-queue-type": kind}))
        o.say(Basic.Consume(queue=name, arguments=arguments))
    return act


def same_tag_twice(o) -> None:
    o.do(Queue.Declare(queue="same-tag"), Basic.Consume(queue="same-tag", consumer_tag="t"))
    o.say(Basic.Consume(queue="same-tag", consumer_tag="t"))


def same_tag_at_once(o) -> None:
    o.do(Queue.Declare(queue="same-tag"))
    again = Basic.Consume(queue="same-tag", consumer_tag="t", nowait=True)
    o.say(again, again)


def same_tag_on_two_channels(o) -> None:
    o.do(Queue.Declare(queue="same-tag"), Basic.Consume(queue="same-tag", consumer_tag="t"))
    o.do(Channel.Open(), Basic.Consume(queue="same-tag", consumer_tag="t"), channel=2)


def consumes_with(key: str, field: bytes, kind: str = "classic"):
    """Consumes with a field that clients don't make."""
    name = next(new_names)

    def act(o) -> None:
        o.do(Basic.Qos(prefetch_count=10),
             Queue.Declare(queue=name, durable=True, arguments={"x-queue-type": kind}))
        o.raw(frames.consume(name, frames.table(field, key=short_string(key))))
    return act


def copies_to(key: str, where: str = FORGED):
    return lambda o: o.publish(properties=spec.BasicProperties(headers={key: [where]}))


PROGRAMS = [
    Program(530, "a consumer tag in use", same_tag_twice),
    Program(530, "a consumer tag twice at once", same_tag_at_once),
    Program(FINE, "a consumer tag on two channels", same_tag_on_two_channels),

    Program(540, "basic.qos with prefetch_size", says(Basic.Qos(prefetch_size=1))),
    Program(540, "basic.publish with immediate", lambda o: o.publish(immediate=True)),
    Program(540, "basic.recover without requeue", says(Basic.Recover(requeue=False))),
    Program(540, "basic.recover-async without requeue", says(Basic.RecoverAsync(requeue=False))),
    Program(FINE, "basic.recover", lambda o: o.do(Basic.Recover(requeue=True))),
    Program(540, "channel.flow active=0", says(Channel.Flow(False))),
    Program(FINE, "channel.flow active=1", lambda o: o.do(Channel.Flow(True))),

    Program(503, "an exchange of unknown type", says(Exchange.Declare(exchange="strange", type="strange"))),
    Program(503, "an exchange of no type", says(Exchange.Declare(exchange="strange", type=""))),
    Program(404, "a passive declare with an unknown type",
            says(Exchange.Declare(exchange="strange", type="strange", passive=True))),

    Program(541, "a nameless queue of a strange type",
            says(Queue.Declare(arguments={"x-queue-type": "strange"}))),
    Program(406, "a queue of a strange type", declare({"x-queue-type": "strange"}, "a-strange-type")),
    Program(406, "a queue of a type that is a number", declare({"x-queue-type": 1}, "type-is-a-number")),
    Program(541, "a strange master locator", declare({"x-queue-master-locator": "strange"})),
    Program(541, "a master locator that is a number", declare({"x-queue-master-locator": 1})),
    Program(FINE, "a master locator", declare({"x-queue-master-locator": "min-masters"})),
    Program(541, "an age without digits", declare({"x-queue-type": "stream", "x-max-age": "Y"})),
    Program(406, "an age of unknown unit", declare({"x-queue-type": "stream", "x-max-age": "7Q"})),
    Program(406, "an age for a classic queue", declare({"x-max-age": "Y"}, "age-of-classic")),
    Program(FINE, "an age", declare({"x-queue-type": "stream", "x-max-age": "7D"})),

    Program(541, "x-credit that is no table", consume({"x-credit": 1})),
    Program(FINE, "x-credit", consumes_with("x-credit", CREDIT)),
    Program(406, "basic.credit", lambda o: o.raw(method((60, 200), short_string("t") + bytes(5), 1))),
    Program(541, "a strange stream offset", consume({"x-stream-offset": "strange"}, "stream")),
    Program(541, "a stream offset that is a truth value", consume({"x-stream-offset": True}, "stream")),
    Program(541, "a stream offset with a fraction",
            consumes_with("x-stream-offset", b"d" + struct.pack(">d", 1.5), "stream")),
    Program(FINE, "a negative stream offset", consume({"x-stream-offset": -1}, "stream")),
    Program(FINE, "a stream offset that is an interval", consume({"x-stream-offset": "1h"}, "stream")),
    Program(FINE, "a stream offset that is a word", consume({"x-stream-offset": "last"}, "stream")),
    Program(FINE, "a stream offset that is a number", consume({"x-stream-offset": 0}, "stream")),

    Program(541, "a reply-to address declared", says(Queue.Declare(queue=FORGED))),
    Program(541, "a reply-to address declared passively", says(Queue.Declare(queue=FORGED, passive=True))),
    Program(541, "a message to a reply-to address", lambda o: o.publish(key=FORGED)),
    Program(541, "a copy to a reply-to address", copies_to("CC")),
    Program(541, "a blind copy to a reply-to address", copies_to("BCC")),
    Program(404, "a queue with the beginning of a reply-to address", says(Queue.Declare(queue=NO_ADDRESS))),
    Program(FINE, "a message to the beginning of a reply-to address", lambda o: o.publish(key=NO_ADDRESS)),
    Program(FINE, "a message to a reply-to address by an exchange", lambda o: o.publish("amq.topic", FORGED)),
    Program(FINE, "a copy to a queue", copies_to("CC", "nowhere")),
    Program(406, "a copy to no list", lambda o: o.publish(properties=spec.BasicProperties(headers={"CC": "nowhere"}))),
]
