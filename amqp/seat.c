/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/seat.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include <amqp_framing.h>
#include <assert.h>

void amqp_seat_init(struct amqp_seat *seat, struct amqp_member *member, enum amqp_side side)
{
    *seat = (struct amqp_seat){.member = member, .side = side};
    amqp_flow_init(&seat->up);
}

void amqp_seat_take(struct amqp_seat *seat, struct amqp_hub *hub)
{
    assert(!amqp_seat_is_taken(seat));
    seat->hub = hub;
    TAILQ_INSERT_TAIL(&hub->seats, seat, entry);
}

void amqp_seat_await_room(struct amqp_seat *seat)
{
    if (!amqp_seat_is_taken(seat) || seat->awaits_room)
        return;
    TAILQ_INSERT_TAIL(&seat->hub->crowd, seat, line);
    seat->awaits_room = true;
}

static void leave_line(struct amqp_seat *seat)
{
    if (seat->awaits_room)
        TAILQ_REMOVE(&seat->hub->crowd, seat, line);
    seat->awaits_room = false;
}

void amqp_seat_wake(struct amqp_seat *seat)
{
    leave_line(seat);
    seat->member->ops->on_wake(seat->member);
}

void amqp_seat_leave(struct amqp_seat *seat)
{
    if (!amqp_seat_is_taken(seat))
        return;
    leave_line(seat);
    TAILQ_REMOVE(&seat->hub->seats, seat, entry);
    seat->hub = NULL;
    seat->slots = 0;
}

/* A new one. NULL: no memory, or there is none. */
static struct amqp_slot *open_new_slot(struct amqp_seat *seat)
{
    struct amqp_hub *hub = seat->hub;
    amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
    struct amqp_command *command = amqp_command_make(AMQP_CHANNEL_OPEN_METHOD, &open);
    struct amqp_slot *slot =
        command != NULL ? amqp_slots_take(&hub->slots, AMQP_SLOT_CLIENTS, hub->now) : NULL;
    if (slot == NULL) {
        amqp_command_destroy(command);
        return NULL;
    }
    command->channel = slot->number;
    amqp_hub_send(hub, &seat->up, command);
    return slot;
}

struct amqp_slot *amqp_seat_open_slot(struct amqp_seat *seat, struct amqp_lane *lane,
                                      struct amqp_exception *e)
{
    struct amqp_slot *kept = amqp_kept_take(seat->hub);
    const bool has_free = amqp_slots_has_free(&seat->hub->slots, AMQP_SLOT_CLIENTS);
    struct amqp_slot *slot = kept != NULL ? kept : open_new_slot(seat);
    if (slot == NULL) {
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, AMQP_CHANNEL_OPEN_METHOD,
                           has_free ? "out of memory" : "all channels of the shared connection are in use");
        return NULL;
    }
    slot->seat = seat;
    slot->lane = lane;
    seat->slots++;
    return slot;
}
