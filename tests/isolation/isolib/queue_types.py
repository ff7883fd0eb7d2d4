# SPDX-License-Identifier: Apache-2.0
"""What quorum queues and streams do not let be done to them."""
from pika import spec
from pika.spec import Basic, Queue

from .frames import headers
from .outcome import describe
from .program import FINE, LEFT, Program

DECIMAL = b"D\x02\0\0\1\0"


def queue(kind: str, name: str = "") -> Queue.Declare:
    return Queue.Declare(queue=name or f"a-{kind}", durable=True, arguments={"x-queue-type": kind})


def to(kind: str, *commands: spec.amqp_object.Method):
    """These commands, in a channel that may consume from a stream, with such a queue in place."""
    def act(o) -> None:
        o.do(queue(kind), Basic.Qos(prefetch_count=10))
        o.say(*commands)
    return act


def with_delivery(kind: str, *commands: spec.amqp_object.Method):
    """Publishes, consumes, and says these commands after the delivery, whose tag is 1."""
    def act(o) -> None:
        name = f"a-{kind}"
        o.do(queue(kind), spec.Confirm.Select(), Basic.Qos(prefetch_count=1))
        o.publish(key=name, body=b"x")
        o.client.wait(1, Basic.Ack)
        o.do(Basic.Consume(queue=name, arguments={"x-stream-offset": "first"} if kind == "stream" else None))
        o.client.wait(1, Basic.Deliver)
        o.say(*commands)
    return act


def global_qos(kind: str):
    def act(o) -> None:
        name = f"a-global-{kind}"
        o.do(queue(kind, name), Basic.Qos(prefetch_count=10), Basic.Qos(prefetch_count=10, global_qos=True))
        o.say(Basic.Consume(queue=name))
    return act


def uses_a_tag_again(kind: str, first: str = "t"):
    """A cancelled consumer's, one of whose messages is unacknowledged. Ends with the first message of the new one."""
    def act(o) -> None:
        name = f"a-{kind}-again"
        o.do(queue(kind, name), spec.Confirm.Select(), Basic.Qos(prefetch_count=1))
        for _ in range(2):
            o.publish(key=name, body=b"x")
            o.client.wait(1, Basic.Ack)
        o.do(Basic.Consume(queue=name, consumer_tag=first))
        o.client.wait(1, Basic.Deliver)
        o.do(Basic.Cancel(first), Basic.Qos(prefetch_count=2))
        o.say(Basic.Consume(queue=name, consumer_tag="t"))
        o.hear(Basic.ConsumeOk)
        o.outcome.append(describe(o.client.listen()))
        o.leave()
    return act


def decimal_header(kind: str):
    def act(o) -> None:
        o.do(queue(kind))
        o.publish_raw(headers(DECIMAL), key=f"a-{kind}")
    return act


def nacks_another_queues(o) -> None:
    """Consumes from a stream, and then nacks what it got from a classic queue."""
    o.do(queue("stream"), queue("classic", "a-classic-too"), Basic.Qos(prefetch_count=10))
    o.do(Basic.Consume(queue="a-stream", arguments={"x-stream-offset": "next"}))
    o.publish(key="a-classic-too", body=b"x")
    o.do(Basic.Get(queue="a-classic-too"))
    o.say(Basic.Nack(1, requeue=False))


PROGRAMS = [
    Program(540, "basic.get from a stream", to("stream", Basic.Get(queue="a-stream"))),
    Program(540, "a stream purged", to("stream", Queue.Purge(queue="a-stream"))),
    Program(540, "a stream consumed without acks", to("stream", Basic.Consume(queue="a-stream", no_ack=True))),
    Program(540, "a stream consumed under a global qos", global_qos("stream")),
    Program(540, "a stream's delivery nacked", with_delivery("stream", Basic.Nack(1, requeue=True))),
    Program(540, "a stream's delivery nacked for good", with_delivery("stream", Basic.Nack(1, requeue=False))),
    Program(540, "a stream's delivery rejected", with_delivery("stream", Basic.Reject(1, requeue=True))),
    Program(541, "a stream's deliveries recovered", with_delivery("stream", Basic.Recover(requeue=True))),
    Program(FINE, "a stream's delivery acked", with_delivery("stream", Basic.Ack(1))),
    Program(FINE, "a classic queue's message nacked beside a stream", nacks_another_queues),
    Program(541, "a decimal header to a stream", decimal_header("stream")),
    Program(FINE, "a decimal header to a classic queue", decimal_header("classic")),
    Program(FINE, "a stream deleted if unused", to("stream", Queue.Delete(queue="a-stream", if_unused=True))),
    Program(FINE, "a stream deleted if empty", to("stream", Queue.Delete(queue="a-stream", if_empty=True))),

    Program(540, "a quorum queue deleted if unused", to("quorum", Queue.Delete(queue="a-quorum", if_unused=True))),
    Program(540, "a quorum queue deleted if empty", to("quorum", Queue.Delete(queue="a-quorum", if_empty=True))),
    Program(540, "a quorum queue consumed under a global qos", global_qos("quorum")),
    Program(LEFT, "a quorum queue's consumer tag used again", uses_a_tag_again("quorum")),
    Program(LEFT, "a quorum queue's consumer tag that looks like one of the proxies'", uses_a_tag_again("quorum", "amq.again-1")),
    Program(LEFT, "a classic queue's consumer tag used again", uses_a_tag_again("classic")),
    Program(FINE, "a quorum queue's delivery nacked", with_delivery("quorum", Basic.Nack(1, requeue=False))),
    Program(FINE, "a quorum queue purged", to("quorum", Queue.Purge(queue="a-quorum"))),
    Program(FINE, "a classic queue consumed under a global qos", global_qos("classic")),
]
