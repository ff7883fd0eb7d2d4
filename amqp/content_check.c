/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/content_check.h"
#include "amqp/table_check.h"

/* s short string, T field table, o octet, L long long */
static const char property_types[AMQP_PROPERTY_COUNT] = {
    [AMQP_PROPERTY_CONTENT_TYPE] = 's', [AMQP_PROPERTY_CONTENT_ENCODING] = 's',
    [AMQP_PROPERTY_HEADERS] = 'T',      [AMQP_PROPERTY_DELIVERY_MODE] = 'o',
    [AMQP_PROPERTY_PRIORITY] = 'o',     [AMQP_PROPERTY_CORRELATION_ID] = 's',
    [AMQP_PROPERTY_REPLY_TO] = 's',     [AMQP_PROPERTY_EXPIRATION] = 's',
    [AMQP_PROPERTY_MESSAGE_ID] = 's',   [AMQP_PROPERTY_TIMESTAMP] = 'L',
    [AMQP_PROPERTY_TYPE] = 's',         [AMQP_PROPERTY_USER_ID] = 's',
    [AMQP_PROPERTY_APP_ID] = 's',       [AMQP_PROPERTY_CLUSTER_ID] = 's',
};

static struct amqp_span take_table(struct amqp_cursor *c)
{
    struct amqp_cursor again = *c;
    const struct amqp_span table = amqp_take_long_string(&again);
    if (!amqp_table_check(c))
        c->bad = true;
    return table;
}

static struct amqp_span take_property(struct amqp_cursor *c, char type)
{
    switch (type) {
    case 's': return amqp_take_short_string(c);
    case 'T': return take_table(c);
    case 'o': return amqp_take_span(c, 1);
    default: return amqp_take_span(c, 8);
    }
}

bool amqp_properties_check(struct amqp_span properties, struct amqp_properties *out)
{
    struct amqp_cursor c = amqp_cursor_over(properties.data, properties.len);
    const uint16_t flags = amqp_take_u16(&c);
    *out = (struct amqp_properties){0};
    if (flags & 1)
        return false;
    for (unsigned i = 0; i < AMQP_PROPERTY_COUNT; i++) {
        if ((flags & (0x8000u >> i)) == 0)
            continue;
        out->values[i] = take_property(&c, property_types[i]);
        out->present = (uint16_t)(out->present | 1u << i);
    }
    return amqp_cursor_done(&c);
}
