/* SPDX-License-Identifier: Apache-2.0 */
/* Big-endian integers in memory, and a cursor that knows its end. Private to mux. */
#ifndef MUX_WIRE_H
#define MUX_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 1 to 8 bytes, at any address. */
static inline uint8_t *wire_put(uint8_t *p, uint64_t value, unsigned bytes)
{
    const uint64_t big_endian = htobe64(value << (64 - 8 * bytes));

    memcpy(p, &big_endian, bytes);
    return p + bytes;
}

static inline uint64_t wire_get(const uint8_t *p, unsigned bytes)
{
    uint64_t big_endian = 0;

    memcpy(&big_endian, p, bytes);
    return be64toh(big_endian) >> (64 - 8 * bytes);
}

/* Reading past the end sets `bad` and gives zeros; one check at the end is enough. */
struct wire_cursor {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};

static inline size_t wire_left(const struct wire_cursor *c)
{
    return (size_t)(c->end - c->p);
}

static inline const uint8_t *wire_take(struct wire_cursor *c, size_t n)
{
    const uint8_t *at = c->p;

    if (c->bad || n > wire_left(c)) {
        c->bad = true;
        return NULL;
    }
    c->p += n;
    return at;
}

static inline uint64_t wire_uint(struct wire_cursor *c, unsigned bytes)
{
    const uint8_t *at = wire_take(c, bytes);

    return at != NULL ? wire_get(at, bytes) : 0;
}

#endif
