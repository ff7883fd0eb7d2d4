/* SPDX-License-Identifier: Apache-2.0 */

/*
 * AMQP 1.0 has no place for a text in a SASL outcome, so authentication succeeds, whoever it is, and the
 * reason follows in the close. Header, open and close need no answer in between (part 2, section 2.4.1), and
 * the client's own close is not waited for: qpid-proton takes amqp:connection:forced for a loss of the
 * connection, says nothing and reconnects.
 */

#include "amqp/canned.h"
#include "amqp/performative_1_0.h"
#include "amqp/protocol_header.h"
#include "amqp/refusal_step.h"
#include "amqp/wire.h"
#include <assert.h>
#include <string.h>

enum {
    FRAME_HEADER_SIZE = 8,
    DOFF_NONE = 2, /* no extended header, in units of 4 bytes */
    TYPE_AMQP = 0,
    TYPE_SASL = 1,
    CONDITION_MAX = 32,
    LIST_HEADER_SIZE = 12, /* of a described list32 */
};

static enum amqp_refusal_step sasl_step(const struct amqp_refusal *r)
{
    if (!(r->told & AMQP_SEEN_SASL_HEADER))
        return AMQP_REFUSAL_SEND_SASL_HEADER;
    if (!(r->told & AMQP_SEEN_SASL_MECHANISMS))
        return AMQP_REFUSAL_SEND_MECHANISMS;
    if (!(r->client.seen & AMQP_SEEN_SASL_INIT))
        return AMQP_REFUSAL_AWAIT_SASL_INIT;
    if (!(r->told & AMQP_SEEN_SASL_OUTCOME))
        return AMQP_REFUSAL_SEND_OUTCOME;
    return AMQP_REFUSAL_AWAIT_1_0_HEADER;
}

/* A client may send all its headers ahead: the SASL layer is over when both sides are through with it. */
enum amqp_refusal_step amqp_refusal_1_0_step(const struct amqp_refusal *r)
{
    const uint16_t said = r->client.seen;
    if (said & AMQP_SEEN_SASL_HEADER) {
        const enum amqp_refusal_step step = sasl_step(r);
        if (step != AMQP_REFUSAL_AWAIT_1_0_HEADER || !(said & AMQP_SEEN_1_0_HEADER))
            return step;
    }
    if (!(r->told & AMQP_SEEN_1_0_HEADER))
        return AMQP_REFUSAL_SEND_1_0_HEADER;
    if (!(r->told & AMQP_SEEN_OPEN))
        return AMQP_REFUSAL_SEND_1_0_OPEN;
    if (!(r->told & AMQP_SEEN_CLOSE))
        return AMQP_REFUSAL_SEND_1_0_CLOSE;
    return AMQP_REFUSAL_STEP_DONE;
}

static size_t write_bytes(uint8_t *buf, size_t size, const void *bytes, size_t len)
{
    if (size < len)
        return 0;
    memcpy(buf, bytes, len);
    return len;
}

static size_t write_frame(uint8_t *buf, size_t size, uint8_t type, const void *body, size_t len)
{
    if (size < FRAME_HEADER_SIZE + len)
        return 0;
    amqp_put_u32(buf, (uint32_t)(FRAME_HEADER_SIZE + len));
    buf[4] = DOFF_NONE;
    buf[5] = type;
    amqp_put_u16(buf + 6, 0);
    memcpy(buf + FRAME_HEADER_SIZE, body, len);
    return FRAME_HEADER_SIZE + len;
}

size_t amqp_refusal_1_0_write_sasl_header(const struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    static const uint8_t header[AMQP_PROTOCOL_HEADER_SIZE] = {'A', 'M', 'Q', 'P', AMQP_1_0_LAYER_SASL,
                                                              1,   0,   0};
    (void)r;
    return write_bytes(buf, size, header, sizeof(header));
}

size_t amqp_refusal_1_0_write_header(const struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    static const uint8_t header[AMQP_PROTOCOL_HEADER_SIZE] = {'A', 'M', 'Q', 'P', AMQP_1_0_LAYER_AMQP,
                                                              1,   0,   0};
    (void)r;
    return write_bytes(buf, size, header, sizeof(header));
}

