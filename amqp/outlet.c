/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/outlet.h"
#include "amqp/intake_terms.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include "amqp/wire.h"
#include <amqp_framing.h>

void amqp_outlet_init(struct amqp_lane *lane)
{
    lane->outlet = (struct amqp_outlet){.side = AMQP_SIDE_MAIN,
                                        .is_bound = !amqp_seat_is_taken(&lane->member->publishing)};
}

void amqp_outlet_deinit(struct amqp_lane *lane)
{
    amqp_deliveries_clear(&lane->outlet.unconfirmed);
}

static int no_memory(struct amqp_exception *e)
{
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
    return -1;
}

/* --- what belongs where --- */

enum amqp_side amqp_outlet_side(const struct amqp_lane *lane, const struct amqp_command *command)
{
    const struct amqp_outlet *outlet = &lane->outlet;
    if (outlet->is_bound)
        return AMQP_SIDE_MAIN;
    switch (command->spec->id) {
    case AMQP_BASIC_PUBLISH_METHOD:
    case AMQP_CONFIRM_SELECT_METHOD: return AMQP_SIDE_PUBLISHING;
    case AMQP_TX_SELECT_METHOD: /* the broker refuses it to one that has confirms */
    case AMQP_TX_COMMIT_METHOD:
    case AMQP_TX_ROLLBACK_METHOD: return outlet->is_confirming ? AMQP_SIDE_PUBLISHING : AMQP_SIDE_MAIN;
    default: return AMQP_SIDE_MAIN;
    }
}

/* Whether a basic.consume asks for replies. Without a name the queue is meant that was declared last. */
static bool asks_for_replies(const struct amqp_lane *lane, const struct amqp_command *consume)
{
    struct amqp_cursor c = amqp_cursor_over(consume->payload + 4, consume->payload_len - 4);
    struct amqp_subject last;
    amqp_take_u16(&c);
    const struct amqp_span queue = amqp_take_short_string(&c);
    if (queue.len > 0)
        return amqp_is_reply_queue(queue);
    return amqp_queues_last(lane->slot, &last) &&
           amqp_is_reply_queue((struct amqp_span){.data = last.text, .len = last.len});
}

static bool binds(const struct amqp_lane *lane, const struct amqp_command *command)
{
    if (command->spec->id == AMQP_BASIC_CONSUME_METHOD)
        return asks_for_replies(lane, command);
    return command->spec->id == AMQP_TX_SELECT_METHOD;
}

/* --- what is known to be done --- */

/* Whether the broker answers a command, and never before it has done it. nowait is turned off in what names
 * queues (amqp/queues.h); exchanges may be declared with it, so their answers don't count. */
static bool is_answered(const struct amqp_command *command)
{
    switch (command->spec->id) {
    case AMQP_CHANNEL_FLOW_METHOD:
    case AMQP_QUEUE_DECLARE_METHOD:
    case AMQP_QUEUE_BIND_METHOD:
    case AMQP_QUEUE_UNBIND_METHOD:
    case AMQP_QUEUE_PURGE_METHOD:
    case AMQP_QUEUE_DELETE_METHOD:
    case AMQP_BASIC_QOS_METHOD:
    case AMQP_BASIC_CONSUME_METHOD:
    case AMQP_BASIC_CANCEL_METHOD:
    case AMQP_BASIC_GET_METHOD:
    case AMQP_BASIC_RECOVER_METHOD:
    case AMQP_TX_SELECT_METHOD:
    case AMQP_TX_COMMIT_METHOD:
    case AMQP_TX_ROLLBACK_METHOD: return true;
    case AMQP_CONFIRM_SELECT_METHOD: return (command->payload[4] & 1) == 0; /* not nowait */
    default: return false;
    }
}

