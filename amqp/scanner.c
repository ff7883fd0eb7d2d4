/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two phases take turns. In the head phase the first bytes of a frame are gathered: its header and, where
 * something in it matters, the start of its payload. In the body phase the rest is skipped. What is due at a
 * boundary is one of:
 *
 *   START ---- header 0-9-1 (client) or first frame (server) --------------> FRAMES
 *     |  \---- header 1.0 SASL ----> SASL_FRAMES --- header 1.0 AMQP --\
 *     |  \---- header 1.0 AMQP -----------------------------------------+--> 1_0_FRAMES
 *     \------- header 1.0 TLS, unknown, or a server's 0-9-1 ---------------> OPAQUE
 *
 * and from all of them but OPAQUE a fault leads to BROKEN.
 */

#include "amqp/scanner.h"
#include "amqp/performative_1_0.h"
#include "amqp/protocol_header.h"
#include "amqp/wire.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <assert.h>

enum {
    FRAME_HEADER_SIZE = 7,
    FRAME_END_SIZE = 1,
    METHOD_LOOK_SIZE = 16, /* of a method on channel 0 */
    METHOD_ID_SIZE = 4,
    CONNECTION_CLASS = 10,
    TUNE_SIZE = METHOD_ID_SIZE + 2 + 4 + 2,
    CLOSE_SIZE = METHOD_ID_SIZE + 2,

    FRAME_1_0_HEADER_SIZE = 8,
    DESCRIPTOR_LOOK_SIZE = 11, /* constructor 0, format code, 64-bit descriptor */
    FRAME_1_0_TYPE_AMQP = 0,
    FRAME_1_0_TYPE_SASL = 1,
};

static_assert(FRAME_HEADER_SIZE + METHOD_LOOK_SIZE <= AMQP_SCANNER_HEAD_SIZE, "head holds a 0-9-1 head");
static_assert(FRAME_1_0_HEADER_SIZE + DESCRIPTOR_LOOK_SIZE <= AMQP_SCANNER_HEAD_SIZE,
              "head holds a 1.0 head");
static_assert(sizeof(struct amqp_scanner) < 100, "there are thousands of scanners");

void amqp_scanner_init(struct amqp_scanner *s, enum amqp_direction direction)
{
    *s = (struct amqp_scanner){.direction = (uint8_t)direction, .head_need = AMQP_PROTOCOL_HEADER_SIZE};
}

static void break_at(struct amqp_scanner *s, enum amqp_scanner_fault fault, uint64_t off)
{
    s->state = AMQP_SCANNER_BROKEN;
    s->fault = (uint8_t)fault;
    s->fault_off = off;
    s->frame_end_off = s->boundary_off;
    s->head_len = 0;
}

/* All before fed_off is complete. Sets what is due next. */
static void reach_boundary(struct amqp_scanner *s, enum amqp_scanner_state next)
{
    s->state = (uint8_t)next;
    s->boundary_off = s->fed_off;
    s->frame_end_off = s->fed_off;
    s->head_len = 0;
    s->head_need = next == AMQP_SCANNER_FRAMES ? FRAME_HEADER_SIZE : FRAME_1_0_HEADER_SIZE;
}

/* --- protocol headers --- */

static void end_1_0_header(struct amqp_scanner *s, uint8_t layer)
{
    switch (layer) {
    case AMQP_1_0_LAYER_SASL:
        s->seen |= AMQP_SEEN_SASL_HEADER;
        reach_boundary(s, AMQP_SCANNER_SASL_FRAMES);
        break;
    case AMQP_1_0_LAYER_AMQP:
        s->seen |= AMQP_SEEN_1_0_HEADER;
        reach_boundary(s, AMQP_SCANNER_1_0_FRAMES);
        break;
    default: reach_boundary(s, AMQP_SCANNER_OPAQUE);
    }
}

static uint64_t first_wrong_off(const struct amqp_scanner *s)
{
    uint64_t at = 0;
    while (s->head[at] == amqp_protocol_header_0_9_1[at])
        at++;
    return s->boundary_off + at;
}

