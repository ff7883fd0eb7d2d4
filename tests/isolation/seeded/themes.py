# SPDX-License-Identifier: Apache-2.0
"""What programs can be about: the types and arguments of home queues, and commands beside those of any program.

What two runs do not have in common, even on the same broker, is none of it:
- Which of a channel's consumers has its turn after one was begun anew, which the proxies do under a global qos, and
  for a consumer that takes many messages. Where that may be, a channel has one consumer. Nor is its queue deleted then:
  the channel may be closed over that.
- In which order the messages of a consumer come again that was begun anew: RabbitMQ takes them back for each consumer.
- Whether a new global qos counts what is on its way: each message waits for the last one.
- The chunks of a stream, by which it gives credit, when messages come fast: each waits for the last one. A channel has
  one consumer there too, since each gets all messages.
- How many messages are in a stream: it counts them when it likes.
- What a quorum queue does first, when commands that are not answered come before others that are: each waits.
- A queue that expires by x-expires: being looked at keeps it.
"""
import random
from dataclasses import dataclass
from typing import NamedTuple

from pika.spec import Confirm, Tx

from . import commands as c
from .commands import DEAD_EXCHANGE, DEAD_QUEUE, QUEUES, Command, flag

# Who is (client, channel), and from which queue it takes messages.
HOMES = {("a", 1): "@q0", ("a", 2): "@q0", ("b", 1): "@q0", ("a", 3): "@q1", ("b", 2): "@q2", ("b", 3): "@q3",
         ("b", 4): DEAD_QUEUE}
LONERS = (("a", 3), ("b", 2), ("b", 3))  # those with a home of their own
SETTLING = ("Basic.Ack", "Basic.Nack", "Basic.Reject", "Basic.Recover", "Basic.RecoverAsync")
DEADLY = {"x-dead-letter-exchange": DEAD_EXCHANGE}


class Pace(NamedTuple):
    """What a theme asks of the player."""
    quiet: float = 0  # seconds for which nothing must have moved
    apart: tuple = ()  # names of commands after which all must come to rest
    select: type = None  # what channels say first
    counts: bool = True  # whether queues tell how many messages and consumers they have


@dataclass(frozen=True)
class Theme:
    homes: dict  # of each home queue, what its declare says beside the name
    weights: dict
    at_home: tuple
    ends: tuple = c.ENDS
    actors: tuple = tuple(HOMES)
    pace: Pace = Pace()

    def declare_home(self, home: str) -> Command:
        return Command("Queue.Declare", {"queue": home, **self.homes[home]})


def theme(homes: dict, changes: dict = {}, at_home: tuple = c.AT_HOME, **more) -> Theme:
    """`changes` of the weights of commands; 0 leaves one out."""
    homes = {**dict.fromkeys((*QUEUES, DEAD_QUEUE), {}), **homes}

    def declare_home(_rng, home):
        return Command("Queue.Declare", {"queue": home, **homes[home]})
    weights = {kind: weight for kind, weight in {**c.WEIGHTS, declare_home: 10, **changes}.items() if weight}
    return Theme(homes, weights, (*at_home, declare_home), **more)


# --- classic queues

def plain(_rng) -> Theme:
    return theme({"@q0": {"arguments": DEADLY}})


def limits(rng: random.Random) -> Theme:
    """What queues do with messages that are too many, too old or more urgent."""
    choices = (
        {"x-max-length": 2}, {"x-max-length": 2, "x-overflow": "reject-publish"}, {"x-max-length-bytes": 9000},
        {"x-max-priority": 5}, {"x-message-ttl": 0}, {"x-message-ttl": 3600000}, {"x-expires": 3600000},
        {"x-queue-mode": "lazy"}, {"x-max-priority": 2, "x-max-length": 3})
    deadly = ({}, {"x-overflow": "reject-publish-dlx", "x-max-length": 2}, {"x-dead-letter-routing-key": "late"})
    homes = {queue: {"arguments": rng.choice(choices), "durable": flag(rng, .3)} for queue in QUEUES}
    homes["@q0"]["arguments"] = {**rng.choice(choices[:-1]), **rng.choice(deadly), **DEADLY}
    for queue in QUEUES[1:]:
        homes[queue]["auto_delete"] = flag(rng, .2)

    def publish_mortal(rng, home):
        return c.message(rng, "", home, expiration=rng.choice(("0", "3600000")), priority=rng.randrange(8))
    return theme(homes, {publish_mortal: 10}, (*c.AT_HOME, publish_mortal))


def turns(rng: random.Random) -> Theme:
    """Consumers that come before others, or instead of them."""
    homes = {queue: {"arguments": {"x-single-active-consumer": True} if flag(rng, .5) else {}} for queue in QUEUES}

    def consume(rng, home):
        arguments = rng.choice(({}, {"x-priority": 5}, {"x-priority": -3}, {"x-cancel-on-ha-failover": True}))
        return c.basic_consume(rng, home, arguments=arguments, exclusive=flag(rng, .2))
    return theme(homes, {c.basic_consume: 0, consume: 20, c.basic_cancel: 8, c.publish_home: 20})


