/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_BACK_INTERNAL_H
#define AMQP_BACK_INTERNAL_H

/* Between back.c and back_handshake.c. */

#include "amqp/back.h"

/* Moves the state forward, with this much time for what is due there. */
void amqp_back_set_state(struct amqp_back *back, enum amqp_back_state next, uint64_t deadline_ms);

/* Ends it here and now. */
void amqp_back_fail(struct amqp_back *back, const struct amqp_exception *e);

/* Queues a method on channel 0; without memory the connection fails. 0 or -1. */
int amqp_back_say(struct amqp_back *back, uint32_t method, void *decoded);

/* A checked method of the broker's before the connection is open, Close excepted. */
void amqp_back_handshake(struct amqp_back *back, uint32_t method, struct amqp_span arguments, uint64_t now);

#endif
