# SPDX-License-Identifier: Apache-2.0
"""Frames on channel 1 that no library would make: every part can be given."""
import struct

from harness.amqp_raw import BODY, CONTENT_HEADER, frame, long_string, method, short_string


def header(class_id: int = 60, weight: int = 0, size: int = 0, rest: bytes = b"\0\0", channel: int = 1) -> bytes:
    """A content header; `rest` are the flags and properties."""
    return frame(CONTENT_HEADER, channel, struct.pack(">HHQ", class_id, weight, size) + rest)


def body(octets: bytes, channel: int = 1) -> bytes:
    return frame(BODY, channel, octets)


def table(*fields: bytes, key: bytes = b"\x01k") -> bytes:
    """A field table with that key for each of these fields (type and value)."""
    return long_string(b"".join(key + field for field in fields))


def headers(*fields: bytes) -> bytes:
    """A content header with these fields in the property `headers`."""
    return header(rest=b"\x20\0" + table(*fields))


def queue_declare(name: bytes = short_string("q"), arguments: bytes = table()) -> bytes:
    """Passive, so that what can be read says 404."""
    return method((50, 10), b"\0\0" + name + b"\x01" + arguments, 1)


def consume(queue: str, arguments: bytes) -> bytes:
    return method((60, 20), b"\0\0" + short_string(queue) + short_string("t") + b"\0" + arguments, 1)