def lone_consume(rng, home, **more):
    return Command("Basic.Consume", {"queue": home, "consumer_tag": rng.choice("tuv"), "no_ack": flag(rng, .3),
                                     "exclusive": False, "nowait": flag(rng, .1), "first": True, **more})


def floods(_rng) -> Theme:
    """More messages than the proxies let a consumer have at first."""
    def flood(rng, home):
        size = {"count": rng.choice((100, 300, 600)), "size": rng.choice((0, 10))}
        return Command("flood", {"routing_key": home, **size})

    def nack_one(rng, _home):
        return Command("Basic.Nack", {**c.a_delivery(rng), "multiple": False, "requeue": flag(rng, .6)})

    def ack_all(_rng, _home):
        return Command("Basic.Ack", {"delivery_tag": 0, "multiple": True, "all": True})
    at_home = (c.publish_home, c.basic_ack, nack_one, c.basic_qos, flood)
    changes = {c.basic_consume: 0, c.basic_nack: 0, nack_one: 4, c.basic_recover: 0, lone_consume: 14, flood: 20,
               ack_all: 8, c.publish_home: 4}
    return theme({}, changes, at_home, actors=LONERS, pace=Pace(.05, apart=("flood",)))


def global_qos(_rng) -> Theme:
    def qos(rng, _home):
        return Command("Basic.Qos", {"prefetch_count": rng.choice((0, 1, 2, 10)), "global_qos": flag(rng, .7)})
    at_home = tuple(kind for kind in c.AT_HOME if kind is not c.basic_qos)
    return theme({}, {c.basic_consume: 0, lone_consume: 12, c.basic_qos: 0, qos: 12}, at_home, actors=LONERS,
                 pace=Pace(apart=("publish",)))


# --- other queues

# How to know when messages have come to a queue that writes them down first.
SURE = (Confirm.Select, Confirm.Select, Tx.Select)


def quorum(rng: random.Random) -> Theme:
    """Nobody deletes a quorum queue and declares it anew: RabbitMQ may crash over that."""
    choices = ({}, {"x-max-length": 3}, {"x-delivery-limit": 1}, {"x-max-length": 2, "x-overflow": "reject-publish"},
               {"x-single-active-consumer": True})
    homes = {queue: {"durable": True, "arguments": {"x-queue-type": "quorum", **rng.choice(choices)}}
             for queue in QUEUES}
    homes["@q0"]["arguments"].update(DEADLY)

    def delete(rng, _home):
        return Command("Queue.Delete", {"queue": rng.choice(("@none", DEAD_QUEUE))})
    pace = Pace(.1, ("publish", *SETTLING), rng.choice(SURE))
    return theme(homes, {c.queue_delete: 0, delete: 1, c.tx_end: 8}, pace=pace)


def streams(rng: random.Random) -> Theme:
    def consume(rng, home):
        offset = rng.choice(({}, *({"x-stream-offset": at} for at in ("first", "next", "last", "1h", 0, 2, 1000))))
        return lone_consume(rng, home, no_ack=False, arguments=offset)

    def qos(rng, _home):
        return Command("Basic.Qos", {"prefetch_count": rng.choice((1, 2, 10, 10, 10, 0)), "global_qos": False})

    def publish(rng, home):
        return c.message(rng, rng.choice(("", "amq.fanout")), home)
    homes = {queue: {"durable": True, "arguments": {"x-queue-type": "stream"}} for queue in QUEUES[1:]}
    left_out = dict.fromkeys((c.basic_consume, c.basic_get, c.basic_nack, c.basic_reject, c.basic_recover, c.basic_qos,
                              c.queue_delete, c.queue_purge), 0)
    ends = c.ENDS + tuple(Command("Basic.Get", {"queue": queue, "no_ack": False}) for queue in QUEUES[1:])
    return theme(homes, {**left_out, consume: 14, qos: 14, publish: 14}, (c.publish_home, c.basic_ack, qos), ends=ends,
                 actors=LONERS, pace=Pace(.1, ("publish",), rng.choice(SURE), counts=False))


# --- between queues

