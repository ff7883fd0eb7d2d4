/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_CURSOR_H
#define AMQP_CURSOR_H

/*
 * Reading AMQP values from bytes with a known end, for this folder's own use. Reading past the end sets `bad`
 * and gives zeros and empty strings; one look at `bad` after the last read is enough.
 */

#include "amqp/wire.h"
#include <stdbool.h>
#include <stddef.h>

struct amqp_cursor {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};

/* Bytes inside somebody else's memory. */
struct amqp_span {
    const uint8_t *data;
    size_t len;
};

static inline bool amqp_span_is(struct amqp_span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.data, text, span.len) == 0;
}

static inline struct amqp_cursor amqp_cursor_over(const uint8_t *data, size_t len)
{
    return (struct amqp_cursor){.p = data, .end = data + len};
}

static inline size_t amqp_cursor_left(const struct amqp_cursor *c)
{
    return (size_t)(c->end - c->p);
}

static inline bool amqp_cursor_done(const struct amqp_cursor *c)
{
    return !c->bad && c->p == c->end;
}

/* The next `n` bytes, or NULL. */
static inline const uint8_t *amqp_take(struct amqp_cursor *c, size_t n)
{
    const uint8_t *at = c->p;
    if (c->bad || n > amqp_cursor_left(c)) {
        c->bad = true;
        return NULL;
    }
    c->p += n;
    return at;
}

static inline uint8_t amqp_take_u8(struct amqp_cursor *c)
{
    const uint8_t *at = amqp_take(c, 1);
    return at != NULL ? *at : 0;
}

static inline uint16_t amqp_take_u16(struct amqp_cursor *c)
{
    const uint8_t *at = amqp_take(c, 2);
    return at != NULL ? amqp_get_u16(at) : 0;
}

static inline uint32_t amqp_take_u32(struct amqp_cursor *c)
{
    const uint8_t *at = amqp_take(c, 4);
    return at != NULL ? amqp_get_u32(at) : 0;
}

static inline uint64_t amqp_take_u64(struct amqp_cursor *c)
{
    const uint64_t high = amqp_take_u32(c);
    return high << 32 | amqp_take_u32(c);
}

static inline struct amqp_span amqp_take_span(struct amqp_cursor *c, size_t n)
{
    const uint8_t *at = amqp_take(c, n);
    return (struct amqp_span){.data = at, .len = at != NULL ? n : 0};
}

static inline struct amqp_span amqp_take_short_string(struct amqp_cursor *c)
{
    const uint8_t len = amqp_take_u8(c);
    return amqp_take_span(c, len);
}

static inline struct amqp_span amqp_take_long_string(struct amqp_cursor *c)
{
    const uint32_t len = amqp_take_u32(c);
    return amqp_take_span(c, len);
}

#endif
