/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_KEPT_H
#define AMQP_KEPT_H

/*
 * Channels of the shared connection that a client has left as they were when they were opened: they stay open
 * at the broker for the next channel.open, which costs it nothing then. Opening and closing is most of what a
 * client costs that connects, publishes and leaves.
 *
 * Instead of our Close a fence is sent, channel.flow with active=1: it changes nothing, and RabbitMQ answers
 * it when it has done all that was said before. What went wrong is heard up to then, and the client is told
 * of its Close-Ok when it would have been. A channel is kept for a short time only, used or not, since
 * RabbitMQ looks a user's permissions up once for each channel.
 */

#include "amqp/slots.h"
#include <stdint.h>

struct amqp_hub;

struct amqp_kept {
    TAILQ_HEAD(amqp_kept_list, amqp_slot) slots; /* the one kept last first */
    unsigned count;
};

void amqp_kept_init(struct amqp_kept *kept);

/* Whether a channel is still as it was opened after this method. */
bool amqp_kept_leaves_no_trace(uint32_t method);

/* Instead of closing an OPEN slot: queues the fence. False: it can't be kept. */
bool amqp_kept_fence(struct amqp_hub *hub, struct amqp_slot *slot);

/* Its flow-ok was heard, and it is nobody's any more: KEPT, or our Close is queued. */
void amqp_kept_add(struct amqp_hub *hub, struct amqp_slot *slot);

/* One of them, OPEN again. NULL: there is none. */
struct amqp_slot *amqp_kept_take(struct amqp_hub *hub);

/* The broker closes one that is KEPT. */
void amqp_kept_remove(struct amqp_hub *hub, struct amqp_slot *slot);

/* When the next one is to be closed; UINT64_MAX: never. */
uint64_t amqp_kept_deadline(const struct amqp_hub *hub);

/* Closes those that nobody has used for a while. */
void amqp_kept_run(struct amqp_hub *hub);

#endif
