/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_DELIVERIES_H
#define AMQP_DELIVERIES_H

/*
 * The unacknowledged deliveries of one channel, by delivery tag, and who is to acknowledge each: the client,
 * or the proxy for a consumer with no_ack. A set of bits in chunks; one costs a bit when they lie close
 * together, a chunk when they don't. The newest chunk stays when all is acknowledged, since the next
 * delivery will mostly belong there.
 */

#include <stddef.h>
#include <stdint.h>

enum amqp_holder {
    AMQP_HELD_BY_CLIENT,
    AMQP_HELD_BY_PROXY,
    AMQP_HELD_BY_NOBODY, /* acknowledged, or never delivered */
};

enum { AMQP_HOLDERS = AMQP_HELD_BY_NOBODY };

struct amqp_delivery_chunk;

struct amqp_deliveries {
    struct amqp_delivery_chunk *table; /* hash by tag / 256, in ascending order; only the last may be empty */
    uint64_t count[AMQP_HOLDERS];
    size_t cost; /* memory, in bytes */
};

/* Adds a tag higher than all before, held by CLIENT or PROXY. 0 or -1: out of memory, nothing changed. */
int amqp_deliveries_add(struct amqp_deliveries *d, uint64_t tag, enum amqp_holder holder);

enum amqp_holder amqp_deliveries_holder(const struct amqp_deliveries *d, uint64_t tag);

/* Removes a tag, or all of them up to one; those that are not there are ignored. */
void amqp_deliveries_remove(struct amqp_deliveries *d, uint64_t tag);
void amqp_deliveries_remove_to(struct amqp_deliveries *d, uint64_t tag);

/* The lowest tag of a holder that is at least `from`; 0: none. */
uint64_t amqp_deliveries_next(const struct amqp_deliveries *d, enum amqp_holder holder, uint64_t from);

/* How many tags of a holder are at least `from`. */
uint64_t amqp_deliveries_count(const struct amqp_deliveries *d, enum amqp_holder holder, uint64_t from);

/* The highest tag of a holder that is at most `to`; 0: none. */
uint64_t amqp_deliveries_last(const struct amqp_deliveries *d, enum amqp_holder holder, uint64_t to);

void amqp_deliveries_clear(struct amqp_deliveries *d);

#endif
