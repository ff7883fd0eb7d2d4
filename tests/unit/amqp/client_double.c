/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/client_double.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void say_start_ok(struct client_double *c)
{
    static const char arguments[] = "\0\0\0\0\x05PLAIN\0\0\0\x0C\0guest\0guest\x05"
                                    "en_US";
    stream_method(&c->out, 0, AMQP_CONNECTION_START_OK_METHOD, arguments, sizeof(arguments) - 1);
}

static void say_tune_ok_and_open(struct client_double *c)
{
    stream_method(&c->out, 0, AMQP_CONNECTION_TUNE_OK_METHOD, "\x07\xFF\x00\x02\x00\x00\x00\x3C", 8);
    stream_method(&c->out, 0, AMQP_CONNECTION_OPEN_METHOD, "\x01/\0\0", 4);
}

void client_init(struct client_double *c, enum client_habit habit)
{
    *c = (struct client_double){.habit = habit};
    amqp_scanner_init(&c->in_scanner, AMQP_FROM_SERVER);
    stream_header(&c->out, 0, 0, 9, 1);
    if (habit == CLIENT_PIPELINES) {
        say_start_ok(c);
        say_tune_ok_and_open(c);
    }
}

void client_resume(struct client_double *c, const struct stream *out, const struct stream *in)
{
    *c = (struct client_double){.habit = CLIENT_POLITE, .out = *out, .in = *in};
    amqp_scanner_init(&c->in_scanner, AMQP_FROM_SERVER);
    amqp_scanner_feed(&c->in_scanner, in->bytes, in->len, NULL, NULL);
}

static uint16_t said(const struct client_double *c)
{
    struct amqp_scanner s;
    amqp_scanner_init(&s, AMQP_FROM_CLIENT);
    amqp_scanner_feed(&s, c->out.bytes, c->out_at, NULL, NULL);
    return s.seen;
}

static void hear_start(struct client_double *c)
{
    assert_int_equal(c->in_scanner.frames, 1);
    if (c->habit == CLIENT_IMPATIENT)
        stream_method(&c->out, 0, AMQP_CONNECTION_CLOSE_METHOD, "\x00\xC8\0\0\0\0\0", 7);
    else if (c->habit == CLIENT_POLITE)
        say_start_ok(c);
}

static void hear_close(struct client_double *c, const struct amqp_connection_method *method)
{
    const uint8_t *text = c->in.bytes + method->frame_off + 7 + 6; /* after frame header, ids and code */
    assert_int_equal(c->close_code, 0);
    assert_true(said(c) & AMQP_SEEN_START_OK);
    c->close_code = method->reply_code;
    memcpy(c->close_text, text + 1, text[0]);
    c->close_text[text[0]] = '\0';
    stream_method(&c->out, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, NULL, 0);
}

static void hear_method(void *ctx, const struct amqp_connection_method *method)
{
    struct client_double *c = ctx;
    switch (method->id) {
    case AMQP_CONNECTION_START_METHOD: hear_start(c); break;
    case AMQP_CONNECTION_CLOSE_METHOD: hear_close(c, method); break;
    case AMQP_CONNECTION_CLOSE_OK_METHOD: assert_true(said(c) & AMQP_SEEN_CLOSE); break;
    default: fail_msg("method %#x is none of a refusal's", method->id);
    }
}

void client_hear(struct client_double *c, const uint8_t *data, size_t len)
{
    assert_false(c->in_scanner.seen & AMQP_SEEN_CLOSE_OK);
    stream_bytes(&c->in, data, len);
    amqp_scanner_feed(&c->in_scanner, data, len, hear_method, c);
    assert_int_equal(c->in_scanner.state, AMQP_SCANNER_FRAMES);
    assert_int_equal(c->in_scanner.boundary_off, c->in.len);
}

size_t client_say(struct client_double *c, size_t max, const uint8_t **data)
{
    const size_t left = c->out.len - c->out_at;
    const size_t taken = left < max ? left : max;
    *data = c->out.bytes + c->out_at;
    c->out_at += taken;
    return taken;
}
