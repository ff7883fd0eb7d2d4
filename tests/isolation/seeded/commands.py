# SPDX-License-Identifier: Apache-2.0
"""The commands of random programs: each function takes what is random, and the home queue of the channel.

Names that begin with @ are the program's own queues and exchanges. Arguments that AMQP does not know tell the player
what to put in their place: `delivery` and `consumer` one of those that the channel has then.
"""
import random
from typing import NamedTuple

QUEUES = ("@q0", "@q1", "@q2", "@q3")
DEAD_QUEUE, DEAD_EXCHANGE = "@dead", "@dead-letters"  # for what dies in q0; nobody else sends there
EXCHANGES = ("@x0", "@x1")
ANY_EXCHANGE = EXCHANGES + ("amq.direct", "amq.topic", "amq.fanout", "amq.headers", "@none")
KEYS = QUEUES + ("k", "k.l", "#")
# Around what frames of 4,096 bytes and of 128 KiB can hold.
SIZES = (0, 1, 10, 10, 10, 4087, 4088, 4089, 8176, 8177, 20000, 131063, 131064, 131065, 200000)


class Command(NamedTuple):
    name: str
    arguments: dict


def flag(rng: random.Random, chance: float) -> bool:
    return rng.random() < chance


def some_queue(rng: random.Random, home: str) -> str:
    """Mostly home; sometimes another's, none, or the channel's last declared one."""
    return rng.choices((home, rng.choice(QUEUES), "@none", ""), (12, 4, 1, 1))[0]


def which(rng: random.Random, what: str, argument: str, wrong) -> dict:
    """One of those that the channel has then (without any the command is left out), rarely a wrong one."""
    return {argument: wrong} if flag(rng, .03) else {what: rng.randrange(64)}


def a_delivery(rng: random.Random) -> dict:
    return which(rng, "delivery", "delivery_tag", 1000)


# --- queues

def queue_declare(rng, home):
    arguments = rng.choice(({}, {}, {}, {"x-max-length": 3}, {"x-max-priority": 3}))
    return Command("Queue.Declare", {
        "queue": some_queue(rng, home), "durable": flag(rng, .1), "exclusive": flag(rng, .15), "arguments": arguments,
        "auto_delete": flag(rng, .1), "passive": flag(rng, .2), "nowait": flag(rng, .1)})


def queue_passive(rng, home):
    return Command("Queue.Declare", {"queue": some_queue(rng, home), "passive": True, "nowait": flag(rng, .2)})


def queue_bind(rng, home):
    return Command("Queue.Bind", {"queue": some_queue(rng, home), "exchange": rng.choice(ANY_EXCHANGE),
                                  "routing_key": rng.choice(KEYS), "nowait": flag(rng, .1)})


def queue_unbind(rng, home):
    return Command("Queue.Unbind", {"queue": home, "exchange": rng.choice(ANY_EXCHANGE),
                                    "routing_key": rng.choice(KEYS)})


def queue_purge(rng, home):
    return Command("Queue.Purge", {"queue": some_queue(rng, home), "nowait": flag(rng, .2)})


def queue_delete(rng, home):
    return Command("Queue.Delete", {"queue": some_queue(rng, home), "if_unused": flag(rng, .3),
                                    "if_empty": flag(rng, .3), "nowait": flag(rng, .2)})


# --- exchanges

def exchange_declare(rng, _home):
    return Command("Exchange.Declare", {
        "exchange": rng.choice(EXCHANGES), "type": rng.choice(("direct", "direct", "fanout", "fanout", "topic")),
        "passive": flag(rng, .1), "auto_delete": flag(rng, .1), "nowait": flag(rng, .1)})


def exchange_delete(rng, _home):
    return Command("Exchange.Delete", {"exchange": rng.choice(EXCHANGES), "if_unused": flag(rng, .5),
                                       "nowait": flag(rng, .1)})


def exchange_bind(rng, _home):
    return Command("Exchange.Bind", {"destination": rng.choice(EXCHANGES), "source": rng.choice(ANY_EXCHANGE[:5]),
                                     "routing_key": rng.choice(KEYS), "nowait": flag(rng, .1)})


def exchange_unbind(rng, _home):
    return Command("Exchange.Unbind", {"destination": rng.choice(EXCHANGES), "source": rng.choice(ANY_EXCHANGE[:5]),
                                       "routing_key": rng.choice(KEYS), "nowait": flag(rng, .1)})


# --- messages