/*
 * Encodings used below (part 1, section 1.6): 00 53 D: described by the ulong D. C0 size count: list8. D0
 * size4 count4: list32. E0 size count constructor: array8. A3 length: symbol. A1 length: string. 50: ubyte. A
 * size counts all that follows it.
 */
size_t amqp_refusal_1_0_write_mechanisms(const struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    static const char body[] = "\x00\x53\x40\xC0\x1E\x01" /* sasl-mechanisms */
                               "\xE0\x1B\x03\xA3"
                               "\011ANONYMOUS\005PLAIN\010EXTERNAL";
    static_assert(AMQP_1_0_SASL_MECHANISMS == 0x40, "the descriptor above");
    static_assert(sizeof(body) - 1 == 5 + 0x1E, "the list's size above");
    (void)r;
    return write_frame(buf, size, TYPE_SASL, body, sizeof(body) - 1);
}

size_t amqp_refusal_1_0_write_outcome(const struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    static const char body[] = "\x00\x53\x44\xC0\x03\x01\x50\x00"; /* sasl-outcome: 0, ok */
    static_assert(AMQP_1_0_SASL_OUTCOME == 0x44, "the descriptor above");
    (void)r;
    return write_frame(buf, size, TYPE_SASL, body, sizeof(body) - 1);
}

size_t amqp_refusal_1_0_write_open(const struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    static const char body[] = "\x00\x53\x10\xC0\x0D\x01\xA1\x0A" /* open: container-id */
                               "amqp-vsock";
    static_assert(AMQP_1_0_OPEN == 0x10, "the descriptor above");
    static_assert(sizeof(body) - 1 == 5 + 0x0D, "the list's size above");
    (void)r;
    return write_frame(buf, size, TYPE_AMQP, body, sizeof(body) - 1);
}

/* A described list32; `items_size` bytes of items follow. Returns the end of what was written. */
static uint8_t *put_list(uint8_t *p, uint8_t descriptor, uint32_t count, size_t items_size)
{
    *p++ = 0x00;
    *p++ = 0x53;
    *p++ = descriptor;
    *p++ = 0xD0;
    amqp_put_u32(p, (uint32_t)(4 + items_size));
    amqp_put_u32(p + 4, count);
    return p + 8;
}

/* What comes nearest to a reply code of 0-9-1 (part 2, sections 2.8.14 to 2.8.16). */
static const char *condition_of(uint16_t code)
{
    switch (code) {
    case AMQP_REPLY_ACCESS_REFUSED: return "amqp:unauthorized-access";
    case AMQP_REPLY_RESOURCE_ERROR: return "amqp:resource-limit-exceeded";
    case AMQP_REPLY_NOT_ALLOWED: return "amqp:not-allowed";
    default: return "amqp:connection:forced";
    }
}

static uint8_t *put_short(uint8_t *p, uint8_t constructor, const char *text, size_t len)
{
    *p++ = constructor;
    *p++ = (uint8_t)len;
    memcpy(p, text, len);
    return p + len;
}

/* close { error { condition, description } } */
size_t amqp_refusal_1_0_write_close(const struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    const char *condition = condition_of(r->code);
    const size_t condition_size = strlen(condition);
    const size_t text_size = strlen(r->text);
    const size_t error_items_size = 2 + condition_size + 2 + text_size;
    uint8_t body[2 * LIST_HEADER_SIZE + 2 + CONDITION_MAX + 2 + AMQP_REFUSAL_TEXT_SIZE];

    assert(condition_size <= CONDITION_MAX);
    uint8_t *p = put_list(body, AMQP_1_0_CLOSE, 1, LIST_HEADER_SIZE + error_items_size);
    p = put_list(p, AMQP_1_0_ERROR, 2, error_items_size);
    p = put_short(p, 0xA3, condition, condition_size);
    p = put_short(p, 0xA1, r->text, text_size);
    return write_frame(buf, size, TYPE_AMQP, body, (size_t)(p - body));
}
