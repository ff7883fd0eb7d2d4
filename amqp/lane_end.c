/* SPDX-License-Identifier: Apache-2.0 */

/* The end of a lane: who asks for it, and what the client is told when all its slots are left (amqp/lane.h).
 */

#include "amqp/lane_internal.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include <amqp_framing.h>

/* --- the slots --- */

/* Gives a slot up; `close`: the client's Close, taken over, or NULL. */
static void leave_slot(const struct amqp_lane *lane, struct amqp_slot *slot, struct amqp_command *close)
{
    if (slot == NULL || slot->state != AMQP_SLOT_OPEN) {
        amqp_command_destroy(close);
        return;
    }
    if (amqp_outlet_has_fence(lane, slot->seat->side))
        slot->is_marked = true; /* its answer could be taken for that to another fence */
    amqp_hub_leave_slot(slot->seat->hub, slot, close);
}

/* Gives all up, one after the other: what was published is done before the rest is given back. Where it is
 * done already, that nothing more is said there need not be waited for. */
static void leave_slots(struct amqp_lane *lane, struct amqp_command *close)
{
    if (amqp_outlet_is_done(lane))
        amqp_lane_let_outlet_go(lane);
    leave_slot(lane, lane->outlet.slot != NULL ? lane->outlet.slot : lane->slot, close);
}

static bool has_slots(const struct amqp_lane *lane)
{
    return lane->slot != NULL || lane->outlet.slot != NULL;
}

static void let_slot_go(const struct amqp_lane *lane, struct amqp_slot *slot)
{
    if (slot == NULL)
        return;
    slot->lane = NULL;
    leave_slot(lane, slot, NULL);
}

void amqp_lane_let_slots_go(struct amqp_lane *lane)
{
    amqp_lane_let_outlet_go(lane);
    let_slot_go(lane, lane->slot);
    lane->slot = NULL;
}

void amqp_lane_let_outlet_go(struct amqp_lane *lane)
{
    let_slot_go(lane, lane->outlet.slot);
    lane->outlet.slot = NULL;
}

/* --- what the client is told --- */

void amqp_lane_tell_close_ok(struct amqp_lane *lane)
{
    amqp_channel_close_ok_t close_ok = {0};
    amqp_lane_tell(lane, amqp_command_make(AMQP_CHANNEL_CLOSE_OK_METHOD, &close_ok));
}

static void tell_end(struct amqp_lane *lane)
{
    amqp_channel_close_t close = {
        .reply_code = lane->end.code,
        .reply_text = amqp_cstring_bytes(lane->end.text),
        .class_id = amqp_method_class(lane->end.method),
        .method_id = (uint16_t)(lane->end.method & 0xFFFF),
    };
    amqp_lane_tell(lane, amqp_command_make(AMQP_CHANNEL_CLOSE_METHOD, &close));
}

static void tell_farewell(struct amqp_lane *lane)
{
    amqp_lane_tell(lane, lane->farewell);
    lane->farewell = NULL;
}

/* All slots are left. GOES_ON, GONE or FATAL. */
static int finish(struct amqp_lane *lane, struct amqp_exception *e)
{
    const enum amqp_lane_state state = lane->state;
    if (state == AMQP_LANE_LEAVING || (state == AMQP_LANE_CLOSING && lane->farewell == NULL)) {
        if (state == AMQP_LANE_CLOSING)
            amqp_lane_tell_close_ok(lane);
        return AMQP_LANE_GONE;
    }
    if (lane->farewell == NULL && lane->end.scope == AMQP_SCOPE_CONNECTION) {
        *e = lane->end;
        return AMQP_LANE_FATAL;
    }
    lane->state = AMQP_LANE_TOLD;
    if (lane->farewell != NULL)
        tell_farewell(lane);
    else
        tell_end(lane);
    if (state == AMQP_LANE_CLOSING || state == AMQP_LANE_CROSSED)
        amqp_lane_tell_close_ok(lane);
    return AMQP_LANE_GOES_ON;
}

/* --- who asks for it --- */

void amqp_lane_let_go(struct amqp_lane *lane)
{
    amqp_lane_forget(lane);
    leave_slots(lane, NULL);
}

void amqp_lane_close(struct amqp_lane *lane, struct amqp_command *close)
{
    amqp_lane_forget(lane);
    lane->state = AMQP_LANE_CLOSING;
    leave_slots(lane, close);
}

void amqp_lane_refuse(struct amqp_lane *lane, const struct amqp_exception *e)
{
    if (lane->state == AMQP_LANE_LEAVING && amqp_lane_speaks(lane))
        amqp_lane_let_go(lane);
    if (lane->state != AMQP_LANE_OPEN)
        return;
    amqp_lane_forget(lane);
    lane->end = *e;
    lane->state = lane->owes_close_ok ? AMQP_LANE_CROSSED : AMQP_LANE_ENDING;
    leave_slots(lane, NULL);
}

int amqp_lane_leave(struct amqp_lane *lane)
{
    if (!has_slots(lane))
        return AMQP_LANE_GONE;
    if (lane->state == AMQP_LANE_OPEN) {
        lane->state = AMQP_LANE_LEAVING;
        if (STAILQ_EMPTY(&lane->held))
            amqp_lane_let_go(lane);
    }
    return AMQP_LANE_GOES_ON;
}

/* --- from the broker --- */

int amqp_lane_hear_close(struct amqp_lane *lane, enum amqp_side side, struct amqp_command *command,
                         struct amqp_exception *e)
{
    if (command == NULL || lane->state == AMQP_LANE_LEAVING || lane->farewell != NULL) {
        amqp_command_destroy(command);
    } else {
        if (side == AMQP_SIDE_MAIN)
            amqp_intake_hear_close(lane, command);
        amqp_lane_forget(lane);
        lane->farewell = command;
        if (lane->state == AMQP_LANE_OPEN)
            lane->state = lane->owes_close_ok ? AMQP_LANE_CROSSED : AMQP_LANE_ENDING;
    }
    return amqp_lane_hear_close_ok(lane, side, e);
}

int amqp_lane_hear_close_ok(struct amqp_lane *lane, enum amqp_side side, struct amqp_exception *e)
{
    if (side == AMQP_SIDE_MAIN)
        lane->slot = NULL;
    else
        lane->outlet.slot = NULL;
    amqp_lane_forget(lane);
    leave_slots(lane, NULL);
    return has_slots(lane) ? AMQP_LANE_GOES_ON : finish(lane, e);
}
