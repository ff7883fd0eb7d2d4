# SPDX-License-Identifier: Apache-2.0
"""Frames and methods that can't be read, or come where they have no place."""
import struct

from pika import spec

from harness.amqp_client import content_header, encode
from harness.amqp_raw import CONTENT_HEADER, HEARTBEAT, METHOD, frame, long_string, method, short_string

from .frames import body, header, headers, queue_declare, table
from .program import DROPPED, FINE, LEFT, Program

SMALL = 4096  # the least frame_max that AMQP allows
QOS = encode(spec.Basic.Qos(), 1)
CHANNEL_CLOSE = encode(spec.Channel.Close(200, "", 0, 0), 1)
NOT_UTF8 = b"\x04\xff\xfe\xfd\xfc"  # as a short string


def bad_end(whole: bytes) -> bytes:
    return whole[:-1] + b"\xcd"


def body_of(size: int):
    """A body of so many bytes in one frame, from a client that has chosen the least frame_max."""
    def act(o) -> None:
        o.again(frame_max=SMALL)
        o.publish_raw(content_header(1, size), body(bytes(size)))
    return act


# A field of each type that RabbitMQ knows, but for decimals in headers: queue_types.py.
DECIMAL = b"D\1\0\0\0\1"
EVERY_TYPE = (
    b"S" + long_string(b"s"), b"I\0\0\0\1", b"T" + bytes(8), b"b\xff", b"B\xff", b"s\0\1", b"u\0\1", b"i\0\0\0\1",
    b"d" + struct.pack(">d", 1.5), b"f" + struct.pack(">f", 1.5), b"l" + bytes(8), b"L" + bytes(8), b"t\1",
    b"F" + table(b"I\0\0\0\1"), b"A" + long_string(b"I\0\0\0\1"), b"x" + long_string(b"\xff"), b"V")
DOUBLE_NAN, FLOAT_INF = b"d" + struct.pack(">d", float("nan")), b"f" + struct.pack(">f", float("inf"))


def leaves_after(*frames: bytes):
    def act(o) -> None:
        o.publish_raw(*frames)
        o.leave()
    return act


def cut_short(o) -> None:
    o.raw(QOS[:9])
    o.leave()


def closed_mid_content(o) -> None:
    """The broker closes the channel while a message is half said: the rest must still be said before the answer."""
    o.publish(exchange="no-such-exchange")
    o.publish_raw(content_header(1, 10), body(b"12345"))
    o.hear(spec.Channel.Close)
    o.raw(body(b"67890"))
    o.say(spec.Channel.CloseOk())
    o.do(spec.Channel.Open())


