/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/back.h"
#include "amqp/back_internal.h"
#include "amqp/canned.h"
#include "amqp/method_check.h"
#include "amqp/protocol_header.h"
#include "amqp/text.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <assert.h>
#include <stdio.h>

const char *amqp_back_state_name(enum amqp_back_state state)
{
    static const char *const names[] = {
        [AMQP_BACK_STARTING] = "starting", [AMQP_BACK_LOGIN] = "login",     [AMQP_BACK_TUNED] = "tuned",
        [AMQP_BACK_OPENING] = "opening",   [AMQP_BACK_RUNNING] = "running", [AMQP_BACK_CLOSING] = "closing",
        [AMQP_BACK_CLOSED] = "closed",
    };
    return names[state];
}

void amqp_back_init(struct amqp_back *back, const struct amqp_back_ops *ops,
                    const struct amqp_back_config *config, uint64_t now)
{
    *back = (struct amqp_back){
        .ops = ops,
        .config = config,
        .frame_max = AMQP_FRAME_MIN_MAX,
        .deadline_ms = now + config->handshake_timeout_ms,
    };
    amqp_frame_reader_init(&back->reader, AMQP_FRAME_MIN_MAX);
    amqp_pulse_start(&back->pulse, 0, now);
    amqp_out_add(&back->out, amqp_protocol_header_0_9_1, AMQP_PROTOCOL_HEADER_SIZE);
}

void amqp_back_deinit(struct amqp_back *back)
{
    amqp_frame_reader_deinit(&back->reader);
    amqp_out_deinit(&back->out);
}

void amqp_back_set_state(struct amqp_back *back, enum amqp_back_state next, uint64_t deadline_ms)
{
    assert(next > back->state); /* only ever forward */
    back->state = next;
    back->deadline_ms = deadline_ms;
}

/* --- the end --- */

void amqp_back_fail(struct amqp_back *back, const struct amqp_exception *e)
{
    if (back->state == AMQP_BACK_CLOSED)
        return;
    amqp_back_set_state(back, AMQP_BACK_CLOSED, UINT64_MAX);
    back->ops->on_down(back, e);
}

static void fail(struct amqp_back *back, enum amqp_code code, const char *text)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, code, 0, "%s", text);
    amqp_back_fail(back, &e);
}

int amqp_back_say(struct amqp_back *back, uint32_t method, void *decoded)
{
    if (amqp_out_add_method(&back->out, method, decoded) == 0)
        return 0;
    fail(back, AMQP_CODE_RESOURCE_ERROR, "out of memory, or a method too long");
    return -1;
}

void amqp_back_lost(struct amqp_back *back, const char *reason)
{
    const struct amqp_exception in_order = {.code = AMQP_CODE_NONE};
    if (back->state == AMQP_BACK_CLOSING)
        amqp_back_fail(back, &in_order);
    else
        fail(back, AMQP_CODE_CONNECTION_FORCED, reason);
}

void amqp_back_close(struct amqp_back *back, const char *reason, uint64_t now)
{
    const struct amqp_exception in_order = {.code = AMQP_CODE_NONE};
    char text[256];
    amqp_connection_close_t close = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = {.bytes = text}};
    close.reply_text.len = amqp_text_copy(text, sizeof(text), reason);
    if (back->state >= AMQP_BACK_CLOSING)
        return;
    if (back->state < AMQP_BACK_RUNNING)
        amqp_back_fail(back, &in_order);
    else if (amqp_back_say(back, AMQP_CONNECTION_CLOSE_METHOD, &close) == 0)
        amqp_back_set_state(back, AMQP_BACK_CLOSING, now + back->config->close_timeout_ms);
}

/* The broker's Close: its code and its words, which begin with the code's name. */
static void handle_close(struct amqp_back *back, struct amqp_span arguments)
{
    struct amqp_cursor c = amqp_cursor_over(arguments.data, arguments.len);
    struct amqp_exception e = {.scope = AMQP_SCOPE_CONNECTION, .code = amqp_take_u16(&c)};
    const struct amqp_span text = amqp_take_short_string(&c);
    const uint32_t class = amqp_take_u16(&c);
    char raw[AMQP_SHORT_STRING_MAX + 1];
    amqp_connection_close_ok_t close_ok = {0};
    e.method = class << 16 | amqp_take_u16(&c);
    snprintf(raw, sizeof(raw), "%.*s", (int)text.len, (const char *)text.data);
    amqp_text_copy(e.text, sizeof(e.text), raw);
    if (amqp_back_say(back, AMQP_CONNECTION_CLOSE_OK_METHOD, &close_ok) == 0)
        amqp_back_fail(back, &e);
}

/* --- channel 0 --- */

static void handle_blocked(struct amqp_back *back, struct amqp_span arguments)
{
    struct amqp_cursor c = amqp_cursor_over(arguments.data, arguments.len);
    const struct amqp_span reason = amqp_take_short_string(&c);
    char text[AMQP_SHORT_STRING_MAX + 1];
    snprintf(text, sizeof(text), "%.*s", (int)reason.len, (const char *)reason.data);
    if (back->ops->on_blocked != NULL)
        back->ops->on_blocked(back, text);
}

static void handle_running(struct amqp_back *back, uint32_t method, struct amqp_span arguments)
{
    switch (method) {
    case AMQP_CONNECTION_BLOCKED_METHOD: handle_blocked(back, arguments); break;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        if (back->ops->on_blocked != NULL)
            back->ops->on_blocked(back, NULL);
        break;
    default: fail(back, AMQP_CODE_COMMAND_INVALID, "the broker sent a method out of place");
    }
}

