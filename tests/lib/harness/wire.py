# SPDX-License-Identifier: Apache-2.0
"""The session protocol by hand (mux/PROTOCOL.md), to speak it wrongly on purpose."""
import os
import secrets
import socket
import struct
import time
from pathlib import Path
from typing import NamedTuple, Optional

VERSION = 1
HELLO, OPEN, OPEN_OK, DATA, MAX_DATA, RESET, PING, PONG, GOAWAY, DETACH = range(1, 11)
GUEST, HOST, AMQP = 1, 2, 3  # roles
FIN = RESUME = 1  # flags
INITIAL_CREDIT = 65536
UNKNOWN_SESSION, OFFSET_RANGE, CREDIT_EXCEEDED, UNKNOWN_SERVICE = 6, 9, 10, 16  # codes of RESET
NO_BYTES = 0x2D06800538D394C2  # the digest of nothing


class Frame(NamedTuple):
    type: int
    flags: int
    session: int
    payload: bytes

    def reset_code(self) -> int:
        assert self.type == RESET, f"not a RESET: {self}"
        return struct.unpack_from(">I", self.payload)[0]

    def reset_reason(self) -> str:
        return self.payload[4:].decode()


def frame(kind: int, session: int, payload: bytes = b"", flags: int = 0, length: Optional[int] = None) -> bytes:
    """A frame; `length` overrides what the header says about the payload."""
    size = len(payload) if length is None else length
    return struct.pack(">BBHII", kind, flags, 0, session, size) + payload


def hello(role: int, name: bytes = b"test", magic: bytes = b"AMVS", version: int = VERSION,
          max_frame: int = 65600) -> bytes:
    return frame(HELLO, 0, magic + struct.pack(">HBIQI", version, role, max_frame, secrets.randbits(64), 0) + name)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack(">HH", kind, len(value)) + value


def open_session(session: int, service: bytes = b"", attempt: int = 1, token: Optional[bytes] = None,
                 max_data: int = 1 << 19, received: int = 0, sent: int = 0, flags: int = 0) -> bytes:
    """OPEN; no service name stands for AMQP. The digest is right while nothing was received."""
    head = (token or secrets.token_bytes(16)) + struct.pack(">IQQQQ", attempt, received, NO_BYTES, sent, max_data)
    return frame(OPEN, session, head + attribute(1, service), flags)


def data(session: int, offset: int, content: bytes, flags: int = 0) -> bytes:
    return frame(DATA, session, struct.pack(">Q", offset) + content, flags)


def max_data(session: int, received: int, limit: int) -> bytes:
    return frame(MAX_DATA, session, struct.pack(">QQ", received, limit))


def guest_socket(fabric: Path, cid: int, host_port: int, timeout: float = 10) -> socket.socket:
    """A stream from guest `cid` to the host on the embedded fabric: vmci/fabric.h says how it is named."""
    folder = fabric / str(cid)
    folder.mkdir(mode=0o711, exist_ok=True)
    name = folder / f"{1024 + secrets.randbelow(1 << 30)}.stream"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    sock.bind(str(name))
    os.chmod(name, 0o600)
    try:
        sock.connect(str(fabric / "2" / f"{host_port}.stream"))
    finally:
        name.unlink()
    return sock


class Peer:
    """One connection that speaks frames."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.sock.close()

    def send(self, *frames: bytes) -> None:
        self.sock.sendall(b"".join(frames))

    def read(self) -> Optional[Frame]:
        """The next frame but PINGs, which are answered; None when the peer has closed or reset."""
        while True:
            if len(self.buffer) >= 12:
                kind, flags, _zero, session, size = struct.unpack_from(">BBHII", self.buffer)
                if len(self.buffer) >= 12 + size:
                    payload, self.buffer = self.buffer[12:12 + size], self.buffer[12 + size:]
                    if kind != PING:
                        return Frame(kind, flags, session, payload)
                    self.send(frame(PONG, session, payload))
                    continue
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.buffer += more

    def expect(self, kind: int, session: Optional[int] = None) -> Frame:
        """Skips other frames until one of this type (and session) comes."""
        while True:
            found = self.read()
            assert found is not None, f"closed before a frame of type {kind}"
            if found.type == kind and session in (None, found.session):
                return found

    def expect_end(self, within: float = 20) -> list[Frame]:
        """The peer must close within so many seconds; returns what it said before that."""
        self.sock.settimeout(0.2)
        deadline, said = time.monotonic() + within, []
        while True:
            try:
                found = self.read()
            except (TimeoutError, BrokenPipeError):
                assert time.monotonic() < deadline, f"still open after {within} s; it said {said}"
                continue
            if found is None:
                return said
            said.append(found)
