/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/seat.h"
#include "amqp/hub.h"
#include <assert.h>

void amqp_seat_init(struct amqp_seat *seat, struct amqp_member *member)
{
    *seat = (struct amqp_seat){.member = member};
    amqp_flow_init(&seat->up);
}

void amqp_seat_take(struct amqp_seat *seat, struct amqp_hub *hub)
{
    assert(!amqp_seat_is_taken(seat));
    seat->hub = hub;
    TAILQ_INSERT_TAIL(&hub->seats, seat, entry);
}

void amqp_seat_leave(struct amqp_seat *seat)
{
    if (!amqp_seat_is_taken(seat))
        return;
    TAILQ_REMOVE(&seat->hub->seats, seat, entry);
    seat->hub = NULL;
    seat->slots = 0;
}

void amqp_seat_add_slot(struct amqp_seat *seat, struct amqp_slot *slot)
{
    slot->seat = seat;
    seat->slots++;
}