def routing(rng: random.Random) -> Theme:
    """Exchanges of all types, behind and beside each other."""
    names = ("@x0", "@x1", "@topics", "@headers", "@inside")
    types = {"@topics": "topic", "@headers": "headers"}
    patterns = ("k", "k.l", "#", "*", "*.l", "k.#", "", "#.l.#")
    everywhere = names + ("amq.topic", "amq.headers", "amq.match", "amq.fanout")

    def declare(rng, _home):
        name = rng.choice(names)
        other = rng.choice(({}, {}, {"alternate-exchange": rng.choice(names)}))
        return Command("Exchange.Declare", {
            "exchange": name, "type": types.get(name, "direct"), "internal": name == "@inside", "arguments": other,
            "passive": flag(rng, .1), "auto_delete": flag(rng, .1), "durable": flag(rng, .1), "nowait": flag(rng, .2)})

    def terms(rng) -> dict:
        matches = rng.choice(({}, {"x-match": "all"}, {"x-match": "any"}))
        return {**matches, **rng.choice(({}, {"h": 1}, {"h": "one", "i": True}, {"i": None}))}

    def queue_binding(rng, home):
        return Command(rng.choice(("Queue.Bind", "Queue.Bind", "Queue.Bind", "Queue.Unbind")), {
            "queue": c.some_queue(rng, home), "exchange": rng.choice(everywhere), "routing_key": rng.choice(patterns),
            "arguments": terms(rng)})

    def exchange_binding(rng, _home):
        return Command(rng.choice(("Exchange.Bind", "Exchange.Bind", "Exchange.Unbind")), {
            "destination": rng.choice(names), "source": rng.choice(everywhere), "routing_key": rng.choice(patterns),
            "arguments": terms(rng), "nowait": flag(rng, .2)})

    def publish(rng, _home):
        headers = {**terms(rng), **rng.choice(({}, {}, {"CC": ["k", "@q1"]}, {"BCC": ["@q2"], "CC": ["k.l"]}))}
        return c.message(rng, rng.choice(("", *everywhere)), rng.choice(("k", "k.l", "l", "", "@q1")), headers=headers)
    return theme({"@q0": {"arguments": DEADLY}},
                 {c.exchange_declare: 0, c.queue_bind: 0, c.exchange_bind: 0, c.publish: 0, declare: 14,
                  queue_binding: 12, exchange_binding: 8, publish: 30})


def replies(_rng) -> Theme:
    """Direct reply-to: requests are messages to somebody's home, who answers to the address in the last one."""
    own = "amq.rabbitmq.reply-to"

    def await_replies(rng, _home):
        return Command("Basic.Consume", {"queue": own, "consumer_tag": rng.choice("rs"), "no_ack": not flag(rng, .05),
                                         "exclusive": False, "nowait": False})

    def request(rng, _home):
        return c.message(rng, rng.choice(("", "", "amq.fanout")), rng.choice(QUEUES), reply_to=own)

    def reply(rng, _home):
        return Command("publish", {**c.message(rng, "", "").arguments, "reply": True})

    def look_up(_rng, _home):
        return Command("Queue.Declare", {"queue": "", "passive": True, "reply": True})
    return theme({}, {c.basic_consume: 3, await_replies: 14, request: 24, reply: 20, look_up: 2, c.basic_get: 20})


def names(_rng) -> Theme:
    """Names that are empty, long, foreign, or have line ends, which RabbitMQ leaves out of some."""
    odd = ("", "@\u20ac\u00fc\U0001f407", "@ a  b ", "@" + 200 * "l", "@'quoted'\"", "@a/b%c<>", "@\x01\x7f", "amq.",
           "@")

    def disguised(rng, name):
        return rng.choice((name, name + "\r\n", "\n" + name, name[:1] + "\r" + name[1:], "\n"))

    def of_home(kind):
        def command(rng, home):
            said = kind(rng, home)
            return said._replace(arguments={**said.arguments, "queue": disguised(rng, said.arguments["queue"])})
        return command

    def queue_command(rng, _home):
        kind = rng.choice((c.queue_declare, c.queue_passive, c.queue_bind, c.queue_purge, c.queue_delete))
        said = kind(rng, "@none")
        return said._replace(arguments={**said.arguments, "queue": disguised(rng, rng.choice(odd))})

    def exchange_command(rng, _home):
        kind = rng.choice((c.exchange_declare, c.exchange_delete))
        said = kind(rng, "@none")
        return said._replace(arguments={**said.arguments, "exchange": disguised(rng, rng.choice(odd))})

    def binding(rng, home):
        return Command("Queue.Bind", {"queue": home, "exchange": disguised(rng, rng.choice((*odd, "amq.direct"))),
                                      "routing_key": rng.choice(odd)})

    def publish(rng, home):
        return c.message(rng, rng.choice((*odd, "amq.direct")), disguised(rng, rng.choice((*odd, home))))

    def consume(rng, home):
        tag = rng.choice(("\r\n", " ", "\u20ac", "c" * 255, "@"))
        return of_home(c.basic_consume)(rng, home) if flag(rng, .5) else c.basic_consume(rng, home, consumer_tag=tag)
    return theme({}, {c.basic_consume: 0, consume: 7, c.basic_get: 0, of_home(c.basic_get): 8,
                      of_home(c.queue_purge): 2, of_home(c.queue_passive): 3, queue_command: 10, exchange_command: 8,
                      binding: 8, publish: 14})


THEMES = {kind.__name__: kind for kind in (
    plain, limits, turns, floods, global_qos, quorum, streams, routing, replies, names)}
