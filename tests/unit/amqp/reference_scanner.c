/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/reference_scanner.h"
#include <string.h>

struct cursor {
    struct reference *ref;
    const uint8_t *data;
    size_t len;
    size_t at;
};

static uint64_t number(const uint8_t *p, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value * 256 + p[i];
    return value;
}

static bool fail(struct cursor *c, enum amqp_scanner_fault fault, size_t off)
{
    c->ref->state = AMQP_SCANNER_BROKEN;
    c->ref->fault = fault;
    c->ref->fault_off = off;
    c->ref->frame_size = 0;
    return false;
}

static void advance(struct cursor *c, size_t size)
{
    c->at += size;
    c->ref->boundary_off = c->at;
    c->ref->frame_size = 0;
}

/* Each scan_… returns true when it got past something and scanning goes on. */

static bool scan_header(struct cursor *c, enum amqp_direction direction)
{
    const uint8_t *p = c->data + c->at;
    const size_t left = c->len - c->at;
    for (size_t i = 0; i < 4 && i < left; i++) {
        if (p[i] != (uint8_t)("AMQP"[i]))
            return fail(c, AMQP_FAULT_NOT_AMQP, c->at + i);
    }
    if (left < 8)
        return false;
    const uint32_t version = (uint32_t)number(p + 4, 4);
    advance(c, 8);
    switch (version) {
    case 0x00000901:
    case 0x01010009:
        c->ref->state = direction == AMQP_FROM_CLIENT ? AMQP_SCANNER_FRAMES : AMQP_SCANNER_OPAQUE;
        break;
    case 0x00010000:
        c->ref->state = AMQP_SCANNER_1_0_FRAMES;
        c->ref->seen |= AMQP_SEEN_1_0_HEADER;
        break;
    case 0x03010000:
        c->ref->state = AMQP_SCANNER_SASL_FRAMES;
        c->ref->seen |= AMQP_SEEN_SASL_HEADER;
        break;
    default: c->ref->state = AMQP_SCANNER_OPAQUE;
    }
    return true;
}

static uint16_t seen_bit(uint32_t id)
{
    switch (id) {
    case 0x000A000A: return AMQP_SEEN_START;
    case 0x000A000B: return AMQP_SEEN_START_OK;
    case 0x000A0014: return AMQP_SEEN_SECURE;
    case 0x000A0015: return AMQP_SEEN_SECURE_OK;
    case 0x000A001E: return AMQP_SEEN_TUNE;
    case 0x000A001F: return AMQP_SEEN_TUNE_OK;
    case 0x000A0028: return AMQP_SEEN_OPEN;
    case 0x000A0029: return AMQP_SEEN_OPEN_OK;
    case 0x000A0032: return AMQP_SEEN_CLOSE;
    case 0x000A0033: return AMQP_SEEN_CLOSE_OK;
    default: return 0;
    }
}

static void note_method(struct cursor *c, struct amqp_connection_method method)
{
    c->ref->seen |= seen_bit(method.id);
    if (c->ref->method_count < REFERENCE_METHODS_MAX)
        c->ref->methods[c->ref->method_count] = method;
    c->ref->method_count++;
}

static bool scan_method(struct cursor *c, const uint8_t *payload, size_t size)
{
    struct amqp_connection_method method = {
        .id = (uint32_t)number(payload, 4),
        .frame_off = c->at,
        .end_off = c->at + 8 + size,
    };
    if (method.id == 0x000A001E || method.id == 0x000A001F) {
        if (size < 12)
            return fail(c, AMQP_FAULT_SHORT_METHOD, c->at);
        method.channel_max = (uint16_t)number(payload + 4, 2);
        method.frame_max = (uint32_t)number(payload + 6, 4);
        method.heartbeat_s = (uint16_t)number(payload + 10, 2);
    } else if (method.id == 0x000A0032) {
        if (size < 6)
            return fail(c, AMQP_FAULT_SHORT_METHOD, c->at);
        method.reply_code = (uint16_t)number(payload + 4, 2);
    }
    if (method.id >> 16 == 10)
        note_method(c, method);
    return true;
}

