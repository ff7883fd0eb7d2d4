# SPDX-License-Identifier: Apache-2.0
"""One channel: what is heard on it, in an order that two runs have in common, and what the player must know of it.

The broker gives an order to the answers, and to the deliveries to each consumer, but not between these. Confirms come
one by one or several in one, as it happens.
"""
import hashlib
from collections import defaultdict, deque
from typing import Callable, Optional

from pika import spec
from pika.spec import Basic, Channel, Queue

from harness.amqp_client import Heard


def message(heard: Heard) -> str:
    """A message, without what is of its time only."""
    properties = dict(sorted(vars(heard.properties).items()))
    for death in (properties.get("headers") or {}).get("x-death", ()):
        death["time"] = "*"
    shown = {name: value for name, value in properties.items() if value is not None}
    return f"{len(heard.body)}:{hashlib.sha1(heard.body).hexdigest()[:8]} {shown}"


class ChannelLog:
    def __init__(self, tidy: Callable[[str], str]):
        self.tidy = tidy  # makes names common to all runs
        self.is_open, self.is_closing = True, False
        self.is_committing = False  # when nothing else may be said
        self.outstanding: list[int] = []  # deliveries that the program has not yet answered
        self.consumers: dict[str, str] = {}  # tag: what it is called here
        self.tags: set[str] = set()  # that were in use while any delivery was unacknowledged
        self.silent: set[str] = set()  # tags of consumers that ack nothing
        self.asked_silently: deque[bool] = deque()  # of each basic.get and basic.consume without answer yet
        self.confirming = self.transactional = False
        self.published = self.delivered = 0
        self.unconfirmed: set[int] = set()
        self.awaited = 0  # flow-ok, for the player's own questions as well
        self.reply_to: Optional[str] = None  # of the last message that has one
        self._begin()

    def _begin(self) -> None:
        self.answers: list[str] = []
        self.deliveries: dict[str, list[str]] = defaultdict(list)
        self.confirms: dict[int, str] = {}
        self.cancelled: list[str] = []

    # --- saying

    def will_say(self, command: spec.amqp_object.Method) -> None:
        """Keeps the books of what the program says."""
        if isinstance(command, spec.Confirm.Select):
            self.confirming = True
        elif isinstance(command, spec.Tx.Select):
            self.transactional = True
        elif isinstance(command, spec.Tx.Commit):
            self.is_committing = True
        elif isinstance(command, Basic.Publish) and self.confirming:
            self.published += 1
            self.unconfirmed.add(self.published)
        elif isinstance(command, Channel.Close):
            self.is_closing = True
        elif isinstance(command, Channel.Flow):
            self.awaited += 1
        elif isinstance(command, Basic.Get):
            self.asked_silently.append(command.no_ack)
        elif isinstance(command, Basic.Consume):
            self._will_consume(command)
        elif isinstance(command, Basic.Cancel):
            self.consumers.pop(command.consumer_tag, None)
        elif isinstance(command, (Basic.Recover, Basic.RecoverAsync)):
            self.outstanding.clear()

    def _will_consume(self, command: Basic.Consume) -> None:
        tag = command.consumer_tag
        if tag:
            self.tags.add(tag)
            self.consumers[tag] = tag
            self.silent.discard(tag)
        if command.nowait and command.no_ack:
            self.silent.add(tag)
        elif not command.nowait:
            self.asked_silently.append(command.no_ack)

    def free_tag(self, wished: str, nowait: bool) -> str:
        """A consumer tag that is not in use, for a second use would end the connection. Nor was it while a delivery
        waits for its ack: RabbitMQ would take the ack for one of the new consumer's, and let it have one more.

        RabbitMQ requeues for one consumer after another, in the order of tags. So only the first one's is random."""
        if not self.outstanding and not self.transactional:
            self.tags = set(self.consumers)
        if wished not in self.tags and (wished or not (nowait or self.tags)):
            return wished
        return next(tag for tag in map("w{}".format, range(1000)) if tag not in self.tags)

    def take_tag(self, which: int, multiple: bool) -> int:
        """The tag of an outstanding delivery, which then is no more."""
        at = which % len(self.outstanding)
        tag = self.outstanding[at]
        self.outstanding = self.outstanding[at + 1:] if multiple else [t for t in self.outstanding if t != tag]
        return tag

    def consumer(self, which: int) -> str:
        """The tag of one of its consumers."""
        return list(self.consumers)[which % len(self.consumers)]

    # --- hearing

    def hear(self, heard: Heard) -> None:
        handlers = {Basic.Deliver: self._deliver, Basic.GetOk: self._get, Basic.GetEmpty: self._get,
                    Basic.Ack: self._confirm, Basic.Nack: self._confirm, Basic.ConsumeOk: self._consume_ok,
                    Basic.Cancel: self._cancel, Queue.DeclareOk: self._declare_ok, Channel.FlowOk: self._flow_ok,
                    Channel.Close: self._close, spec.Tx.CommitOk: self._commit_ok}
        if heard.properties and heard.properties.reply_to:
            self.reply_to = heard.properties.reply_to
        handlers.get(type(heard.method), self._answer)(heard)

    def _answer(self, heard: Heard) -> None:
        fields = " ".join(f"{name}={value!r}" for name, value in vars(heard.method).items())
        content = "" if heard.body is None else f" {message(heard)}"
        self.answers.append(self.tidy(f"{heard.method.NAME} {fields}{content}".strip()))

    def _declare_ok(self, heard: Heard) -> None:
        """Without the counts: queues say them before they do what they were told earlier."""
        self.answers.append(self.tidy(f"Queue.DeclareOk {heard.method.queue}"))

    def _get(self, heard: Heard) -> None:
        self._answer(heard)
        if not self.asked_silently.popleft() and isinstance(heard.method, Basic.GetOk):
            self.outstanding.append(heard.method.delivery_tag)

    def _consume_ok(self, heard: Heard) -> None:
        tag = heard.method.consumer_tag
        if tag not in self.consumers:
            self.consumers[tag] = f"made {len(self.consumers)}"
        if self.asked_silently.popleft():
            self.silent.add(tag)
        self.answers.append(self.tidy(f"Basic.ConsumeOk {self.consumers[tag]}"))

    def _deliver(self, heard: Heard) -> None:
        method = heard.method
        self.delivered += 1
        name = self.consumers.get(method.consumer_tag, method.consumer_tag)
        self.deliveries[name].append(f"{method.delivery_tag} {method.exchange}/{method.routing_key} "
                                     f"redelivered={method.redelivered} {message(heard)}")
        if method.consumer_tag not in self.silent:
            self.outstanding.append(method.delivery_tag)

    def _confirm(self, heard: Heard) -> None:
        last = heard.method.delivery_tag
        tags = [tag for tag in self.unconfirmed if tag <= last] if heard.method.multiple else [last]
        for tag in tags:
            self.confirms[tag] = type(heard.method).__name__
        self.unconfirmed.difference_update(tags)

    def _cancel(self, heard: Heard) -> None:
        self.cancelled.append(self.consumers.pop(heard.method.consumer_tag, heard.method.consumer_tag))

    def _flow_ok(self, _heard: Heard) -> None:
        self.awaited -= 1

    def _commit_ok(self, heard: Heard) -> None:
        self._answer(heard)
        self.is_committing = False

    def _close(self, heard: Heard) -> None:
        self._answer(heard)
        self.is_open = False

    def at_rest(self) -> bool:
        if self.is_closing:  # be it behind an error: both are answered
            return False
        return not self.is_open or not (self.awaited or self.unconfirmed or self.is_committing)

    def take_lines(self) -> list[str]:
        """What was heard since the last time. What was on its way when the channel was closed may have come or not."""
        lines = list(self.answers)
        if self.is_open:
            deliveries = [(name, text) for name, texts in sorted(self.deliveries.items()) for text in texts]
            lines += [self.tidy(f"to {name}: {text}") for name, text in deliveries]
            lines += [f"confirm {tag} {kind}" for tag, kind in sorted(self.confirms.items())]
            lines += [self.tidy(f"cancelled {name}") for name in sorted(self.cancelled)]
        self._begin()
        return lines
