/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_TABLE_CHECK_H
#define AMQP_TABLE_CHECK_H

#include "amqp/cursor.h"

/*
 * RabbitMQ takes any depth; rabbitmq-c and many clients recurse for each level, and nobody nests on purpose
 * beyond a few.
 */
#define AMQP_TABLE_DEPTH_MAX 64

/*
 * Takes a field table (its length and its entries) and says whether RabbitMQ could parse it: known types (S I
 * T b B s u i d f l L t D F A x V), lengths that fit exactly, no NaN or infinity. RabbitMQ's own parser ends
 * the connection over the slightest slip. False also when the cursor was bad or ends early.
 */
bool amqp_table_check(struct amqp_cursor *c);

/* The same for a table without its length. */
bool amqp_table_check_entries(struct amqp_span table);

/* Takes a checked value, type octet first, as arrays hold them one after the other. Its type; 0: the end. */
uint8_t amqp_table_take_value(struct amqp_cursor *c, struct amqp_span *value);

/*
 * Finds the value of `key` at the top level of a table that was checked: its type octet, or 0 when there is
 * none. `*value` is the rest of it as it is on the wire: a string without its length, a number's bytes. The
 * first entry of that name counts, as it does for RabbitMQ. `table` is without its length.
 */
uint8_t amqp_table_find(struct amqp_span table, const char *key, struct amqp_span *value);

#endif
