/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/lane.h"
#include "amqp/content_check.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include <amqp_framing.h>
#include <stdlib.h>

static int refuse(struct amqp_exception *e, enum amqp_code code, uint32_t method, const char *text)
{
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, code, method, "%s", text);
    return AMQP_LANE_REFUSED;
}

static int no_memory(struct amqp_exception *e)
{
    return refuse(e, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
}

struct amqp_lane *amqp_lane_create(struct amqp_member *member, uint16_t number)
{
    struct amqp_lane *lane = calloc(1, sizeof(*lane));
    if (lane == NULL)
        return NULL;
    lane->member = member;
    lane->number = number;
    amqp_assembler_init(&lane->assembler);
    amqp_intake_init(&lane->intake);
    STAILQ_INIT(&lane->held);
    return lane;
}

static size_t cost_of(const struct amqp_command_queue *queue)
{
    const struct amqp_command *command;
    size_t cost = 0;
    STAILQ_FOREACH (command, queue, entry)
        cost += amqp_command_cost(command);
    return cost;
}

static bool holds_close(const struct amqp_lane *lane)
{
    const struct amqp_command *command;
    STAILQ_FOREACH (command, &lane->held, entry) {
        if (command->spec->id == AMQP_CHANNEL_CLOSE_METHOD)
            return true;
    }
    return false;
}

/* Nothing that was held back will be sent any more; but a Close must be answered. */
static void forget(struct amqp_lane *lane)
{
    lane->owes_close_ok = lane->owes_close_ok || holds_close(lane);
    amqp_member_account_held(lane->member, cost_of(&lane->held), 0);
    amqp_command_queue_clear(&lane->held);
    amqp_queues_forget(lane);
    amqp_intake_stop(lane);
    lane->is_committing = false;
}

/* --- the slot --- */

/* Gives the slot up; `close`: the client's Close, or NULL. */
static void leave_slot(struct amqp_lane *lane, struct amqp_command *close)
{
    if (lane->slot->state == AMQP_SLOT_OPEN)
        amqp_hub_leave_slot(lane->member->main.hub, lane->slot, close);
}

void amqp_lane_destroy(struct amqp_lane *lane)
{
    if (lane->slot != NULL) {
        lane->slot->lane = NULL;
        leave_slot(lane, NULL);
    }
    forget(lane);
    amqp_intake_deinit(lane);
    amqp_assembler_reset(&lane->assembler);
    free(lane);
}

static void tell(struct amqp_lane *lane, struct amqp_command *command)
{
    amqp_member_tell(lane->member, lane->number, command);
}

static void take_slot(struct amqp_lane *lane, struct amqp_slot *slot)
{
    amqp_seat_add_slot(&lane->member->main, slot);
    slot->lane = lane;
    lane->slot = slot;
    lane->state = AMQP_LANE_OPEN;
}

static int open_new_slot(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    struct amqp_hub *hub = lane->member->main.hub;
    const bool has_free = amqp_slots_has_free(&hub->slots, AMQP_SLOT_CLIENTS);
    struct amqp_slot *slot = amqp_slots_take(&hub->slots, AMQP_SLOT_CLIENTS, hub->now);
    if (slot == NULL) {
        amqp_command_destroy(command);
        return has_free ? no_memory(e)
                        : refuse(e, AMQP_CODE_RESOURCE_ERROR, AMQP_CHANNEL_OPEN_METHOD,
                                 "all channels of the shared connection are in use");
    }
    take_slot(lane, slot);
    command->channel = slot->number;
    amqp_hub_send(hub, &lane->member->main.up, command);
    return AMQP_LANE_GOES_ON;
}

static int open_slot(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    amqp_channel_open_ok_t open_ok = {.channel_id = amqp_empty_bytes};
    struct amqp_slot *kept = amqp_kept_take(lane->member->main.hub);
    if (kept == NULL)
        return open_new_slot(lane, command, e);
    amqp_command_destroy(command);
    take_slot(lane, kept);
    tell(lane, amqp_command_make(AMQP_CHANNEL_OPEN_OK_METHOD, &open_ok));
    return AMQP_LANE_GOES_ON;
}

/* --- what the client is told --- */

static void tell_close_ok(struct amqp_lane *lane)
{
    amqp_channel_close_ok_t close_ok = {0};
    tell(lane, amqp_command_make(AMQP_CHANNEL_CLOSE_OK_METHOD, &close_ok));
}

static void tell_end(struct amqp_lane *lane)
{
    amqp_channel_close_t close = {
        .reply_code = lane->end.code,
        .reply_text = amqp_cstring_bytes(lane->end.text),
        .class_id = amqp_method_class(lane->end.method),
        .method_id = (uint16_t)(lane->end.method & 0xFFFF),
    };
    lane->state = AMQP_LANE_TOLD;
    tell(lane, amqp_command_make(AMQP_CHANNEL_CLOSE_METHOD, &close));
}

/* In LEAVING: there is nothing more to send. */
static void let_go(struct amqp_lane *lane)
{
    forget(lane);
    leave_slot(lane, NULL);
}

void amqp_lane_refuse(struct amqp_lane *lane, const struct amqp_exception *e)
{
    if (lane->state == AMQP_LANE_LEAVING && amqp_lane_speaks(lane))
        let_go(lane);
    if (lane->state != AMQP_LANE_OPEN)
        return;
    forget(lane);
    lane->end = *e;
    lane->state = lane->owes_close_ok ? AMQP_LANE_CROSSED : AMQP_LANE_ENDING;
    leave_slot(lane, NULL);
}

int amqp_lane_leave(struct amqp_lane *lane)
{
    if (lane->slot == NULL)
        return AMQP_LANE_GONE;
    if (lane->state == AMQP_LANE_OPEN) {
        lane->state = AMQP_LANE_LEAVING;
        if (STAILQ_EMPTY(&lane->held))
            let_go(lane);
    }
    return AMQP_LANE_GOES_ON;
}

/* --- rules that depend on the channel's state --- */

/* Whether it may pass, or must wait for something that the broker has yet to answer. -1 with `*e`: neither.
 */
static int is_ready(struct amqp_lane *lane, const struct amqp_command *command, struct amqp_exception *e)
{
    if (command->spec->id == AMQP_CHANNEL_CLOSE_METHOD)
        return 1;
    if (lane->is_committing)
        return 0;
    if (amqp_intake_prepare(lane, command, e) < 0)
        return -1;
    return !amqp_intake_must_wait(lane, command) && !amqp_queues_must_wait(lane, command);
}

/* Judges by the state, and notes what changes it. 0 or -1 with `*e`. */
static int pass_state(struct amqp_lane *lane, const struct amqp_command *command, struct amqp_exception *e)
{
    const uint32_t method = command->spec->id;
    switch (method) {
    case AMQP_CHANNEL_OPEN_METHOD:
        return refuse(e, AMQP_CODE_CHANNEL_ERROR, method, "second 'channel.open' seen");
    case AMQP_CHANNEL_FLOW_OK_METHOD:
    case AMQP_CHANNEL_CLOSE_OK_METHOD:
    case AMQP_BASIC_CANCEL_OK_METHOD:
        return refuse(e, AMQP_CODE_COMMAND_INVALID, method, "unimplemented method");
    case AMQP_TX_COMMIT_METHOD: lane->is_committing = true; return 0;
    default: return 0;
    }
}

/* --- from the client --- */

/* What is of no meaning must not reach the broker either: here the two lowest bits of the property flags. */
static void tidy_header(struct amqp_command *command)
{
    if (command->header_len > AMQP_CONTENT_FLAGS_AT + 1)
        command->header[AMQP_CONTENT_FLAGS_AT + 1] &= 0xFC;
}

static int pass_rules(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    struct amqp_hub *hub = lane->member->main.hub;
    recycle_amqp_pool(&hub->pool);
    void *decoded = amqp_command_decode(command, &hub->pool);
    if (decoded == NULL)
        return no_memory(e);
    if (amqp_command_min_frame(command) > hub->back.frame_max)
        return refuse(e, AMQP_CODE_FRAME_ERROR, command->spec->id, "longer than the broker's frame_max");
    if (!amqp_rules_check(&hub->rules, command, decoded, e) || pass_state(lane, command, e) < 0 ||
        amqp_queues_pass(lane, command, decoded, e) < 0)
        return AMQP_LANE_REFUSED;
    tidy_header(command);
    return amqp_command_encode(command, decoded) < 0 ? no_memory(e) : 0;
}

static void close_for_client(struct amqp_lane *lane, struct amqp_command *close)
{
    forget(lane);
    lane->state = AMQP_LANE_CLOSING;
    leave_slot(lane, close);
}

/* What comes behind a command that is refused is not looked at any more. */
static int forward(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    if (pass_rules(lane, command, e) < 0) {
        amqp_command_destroy(command);
        forget(lane);
        return AMQP_LANE_REFUSED;
    }
    if (command->spec->id == AMQP_CHANNEL_CLOSE_METHOD) {
        close_for_client(lane, command);
        return AMQP_LANE_GOES_ON;
    }
    if (!amqp_kept_leaves_no_trace(command->spec->id))
        lane->slot->is_marked = true;
    if (amqp_intake_send(lane, command, e) == 0)
        return AMQP_LANE_GOES_ON;
    forget(lane);
    return AMQP_LANE_REFUSED;
}

/* Sends what need not wait any longer, in order. */
static int send_held(struct amqp_lane *lane, struct amqp_exception *e)
{
    while (!STAILQ_EMPTY(&lane->held)) {
        struct amqp_command *command = STAILQ_FIRST(&lane->held);
        const int ready = is_ready(lane, command, e);
        if (ready < 0) {
            forget(lane);
            return AMQP_LANE_REFUSED;
        }
        if (ready == 0 || STAILQ_FIRST(&lane->held) != command)
            break;
        STAILQ_REMOVE_HEAD(&lane->held, entry);
        amqp_member_account_held(lane->member, amqp_command_cost(command), 0);
        if (forward(lane, command, e) < 0)
            return AMQP_LANE_REFUSED;
    }
    return AMQP_LANE_GOES_ON;
}

/* Who leaves can't be refused any more. */
int amqp_lane_resume(struct amqp_lane *lane, struct amqp_exception *e)
{
    if (lane->state == AMQP_LANE_OPEN)
        return send_held(lane, e);
    if (lane->state == AMQP_LANE_LEAVING && lane->slot->state == AMQP_SLOT_OPEN) {
        if (send_held(lane, e) < 0 || STAILQ_EMPTY(&lane->held))
            let_go(lane);
    }
    return AMQP_LANE_GOES_ON;
}

static int take_open(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    const int ready = STAILQ_EMPTY(&lane->held) ? is_ready(lane, command, e) : 0;
    if (ready < 0 || lane->state != AMQP_LANE_OPEN) {
        amqp_command_destroy(command);
        return ready < 0 ? AMQP_LANE_REFUSED : AMQP_LANE_GOES_ON;
    }
    if (ready > 0)
        return forward(lane, command, e);
    STAILQ_INSERT_TAIL(&lane->held, command, entry);
    amqp_member_account_held(lane->member, 0, amqp_command_cost(command));
    return AMQP_LANE_GOES_ON;
}

/* While the channel is being closed nothing passes, and nothing is refused but what makes no sense at all. */
static int take_closing(struct amqp_lane *lane, uint32_t method, struct amqp_exception *e)
{
    if (method == AMQP_CHANNEL_OPEN_METHOD)
        return refuse(e, AMQP_CODE_CHANNEL_ERROR, method, "second 'channel.open' seen");
    if (method == AMQP_CHANNEL_CLOSE_METHOD && lane->state == AMQP_LANE_ENDING)
        lane->state = AMQP_LANE_CROSSED;
    else if (method == AMQP_CHANNEL_CLOSE_METHOD && lane->state == AMQP_LANE_TOLD)
        tell_close_ok(lane);
    else if (method == AMQP_CHANNEL_CLOSE_OK_METHOD && lane->state == AMQP_LANE_TOLD)
        return AMQP_LANE_GONE;
    return AMQP_LANE_GOES_ON;
}

int amqp_lane_take(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    const uint32_t method = command->spec->id;
    if (lane->state == AMQP_LANE_OPEN)
        return take_open(lane, command, e);
    if (lane->state == AMQP_LANE_FRESH && method == AMQP_CHANNEL_OPEN_METHOD)
        return open_slot(lane, command, e);
    amqp_command_destroy(command);
    if (lane->state == AMQP_LANE_FRESH)
        return refuse(e, AMQP_CODE_CHANNEL_ERROR, method, "expected 'channel.open'");
    return take_closing(lane, method, e);
}

/* --- from the broker --- */

/* Whether the client is to see it; it may move. */
static bool note(struct amqp_lane *lane, struct amqp_command **command)
{
    switch ((*command)->spec->id) {
    case AMQP_TX_COMMIT_OK_METHOD: lane->is_committing = false; return true;
    case AMQP_CHANNEL_FLOW_METHOD: return false; /* no client of ours could answer it */
    default: return amqp_intake_hear(lane, command);
    }
}

int amqp_lane_hear(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    if (note(lane, &command) && !command->is_quiet)
        tell(lane, command);
    else
        amqp_command_destroy(command);
    return amqp_lane_resume(lane, e);
}

static bool is_closed_by_client(const struct amqp_lane *lane)
{
    return lane->state == AMQP_LANE_CLOSING || lane->state == AMQP_LANE_CROSSED;
}

int amqp_lane_hear_close(struct amqp_lane *lane, struct amqp_command *command)
{
    if (command == NULL || lane->state == AMQP_LANE_LEAVING) {
        amqp_command_destroy(command);
        return amqp_lane_hear_close_ok(lane);
    }
    lane->slot = NULL;
    amqp_intake_hear_close(lane, command);
    forget(lane);
    const bool is_crossed = is_closed_by_client(lane) || lane->owes_close_ok;
    lane->state = AMQP_LANE_TOLD;
    tell(lane, command);
    if (is_crossed)
        tell_close_ok(lane);
    return AMQP_LANE_GOES_ON;
}

int amqp_lane_hear_close_ok(struct amqp_lane *lane)
{
    const bool is_closed = is_closed_by_client(lane);
    lane->slot = NULL;
    if (lane->state == AMQP_LANE_ENDING || lane->state == AMQP_LANE_CROSSED)
        tell_end(lane);
    if (is_closed)
        tell_close_ok(lane);
    return lane->state == AMQP_LANE_TOLD ? AMQP_LANE_GOES_ON : AMQP_LANE_GONE;
}
