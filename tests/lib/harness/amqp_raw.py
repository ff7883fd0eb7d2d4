# SPDX-License-Identifier: Apache-2.0
"""Just enough AMQP 0-9-1 by hand to see exactly what a peer sends, and to send what no client library would."""
import select
import socket
import struct
import time
from typing import NamedTuple, Optional

from .chain import Endpoint

HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, CONTENT_HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = 0xCE

# (class, method) of the connection class
START, START_OK = (10, 10), (10, 11)
TUNE, TUNE_OK = (10, 30), (10, 31)
OPEN, OPEN_OK = (10, 40), (10, 41)
CLOSE, CLOSE_OK = (10, 50), (10, 51)


class Frame(NamedTuple):
    type: int
    channel: int
    payload: bytes

    @property
    def method(self) -> Optional[tuple]:
        return struct.unpack_from(">HH", self.payload) if self.type == METHOD else None

    def close_reason(self) -> tuple[int, str]:
        """Reply code and text of a Connection.Close."""
        assert self.method == CLOSE, f"not a Connection.Close: {self}"
        code, length = struct.unpack_from(">HB", self.payload, 4)
        return code, self.payload[7:7 + length].decode()


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([FRAME_END])


def method(ids: tuple, arguments: bytes = b"", channel: int = 0) -> bytes:
    return frame(METHOD, channel, struct.pack(">HH", *ids) + arguments)


def short_string(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def long_string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def plain_start_ok(user: str = "guest", password: str = "guest") -> bytes:
    """Connection.Start-Ok without client properties."""
    response = f"\0{user}\0{password}".encode()
    return method(START_OK, long_string(b"") + short_string("PLAIN") + long_string(response) + short_string("en_US"))


class RawClient:
    """A client connection, frame by frame. Reading past the peer's end gives None."""

    def __init__(self, where, timeout: float = 30):
        """`where` is an Endpoint, or the path of a Unix socket."""
        if isinstance(where, Endpoint):
            self.sock = socket.create_connection(where, timeout)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(str(where))
        self.heartbeats = 0

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self, count: int) -> Optional[bytes]:
        """Exactly that many bytes, or None when the peer has closed before the first."""
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                assert not data, f"closed inside of a frame, after {data!r}"
                return None
            data += more
        return data

    def read_frame(self) -> Optional[Frame]:
        """The next frame but heartbeats, which are counted."""
        while True:
            head = self.receive(7)
            if head is None:
                return None
            kind, channel, size = struct.unpack(">BHI", head)
            rest = self.receive(size + 1)
            assert rest is not None and rest[-1] == FRAME_END, f"bad end of frame {head!r}"
            if kind != HEARTBEAT:
                return Frame(kind, channel, rest[:-1])
            self.heartbeats += 1

    def expect(self, ids: tuple) -> Frame:
        """The next frame, which must be this method."""
        found = self.read_frame()
        assert found and found.method == ids, f"expected method {ids}, got {found}"
        return found

    def start(self) -> Frame:
        """Sends the protocol header; returns Connection.Start."""
        self.send(HEADER)
        return self.expect(START)

    def start_ok(self, user: str = "guest", password: str = "guest") -> None:
        self.send(plain_start_ok(user, password))

    def open(self, vhost: str, heartbeat: int = 0) -> None:
        """The whole handshake."""
        self.start()
        self.start_ok()
        self.finish_open(vhost, heartbeat)

    def finish_open(self, vhost: str, heartbeat: int = 0) -> None:
        """The handshake from the answer to Start-Ok on."""
        self.ask_open(vhost, heartbeat)
        self.expect(OPEN_OK)

    def ask_open(self, vhost: str, heartbeat: int = 0) -> None:
        """The same, without waiting for the answer to Open."""
        channel_max, frame_max, _ = struct.unpack_from(">HIH", self.expect(TUNE).payload, 4)
        self.send(method(TUNE_OK, struct.pack(">HIH", channel_max, frame_max, heartbeat)))
        self.send(method(OPEN, short_string(vhost) + b"\0\0"))

    def read_close(self) -> tuple[int, str]:
        """Code and text of the Connection.Close that must come next; answers it, and then the peer must close."""
        reason = self.expect(CLOSE).close_reason()
        self.send(method(CLOSE_OK))
        self.expect_end()
        return reason

    def expect_end(self) -> None:
        """The peer must close the connection now, or reset it, without another frame."""
        try:
            found = self.read_frame()
        except ConnectionResetError:
            return
        assert found is None, f"expected the end of the connection, got {found}"

    def expect_silence(self, seconds: float) -> None:
        """Nothing but heartbeats may come for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.sock], [], [], left)[0]:
                found = self.receive(8)
                assert found and found[0] == HEARTBEAT, f"not silent: {found!r}"
                self.heartbeats += 1
