/* SPDX-License-Identifier: Apache-2.0 */

/* The end of a member, and of its lanes: who asks for it, what it waits for (amqp/member.h). */

#include "amqp/member.h"
#include "amqp/member_internal.h"
#include <assert.h>

static void leave_seat(struct amqp_seat *seat)
{
    if (seat->side == AMQP_SIDE_MAIN && amqp_seat_is_taken(seat))
        amqp_brake_leave(seat->member);
    amqp_seat_leave(seat);
}

/* The client is told as soon as what waits for it has been written (amqp_member_write). */
static void leave_hubs(struct amqp_member *member)
{
    leave_seat(&member->main);
    leave_seat(&member->publishing);
    member->state = AMQP_MEMBER_OVER;
}

/* A message of which the rest will not be read. */
static void drop_partial(struct amqp_member *member, struct amqp_lane *lane)
{
    const size_t cost = amqp_assembler_cost(&lane->assembler);
    amqp_assembler_reset(&lane->assembler);
    member->partial_cost -= cost;
    amqp_hub_account(amqp_member_payer(member), cost, 0);
}

void amqp_member_drop_lane(struct amqp_member *member, struct amqp_lane *lane)
{
    drop_partial(member, lane);
    if (member->refused == lane)
        member->refused = NULL;
    HASH_DEL(member->lanes, lane);
    amqp_lane_destroy(lane);
}

void amqp_member_favour_no_more(struct amqp_member *member)
{
    struct amqp_hub *payer = amqp_member_payer(member);
    if (payer != NULL && payer->favourite == member)
        payer->favourite = NULL;
}

static void drop_lanes(struct amqp_member *member)
{
    while (member->lanes != NULL)
        amqp_member_drop_lane(member, member->lanes);
    amqp_member_favour_no_more(member);
}

/* The lanes stay until the broker has answered; those that have no slot go at once. */
static void leave_lanes(struct amqp_member *member)
{
    struct amqp_lane *lane;
    struct amqp_lane *next;
    HASH_ITER (hh, member->lanes, lane, next) {
        drop_partial(member, lane);
        if (amqp_lane_leave(lane) == AMQP_LANE_GONE)
            amqp_member_drop_lane(member, lane);
    }
    amqp_member_favour_no_more(member);
}

/* All channels are free; exclusive queues may not be yet. */
static void finish_leaving(struct amqp_member *member)
{
    if (!amqp_seat_is_taken(&member->main) || amqp_queues_release(member->main.hub, member))
        amqp_member_released(member);
}

void amqp_member_released(struct amqp_member *member)
{
    leave_hubs(member);
    member->ops->on_wake(member);
}

void amqp_member_begin_end(struct amqp_member *member, uint64_t now)
{
    member->state = AMQP_MEMBER_ENDING;
    if (!member->is_hurried)
        member->end_ms = now + member->main.hub->config->end_timeout_ms;
    leave_lanes(member);
    if (amqp_member_slots(member) == 0)
        finish_leaving(member);
    member->ops->on_wake(member);
}

void amqp_member_answered(struct amqp_member *member)
{
    const uint64_t now = amqp_member_now(member);
    const bool is_to_come = member->end_ms > now && member->end_ms != UINT64_MAX;
    if (member->state == AMQP_MEMBER_ENDING && is_to_come && amqp_seat_is_taken(&member->main))
        member->end_ms = now + member->main.hub->config->end_timeout_ms;
}

void amqp_member_end(struct amqp_member *member, const struct amqp_exception *e, uint64_t now)
{
    if (member->state == AMQP_MEMBER_GREETING) {
        amqp_front_close(&member->front, e, now);
        member->ops->on_wake(member);
    } else if (member->state == AMQP_MEMBER_JOINED) {
        if (!member->is_hurried)
            member->end = *e;
        amqp_member_begin_end(member, now);
    }
}

void amqp_member_doom(struct amqp_member *member, const struct amqp_exception *e)
{
    member->end = *e;
    amqp_member_hurry(member);
}

void amqp_member_hurry(struct amqp_member *member)
{
    amqp_member_drop_down(member);
    member->is_hurried = true;
    member->end_ms = amqp_member_now(member);
    member->ops->on_wake(member);
}

void amqp_member_gone(struct amqp_member *member, uint64_t now)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0, "the client is gone");
    amqp_front_abandon(&member->front);
    amqp_member_drop_down(member);
    amqp_member_end(member, &e, now);
}

void amqp_member_slot_freed(struct amqp_seat *seat)
{
    struct amqp_member *member = seat->member;
    assert(seat->slots > 0);
    seat->slots--;
    amqp_member_answered(member);
    if (amqp_member_slots(member) > 0 || member->state != AMQP_MEMBER_ENDING)
        return;
    drop_lanes(member); /* those in TOLD, whose Close-Ok is of no interest */
    finish_leaving(member);
}

void amqp_member_cut_off(struct amqp_seat *seat, const struct amqp_exception *e)
{
    struct amqp_member *member = seat->member;
    const bool is_main = seat->side == AMQP_SIDE_MAIN;
    const bool is_releasing = amqp_member_is_releasing(member);
    if (member->state == AMQP_MEMBER_JOINED) {
        if (!member->is_hurried) {
            member->end = *e;
            member->end_ms = seat->hub->now + seat->hub->config->end_timeout_ms;
        }
        member->state = AMQP_MEMBER_ENDING;
    }
    drop_lanes(member);
    if (is_main)
        amqp_queues_abandon(member);
    leave_seat(seat);
    if (amqp_member_slots(member) == 0 && (is_main || !is_releasing))
        finish_leaving(member);
    member->ops->on_wake(member);
}

bool amqp_member_is_over(const struct amqp_member *member)
{
    const bool is_free = member->state == AMQP_MEMBER_OVER || member->state == AMQP_MEMBER_GREETING;
    return is_free && member->front.state == AMQP_FRONT_CLOSED;
}
