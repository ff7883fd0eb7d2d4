/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/content_check.h"
#include "amqp/table_check.h"

enum { FLAGS_KNOWN = 0xFFFC, FLAGS_GO_ON = 1 }; /* bit 1 is of neither */

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

static unsigned flag_of(enum amqp_property which)
{
    return 0x8000u >> which;
}

/* The one that lies first, of at least one. */
static enum amqp_property first_of(unsigned flags)
{
    return (enum amqp_property)(__builtin_clz(flags) - __builtin_clz(flag_of(0)));
}

static struct amqp_span take_table(struct amqp_cursor *c)
{
    struct amqp_cursor again = *c;
    const struct amqp_span table = amqp_take_long_string(&again);
    if (!amqp_table_check(c))
        c->bad = true;
    return table;
}

static struct amqp_span take_property(struct amqp_cursor *c, enum amqp_property which)
{
    switch (property_types[which]) {
    case 's': return amqp_take_short_string(c);
    case 'T': return take_table(c);
    case 'o': return amqp_take_span(c, 1);
    default: return amqp_take_span(c, 8);
    }
}

bool amqp_properties_check(struct amqp_span properties)
{
    struct amqp_cursor c = amqp_cursor_over(properties.data, properties.len);
    const unsigned flags = amqp_take_u16(&c);
    if (flags & FLAGS_GO_ON)
        return false;
    for (unsigned left = flags & FLAGS_KNOWN; left != 0; left &= ~flag_of(first_of(left)))
        take_property(&c, first_of(left));
    return amqp_cursor_done(&c);
}

bool amqp_properties_find(struct amqp_span properties, enum amqp_property which, struct amqp_span *value)
{
    struct amqp_cursor c = amqp_cursor_over(properties.data, properties.len);
    const unsigned flags = amqp_take_u16(&c);
    if ((flags & flag_of(which)) == 0 || (flags & FLAGS_GO_ON) != 0)
        return false;
    for (unsigned left = flags; first_of(left) != which; left &= ~flag_of(first_of(left)))
        take_property(&c, first_of(left));
    *value = take_property(&c, which);
    return !c.bad;
}
