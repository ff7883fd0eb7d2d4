/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_HUB_INTERNAL_H
#define AMQP_HUB_INTERNAL_H

/* Between hub.c and hub_hear.c. */

#include "amqp/hub.h"

static inline struct amqp_hub *amqp_hub_of_back(struct amqp_back *back)
{
    return (struct amqp_hub *)((char *)back - offsetof(struct amqp_hub, back));
}

/* A frame of the broker's on a channel, as on_frame of amqp/back.h. */
int amqp_hub_hear_frame(struct amqp_back *back, const struct amqp_frame *frame, struct amqp_exception *e,
                        uint64_t now);

/* Where what is said on a slot is queued: with whose it is, or, if it is nobody's, with what we say. */
struct amqp_flow *amqp_hub_flow_of(struct amqp_hub *hub, const struct amqp_slot *slot);

/* All is said about a slot: the seat is told, if it was anybody's. */
void amqp_hub_free_slot(struct amqp_seat *seat);

#endif
