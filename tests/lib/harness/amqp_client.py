# SPDX-License-Identifier: Apache-2.0
"""A client that says exactly what it is told to, and takes what it hears apart by channel.

Unlike a client library it checks nothing, waits for nothing and answers nothing by itself.
"""
import struct
from collections import defaultdict, deque
from typing import NamedTuple, Optional

import pika
from pika import spec

from .amqp_raw import (BODY, CONTENT_HEADER, METHOD, OPEN, OPEN_OK, START_OK, TUNE, TUNE_OK, Frame, RawClient, frame,
                       long_string, method, short_string)

HEADER_FIXED = 12  # class, weight, size of the body
BIG = 131072  # the frame_max that RabbitMQ offers
OVERHEAD = 8  # of a frame


def encode(command: spec.amqp_object.Method, channel: int) -> bytes:
    """A method without content as a frame."""
    return pika.frame.Method(channel, command).marshal()


def content_header(channel: int, size: int, properties: Optional[spec.BasicProperties] = None) -> bytes:
    return pika.frame.Header(channel, size, properties or spec.BasicProperties()).marshal()


def content(command: spec.amqp_object.Method, channel: int, body: bytes = b"",
            properties: Optional[spec.BasicProperties] = None, piece: int = BIG - OVERHEAD) -> list[bytes]:
    """A method with its content as frames, with at most `piece` bytes of the body in each."""
    bodies = [frame(BODY, channel, body[at:at + piece]) for at in range(0, len(body), piece)]
    return [encode(command, channel), content_header(channel, len(body), properties), *bodies]


class Heard(NamedTuple):
    """A whole command of the broker's."""
    channel: int
    method: spec.amqp_object.Method
    properties: Optional[spec.BasicProperties] = None
    body: Optional[bytes] = None


class AmqpClient(RawClient):
    """One connection. Commands are heard in order (`listen`) or by channel (`wait`)."""

    def __init__(self, where, timeout: float = 30):
        super().__init__(where, timeout)
        self.frame_max = BIG
        self.partial: dict[int, tuple] = {}  # channel: method, properties, size, pieces of the body so far
        self.waiting: dict[int, deque] = defaultdict(deque)  # heard by `wait` while it was after something else

    def log_in(self, vhost: str, user: str = "guest", password: str = "guest", frame_max: int = BIG,
               channel_max: int = 2047, capabilities: Optional[dict] = None) -> "AmqpClient":
        """The handshake. `capabilities` go into the client properties."""
        self.start()
        if capabilities is None:
            self.start_ok(user, password)
        else:
            pieces: list[bytes] = []
            pika.data.encode_table(pieces, {"capabilities": capabilities})
            self.send(method(START_OK, b"".join(pieces) + short_string("PLAIN")
                             + long_string(f"\0{user}\0{password}".encode()) + short_string("en_US")))
        self.expect(TUNE)
        self.frame_max = frame_max
        self.send(method(TUNE_OK, struct.pack(">HIH", channel_max, frame_max, 0)))
        self.send(method(OPEN, short_string(vhost) + b"\0\0"))
        self.expect(OPEN_OK)
        return self

    # --- saying

    def say(self, channel: int, *commands: spec.amqp_object.Method) -> None:
        self.send(b"".join(encode(command, channel) for command in commands))

    def publish(self, channel: int, exchange: str, key: str, body: bytes = b"",
                properties: Optional[spec.BasicProperties] = None, **options) -> None:
        command = spec.Basic.Publish(exchange=exchange, routing_key=key, **options)
        self.send(b"".join(content(command, channel, body, properties, self.frame_max - OVERHEAD)))

    # --- hearing

    def listen(self) -> Optional[Heard]:
        """The next whole command on any channel; None at the connection's end, be it a reset."""
        while True:
            try:
                found = self.read_frame()
            except ConnectionResetError:
                return None
            if found is None:
                return None
            whole = self._assemble(found)
            if whole:
                return whole

    def _assemble(self, found: Frame) -> Optional[Heard]:
        if found.type == METHOD:
            command = spec.methods[struct.unpack_from(">I", found.payload)[0]]().decode(found.payload, 4)
            if not spec.has_content(command.INDEX):
                return Heard(found.channel, command)
            self.partial[found.channel] = (command, None, 0, [])
            return None
        command, properties, size, pieces = self.partial[found.channel]
        if found.type == CONTENT_HEADER:
            size = struct.unpack_from(">Q", found.payload, 4)[0]
            properties = spec.BasicProperties().decode(found.payload, HEADER_FIXED)
        else:
            pieces.append(found.payload)
        self.partial[found.channel] = (command, properties, size, pieces)
        if sum(map(len, pieces)) < size:
            return None
        del self.partial[found.channel]
        return Heard(found.channel, command, properties, b"".join(pieces))

    def wait(self, channel: int, kind: type) -> Heard:
        """The next command on that channel, which must be of this kind. What comes on others is kept for later."""
        while not self.waiting[channel]:
            heard = self.listen()
            assert heard is not None, f"the connection has ended, without {kind.__name__} on channel {channel}"
            self.waiting[heard.channel].append(heard)
        heard = self.waiting[channel].popleft()
        assert isinstance(heard.method, kind), f"expected {kind.__name__} on channel {channel}, got {heard}"
        return heard

    def call(self, channel: int, command: spec.amqp_object.Method, answer: type) -> Heard:
        self.say(channel, command)
        return self.wait(channel, answer)

    def leftover(self) -> list[Heard]:
        """What was heard and nobody has waited for."""
        return [heard for queue in self.waiting.values() for heard in queue]

    def close(self) -> None:
        """Connection.Close and its answer; whatever else comes is dropped."""
        self.say(0, spec.Connection.Close(200, "bye", 0, 0))
        while (heard := self.listen()) and not isinstance(heard.method, spec.Connection.CloseOk):
            pass
        self.sock.close()
