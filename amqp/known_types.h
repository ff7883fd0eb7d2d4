/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_KNOWN_TYPES_H
#define AMQP_KNOWN_TYPES_H

/*
 * What probes have found out lately about the types of queues. A client that polls a queue would else pay for
 * a probe with each basic.get. It is forgotten when a command that may make or delete the queue passes
 * through the hub; somebody with another connection can put a queue of another type in its place unnoticed
 * for as long as it is believed.
 */

#include "amqp/names.h"

struct amqp_hub;

/* How many queues are remembered. */
#define AMQP_KNOWN_MAX 1024

/* A probe has ended with this type. */
void amqp_known_note(struct amqp_hub *hub, struct amqp_name *name, enum amqp_queue_type type);

/* Whether the type of the queue is known, and young enough to be believed. */
bool amqp_known_is_fresh(const struct amqp_hub *hub, const struct amqp_name *name);

/* The connection is lost: nothing is remembered. */
void amqp_known_clear(struct amqp_names *names);

#endif
