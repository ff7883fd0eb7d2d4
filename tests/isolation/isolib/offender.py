# SPDX-License-Identifier: Apache-2.0
"""A client with one open channel that is about to do something wrong, and takes down what it hears from then on."""
from typing import Optional

from pika import spec

from harness.amqp_client import AmqpClient, Heard, content, encode

from .outcome import describe

SILENCE_SECONDS = 60
# Their answers come from the queue, so that others may pass them.
SLOW = {spec.Basic.Consume: spec.Basic.ConsumeOk, spec.Basic.Cancel: spec.Basic.CancelOk}


class Offender:
    def __init__(self, where, vhost: str):
        self.where, self.vhost = where, vhost
        self.outcome: list[str] = []
        self.left = False
        self.ahead: Optional[Heard] = None  # heard already, and not looked at
        self.owed = 0  # slow answers
        self.is_passed = False  # by the answer to what was said last
        self.client = self._join()

    def __enter__(self) -> "Offender":
        return self

    def __exit__(self, *_exc) -> None:
        self.client.sock.close()

    def _join(self, **options) -> AmqpClient:
        client = AmqpClient(self.where, SILENCE_SECONDS).log_in(self.vhost, **options)
        client.call(1, spec.Channel.Open(), spec.Channel.OpenOk)
        return client

    # --- acting

    def again(self, **options) -> None:
        """Starts over, with options of AmqpClient.log_in."""
        self.client.close()
        self.client = self._join(**options)

    def raw(self, *frames: bytes) -> None:
        self.client.send(b"".join(frames))

    def say(self, *commands: spec.amqp_object.Method, channel: int = 1) -> None:
        """Methods without content, at once."""
        self.owed += sum(type(command) in SLOW and not command.nowait for command in commands)
        self.raw(*(encode(command, channel) for command in commands))

    def do(self, *commands: spec.amqp_object.Method, channel: int = 1) -> None:
        """One after the other: each must be answered before the next."""
        for command in commands:
            self.client.call(channel, command, spec.methods[command.INDEX + 1])

    def publish(self, exchange: str = "", key: str = "nowhere", body: bytes = b"", channel: int = 1, properties=None,
                **options) -> None:
        self.client.publish(channel, exchange, key, body, properties, **options)

    def publish_raw(self, *rest: bytes, key: str = "nowhere", channel: int = 1) -> None:
        """The method basic.publish, and then these frames in place of its content."""
        self.raw(content(spec.Basic.Publish(routing_key=key), channel)[0], *rest)

    def leave(self) -> None:
        """Is gone without a word."""
        self.client.sock.close()
        self.left = True

    # --- listening

    def _note(self, heard: Heard) -> None:
        self.owed -= type(heard.method) in SLOW.values()
        self.outcome.append(describe(heard))

    def hear(self, kind: type, channel: int = 1) -> Heard:
        """Waits for this command, which becomes part of the outcome."""
        heard = self.client.wait(channel, kind)
        self._note(heard)
        return heard

    def hears(self, kind: type) -> bool:
        """Waits for a command. One of this kind becomes part of the outcome; another is left for the end."""
        self.ahead = self._next()
        if not self.ahead or not isinstance(self.ahead.method, kind):
            return False
        self._note(self.ahead)
        self.ahead = None
        return True

    def _next(self) -> Optional[Heard]:
        ahead, self.ahead = self.ahead, None
        return ahead or self.client.listen()

    def _say_if_open(self, *commands: spec.amqp_object.Method, channel: int = 1) -> None:
        try:
            self.say(*commands, channel=channel)
        except OSError:  # closed or reset meanwhile: reading will show it
            pass

    def listen_to_the_end(self, is_fine: bool) -> None:
        """Takes down all that comes up to the error that is expected; without one, up to an answer on channel 1."""
        if self.left:
            self.outcome.append("left")
            return
        if is_fine:
            self._say_if_open(spec.Basic.Qos())
        try:
            while self._goes_on(self._next(), is_fine):
                pass
        except TimeoutError:
            self.outcome.append("silence")

    def _goes_on(self, heard: Heard, is_fine: bool) -> bool:
        if heard is None:
            self.outcome.append("dropped")
            return False
        if isinstance(heard.method, spec.Basic.QosOk) and is_fine:
            self.is_passed = True
        else:
            self._note(heard)
        if self.is_passed and self.owed <= 0:
            self.outcome.append("fine")
            self.client.close()
            return False
        if isinstance(heard.method, spec.Connection.Close):
            self._say_if_open(spec.Connection.CloseOk(), channel=0)
            self.client.expect_end()
            return False
        if isinstance(heard.method, spec.Channel.Close):
            self._say_if_open(spec.Channel.CloseOk(), channel=heard.channel)
            self.client.close()
            return False
        return True


def says(*commands: spec.amqp_object.Method, channel: int = 1):
    """A whole program: these commands."""
    return lambda o: o.say(*commands, channel=channel)