/* Looks at the head_len bytes of a protocol header that are there. */
static void check_start(struct amqp_scanner *s)
{
    switch (amqp_protocol_header_check(s->head, s->head_len)) {
    case AMQP_PROTOCOL_MORE: break;
    case AMQP_PROTOCOL_0_9_1:
        reach_boundary(s, s->direction == AMQP_FROM_CLIENT ? AMQP_SCANNER_FRAMES : AMQP_SCANNER_OPAQUE);
        break;
    case AMQP_PROTOCOL_1_0: end_1_0_header(s, s->head[4]); break;
    case AMQP_PROTOCOL_OTHER: reach_boundary(s, AMQP_SCANNER_OPAQUE); break;
    case AMQP_PROTOCOL_NOT_AMQP: break_at(s, AMQP_FAULT_NOT_AMQP, first_wrong_off(s)); break;
    }
}

/* --- AMQP 0-9-1 frames --- */

static bool is_frame_type(uint8_t type)
{
    return (type >= AMQP_FRAME_METHOD && type <= AMQP_FRAME_BODY) || type == AMQP_FRAME_HEARTBEAT;
}

static bool is_on_connection(const uint8_t *head)
{
    return head[0] == AMQP_FRAME_METHOD && amqp_get_u16(head + 1) == 0;
}

/* Learns from a complete header how long the frame is and how much of it to look at. */
static void begin_frame(struct amqp_scanner *s)
{
    const uint32_t size = amqp_get_u32(s->head + 3);
    s->frame_end_off = s->boundary_off + FRAME_HEADER_SIZE + size + FRAME_END_SIZE;
    if (!is_on_connection(s->head))
        return;
    if (size < METHOD_ID_SIZE)
        break_at(s, AMQP_FAULT_SHORT_METHOD, s->boundary_off);
    else
        s->head_need = (uint8_t)(FRAME_HEADER_SIZE + (size < METHOD_LOOK_SIZE ? size : METHOD_LOOK_SIZE));
}

/* start 10, start-ok 11, secure 20, … close-ok 51 are the bits of enum amqp_seen in turn. Others have none.
 */
static uint16_t seen_bit(uint16_t method)
{
    static_assert(AMQP_SEEN_START_OK == 1 << 1 && AMQP_SEEN_SECURE == 1 << 2 && AMQP_SEEN_CLOSE_OK == 1 << 9,
                  "the order of the method ids");
    if (method < 10 || method > 51 || method % 10 > 1)
        return 0;
    return (uint16_t)(1u << ((method / 10 - 1) * 2 + method % 10));
}

/* Reads the fields that we report. Returns false when the method ends before them. */
static bool read_method(struct amqp_connection_method *m, const uint8_t *payload, size_t size)
{
    m->id = amqp_get_u32(payload);
    switch (m->id) {
    case AMQP_CONNECTION_TUNE_METHOD:
    case AMQP_CONNECTION_TUNE_OK_METHOD:
        if (size < TUNE_SIZE)
            return false;
        m->channel_max = amqp_get_u16(payload + 4);
        m->frame_max = amqp_get_u32(payload + 6);
        m->heartbeat_s = amqp_get_u16(payload + 10);
        return true;
    case AMQP_CONNECTION_CLOSE_METHOD:
        if (size < CLOSE_SIZE)
            return false;
        m->reply_code = amqp_get_u16(payload + 4);
        return true;
    default: return true;
    }
}

static void end_connection_method(struct amqp_scanner *s, amqp_scanner_method_cb *on_method, void *ctx)
{
    const uint64_t frame_off = s->boundary_off;
    struct amqp_connection_method method = {.frame_off = frame_off, .end_off = s->fed_off};
    const size_t size = (size_t)s->head_len - FRAME_HEADER_SIZE;
    if (!read_method(&method, s->head + FRAME_HEADER_SIZE, size)) {
        break_at(s, AMQP_FAULT_SHORT_METHOD, frame_off);
        return;
    }
    s->frames++;
    reach_boundary(s, AMQP_SCANNER_FRAMES);
    if (method.id >> 16 != CONNECTION_CLASS)
        return;
    s->seen |= seen_bit((uint16_t)method.id);
    if (on_method != NULL)
        on_method(ctx, &method);
}

static void end_frame(struct amqp_scanner *s, uint8_t last, amqp_scanner_method_cb *on_method, void *ctx)
{
    if (last != AMQP_FRAME_END) {
        break_at(s, AMQP_FAULT_FRAME_END, s->fed_off - 1);
        return;
    }
    if (s->head_need > FRAME_HEADER_SIZE) {
        end_connection_method(s, on_method, ctx);
        return;
    }
    if (s->head[0] == AMQP_FRAME_HEARTBEAT)
        s->heartbeats++;
    else
        s->frames++;
    reach_boundary(s, AMQP_SCANNER_FRAMES);
}

/* --- AMQP 1.0 frames --- */