static bool is_answer(uint32_t method)
{
    switch (method) {
    case AMQP_CHANNEL_FLOW_OK_METHOD:
    case AMQP_QUEUE_DECLARE_OK_METHOD:
    case AMQP_QUEUE_BIND_OK_METHOD:
    case AMQP_QUEUE_UNBIND_OK_METHOD:
    case AMQP_QUEUE_PURGE_OK_METHOD:
    case AMQP_QUEUE_DELETE_OK_METHOD:
    case AMQP_BASIC_QOS_OK_METHOD:
    case AMQP_BASIC_CONSUME_OK_METHOD:
    case AMQP_BASIC_CANCEL_OK_METHOD:
    case AMQP_BASIC_GET_OK_METHOD:
    case AMQP_BASIC_GET_EMPTY_METHOD:
    case AMQP_BASIC_RECOVER_OK_METHOD:
    case AMQP_TX_SELECT_OK_METHOD:
    case AMQP_TX_COMMIT_OK_METHOD:
    case AMQP_TX_ROLLBACK_OK_METHOD:
    case AMQP_CONFIRM_SELECT_OK_METHOD: return true;
    default: return false;
    }
}

static void incur(struct amqp_debt *debt, const struct amqp_command *command)
{
    const bool will_be_answered = is_answered(command);
    debt->due += will_be_answered;
    debt->is_loose = !will_be_answered;
}

void amqp_outlet_note(struct amqp_lane *lane, const struct amqp_command *command)
{
    struct amqp_outlet *outlet = &lane->outlet;
    if (outlet->is_bound || command->spec->id == AMQP_BASIC_ACK_METHOD)
        return;
    incur(&outlet->debts[AMQP_SIDE_MAIN], command);
    outlet->flows += command->spec->id == AMQP_CHANNEL_FLOW_METHOD;
}

void amqp_outlet_expect_refusal(struct amqp_lane *lane)
{
    lane->outlet.debts[AMQP_SIDE_MAIN].is_loose = true;
}

/* Asks for a sign that all is done which was said on the side of the last command. */
static int say_fence(struct amqp_lane *lane, struct amqp_exception *e)
{
    struct amqp_outlet *outlet = &lane->outlet;
    struct amqp_slot *slot = outlet->side == AMQP_SIDE_MAIN ? lane->slot : outlet->slot;
    amqp_channel_flow_t flow = {.active = 1};
    struct amqp_command *fence = amqp_command_make(AMQP_CHANNEL_FLOW_METHOD, &flow);
    if (fence == NULL)
        return no_memory(e);
    incur(&outlet->debts[outlet->side], fence);
    outlet->has_fence = true;
    fence->channel = slot->number;
    amqp_hub_send(slot->seat->hub, &slot->seat->up, fence);
    return 0;
}

int amqp_outlet_is_ready(struct amqp_lane *lane, const struct amqp_command *command, struct amqp_exception *e)
{
    struct amqp_outlet *outlet = &lane->outlet;
    const struct amqp_debt *debt = &outlet->debts[outlet->side];
    const enum amqp_side side = amqp_outlet_side(lane, command);
    if (side != outlet->side) {
        if (!lane->slot->has_answered) /* to channel.open */
            return 0;
        if (debt->is_loose && say_fence(lane, e) < 0)
            return -1;
        if (debt->due > 0)
            return 0;
    }
    /* Confirms from both sides could not be told apart. */
    return outlet->unconfirmed.count[AMQP_HELD_BY_CLIENT] == 0 || side != AMQP_SIDE_MAIN ||
           !binds(lane, command);
}

bool amqp_outlet_is_done(const struct amqp_lane *lane)
{
    const struct amqp_debt *debt = &lane->outlet.debts[AMQP_SIDE_PUBLISHING];
    return debt->due == 0 && !debt->is_loose && lane->outlet.unconfirmed.count[AMQP_HELD_BY_CLIENT] == 0;
}

bool amqp_outlet_has_fence(const struct amqp_lane *lane, enum amqp_side side)
{
    return lane->outlet.has_fence && lane->outlet.side == side;
}

/* --- passing --- */

/* From now on all is said on the main side, where confirms begin anew. */
static int bind(struct amqp_lane *lane, struct amqp_exception *e)
{
    struct amqp_outlet *outlet = &lane->outlet;
    amqp_confirm_select_t select = {.nowait = 1};
    if (outlet->is_confirming && amqp_intake_say(lane, AMQP_CONFIRM_SELECT_METHOD, &select) < 0)
        return no_memory(e);
    outlet->is_bound = true;
    amqp_lane_let_outlet_go(lane);
    return 0;
}

