# SPDX-License-Identifier: Apache-2.0
"""Plays a program against one endpoint, and takes down what is heard after each step."""
import random
import re
import time
from itertools import count, groupby
from typing import Optional

from pika import spec
from pika.spec import Basic, Channel, Connection, Exchange, Queue

from harness.amqp_client import OVERHEAD, AmqpClient, Heard, content, encode
from harness.amqp_raw import BODY, frame
from harness.chain import Endpoint
from harness.workspace import wait_until

from .channel import ChannelLog
from .commands import DEAD_QUEUE, QUEUES, Command
from .generate import Step
from .themes import SETTLING, Pace

FRAME_MAX = {"a": 4096, "b": 131072}
# Channels from which the player looks at queues.
VIEWS = {name: 200 + number for number, name in enumerate((*QUEUES, DEAD_QUEUE))}
LOCKED = "405"
SLOW = ("Tx.Commit", "Basic.Consume", "Basic.Cancel", "Queue.Delete", "Channel.Close")
AFTER_AN_END_SECONDS = 0.1
REPLY_ADDRESS = re.compile(r"amq\.rabbitmq\.reply-to\.[^' ]+")
IN_VHOST = r"in vhost \\?'[^' \\]*"  # also where it is cut off
runs = count()


def has_messages(said: list) -> bool:
    return any(command.name in ("publish", "flood") for _actor, command in said)


class Seat:
    """One client of the program."""

    def __init__(self, where: Endpoint, vhost: str, name: str, tidy):
        self.name, self.tidy = name, tidy
        self.client = AmqpClient(where).log_in(vhost, frame_max=FRAME_MAX[name],
                                               capabilities={"consumer_cancel_notify": True})
        self.channels: dict[int, ChannelLog] = {}
        self.views: dict[int, Optional[Heard]] = {}
        self.opening = 0  # the channel that is being opened
        self.end: Optional[str] = None  # what ended the connection
        for view in VIEWS.values():
            self.client.call(view, Channel.Open(), Channel.OpenOk)

    def open(self, number: int) -> ChannelLog:
        """That channel, open."""
        log = self.channels.get(number)
        if log is None:
            self.client.say(number, Channel.Open())
            self.opening = number
            while self.opening:
                self.listen()
                assert not self.end, f"the connection has ended while channel {number} was being opened: {self.end}"
            log = self.channels[number] = ChannelLog(self.tidy)
        return log

    def forget_closed(self) -> None:
        self.channels = {number: log for number, log in self.channels.items() if log.is_open}

    def listen(self) -> None:
        """Takes one command to where it belongs."""
        heard = self.client.listen()
        if heard is None:
            self.end = "dropped"
        elif isinstance(heard.method, (Connection.Close, Connection.CloseOk)):
            self._end(heard)
        elif heard.channel in self.views:
            self.views[heard.channel] = heard
        elif heard.channel == self.opening and isinstance(heard.method, Channel.OpenOk):
            self.opening = 0
        elif heard.channel in self.channels:  # otherwise it was said behind the broker's Close
            self._hear(self.channels[heard.channel], heard)

    def _hear(self, log: ChannelLog, heard: Heard) -> None:
        log.hear(heard)
        if isinstance(heard.method, Channel.Close):
            self.client.say(heard.channel, Channel.CloseOk())
        elif isinstance(heard.method, Channel.CloseOk):
            log.is_open = log.is_closing = False

    def _end(self, heard: Heard) -> None:
        said = vars(heard.method)
        self.end = self.tidy(f"{heard.method.NAME} {said or ''}")
        if isinstance(heard.method, Connection.Close):
            self.client.say(0, Connection.CloseOk())
            self.client.expect_end()
        self.client.sock.close()

    # --- coming to rest

    def catch_up(self) -> None:
        """Until all that was said is answered, and confirmed."""
        for number, log in self.channels.items():
            if log.is_open and not log.is_closing and not log.is_committing:
                log.awaited += 1
                self.client.say(number, Channel.Flow(True))
        while not self.end and not all(log.at_rest() for log in self.channels.values()):
            self.listen()

    def look(self, queues: dict[str, str]) -> dict[str, str]:
        """Asks after these queues (the program's name: the real one). What they are, by the program's name."""
        self.views = {VIEWS[name]: None for name in queues}
        for name, queue in queues.items():
            self.client.say(VIEWS[name], Queue.Declare(queue=queue, passive=True))
        while not all(self.views.values()):
            self.listen()
        seen, self.views = self.views, {}
        return {name: self._describe(seen[VIEWS[name]]) for name in queues}

    def _describe(self, heard: Heard) -> str:
        if isinstance(heard.method, Queue.DeclareOk):
            return f"{heard.method.message_count} messages, {heard.method.consumer_count} consumers"
        self.client.say(heard.channel, Channel.CloseOk())
        self.client.call(heard.channel, Channel.Open(), Channel.OpenOk)
        return str(heard.method.reply_code)


