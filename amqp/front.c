/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/front.h"
#include "amqp/canned.h"
#include "amqp/front_handshake.h"
#include "amqp/method_check.h"
#include "amqp/protocol_header.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <assert.h>

const char *amqp_front_state_name(enum amqp_front_state state)
{
    static const char *const names[] = {
        [AMQP_FRONT_HEADER] = "header",   [AMQP_FRONT_STARTING] = "starting",
        [AMQP_FRONT_LOGIN] = "login",     [AMQP_FRONT_TUNING] = "tuning",
        [AMQP_FRONT_OPENING] = "opening", [AMQP_FRONT_VHOST] = "vhost",
        [AMQP_FRONT_RUNNING] = "running", [AMQP_FRONT_WINDING_UP] = "winding up",
        [AMQP_FRONT_CLOSING] = "closing", [AMQP_FRONT_CLOSED] = "closed",
    };
    return names[state];
}

void amqp_front_init(struct amqp_front *front, const struct amqp_front_ops *ops,
                     const struct amqp_front_config *config, uint64_t now)
{
    *front = (struct amqp_front){
        .ops = ops,
        .config = config,
        .frame_max = AMQP_FRAME_MIN_MAX,
        .deadline_ms = now + config->handshake_timeout_ms,
    };
    amqp_frame_reader_init(&front->reader, AMQP_FRAME_MIN_MAX);
    amqp_pulse_start(&front->pulse, 0, now);
}

void amqp_front_deinit(struct amqp_front *front)
{
    amqp_frame_reader_deinit(&front->reader);
    amqp_out_deinit(&front->out);
    amqp_out_deinit(&front->waiting);
}

void amqp_front_set_state(struct amqp_front *front, enum amqp_front_state next)
{
    assert(next > front->state); /* only ever forward */
    front->state = next;
    if (next >= AMQP_FRONT_RUNNING)
        front->deadline_ms = UINT64_MAX;
}

void amqp_front_say(struct amqp_front *front, uint32_t method, void *decoded)
{
    if (amqp_out_add_method(&front->out, method, decoded) < 0 && front->state != AMQP_FRONT_CLOSED)
        amqp_front_set_state(front, AMQP_FRONT_CLOSED);
}

/* --- the end --- */

/* RabbitMQ doesn't speak to those who fail before they are let in; we do, as soon as a client understands. */
static bool can_be_told(const struct amqp_front *front)
{
    return front->state >= AMQP_FRONT_LOGIN && front->state < AMQP_FRONT_CLOSING;
}

void amqp_front_close(struct amqp_front *front, const struct amqp_exception *e, uint64_t now)
{
    amqp_connection_close_t close = {
        .reply_code = e->code,
        .reply_text = amqp_cstring_bytes(e->text),
        .class_id = amqp_method_class(e->method),
        .method_id = (uint16_t)(e->method & 0xFFFF),
    };
    if (front->state >= AMQP_FRONT_CLOSING)
        return;
    front->end = *e;
    if (front->state == AMQP_FRONT_WINDING_UP) { /* it asked for the end, and has it */
        amqp_front_close_ok(front);
        return;
    }
    if (!can_be_told(front)) {
        amqp_front_set_state(front, AMQP_FRONT_CLOSED);
        return;
    }
    amqp_front_set_state(front, AMQP_FRONT_CLOSING);
    front->deadline_ms = now + front->config->close_timeout_ms;
    amqp_front_say(front, AMQP_CONNECTION_CLOSE_METHOD, &close);
}

void amqp_front_abandon(struct amqp_front *front)
{
    if (front->state != AMQP_FRONT_CLOSED)
        amqp_front_set_state(front, AMQP_FRONT_CLOSED);
    amqp_out_deinit(&front->out);
}

void amqp_front_close_ok(struct amqp_front *front)
{
    amqp_connection_close_ok_t close_ok = {0};
    if (front->state != AMQP_FRONT_WINDING_UP)
        return;
    amqp_front_say(front, AMQP_CONNECTION_CLOSE_OK_METHOD, &close_ok);
    if (front->state != AMQP_FRONT_CLOSED)
        amqp_front_set_state(front, AMQP_FRONT_CLOSED);
}

/* The client has done what it must not. */
static void blame(struct amqp_front *front, const struct amqp_exception *e, uint64_t now)
{
    if (front->state == AMQP_FRONT_RUNNING && front->ops->on_fault != NULL)
        front->ops->on_fault(front, e, now);
    else
        amqp_front_close(front, e, now);
}

/* --- channel 0, once the connection is open --- */

static void wind_up(struct amqp_front *front)
{
    amqp_front_set_state(front, AMQP_FRONT_WINDING_UP);
    front->ops->on_close(front);
}

