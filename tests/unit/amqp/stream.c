/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/stream.h"
#include <stdlib.h>
#include <string.h>

void stream_bytes(struct stream *s, const void *bytes, size_t len)
{
    if (len > sizeof(s->bytes) - s->len)
        abort();
    if (len > 0)
        memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
}

static void stream_number(struct stream *s, uint64_t value, int bytes)
{
    while (bytes-- > 0) {
        const uint8_t byte = (uint8_t)(value >> (8 * bytes));
        stream_bytes(s, &byte, 1);
    }
}

void stream_header(struct stream *s, uint8_t id, uint8_t major, uint8_t minor, uint8_t revision)
{
    const uint8_t header[] = {'A', 'M', 'Q', 'P', id, major, minor, revision};
    stream_bytes(s, header, sizeof(header));
}

void stream_frame(struct stream *s, uint8_t type, uint16_t channel, const void *payload, uint32_t size)
{
    stream_number(s, type, 1);
    stream_number(s, channel, 2);
    stream_number(s, size, 4);
    stream_bytes(s, payload, size);
    stream_number(s, 0xCE, 1);
}

void stream_method(struct stream *s, uint16_t channel, uint32_t id, const void *arguments, size_t size)
{
    struct stream payload = {0};
    stream_number(&payload, id, 4);
    stream_bytes(&payload, arguments, size);
    stream_frame(s, 1, channel, payload.bytes, (uint32_t)payload.len);
}

void stream_1_0_frame(struct stream *s, uint8_t doff, uint8_t type, const void *body, size_t size)
{
    stream_number(s, 8 + size, 4);
    stream_number(s, doff, 1);
    stream_number(s, type, 1);
    stream_number(s, 0, 2);
    stream_bytes(s, body, size);
}

#define METHOD(class, method) ((uint32_t)(class) << 16 | (method))
#define LITERAL(text)         (text), sizeof(text) - 1

static void stream_content(struct stream *s, uint16_t channel)
{
    /* The body begins like a Connection.Close frame and is full of end octets. */
    static const char body[] =
        "\x01\x00\x00\x00\x00\x00\x0B\x00\x0A\x00\x32\x01\x40\xCE\xCE\xCE\xCE\xCE AMQP";
    static const char content_header[] = "\x00\x3C\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x00";
    stream_frame(s, 2, channel, content_header, sizeof(content_header) - 1);
    stream_frame(s, 3, channel, body, sizeof(body) - 1);
}

void stream_client_session(struct stream *s)
{
    stream_header(s, 0, 0, 9, 1);
    stream_method(s, 0, METHOD(10, 11),
                  LITERAL("\0\0\0\0\x05PLAIN\0\0\0\x0C\0guest\0guest\x05"
                          "en_US"));
    stream_method(s, 0, METHOD(10, 31), LITERAL("\x07\xFF\x00\x02\x00\x00\x00\x3C"));
    stream_method(s, 0, METHOD(10, 40), LITERAL("\x01/\0\0"));
    stream_method(s, 1, METHOD(20, 10), LITERAL("\0"));
    stream_frame(s, 8, 0, NULL, 0);
    stream_method(s, 1, METHOD(60, 40), LITERAL("\0\0\0\x01q\0"));
    stream_content(s, 1);
    stream_frame(s, 8, 0, NULL, 0);
    stream_method(s, 0, METHOD(10, 50), LITERAL("\x00\xC8\x02ok\0\0\0\0"));
}

void stream_server_session(struct stream *s)
{
    stream_method(s, 0, METHOD(10, 10),
                  LITERAL("\x00\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05"
                          "en_US"));
    stream_method(s, 0, METHOD(10, 30), LITERAL("\x07\xFF\x00\x02\x00\x00\x00\x3C"));
    stream_method(s, 0, METHOD(10, 41), LITERAL("\0"));
    stream_method(s, 1, METHOD(20, 11), LITERAL("\0\0\0\0"));
    stream_frame(s, 8, 0, NULL, 0);
    stream_method(s, 1, METHOD(60, 60), LITERAL("\x01t\0\0\0\0\0\0\0\x01\0\0\x01q"));
    stream_content(s, 1);
    stream_method(s, 0, METHOD(10, 60), LITERAL("\x03low"));
    stream_method(s, 0, METHOD(10, 51), NULL, 0);
}

void stream_1_0_session(struct stream *s, int from_server)
{
    stream_header(s, 3, 1, 0, 0);
    if (from_server) {
        stream_1_0_frame(s, 2, 1,
                         LITERAL("\0\x53\x40\xC0\x0C\x01\xA3\x09"
                                 "ANONYMOUS"));
        stream_1_0_frame(s, 2, 1, LITERAL("\0\x53\x44\xC0\x03\x01\x50\0"));
    } else {
        stream_1_0_frame(s, 2, 1,
                         LITERAL("\0\x53\x41\xC0\x0C\x01\xA3\x09"
                                 "ANONYMOUS"));
    }
    stream_header(s, 0, 1, 0, 0);
    stream_1_0_frame(s, 2, 0, LITERAL("\0\x53\x10\xC0\x04\x01\xA1\x01x"));
    stream_1_0_frame(s, 2, 0, NULL, 0);
    stream_1_0_frame(s, 2, 0, LITERAL("\0\x53\x14\xC0\x01\0 AMQP AMQP AMQP AMQP\xCE"));
    stream_1_0_frame(s, 3, 0, LITERAL("\0\x53\x18\xC0\0\x53\x18\x45")); /* behind an extended header */
    stream_1_0_frame(s, 2, 0, LITERAL("\0\x80\0\0\0\0\0\0\0\x18\x45"));
}
