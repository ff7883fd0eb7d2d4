# SPDX-License-Identifier: Apache-2.0
"""Where the outcome on a shared connection is not what it is alone, and why. What is not listed must be the same."""
from typing import NamedTuple


class Deviation(NamedTuple):
    outcome: tuple  # on the shared connection
    why: str


def close(what: str) -> str:
    return "0 Connection.Close " + what


def told(code_and_text: str) -> Deviation:
    return Deviation((close(code_and_text),), "alone: dropped without a word; here the client is told why")


UNKNOWN = "540 {0} NOT_IMPLEMENTED - unknown method ({1})"
MALFORMED = told("502 50.10 SYNTAX_ERROR - malformed field table")

HELD_BACK = "it waits until the broker takes it"
AN_ERROR = close("540 60.10 NOT_IMPLEMENTED - prefetch_size!=0 (1)")  # isolib/channels.py

CRASH = close("541 0.0 INTERNAL_ERROR")
BEFORE_THE_BROKER = "refused before the broker sees it, with less detail"
FORGED = "RabbitMQ may crash over reply-to addresses that it has not issued: none of them passes"
LOCKED = ("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'bystanders-own' in vhost '*'. It could "
          "be originally declared on another connection or the exclusive property value does not match that of the "
          "original declaration.")


def bad_argument(queue: str) -> Deviation:
    return Deviation(("1 Channel.Close 406 50.10 PRECONDITION_FAILED - invalid arg 'x-queue-type' or 'x-max-age' for "
                      f"queue '{queue}'",), BEFORE_THE_BROKER)


DEVIATIONS = {
    "class 99": told(UNKNOWN.format("99.10", "99,10")),
    "method 99 of class 60": told(UNKNOWN.format("60.99", "60,99")),
    "field type Z in a method": MALFORMED,
    "field past its table in a method": MALFORMED,
    "array past its table": MALFORMED,
    "NaN in a method": MALFORMED,

    "a method behind tx.commit": Deviation(("1 Tx.CommitOk", "1 Basic.QosOk", AN_ERROR), HELD_BACK),
    "basic.cancel before consume-ok": Deviation(
        ("1 Basic.ConsumeOk consumer_tag='t'", "1 Basic.CancelOk consumer_tag='t'", AN_ERROR), HELD_BACK),

    "an exchange of no type": Deviation(
        (close("503 40.10 COMMAND_INVALID - unknown exchange type ''"),),
        "RabbitMQ's text depends on the words that its Erlang machine happens to know"),
    "a queue of a strange type": bad_argument("a-strange-type"),
    "a queue of a type that is a number": bad_argument("type-is-a-number"),
    "an age for a classic queue": bad_argument("age-of-classic"),
    "x-credit": Deviation((CRASH,), "meant for plugins of the broker; clients that give it wrongly crash the queue"),
    "basic.credit": told(UNKNOWN.format("60.200", "60,200"))._replace(why="meant for plugins of the broker"),
    "a negative stream offset": Deviation((CRASH,), "not documented; refused as other strange offsets are"),
    "a queue with the beginning of a reply-to address": Deviation((CRASH,), FORGED),
    "a message to the beginning of a reply-to address": Deviation((CRASH,), FORGED),
    "another's queue bound to no exchange": Deviation(
        (f"1 Channel.Close 405 50.20 {LOCKED}",), "which exchanges there are the proxies don't know"),
    "another's queue unbound where it was not bound": Deviation(
        (f"1 Channel.Close 405 50.50 {LOCKED}",), "which bindings there are the proxies don't know"),
    "a classic queue's message nacked beside a stream": Deviation(
        (close("540 60.120 NOT_IMPLEMENTED - basic.nack and basic.reject not supported by stream queues queue "
               "'a-stream' in vhost '*'"),),
        "from which queue a delivery came is not kept"),
    "a quorum queue's consumer tag used again": Deviation(
        ("1 Basic.ConsumeOk consumer_tag='t'", "1 Basic.Deliver consumer_tag='t' delivery_tag=2 redelivered=False "
         "exchange='' routing_key='a-quorum-again' body=b'x'", "left"),
        "alone: 541, for RabbitMQ mixes the two consumers up; here the second one has another name there"),
    "a decimal header to a classic queue": Deviation(
        (CRASH,), "a message with a decimal may come to a stream by any exchange, and RabbitMQ crashes over it there"),
}