static void handle_running(struct amqp_front *front, uint32_t method, uint64_t now)
{
    struct amqp_exception e;
    switch (method) {
    case AMQP_CONNECTION_CLOSE_METHOD: wind_up(front); return;
    case AMQP_CONNECTION_UPDATE_SECRET:
        amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_IMPLEMENTED, method,
                           "a shared connection keeps its secret");
        break;
    default:
        amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CHANNEL_ERROR, method,
                           "unexpected method in connection state running");
    }
    blame(front, &e, now);
}

/* Both sides said Close at once: the client's is answered, and ours may still be. */
static void handle_closing(struct amqp_front *front, uint32_t method)
{
    amqp_connection_close_ok_t close_ok = {0};
    if (method == AMQP_CONNECTION_CLOSE_METHOD)
        amqp_front_say(front, AMQP_CONNECTION_CLOSE_OK_METHOD, &close_ok);
    else if (method == AMQP_CONNECTION_CLOSE_OK_METHOD)
        amqp_front_set_state(front, AMQP_FRONT_CLOSED);
}

static void handle_method(struct amqp_front *front, const struct amqp_frame *frame, uint64_t now)
{
    const uint32_t method = amqp_get_u32(frame->payload);
    const struct amqp_method_spec *spec = amqp_method_spec(method);
    const struct amqp_span arguments = {frame->payload + 4, frame->size - 4};
    struct amqp_exception e;
    if (front->state == AMQP_FRONT_CLOSING) {
        handle_closing(front, method);
    } else if (spec == NULL) {
        amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_IMPLEMENTED, method,
                           "unknown method (%u,%u)", amqp_method_class(method), method & 0xFFFFu);
        blame(front, &e, now);
    } else if (!amqp_method_check(spec, arguments, &e)) {
        blame(front, &e, now);
    } else if (front->state == AMQP_FRONT_RUNNING) {
        handle_running(front, method, now);
    } else {
        amqp_front_handshake(front, method, arguments, now);
    }
}

/* --- frames --- */

static void refuse_frame(struct amqp_front *front, enum amqp_code code, const struct amqp_frame *frame,
                         uint64_t now)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, code, 0, "type %u, channel %u, %u octets%s", frame->type,
                       frame->channel, frame->size, code == AMQP_CODE_FRAME_ERROR ? ": unknown_frame" : "");
    blame(front, &e, now);
}

static void handle_on_connection(struct amqp_front *front, const struct amqp_frame *frame, uint64_t now)
{
    switch (frame->type) {
    case AMQP_FRAME_METHOD:
        if (frame->size < 4)
            refuse_frame(front, AMQP_CODE_FRAME_ERROR, frame, now);
        else
            handle_method(front, frame, now);
        break;
    case AMQP_FRAME_HEARTBEAT:
        if (frame->size > 0)
            refuse_frame(front, AMQP_CODE_FRAME_ERROR, frame, now);
        break;
    default: refuse_frame(front, AMQP_CODE_UNEXPECTED_FRAME, frame, now);
    }
}

static void handle_frame(struct amqp_front *front, const struct amqp_frame *frame, uint64_t now)
{
    if (front->state == AMQP_FRONT_WINDING_UP || (front->state == AMQP_FRONT_CLOSING && frame->channel != 0))
        return;
    if (frame->channel == 0)
        handle_on_connection(front, frame, now);
    else if (front->state == AMQP_FRONT_RUNNING)
        front->ops->on_frame(front, frame, now);
    else
        refuse_frame(front, AMQP_CODE_UNEXPECTED_FRAME, frame, now);
}

static int read_frames(struct amqp_front *front, const uint8_t *data, size_t len, uint64_t now)
{
    while (front->state != AMQP_FRONT_CLOSED) {
        struct amqp_exception e;
        struct amqp_frame frame;
        int rc;
        if (amqp_front_is_waiting(front))
            return amqp_out_add(&front->waiting, data, len);
        rc = amqp_frame_reader_next(&front->reader, &data, &len, &frame, &e);
        if (rc == AMQP_FRAME_NO_MEMORY)
            return -1;
        if (rc == AMQP_FRAME_MORE)
            return 0;
        if (rc == AMQP_FRAME_WHOLE) {
            handle_frame(front, &frame, now);
        } else if (front->state == AMQP_FRONT_CLOSING) {
            amqp_front_set_state(front, AMQP_FRONT_CLOSED); /* the Close-Ok can't be found any more */
        } else {
            blame(front, &e, now);
            return 0;
        }
    }
    return 0;
}

/* The protocol header first, which may come in pieces. A foreign one is answered with ours (section 4.2.2).
 */