class Player:
    def __init__(self, where: dict[str, Endpoint], broker: Endpoint, vhost: str):
        """`where` each client connects, by its name."""
        self.where, self.broker, self.vhost = where, broker, vhost
        self.prefix = f"run{next(runs):05}."  # of the names of this run, which are others' no more
        self.made: set[str] = set()  # queues, also those that the broker has named
        self.exchanges: set[str] = set()
        self.seats: dict[str, Seat] = {}
        self.pace = Pace()

    # --- names

    def name(self, value):
        """The program's names (@…) in a value made those of this run."""
        if isinstance(value, str):
            return value.replace("@", self.prefix)
        if isinstance(value, dict):
            return {key: self.name(inner) for key, inner in value.items()}
        return value

    def tidy(self, text: str) -> str:
        """And back, with all else that is no program's."""
        self.made.update(re.findall(r"amq\.gen-[\w-]+", text))
        text = re.sub(r"amq\.(gen|ctag)-[\w-]+", r"amq.\1-*", text.replace(self.prefix, "@"))
        text = REPLY_ADDRESS.sub("amq.rabbitmq.reply-to.*", text)
        return re.sub(IN_VHOST, "in vhost '*", text)

    # --- saying

    def seat(self, name: str) -> Seat:
        if name not in self.seats or self.seats[name].end:
            self.seats[name] = Seat(self.where[name], self.vhost, name, self.tidy)
        return self.seats[name]

    def open(self, name: str, number: int) -> ChannelLog:
        """That channel, which begins as the program's pace says."""
        seat = self.seat(name)
        is_new = number not in seat.channels
        log = seat.open(number)
        if is_new and self.pace.select:
            select = self.pace.select()
            log.will_say(select)
            seat.client.say(number, select)
        return log

    def frames(self, log: ChannelLog, channel: int, command: Command, frame_max: int) -> list[bytes]:
        """The command as frames, noted in the channel's books; none when there is nothing that it could be about."""
        arguments = self.name(command.arguments)
        needed = {"delivery": log.outstanding, "consumer": log.consumers, "transaction": log.transactional,
                  "first": not log.consumers, "reply": log.reply_to}
        if not all(needed[name] for name in arguments if name in needed):
            return []
        if command.name == "publish":
            return self._publish(log, channel, arguments, frame_max)
        if command.name == "flood":
            return self._flood(log, channel, **arguments)
        if command.name == "body":
            return [frame(BODY, channel, b"out of place")]
        if command.name == "bye":
            return [encode(Connection.Close(200, "", 0, 0), 0)]
        kind = getattr(getattr(spec, command.name.split(".")[0]), command.name.split(".")[1])
        method = kind(**self._resolve(log, command.name, arguments))
        log.will_say(method)
        self._will_make(method)
        return content(method, channel) if kind is Basic.Publish else [encode(method, channel)]

    def _will_make(self, method) -> None:
        """Notes what is to be deleted afterwards."""
        if isinstance(method, Queue.Declare) and self.prefix in method.queue:
            self.made.add(re.sub("[\r\n]", "", method.queue))
        elif isinstance(method, Exchange.Declare) and self.prefix in method.exchange:
            self.exchanges.add(re.sub("[\r\n]", "", method.exchange))

    @staticmethod
    def _resolve(log: ChannelLog, name: str, arguments: dict) -> dict:
        """What depends on what was heard until now."""
        arguments = {key: value for key, value in arguments.items() if key not in ("transaction", "first")}
        if arguments.pop("all", False):
            log.outstanding.clear()
        if arguments.pop("reply", False):
            arguments["queue"] = log.reply_to
        if "delivery" in arguments:
            arguments["delivery_tag"] = log.take_tag(arguments.pop("delivery"), arguments.get("multiple", False))
        if "consumer" in arguments:
            arguments["consumer_tag"] = log.consumer(arguments.pop("consumer"))
        if name == "Basic.Consume":
            arguments["consumer_tag"] = log.free_tag(arguments["consumer_tag"], arguments["nowait"])
        if name == "Queue.Declare" and not arguments["queue"]:
            arguments["nowait"] = False  # the player must hear of its name
        return arguments

    def _publish(self, log: ChannelLog, channel: int, arguments: dict, frame_max: int) -> list[bytes]:
        body = bytes([arguments["fill"]]) * arguments["size"]
        key = log.reply_to if "reply" in arguments else arguments["routing_key"]
        method = Basic.Publish(exchange=arguments["exchange"], routing_key=key, mandatory=arguments["mandatory"])
        log.will_say(method)
        return content(method, channel, body, spec.BasicProperties(**arguments["properties"]),
                       arguments["piece"] or frame_max - OVERHEAD)

    @staticmethod
    def _flood(log: ChannelLog, channel: int, routing_key: str, count: int, size: int) -> list[bytes]:
        """Numbered messages as one piece, for they would take their time one by one."""
        method, frames = Basic.Publish(routing_key=routing_key), []
        for number in range(count):
            log.will_say(method)
            frames += content(method, channel, f"{number:0{size}}".encode()[:size])
        return [b"".join(frames)]

    def _say(self, said: list, mix: int) -> None:
        """All commands at once, those of each channel in order."""
        lines = {}
        for (name, number), command in said:
            log = self.open(name, number)
            lines.setdefault((name, number), []).extend(self.frames(log, number, command, FRAME_MAX[name]))
        rng = random.Random(mix)
        turns = [actor for actor, frames in lines.items() for _ in frames]
        if len(lines) > 1:
            rng.shuffle(turns)
        for name, group in groupby(turns, lambda actor: actor[0]):
            self.seats[name].client.send(b"".join(lines[actor].pop(0) for actor in group))

    # --- steps

    def _parts(self, step: Step) -> list[list]:
        """The step in parts of which each has only one outcome when said at once.

        What comes behind tx.commit or channel.close, and basic.cancel before consume-ok, may end a connection or not.
        The answers to basic.consume and cancel come from the queue, other answers may pass them. With a consumer that
        acks nothing, what was on its way when its channel is closed is lost or not. Queues do acks before messages, if
        both wait, and deliver in between what an ack has made room for. A consumer whose queue is deleted and declared
        again at once may go on with the new one."""
        parts = [[]]
        logs = [self.open(name, number) for (name, number), _command in step.said]
        is_silent, is_fed = any(log.silent for log in logs), any(log.consumers for log in logs)
        for actor, command in step.said:
            is_silent |= command.name == "Basic.Consume" and command.arguments["no_ack"]
            is_fed |= command.name == "Basic.Consume"
            is_last = command.arguments.get("queue") == ""  # RabbitMQ looks for it even behind an error, and errs again
            # The proxies' recover-async gives back what has been delivered when it comes, not what is on its way.
            if is_last or command.name in ("Basic.Cancel", "Basic.RecoverAsync"):
                parts.append([])
            if command.name in SETTLING and (is_fed or has_messages(parts[-1])):
                parts.append([])
            parts[-1].append((actor, command))
            if is_silent or command.name in (*SLOW, *self.pace.apart) or is_fed and command.name in SETTLING:
                parts.append([])
        return [part for part in parts if part]

    def _rest(self) -> dict[str, str]:
        """Waits until nothing moves: channels have answered, queues have done what these have told them, and what
        queues then told others has been done as well. Returns what the queues are."""
        def look() -> tuple[dict, int]:
            views = self._round()
            return views, sum(log.delivered for seat in self.seats.values() for log in seat.channels.values())
        seen, since = look(), time.monotonic()
        again = look()
        while again != seen or time.monotonic() < since + self._pause():
            if again != seen:
                seen, since = again, time.monotonic()
            again = look()
        self._catch_up()
        return seen[0]

    def _pause(self) -> float:
        """For how long nothing must have moved. Queues hear of the end of a channel from nobody but its process, and
        only then have again what was got there, which no answer tells of."""
        ended = any(seat.end or not all(log.is_open for log in seat.channels.values()) for seat in self.seats.values())
        return max(self.pace.quiet, AFTER_AN_END_SECONDS if ended else 0)

    def _catch_up(self) -> None:
        for seat in self.seats.values():
            if not seat.end:
                seat.catch_up()

    def _round(self) -> dict[str, str]:
        """What the queues are, those that are exclusive in the eyes of their owner. When he has gone, his queues take
        a moment to go as well."""
        self._catch_up()
        views = {name: LOCKED for name in VIEWS}

        def are_known() -> bool:
            for seat in self.seats.values():
                if not seat.end:
                    views.update(seat.look({name: self.name(name) for name, seen in views.items() if seen == LOCKED}))
            return LOCKED not in views.values()
        wait_until(are_known, what=lambda: f"locked queues have gone with their client: {views}")
        return views

    def step(self, step: Step) -> list[str]:
        """What is heard, a line for each thing."""
        lines = []
        self.pace = step.pace
        for name in FRAME_MAX:
            self.seat(name)
        for said in self._parts(step):
            self._say(said, step.mix)
            views = self._rest()
            for name, seat in sorted(self.seats.items()):
                for number, log in sorted(seat.channels.items()):
                    lines += [f"{name}{number} {line}" for line in log.take_lines()]
                seat.forget_closed()
                if seat.end:
                    lines.append(f"{name} {seat.end}")
            lines += self._lines_of(views)
            self.seats = {name: seat for name, seat in self.seats.items() if not seat.end}
        return lines

    def _lines_of(self, views: dict[str, str]) -> list[str]:
        shown = {name: view if self.pace.counts or view.isdigit() else "is there" for name, view in views.items()}
        return [f"{name}: {view}" for name, view in shown.items()]

    def play(self, steps: list[Step]) -> list[list[str]]:
        """What is heard after each step. What makes it impossible to go on is the last thing heard."""
        heard = []
        try:
            for step in steps:
                heard.append(self.step(step))
        except (AssertionError, OSError, KeyError, IndexError) as error:
            heard.append([f"{type(error).__name__}: {error}"])
        finally:
            self._clean_up()
        return heard

    # --- afterwards

    def _clean_up(self) -> None:
        """Nothing of this run is left in the vhost, or it would play a part in the next."""
        for seat in self.seats.values():
            seat.client.sock.close()
        client = AmqpClient(self.broker).log_in(self.vhost)
        client.call(1, Channel.Open(), Channel.OpenOk)
        for queue in sorted(self.made):
            wait_until(lambda queue=queue: self._delete(client, queue), what=f"queue {queue} can be deleted")
        for exchange in sorted(self.exchanges):
            client.call(1, Exchange.Delete(exchange=exchange), Exchange.DeleteOk)
        client.close()

    @staticmethod
    def _delete(client: AmqpClient, queue: str) -> bool:
        """Whether it is gone; not yet, while it is locked by a client that is going."""
        client.say(1, Queue.Delete(queue=queue))
        heard = client.listen()
        if isinstance(heard.method, Queue.DeleteOk):
            return True
        client.say(1, Channel.CloseOk())
        client.call(1, Channel.Open(), Channel.OpenOk)
        return False