static void handle_closing(struct amqp_back *back, uint32_t method)
{
    const struct amqp_exception in_order = {.code = AMQP_CODE_NONE};
    if (method == AMQP_CONNECTION_CLOSE_OK_METHOD)
        amqp_back_fail(back, &in_order);
}

static void handle_method(struct amqp_back *back, const struct amqp_frame *frame, uint64_t now)
{
    const uint32_t method = amqp_get_u32(frame->payload);
    const struct amqp_method_spec *spec = amqp_method_spec(method);
    const struct amqp_span arguments = {frame->payload + 4, frame->size - 4};
    struct amqp_exception e;
    if (spec == NULL || (spec->senders & AMQP_BY_SERVER) == 0)
        fail(back, AMQP_CODE_COMMAND_INVALID, "the broker sent an unknown method");
    else if (!amqp_method_check(spec, arguments, &e))
        amqp_back_fail(back, &e);
    else if (method == AMQP_CONNECTION_CLOSE_METHOD)
        handle_close(back, arguments);
    else if (back->state == AMQP_BACK_CLOSING)
        handle_closing(back, method);
    else if (back->state == AMQP_BACK_RUNNING)
        handle_running(back, method, arguments);
    else
        amqp_back_handshake(back, method, arguments, now);
}

/* --- frames --- */

static void handle_on_connection(struct amqp_back *back, const struct amqp_frame *frame, uint64_t now)
{
    if (frame->type == AMQP_FRAME_METHOD && frame->size >= 4)
        handle_method(back, frame, now);
    else if (frame->type != AMQP_FRAME_HEARTBEAT)
        fail(back, AMQP_CODE_UNEXPECTED_FRAME, "the broker sent a frame out of place");
}

static void handle_frame(struct amqp_back *back, const struct amqp_frame *frame, uint64_t now)
{
    struct amqp_exception e;
    if (frame->channel == 0)
        handle_on_connection(back, frame, now);
    else if (back->state == AMQP_BACK_CLOSING)
        return;
    else if (back->state != AMQP_BACK_RUNNING || back->ops->on_frame == NULL)
        fail(back, AMQP_CODE_UNEXPECTED_FRAME, "the broker sent a frame out of place");
    else if (back->ops->on_frame(back, frame, &e, now) < 0)
        amqp_back_fail(back, &e);
}

/* A node that speaks something else answers with its own header, not with a frame; TLS with an alert, that it
 * can't make sense of ours. */
static void explain(struct amqp_back *back, uint8_t first, const struct amqp_exception *e)
{
    enum { TLS_ALERT = 21 };
    if (back->state != AMQP_BACK_STARTING)
        amqp_back_fail(back, e);
    else if (first == TLS_ALERT)
        fail(back, AMQP_CODE_NOT_IMPLEMENTED, "this port of the broker speaks TLS: it takes amqps");
    else
        fail(back, AMQP_CODE_NOT_IMPLEMENTED, "the broker does not speak AMQP 0-9-1");
}

void amqp_back_feed(struct amqp_back *back, const uint8_t *data, size_t len, uint64_t now)
{
    const uint8_t first = len > 0 ? data[0] : 0;
    amqp_pulse_heard(&back->pulse, now);
    while (back->state != AMQP_BACK_CLOSED) {
        struct amqp_exception e;
        struct amqp_frame frame;
        const int rc = amqp_frame_reader_next(&back->reader, &data, &len, &frame, &e);
        if (rc == AMQP_FRAME_MORE)
            return;
        if (rc == AMQP_FRAME_WHOLE)
            handle_frame(back, &frame, now);
        else if (rc == AMQP_FRAME_BAD)
            explain(back, first, &e);
        else
            fail(back, AMQP_CODE_RESOURCE_ERROR, "out of memory");
    }
}

/* --- what is to be sent, and time --- */

size_t amqp_back_write(struct amqp_back *back, uint8_t *buf, size_t size)
{
    return amqp_out_take(&back->out, buf, size);
}

void amqp_back_sent(struct amqp_back *back, uint64_t now)
{
    amqp_pulse_sent(&back->pulse, now);
}

void amqp_back_excuse(struct amqp_back *back, uint64_t now)
{
    amqp_pulse_heard(&back->pulse, now);
}

static bool has_pulse(const struct amqp_back *back)
{
    return back->state >= AMQP_BACK_OPENING && back->state < AMQP_BACK_CLOSED;
}

uint64_t amqp_back_deadline(const struct amqp_back *back)
{
    const uint64_t pulse = has_pulse(back) ? amqp_pulse_deadline(&back->pulse) : UINT64_MAX;
    return pulse < back->deadline_ms ? pulse : back->deadline_ms;
}

static void beat(struct amqp_back *back, uint64_t now)
{
    uint8_t frame[AMQP_CANNED_HEARTBEAT_SIZE];
    if (!amqp_pulse_must_send(&back->pulse, now))
        return;
    if (back->out.len == 0)
        amqp_out_add(&back->out, frame, amqp_canned_heartbeat(frame, sizeof(frame)));
    amqp_pulse_sent(&back->pulse, now);
}

void amqp_back_tick(struct amqp_back *back, uint64_t now)
{
    if (now >= back->deadline_ms) {
        if (back->state == AMQP_BACK_CLOSING)
            amqp_back_lost(back, "");
        else
            fail(back, AMQP_CODE_CONNECTION_FORCED, "the broker did not answer the handshake in time");
    } else if (has_pulse(back) && amqp_pulse_is_lost(&back->pulse, now)) {
        fail(back, AMQP_CODE_CONNECTION_FORCED, "missed heartbeats from the broker");
    } else if (has_pulse(back)) {
        beat(back, now);
    }
}