int amqp_outlet_pass_by(struct amqp_lane *lane, const struct amqp_command *command, struct amqp_exception *e)
{
    struct amqp_outlet *outlet = &lane->outlet;
    outlet->side = AMQP_SIDE_MAIN;
    return !outlet->is_bound && binds(lane, command) ? bind(lane, e) : 0;
}

/* What will be confirmed. */
static int note_publish(struct amqp_lane *lane, const struct amqp_command *command, struct amqp_exception *e)
{
    struct amqp_outlet *outlet = &lane->outlet;
    if (!outlet->is_confirming || command->spec->id != AMQP_BASIC_PUBLISH_METHOD)
        return 0;
    if (amqp_deliveries_add(&outlet->unconfirmed, outlet->published + 1, AMQP_HELD_BY_CLIENT) < 0)
        return no_memory(e);
    outlet->published++;
    amqp_intake_account(lane);
    return 0;
}

int amqp_outlet_send(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    struct amqp_outlet *outlet = &lane->outlet;
    struct amqp_seat *seat = &lane->member->publishing;
    const uint32_t method = command->spec->id;
    if (outlet->slot == NULL)
        outlet->slot = amqp_seat_open_slot(seat, lane, e);
    if (outlet->slot == NULL || note_publish(lane, command, e) < 0) {
        amqp_command_destroy(command);
        return -1;
    }
    outlet->side = AMQP_SIDE_PUBLISHING;
    outlet->is_confirming = outlet->is_confirming || method == AMQP_CONFIRM_SELECT_METHOD;
    outlet->slot->is_marked = outlet->slot->is_marked || !amqp_kept_leaves_no_trace(method);
    incur(&outlet->debts[AMQP_SIDE_PUBLISHING], command);
    command->channel = outlet->slot->number;
    amqp_hub_send(seat->hub, &seat->up, command);
    return 0;
}

/* --- what the broker says --- */

/* Whether a flow-ok, which answers what was said on this side, is that to the fence: it comes last. */
static bool take_fence(struct amqp_outlet *outlet, enum amqp_side side)
{
    if (side == AMQP_SIDE_MAIN && outlet->flows > 0) {
        outlet->flows--;
        return false;
    }
    outlet->has_fence = false;
    return true;
}

static void note_confirm(struct amqp_lane *lane, const struct amqp_command *confirm)
{
    struct amqp_outlet *outlet = &lane->outlet;
    const uint64_t tag = amqp_get_u64(confirm->payload + 4);
    if ((confirm->payload[12] & 1) != 0)
        amqp_deliveries_remove_to(&outlet->unconfirmed, tag);
    else
        amqp_deliveries_remove(&outlet->unconfirmed, tag);
    amqp_intake_account(lane);
    if (outlet->unconfirmed.count[AMQP_HELD_BY_CLIENT] == 0)
        outlet->debts[AMQP_SIDE_PUBLISHING].is_loose = false;
}

static bool is_confirm(uint32_t method)
{
    return method == AMQP_BASIC_ACK_METHOD || method == AMQP_BASIC_NACK_METHOD;
}

/* On the main side the broker counts from one again. */
static void hear_confirm(struct amqp_lane *lane, enum amqp_side side, struct amqp_command *confirm)
{
    if (side == AMQP_SIDE_PUBLISHING)
        note_confirm(lane, confirm);
    else
        amqp_put_u64(confirm->payload + 4, amqp_get_u64(confirm->payload + 4) + lane->outlet.published);
}

bool amqp_outlet_hear(struct amqp_lane *lane, enum amqp_side side, struct amqp_command *command)
{
    struct amqp_outlet *outlet = &lane->outlet;
    const uint32_t method = command->spec->id;
    if (is_confirm(method))
        hear_confirm(lane, side, command);
    if (side == AMQP_SIDE_MAIN && outlet->is_bound)
        return true;
    if (is_answer(method) && outlet->debts[side].due > 0)
        outlet->debts[side].due--;
    if (method == AMQP_CHANNEL_FLOW_OK_METHOD)
        return !take_fence(outlet, side);
    return side == AMQP_SIDE_MAIN || method != AMQP_CHANNEL_OPEN_OK_METHOD;
}
