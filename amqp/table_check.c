/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/table_check.h"

static bool check_value(struct amqp_cursor *c, unsigned depth);

static bool check_entries(struct amqp_span table, unsigned depth)
{
    struct amqp_cursor c = amqp_cursor_over(table.data, table.len);
    if (depth > AMQP_TABLE_DEPTH_MAX)
        return false;
    while (!amqp_cursor_done(&c)) {
        amqp_take_short_string(&c);
        if (!check_value(&c, depth))
            return false;
    }
    return true;
}

static bool check_elements(struct amqp_span array, unsigned depth)
{
    struct amqp_cursor c = amqp_cursor_over(array.data, array.len);
    if (depth > AMQP_TABLE_DEPTH_MAX)
        return false;
    while (!amqp_cursor_done(&c)) {
        if (!check_value(&c, depth))
            return false;
    }
    return true;
}

/* An exponent of all ones stands for NaN or infinity (IEEE 754), which Erlang has no floats for. */
static bool check_float(struct amqp_cursor *c)
{
    return (amqp_take_u32(c) & 0x7F800000u) != 0x7F800000u && !c->bad;
}

static bool check_double(struct amqp_cursor *c)
{
    const uint64_t exponent = 0x7FF0000000000000u;
    return (amqp_take_u64(c) & exponent) != exponent && !c->bad;
}

/* Bytes of a value of fixed size that may have any content; 0: the type is not one of those. */
static size_t fixed_size(uint8_t type)
{
    switch (type) {
    case 't':
    case 'b':
    case 'B': return 1;
    case 's':
    case 'u': return 2;
    case 'I':
    case 'i': return 4;
    case 'D': return 5;
    case 'T':
    case 'l':
    case 'L': return 8;
    default: return 0;
    }
}

static bool check_value(struct amqp_cursor *c, unsigned depth)
{
    const uint8_t type = amqp_take_u8(c);
    struct amqp_span inner;
    if (c->bad)
        return false;
    switch (type) {
    case 'V': return true;
    case 'f': return check_float(c);
    case 'd': return check_double(c);
    case 'S':
    case 'x': amqp_take_long_string(c); return !c->bad;
    case 'F': inner = amqp_take_long_string(c); return !c->bad && check_entries(inner, depth + 1);
    case 'A': inner = amqp_take_long_string(c); return !c->bad && check_elements(inner, depth + 1);
    default: return fixed_size(type) > 0 && amqp_take(c, fixed_size(type)) != NULL;
    }
}

bool amqp_table_check(struct amqp_cursor *c)
{
    const struct amqp_span table = amqp_take_long_string(c);
    return !c->bad && check_entries(table, 1);
}

bool amqp_table_check_entries(struct amqp_span table)
{
    return check_entries(table, 1);
}

/* The bytes of a checked value behind its type. */
static struct amqp_span take_value(struct amqp_cursor *c, uint8_t type)
{
    switch (type) {
    case 'V': return amqp_take_span(c, 0);
    case 'f': return amqp_take_span(c, 4);
    case 'd': return amqp_take_span(c, 8);
    case 'S':
    case 'x':
    case 'F':
    case 'A': return amqp_take_long_string(c);
    default: return amqp_take_span(c, fixed_size(type));
    }
}

uint8_t amqp_table_take_value(struct amqp_cursor *c, struct amqp_span *value)
{
    const uint8_t type = amqp_take_u8(c);
    *value = take_value(c, type);
    return c->bad ? 0 : type;
}

uint8_t amqp_table_find(struct amqp_span table, const char *key, struct amqp_span *value)
{
    struct amqp_cursor c = amqp_cursor_over(table.data, table.len);
    const size_t key_len = strlen(key);
    while (!c.bad && amqp_cursor_left(&c) > 0) {
        const struct amqp_span name = amqp_take_short_string(&c);
        const uint8_t type = amqp_table_take_value(&c, value);
        if (type != 0 && name.len == key_len && memcmp(name.data, key, key_len) == 0)
            return type;
    }
    return 0;
}
