/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_SEAT_H
#define AMQP_SEAT_H

/*
 * A member's place on a hub: what waits there to be sent for it, and how many of the hub's slots it has. On
 * its main hub it does everything; if publishing is apart from that, it has another one for it
 * (amqp/outlet.h).
 */

#include "amqp/exception.h"
#include "amqp/fair.h"
#include <stdbool.h>
#include <sys/queue.h>

struct amqp_hub;
struct amqp_lane;
struct amqp_member;
struct amqp_slot;

enum amqp_side {
    AMQP_SIDE_MAIN,
    AMQP_SIDE_PUBLISHING,
    AMQP_SIDES,
};

struct amqp_seat {
    TAILQ_ENTRY(amqp_seat) entry; /* in the hub's list, while it is taken */
    TAILQ_ENTRY(amqp_seat) line;  /* of those that await room */
    bool awaits_room;             /* it is in that one, too */
    struct amqp_hub *hub;         /* NULL: it is not taken */
    struct amqp_member *member;
    enum amqp_side side;
    struct amqp_flow up; /* to the broker */
    unsigned slots;      /* that are not free yet */
};

void amqp_seat_init(struct amqp_seat *seat, struct amqp_member *member, enum amqp_side side);

static inline bool amqp_seat_is_taken(const struct amqp_seat *seat)
{
    return seat->hub != NULL;
}

/* Takes it on this hub. */
void amqp_seat_take(struct amqp_seat *seat, struct amqp_hub *hub);

/* Leaves it; all slots are free, or the hub is lost. No effect if it is not taken. */
void amqp_seat_leave(struct amqp_seat *seat);

/* The member is not read now: it is woken once when the hub holds less. No effect if it is not taken. */
void amqp_seat_await_room(struct amqp_seat *seat);

/* Wakes the member of one that awaits room. */
void amqp_seat_wake(struct amqp_seat *seat);

/*
 * A slot for a lane, the seat's until it is free again: one that was kept, and has answered, or one whose
 * channel.open is queued. NULL with `*e`: no memory, or all are in use.
 */
struct amqp_slot *amqp_seat_open_slot(struct amqp_seat *seat, struct amqp_lane *lane,
                                      struct amqp_exception *e);

#endif