def publish(rng, _home):
    exchange = rng.choice(("", "", *ANY_EXCHANGE))
    return message(rng, exchange, rng.choice(KEYS))


def publish_home(rng, home):
    return message(rng, "", home)


def message(rng, exchange, key, **more):
    """`more` properties."""
    properties = rng.choice(({}, {}, {"priority": rng.randrange(5)}, {"message_id": "m", "type": "t", "timestamp": 7},
                             {"headers": {"n": rng.randrange(9), "nested": {"list": [1, "two", None, True]}}},
                             {"content_type": "text/plain", "correlation_id": "\u20ac", "delivery_mode": 2}))
    return Command("publish", {
        "exchange": exchange, "routing_key": key,
        "mandatory": flag(rng, .3), "size": rng.choice(SIZES), "fill": rng.randrange(256),
        "properties": {**properties, **more}, "piece": rng.choice((0, 0, 0, 1000, 4000))})


def basic_get(rng, home):
    return Command("Basic.Get", {"queue": home, "no_ack": flag(rng, .4)})


def basic_consume(rng, home, **more):
    """`more` arguments. The proxies have no transactions after an exclusive consumer with no_ack."""
    arguments = {"queue": home, "consumer_tag": rng.choice(("", "t", "u", "v")), "no_ack": flag(rng, .3),
                 "exclusive": flag(rng, .1), "nowait": flag(rng, .1), **more}
    return Command("Basic.Consume", {**arguments, "no_ack": arguments["no_ack"] and not arguments["exclusive"]})


def basic_cancel(rng, _home):
    return Command("Basic.Cancel", {**which(rng, "consumer", "consumer_tag", "none"), "nowait": flag(rng, .2)})


def basic_ack(rng, _home):
    return Command("Basic.Ack", {**a_delivery(rng), "multiple": flag(rng, .3)})


def basic_nack(rng, _home):
    return Command("Basic.Nack", {**a_delivery(rng), "multiple": flag(rng, .3), "requeue": flag(rng, .6)})


def basic_reject(rng, _home):
    return Command("Basic.Reject", {**a_delivery(rng), "requeue": flag(rng, .5)})


def basic_recover(rng, _home):
    return Command(rng.choice(("Basic.Recover", "Basic.RecoverAsync")), {"requeue": True})


def basic_qos(rng, _home):
    return Command("Basic.Qos", {"prefetch_count": rng.choice((0, 1, 2, 10)), "global_qos": False})


# --- channels

def tx_select(_rng, _home):
    return Command("Tx.Select", {})


def tx_end(rng, _home):
    name = rng.choice(("Tx.Commit", "Tx.Commit", "Tx.Rollback"))
    return Command(name, {} if flag(rng, .03) else {"transaction": True})


def confirm_select(rng, _home):
    return Command("Confirm.Select", {"nowait": flag(rng, .2)})


def channel_flow(_rng, _home):
    return Command("Channel.Flow", {"active": True})


def channel_close(_rng, _home):
    return Command("Channel.Close", {"reply_code": 200, "reply_text": "", "class_id": 0, "method_id": 0})


# Of any program, by weight; each theme adds to it (`declare_home`, for one), or takes from it.
WEIGHTS = {
    queue_declare: 8, queue_passive: 1, queue_bind: 5, queue_unbind: 1, queue_purge: 1, queue_delete: 1,
    exchange_declare: 4, exchange_delete: 1, exchange_bind: 1, exchange_unbind: 1, publish: 14, publish_home: 14,
    basic_get: 8, basic_consume: 7, basic_cancel: 3, basic_ack: 9, basic_nack: 4, basic_reject: 3, basic_recover: 1,
    basic_qos: 3, tx_select: 1, tx_end: 3, confirm_select: 3, channel_flow: 1, channel_close: 1}
# Those that concern no queue but home.
AT_HOME = (publish_home, basic_get, basic_ack, basic_nack, basic_reject, basic_recover, basic_qos)

# What ends a connection, and the client's own farewell.
ENDS = (
    Command("Basic.Qos", {"prefetch_size": 1}), Command("Basic.Recover", {"requeue": False}),
    Command("Channel.Open", {}), Command("Queue.DeclareOk", {"queue": "q", "message_count": 0, "consumer_count": 0}),
    Command("Exchange.Declare", {"exchange": "@strange", "type": "strange"}),
    Command("Channel.Flow", {"active": False}),
    Command("Basic.Publish", {"immediate": True}), Command("body", {}), Command("bye", {}), Command("bye", {}))