static bool is_protocol_header(const uint8_t *head)
{
    return memcmp(head, amqp_protocol_header_0_9_1, 4) == 0;
}

/* The header that ends the SASL layer. As a frame size, its first bytes would be a gigabyte: no doubt here.
 */
static void check_next_layer(struct amqp_scanner *s)
{
    const bool known = amqp_protocol_header_check(s->head, AMQP_PROTOCOL_HEADER_SIZE) == AMQP_PROTOCOL_1_0;
    if (known && s->head[4] != AMQP_1_0_LAYER_SASL)
        end_1_0_header(s, s->head[4]);
    else
        break_at(s, AMQP_FAULT_HEADER, s->boundary_off);
}

static void begin_1_0_frame(struct amqp_scanner *s)
{
    const uint32_t size = amqp_get_u32(s->head);
    const uint32_t body_at = s->head[4] * 4u;
    const uint8_t type = s->state == AMQP_SCANNER_SASL_FRAMES ? FRAME_1_0_TYPE_SASL : FRAME_1_0_TYPE_AMQP;
    if (body_at < FRAME_1_0_HEADER_SIZE || body_at > size) {
        break_at(s, AMQP_FAULT_FRAME_SIZE, s->boundary_off);
        return;
    }
    if (s->head[5] != type) {
        break_at(s, AMQP_FAULT_FRAME_TYPE, s->boundary_off);
        return;
    }
    const uint32_t rest = size - FRAME_1_0_HEADER_SIZE;
    s->head_need =
        (uint8_t)(FRAME_1_0_HEADER_SIZE + (rest < DESCRIPTOR_LOOK_SIZE ? rest : DESCRIPTOR_LOOK_SIZE));
    s->frame_end_off = s->boundary_off + size;
}

/* The descriptor of a performative, a ulong in its short or long encoding; 0 for anything else. */
static uint8_t descriptor(const uint8_t *body, size_t len)
{
    static const uint8_t long_form[] = {0x00, 0x80, 0, 0, 0, 0, 0, 0, 0};
    if (len >= 3 && body[0] == 0x00 && body[1] == 0x53)
        return body[2];
    if (len > sizeof(long_form) && memcmp(body, long_form, sizeof(long_form)) == 0)
        return body[sizeof(long_form)];
    return 0;
}

static uint16_t seen_1_0_bit(enum amqp_scanner_state state, uint8_t performative)
{
    if (state == AMQP_SCANNER_SASL_FRAMES) {
        switch (performative) {
        case AMQP_1_0_SASL_MECHANISMS: return AMQP_SEEN_SASL_MECHANISMS;
        case AMQP_1_0_SASL_INIT: return AMQP_SEEN_SASL_INIT;
        case AMQP_1_0_SASL_OUTCOME: return AMQP_SEEN_SASL_OUTCOME;
        default: return 0;
        }
    }
    switch (performative) {
    case AMQP_1_0_OPEN: return AMQP_SEEN_OPEN;
    case AMQP_1_0_CLOSE: return AMQP_SEEN_CLOSE;
    default: return 0;
    }
}

/* Extended headers are skipped unread: nothing defines any, and a performative behind one just isn't seen. */
static void end_1_0_frame(struct amqp_scanner *s)
{
    const uint32_t body_at = s->head[4] * 4u;
    if (amqp_scanner_frame_size(s) == body_at) {
        s->heartbeats++;
    } else {
        s->frames++;
        if (body_at == FRAME_1_0_HEADER_SIZE) {
            const uint8_t performative = descriptor(s->head + body_at, s->head_len - body_at);
            s->seen |= seen_1_0_bit(s->state, performative);
        }
    }
    reach_boundary(s, s->state);
}

/* --- the two phases --- */

static bool is_watching(const struct amqp_scanner *s)
{
    return s->state < AMQP_SCANNER_OPAQUE;
}

static void end_any_frame(struct amqp_scanner *s, uint8_t last, amqp_scanner_method_cb *on_method, void *ctx)
{
    if (s->state == AMQP_SCANNER_FRAMES)
        end_frame(s, last, on_method, ctx);
    else
        end_1_0_frame(s);
}

