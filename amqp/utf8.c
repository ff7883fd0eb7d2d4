/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/utf8.h"

/* Length of the form that `lead` begins, and the smallest code point that may be written so; 0: none. */
static size_t form_of(uint8_t lead, uint32_t *smallest)
{
    if (lead >= 0xC2 && lead <= 0xDF) {
        *smallest = 0x80;
        return 2;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        *smallest = 0x800;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *smallest = 0x10000;
        return 4;
    }
    return 0;
}

/* Bytes of the valid character at `p`, which has `left` bytes; 0: there is none. */
static size_t character_size(const uint8_t *p, size_t left)
{
    uint32_t smallest = 0;
    const size_t size = form_of(p[0], &smallest);
    if (size == 0 || size > left)
        return 0;
    uint32_t code = p[0] & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3Fu);
    }
    const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code >= smallest && code <= 0x10FFFF && !is_surrogate ? size : 0;
}

bool amqp_utf8_is_valid(const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        const size_t size = data[at] < 0x80 ? 1 : character_size(data + at, len - at);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}
