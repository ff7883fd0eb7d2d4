/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_METHOD_SPEC_H
#define AMQP_METHOD_SPEC_H

/* The methods of AMQP 0-9-1 as RabbitMQ knows them: who may send them, what they carry, how their fields lie.
 */

#include <stdbool.h>
#include <stdint.h>

/* Who sends a method. */
enum {
    AMQP_BY_CLIENT = 1 << 0,
    AMQP_BY_SERVER = 1 << 1,
};

struct amqp_method_spec {
    uint32_t id;        /* class << 16 | method, as rabbitmq-c's AMQP_…_METHOD */
    uint8_t senders;    /* AMQP_BY_… */
    bool has_content;   /* a content header and a body follow */
    const char *fields; /* one letter each, below */
    const char *name;   /* "queue.declare" */
};

/*
 * Letters of `fields`: o octet, h short (16), l long (32), L long long (64), b bit (bits that follow one
 * another share octets, eight to each), s short string, S long string, T field table.
 */

/* NULL: RabbitMQ does not know it either, or (basic.credit) no client of ours may say it. */
const struct amqp_method_spec *amqp_method_spec(uint32_t id);

/* The name, "unknown method" when there is none. Static storage. */
const char *amqp_method_name(uint32_t id);

static inline uint16_t amqp_method_class(uint32_t id)
{
    return (uint16_t)(id >> 16);
}

#define AMQP_CLASS_CONNECTION 10
#define AMQP_CLASS_CHANNEL    20
#define AMQP_CLASS_BASIC      60

#endif