/* Acts on a head that has grown: at once on what can't be right, otherwise when a part of it is complete. */
static void check_head(struct amqp_scanner *s)
{
    const bool is_whole = s->head_len == s->head_need;
    const bool is_frame_known = amqp_scanner_frame_size(s) > 0;
    if (s->state == AMQP_SCANNER_START) {
        check_start(s);
    } else if (s->state == AMQP_SCANNER_FRAMES) {
        if (!is_frame_type(s->head[0]))
            break_at(s, AMQP_FAULT_FRAME_TYPE, s->boundary_off);
        else if (is_whole && !is_frame_known)
            begin_frame(s);
    } else if (is_whole && !is_frame_known) {
        if (s->state == AMQP_SCANNER_SASL_FRAMES && is_protocol_header(s->head))
            check_next_layer(s);
        else
            begin_1_0_frame(s);
    }
}

/* Takes bytes of the head phase, and returns how many: up to the end of the part that is due. */
static size_t take_head(struct amqp_scanner *s, const uint8_t *data, size_t len)
{
    const size_t missing = (size_t)s->head_need - s->head_len;
    const size_t taken = len < missing ? len : missing;
    memcpy(s->head + s->head_len, data, taken);
    s->head_len = (uint8_t)(s->head_len + taken);
    s->fed_off += taken;
    check_head(s);
    return taken;
}

static size_t skip_body(struct amqp_scanner *s, size_t len)
{
    const uint64_t missing = s->frame_end_off - s->fed_off;
    const size_t taken = len < missing ? len : (size_t)missing;
    s->fed_off += taken;
    return taken;
}

/* A server speaks first in 0-9-1, so a frame; a protocol header begins with no frame type. */
static void choose_server_start(struct amqp_scanner *s, uint8_t first)
{
    if (s->fed_off == 0 && s->direction == AMQP_FROM_SERVER && first != amqp_protocol_header_0_9_1[0])
        reach_boundary(s, AMQP_SCANNER_FRAMES);
}

/*
 * The straight path: steps over the whole frames in `data` as long as they are sound and no methods on
 * channel 0, and returns their size. What stops it is looked at again by the phases.
 */
static size_t skip_whole_frames(struct amqp_scanner *s, const uint8_t *data, size_t len)
{
    size_t used = 0;
    while (len - used >= FRAME_HEADER_SIZE + FRAME_END_SIZE) {
        const uint8_t *head = data + used;
        const uint64_t size = FRAME_HEADER_SIZE + (uint64_t)amqp_get_u32(head + 3) + FRAME_END_SIZE;
        if (size > len - used || !is_frame_type(head[0]) || is_on_connection(head) ||
            head[size - 1] != AMQP_FRAME_END)
            break;
        if (head[0] == AMQP_FRAME_HEARTBEAT)
            s->heartbeats++;
        else
            s->frames++;
        used += (size_t)size;
    }
    if (used > 0) {
        s->fed_off += used;
        reach_boundary(s, AMQP_SCANNER_FRAMES);
    }
    return used;
}

void amqp_scanner_feed(struct amqp_scanner *s, const uint8_t *data, size_t len,
                       amqp_scanner_method_cb *on_method, void *ctx)
{
    size_t used = 0;
    if (len > 0)
        choose_server_start(s, data[0]);
    while (used < len && is_watching(s)) {
        if (s->state == AMQP_SCANNER_FRAMES && s->head_len == 0) {
            used += skip_whole_frames(s, data + used, len - used);
            if (used == len)
                break;
        }
        if (s->head_len < s->head_need)
            used += take_head(s, data + used, len - used);
        else
            used += skip_body(s, len - used);
        if (s->fed_off == s->frame_end_off && amqp_scanner_frame_size(s) > 0)
            end_any_frame(s, data[used - 1], on_method, ctx);
    }
    s->fed_off += len - used;
}

uint64_t amqp_scanner_releasable_off(const struct amqp_scanner *s, uint64_t cap_bytes)
{
    if (!is_watching(s) || amqp_scanner_frame_size(s) > cap_bytes)
        return s->fed_off;
    return s->boundary_off;
}

const char *amqp_scanner_fault_text(enum amqp_scanner_fault fault)
{
    switch (fault) {
    case AMQP_FAULT_NONE: return "none";
    case AMQP_FAULT_NOT_AMQP: return "not an AMQP protocol header";
    case AMQP_FAULT_FRAME_TYPE: return "unknown frame type";
    case AMQP_FAULT_FRAME_END: return "frame end octet missing";
    case AMQP_FAULT_SHORT_METHOD: return "connection method too short";
    case AMQP_FAULT_FRAME_SIZE: return "impossible frame size";
    case AMQP_FAULT_HEADER: return "unexpected protocol header";
    }
    return "unknown";
}