static int read_header(struct amqp_front *front, const uint8_t **data, size_t *len)
{
    while (*len > 0 && front->header_len < sizeof(front->header)) {
        front->header[front->header_len++] = *(*data)++;
        --*len;
    }
    switch (amqp_protocol_header_check(front->header, front->header_len)) {
    case AMQP_PROTOCOL_MORE: return 0;
    case AMQP_PROTOCOL_0_9_1: return amqp_front_start(front);
    default: break;
    }
    amqp_front_set_state(front, AMQP_FRONT_CLOSED);
    return amqp_out_add(&front->out, amqp_protocol_header_0_9_1, AMQP_PROTOCOL_HEADER_SIZE);
}

int amqp_front_feed(struct amqp_front *front, const uint8_t *data, size_t len, uint64_t now)
{
    int rc = 0;
    if (len == 0)
        return 0;
    amqp_pulse_heard(&front->pulse, now);
    if (front->state == AMQP_FRONT_HEADER)
        rc = read_header(front, &data, &len);
    if (rc == 0 && front->state > AMQP_FRONT_HEADER && len > 0)
        rc = read_frames(front, data, len, now);
    if (rc < 0 && front->state != AMQP_FRONT_CLOSED)
        amqp_front_set_state(front, AMQP_FRONT_CLOSED);
    return rc;
}

void amqp_front_resume(struct amqp_front *front, uint64_t now)
{
    struct amqp_out waited = front->waiting;
    if (waited.len == 0) /* perhaps called from within the very frame that asked: it must stay in place */
        return;
    amqp_out_init(&front->waiting);
    if (read_frames(front, waited.data, waited.len, now) < 0 && front->state != AMQP_FRONT_CLOSED)
        amqp_front_set_state(front, AMQP_FRONT_CLOSED);
    amqp_out_deinit(&waited);
}

/* --- what is to be sent, and time --- */

void amqp_front_notify_blocked(struct amqp_front *front, const char *reason)
{
    char text[256];
    amqp_connection_blocked_t blocked = {.reason = {.bytes = text}};
    amqp_connection_unblocked_t unblocked = {0};
    if (front->state != AMQP_FRONT_RUNNING || (front->can & AMQP_CAN_BLOCKED) == 0)
        return;
    if (reason == NULL) {
        amqp_front_say(front, AMQP_CONNECTION_UNBLOCKED_METHOD, &unblocked);
        return;
    }
    blocked.reason.len = amqp_text_copy(text, sizeof(text), reason);
    amqp_front_say(front, AMQP_CONNECTION_BLOCKED_METHOD, &blocked);
}

size_t amqp_front_write(struct amqp_front *front, uint8_t *buf, size_t size)
{
    return amqp_out_take(&front->out, buf, size);
}

void amqp_front_sent(struct amqp_front *front, uint64_t now)
{
    amqp_pulse_sent(&front->pulse, now);
}

void amqp_front_excuse(struct amqp_front *front, uint64_t now)
{
    amqp_pulse_heard(&front->pulse, now);
}

/* Heartbeats are for connections that work, or are about to. */
static bool has_pulse(const struct amqp_front *front)
{
    return front->state >= AMQP_FRONT_OPENING && front->state <= AMQP_FRONT_WINDING_UP;
}

uint64_t amqp_front_deadline(const struct amqp_front *front)
{
    const uint64_t pulse = has_pulse(front) ? amqp_pulse_deadline(&front->pulse) : UINT64_MAX;
    const uint64_t own = amqp_front_is_waiting(front) ? UINT64_MAX : front->deadline_ms;
    return pulse < own ? pulse : own;
}

static void beat(struct amqp_front *front, uint64_t now)
{
    uint8_t frame[AMQP_CANNED_HEARTBEAT_SIZE];
    if (!amqp_pulse_must_send(&front->pulse, now))
        return;
    if (front->out.len == 0)
        amqp_out_add(&front->out, frame, amqp_canned_heartbeat(frame, sizeof(frame)));
    amqp_pulse_sent(&front->pulse, now);
}

void amqp_front_tick(struct amqp_front *front, uint64_t now)
{
    struct amqp_exception e;
    if (has_pulse(front) && amqp_pulse_is_lost(&front->pulse, now) && !amqp_front_is_waiting(front)) {
        amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0,
                           "missed heartbeats from client, timeout: %us", front->pulse.interval_ms / 1000);
        front->end = e;
        amqp_front_set_state(front, AMQP_FRONT_CLOSED);
    } else if (now >= front->deadline_ms && !amqp_front_is_waiting(front)) {
        if (front->state != AMQP_FRONT_CLOSED)
            amqp_front_set_state(front, AMQP_FRONT_CLOSED);
        front->deadline_ms = UINT64_MAX;
    } else if (has_pulse(front)) {
        beat(front, now);
    }
}