PROGRAMS = [
    Program(501, "a frame of type 9", lambda o: o.raw(frame(9, 1, b""))),
    Program(501, "a frame of type 0", lambda o: o.raw(frame(0, 1, b""))),
    Program(501, "a frame of type 4", lambda o: o.raw(frame(4, 1, b"\0"))),
    Program(501, "wrong end of a method frame", lambda o: o.raw(bad_end(QOS))),
    Program(501, "wrong end of a body frame", lambda o: o.publish_raw(content_header(1, 3), bad_end(body(b"abc")))),
    Program(501, "a frame of 9 bytes over frame_max", body_of(SMALL + 1)),
    Program(FINE, "a frame of 8 bytes over frame_max", body_of(SMALL)),
    Program(FINE, "a frame of frame_max", body_of(SMALL - 8)),
    Program(501, "a method of 3 bytes", lambda o: o.raw(frame(METHOD, 1, b"\0\x3c\0"))),
    Program(501, "a method of no bytes", lambda o: o.raw(frame(METHOD, 1, b""))),
    Program(501, "a content header of 11 bytes",
            lambda o: o.publish_raw(frame(CONTENT_HEADER, 1, b"\0\x3c" + bytes(9)))),
    Program(501, "a heartbeat with a payload", lambda o: o.raw(frame(HEARTBEAT, 0, b"x"))),
    Program(FINE, "a heartbeat", lambda o: o.raw(frame(HEARTBEAT, 0, b""))),

    Program(505, "a content header without method", lambda o: o.raw(content_header(1, 0))),
    Program(505, "a body without method", lambda o: o.raw(body(b"abc"))),
    Program(505, "a method where a content header is due", lambda o: o.publish_raw(QOS)),
    Program(505, "channel.close where a content header is due", lambda o: o.publish_raw(CHANNEL_CLOSE)),
    Program(505, "a body where a content header is due", lambda o: o.publish_raw(body(b"abc"))),
    Program(505, "a method where a body is due", lambda o: o.publish_raw(content_header(1, 5), QOS)),
    Program(505, "channel.close where a body is due", lambda o: o.publish_raw(content_header(1, 5), CHANNEL_CLOSE)),
    Program(505, "a content header where a body is due",
            lambda o: o.publish_raw(content_header(1, 5), content_header(1, 5))),
    Program(505, "a content header of class 50", lambda o: o.publish_raw(header(class_id=50))),
    Program(505, "a content header of weight 1", lambda o: o.publish_raw(header(weight=1))),
    Program(505, "a body after size 0", lambda o: o.publish_raw(content_header(1, 0), body(b"abc"))),
    Program(505, "a heartbeat on channel 1", lambda o: o.raw(frame(HEARTBEAT, 1, b""))),
    Program(505, "a content header on channel 0", lambda o: o.raw(content_header(0, 0))),
    Program(505, "a body on channel 0", lambda o: o.raw(body(b"abc", 0))),
    Program(505, "more body than was said, then a method",
            lambda o: o.publish_raw(content_header(1, 3), body(b"abcdef"), QOS)),
    Program(FINE, "a body in pieces of one byte and of none",
            lambda o: o.publish_raw(content_header(1, 3), body(b"a"), body(b""), body(b"b"), body(b"c"))),

    Program(DROPPED, "class 99", lambda o: o.raw(method((99, 10), b"", 1))),
    Program(DROPPED, "method 99 of class 60", lambda o: o.raw(method((60, 99), b"", 1))),
    Program(501, "a method that is too short", lambda o: o.raw(method((60, 10), b"\0\0\0\0\0", 1))),
    Program(501, "a method with more behind it", lambda o: o.raw(method((60, 10), bytes(8), 1))),
    Program(501, "a short string past the end", lambda o: o.raw(method((60, 30), b"\x20abc\0", 1))),
    Program(501, "a queue name that is not UTF-8", lambda o: o.raw(queue_declare(NOT_UTF8))),
    Program(501, "a consumer tag that is not UTF-8", lambda o: o.raw(method((60, 30), NOT_UTF8 + b"\0", 1))),
    Program(501, "a reply text that is not UTF-8",
            lambda o: o.raw(method((20, 40), b"\0\xc8" + NOT_UTF8 + bytes(4), 1))),
    Program(FINE, "a routing key that is not UTF-8",
            lambda o: o.raw(method((60, 40), b"\0\0\0" + NOT_UTF8 + b"\0", 1), content_header(1, 0))),
    Program(FINE, "a property that is not UTF-8", lambda o: o.publish_raw(header(rest=b"\x80\0" + NOT_UTF8))),

    Program(404, "every type of field in a method",
            lambda o: o.raw(queue_declare(arguments=table(*EVERY_TYPE, DECIMAL)))),
    Program(FINE, "every type of field in a header", lambda o: o.publish_raw(headers(*EVERY_TYPE))),
    Program(DROPPED, "field type Z in a method", lambda o: o.raw(queue_declare(arguments=table(b"Z\0")))),
    Program(DROPPED, "field past its table in a method", lambda o: o.raw(queue_declare(arguments=table(b"I\0")))),
    Program(501, "table past the method", lambda o: o.raw(queue_declare(arguments=struct.pack(">I", 99)))),
    Program(DROPPED, "array past its table", lambda o: o.raw(queue_declare(arguments=table(b"A\0\0\0\x63")))),
    Program(DROPPED, "NaN in a method", lambda o: o.raw(queue_declare(arguments=table(DOUBLE_NAN)))),
    Program(541, "field type Z in a header", lambda o: o.publish_raw(headers(b"Z\0"))),
    Program(541, "field past its table in a header", lambda o: o.publish_raw(headers(b"I\0"))),
    Program(541, "NaN in a header", lambda o: o.publish_raw(headers(DOUBLE_NAN))),
    Program(541, "infinity in a header", lambda o: o.publish_raw(headers(FLOAT_INF))),
    Program(541, "a property that is missing", lambda o: o.publish_raw(header(rest=b"\x80\0"))),
    Program(541, "bytes behind the properties", lambda o: o.publish_raw(header(rest=b"\0\0abc"))),
    Program(541, "a second word of flags", lambda o: o.publish_raw(header(rest=b"\0\1\0\0"))),
    Program(541, "no flags", lambda o: o.publish_raw(header(rest=b""))),

    Program(LEFT, "gone inside of a frame", cut_short),
    Program(LEFT, "gone before the content header", leaves_after()),
    Program(LEFT, "gone before the body", leaves_after(content_header(1, 10))),
    Program(LEFT, "gone inside of the body", leaves_after(content_header(1, 10), body(b"12345"))),
    Program(FINE, "channel closed by the broker inside of a message", closed_mid_content),
]