static bool scan_frame(struct cursor *c)
{
    const uint8_t *p = c->data + c->at;
    const size_t left = c->len - c->at;
    if (left < 1)
        return false;
    if (p[0] != 1 && p[0] != 2 && p[0] != 3 && p[0] != 8)
        return fail(c, AMQP_FAULT_FRAME_TYPE, c->at);
    if (left < 7)
        return false;
    const bool on_connection = p[0] == 1 && number(p + 1, 2) == 0;
    const uint64_t size = number(p + 3, 4);
    if (on_connection && size < 4)
        return fail(c, AMQP_FAULT_SHORT_METHOD, c->at);
    c->ref->frame_size = size + 8;
    if (left < size + 8)
        return false;
    if (p[7 + size] != 0xCE)
        return fail(c, AMQP_FAULT_FRAME_END, c->at + 7 + (size_t)size);
    if (on_connection && !scan_method(c, p + 7, (size_t)size))
        return false;
    if (p[0] == 8)
        c->ref->heartbeats++;
    else
        c->ref->frames++;
    advance(c, (size_t)size + 8);
    return true;
}

static uint64_t performative(const uint8_t *body, uint64_t size)
{
    if (size >= 3 && body[0] == 0 && body[1] == 0x53)
        return body[2];
    if (size >= 10 && body[0] == 0 && body[1] == 0x80)
        return number(body + 2, 8);
    return 0;
}

static uint16_t seen_1_0_bit(bool is_sasl, uint64_t descriptor)
{
    if (is_sasl)
        return descriptor == 0x40   ? AMQP_SEEN_SASL_MECHANISMS
               : descriptor == 0x41 ? AMQP_SEEN_SASL_INIT
               : descriptor == 0x44 ? AMQP_SEEN_SASL_OUTCOME
                                    : 0;
    return descriptor == 0x10 ? AMQP_SEEN_OPEN : descriptor == 0x18 ? AMQP_SEEN_CLOSE : 0;
}

static bool scan_1_0_frame(struct cursor *c)
{
    const uint8_t *p = c->data + c->at;
    const size_t left = c->len - c->at;
    const bool is_sasl = c->ref->state == AMQP_SCANNER_SASL_FRAMES;
    if (left < 8)
        return false;
    if (is_sasl && memcmp(p, "AMQP", 4) == 0) {
        if (number(p + 4, 4) == 0x00010000 || number(p + 4, 4) == 0x02010000)
            return scan_header(c, AMQP_FROM_CLIENT);
        return fail(c, AMQP_FAULT_HEADER, c->at);
    }
    const uint64_t size = number(p, 4);
    const uint64_t header = 4u * p[4];
    if (header < 8 || header > size)
        return fail(c, AMQP_FAULT_FRAME_SIZE, c->at);
    if (p[5] != (is_sasl ? 1 : 0))
        return fail(c, AMQP_FAULT_FRAME_TYPE, c->at);
    c->ref->frame_size = size;
    if (left < size)
        return false;
    if (size == header)
        c->ref->heartbeats++;
    else
        c->ref->frames++;
    if (header == 8)
        c->ref->seen |= seen_1_0_bit(is_sasl, performative(p + 8, size - 8));
    advance(c, (size_t)size);
    return true;
}

static bool scan_next(struct cursor *c, enum amqp_direction direction)
{
    switch (c->ref->state) {
    case AMQP_SCANNER_START: return scan_header(c, direction);
    case AMQP_SCANNER_FRAMES: return scan_frame(c);
    case AMQP_SCANNER_SASL_FRAMES:
    case AMQP_SCANNER_1_0_FRAMES: return scan_1_0_frame(c);
    default: return false;
    }
}

void reference_scan(struct reference *ref, enum amqp_direction direction, const uint8_t *data, size_t len)
{
    struct cursor c = {.ref = ref, .data = data, .len = len};
    memset(ref, 0, sizeof(*ref));
    if (direction == AMQP_FROM_SERVER && len > 0 && data[0] != 'A')
        ref->state = AMQP_SCANNER_FRAMES;
    while (scan_next(&c, direction))
        ;
}

bool reference_agrees(const struct reference *ref, const struct amqp_scanner *s, size_t len)
{
    return s->fed_off == len && s->state == ref->state && s->fault == ref->fault &&
           s->fault_off == ref->fault_off && s->boundary_off == ref->boundary_off &&
           amqp_scanner_frame_size(s) == ref->frame_size && s->frames == ref->frames &&
           s->heartbeats == ref->heartbeats && s->seen == ref->seen;
}

bool reference_same_method(const struct amqp_connection_method *a, const struct amqp_connection_method *b)
{
    return a->id == b->id && a->frame_max == b->frame_max && a->channel_max == b->channel_max &&
           a->heartbeat_s == b->heartbeat_s && a->reply_code == b->reply_code &&
           a->frame_off == b->frame_off && a->end_off == b->end_off;
}
