/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_FRONT_HANDSHAKE_H
#define AMQP_FRONT_HANDSHAKE_H

/* Between front.c and front_handshake.c. */

#include "amqp/front.h"
#include "amqp/text.h"

#define AMQP_CONNECTION_UPDATE_SECRET ((10u << 16) | 70u) /* rabbitmq-c 0.11 does not know it */

/* Moves the state forward. */
void amqp_front_set_state(struct amqp_front *front, enum amqp_front_state next);

/* Queues a method on channel 0; without memory the connection is closed. */
void amqp_front_say(struct amqp_front *front, uint32_t method, void *decoded);

/* Says Start. 0 or -1. */
int amqp_front_start(struct amqp_front *front);

/* A checked method before the connection is open. */
void amqp_front_handshake(struct amqp_front *front, uint32_t method, struct amqp_span arguments,
                          uint64_t now);

/* Reads on with what has come while the owner was deciding. */
void amqp_front_resume(struct amqp_front *front, uint64_t now);

#endif
