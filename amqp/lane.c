/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/lane.h"
#include "amqp/content_check.h"
#include "amqp/lane_internal.h"
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
    amqp_outlet_init(lane);
    STAILQ_INIT(&lane->held);
    return lane;
}

void amqp_lane_destroy(struct amqp_lane *lane)
{
    amqp_lane_let_slots_go(lane);
    amqp_lane_forget(lane);
    amqp_intake_deinit(lane);
    amqp_outlet_deinit(lane);
    amqp_assembler_reset(&lane->assembler);
    amqp_command_destroy(lane->farewell);
    free(lane);
}

static size_t cost_of(const struct amqp_command_queue *queue)
{
    const struct amqp_command *command;
    size_t cost = 0;
    STAILQ_FOREACH (command, queue, entry)
        cost += amqp_command_cost(command);
    return cost;
}

static bool holds(const struct amqp_lane *lane, uint32_t method)
{
    const struct amqp_command *command;
    STAILQ_FOREACH (command, &lane->held, entry) {
        if (command->spec->id == method)
            return true;
    }
    return false;
}

void amqp_lane_forget(struct amqp_lane *lane)
{
    lane->owes_close_ok = lane->owes_close_ok || holds(lane, AMQP_CHANNEL_CLOSE_METHOD);
    amqp_member_account_held(lane->member, cost_of(&lane->held), 0);
    amqp_command_queue_clear(&lane->held);
    amqp_queues_forget(lane);
    amqp_intake_stop(lane);
    lane->is_committing = false;
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
    const int ready = amqp_outlet_is_ready(lane, command, e);
    if (ready <= 0)
        return ready;
    if (amqp_intake_prepare(lane, command, e) < 0)
        return -1;
    if (amqp_hush_holds(&lane->member->main.hub->hush, command->spec->id))
        return 0;
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
        command->content[AMQP_CONTENT_FLAGS_AT + 1] &= 0xFC;
}

static struct amqp_hub *hub_on(const struct amqp_lane *lane, enum amqp_side side)
{
    return side == AMQP_SIDE_MAIN ? lane->member->main.hub : lane->member->publishing.hub;
}

static int pass_rules(struct amqp_lane *lane, struct amqp_command *command, enum amqp_side side,
                      struct amqp_exception *e)
{
    struct amqp_hub *hub = lane->member->main.hub;
    recycle_amqp_pool(&hub->pool);
    void *decoded = amqp_command_decode(command, &hub->pool);
    if (decoded == NULL)
        return no_memory(e);
    if (amqp_command_min_frame(command) > hub_on(lane, side)->back.frame_max)
        return refuse(e, AMQP_CODE_FRAME_ERROR, command->spec->id, "longer than the broker's frame_max");
    if (!amqp_rules_check(&hub->rules, command, decoded, e) || pass_state(lane, command, e) < 0 ||
        amqp_queues_pass(lane, command, decoded, e) < 0)
        return AMQP_LANE_REFUSED;
    tidy_header(command);
    return amqp_command_encode(command, decoded) < 0 ? no_memory(e) : 0;
}

/* A command that keeps all rules, other than channel.close, goes to where it belongs. 0 or -1 with `*e`. */
static int send(struct amqp_lane *lane, struct amqp_command *command, enum amqp_side side,
                struct amqp_exception *e)
{
    if (side == AMQP_SIDE_PUBLISHING)
        return amqp_outlet_send(lane, command, e);
    if (amqp_outlet_pass_by(lane, command, e) < 0) {
        amqp_command_destroy(command);
        return -1;
    }
    if (!amqp_kept_leaves_no_trace(command->spec->id))
        lane->slot->is_marked = true;
    return amqp_intake_send(lane, command, e);
}

static int reopened(struct amqp_exception *e)
{
    refuse(e, AMQP_CODE_CHANNEL_ERROR, AMQP_CHANNEL_OPEN_METHOD, "second 'channel.open' seen");
    return AMQP_LANE_FATAL;
}

static int pass_close(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    if (holds(lane, AMQP_CHANNEL_OPEN_METHOD)) { /* said before the Close-Ok, as in take_closing */
        amqp_command_destroy(command);
        amqp_lane_forget(lane);
        return reopened(e);
    }
    amqp_lane_close(lane, command);
    return AMQP_LANE_GOES_ON;
}

/* What comes behind a command that is refused is not looked at any more. */
static int forward(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    const enum amqp_side side = amqp_outlet_side(lane, command);
    if (pass_rules(lane, command, side, e) < 0) {
        amqp_command_destroy(command);
        amqp_lane_forget(lane);
        return AMQP_LANE_REFUSED;
    }
    if (command->spec->id == AMQP_CHANNEL_CLOSE_METHOD)
        return pass_close(lane, command, e);
    if (send(lane, command, side, e) == 0)
        return AMQP_LANE_GOES_ON;
    amqp_lane_forget(lane);
    return AMQP_LANE_REFUSED;
}

/* Sends what need not wait any longer, in order. */
static int send_held(struct amqp_lane *lane, struct amqp_exception *e)
{
    while (!STAILQ_EMPTY(&lane->held)) {
        struct amqp_command *command = STAILQ_FIRST(&lane->held);
        const int ready = is_ready(lane, command, e);
        if (ready < 0) {
            amqp_lane_forget(lane);
            return AMQP_LANE_REFUSED;
        }
        if (ready == 0 || STAILQ_FIRST(&lane->held) != command)
            break;
        STAILQ_REMOVE_HEAD(&lane->held, entry);
        amqp_member_account_held(lane->member, amqp_command_cost(command), 0);
        const int verdict = forward(lane, command, e);
        if (verdict < 0)
            return verdict;
    }
    return AMQP_LANE_GOES_ON;
}

/* Who leaves can't be refused any more. */
int amqp_lane_resume(struct amqp_lane *lane, struct amqp_exception *e)
{
    if (lane->state == AMQP_LANE_OPEN)
        return send_held(lane, e);
    if (lane->state == AMQP_LANE_LEAVING && amqp_lane_speaks(lane)) {
        if (send_held(lane, e) < 0 || STAILQ_EMPTY(&lane->held))
            amqp_lane_let_go(lane);
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
        return reopened(e);
    if (method == AMQP_CHANNEL_CLOSE_METHOD && lane->state == AMQP_LANE_ENDING)
        lane->state = AMQP_LANE_CROSSED;
    else if (method == AMQP_CHANNEL_CLOSE_METHOD && lane->state == AMQP_LANE_TOLD)
        amqp_lane_tell_close_ok(lane);
    else if (method == AMQP_CHANNEL_CLOSE_OK_METHOD && lane->state == AMQP_LANE_TOLD)
        return AMQP_LANE_GONE;
    return AMQP_LANE_GOES_ON;
}

static int take_fresh(struct amqp_lane *lane, uint32_t method, struct amqp_exception *e)
{
    amqp_channel_open_ok_t open_ok = {.channel_id = amqp_empty_bytes};
    if (method != AMQP_CHANNEL_OPEN_METHOD) {
        refuse(e, AMQP_CODE_CHANNEL_ERROR, method, "expected 'channel.open'");
        return AMQP_LANE_FATAL;
    }
    lane->slot = amqp_seat_open_slot(&lane->member->main, lane, e);
    if (lane->slot == NULL)
        return AMQP_LANE_FATAL;
    lane->state = AMQP_LANE_OPEN;
    if (lane->slot->has_answered)
        amqp_lane_tell(lane, amqp_command_make(AMQP_CHANNEL_OPEN_OK_METHOD, &open_ok));
    return AMQP_LANE_GOES_ON;
}

int amqp_lane_take(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    const uint32_t method = command->spec->id;
    if (lane->state == AMQP_LANE_OPEN)
        return take_open(lane, command, e);
    amqp_command_destroy(command);
    return lane->state == AMQP_LANE_FRESH ? take_fresh(lane, method, e) : take_closing(lane, method, e);
}

/* --- from the broker --- */

void amqp_lane_tell(struct amqp_lane *lane, struct amqp_command *command)
{
    amqp_member_tell(lane->member, lane->number, command);
}

/* Whether the client is to see it; it may move. */
static bool note(struct amqp_lane *lane, enum amqp_side side, struct amqp_command **command)
{
    if (!amqp_outlet_hear(lane, side, *command))
        return false;
    switch ((*command)->spec->id) {
    case AMQP_TX_COMMIT_OK_METHOD:
        lane->is_committing = false;
        amqp_intake_resume(lane);
        return true;
    case AMQP_CHANNEL_FLOW_METHOD: return false; /* no client of ours could answer it */
    default: return side == AMQP_SIDE_PUBLISHING || amqp_intake_hear(lane, command);
    }
}

int amqp_lane_hear(struct amqp_lane *lane, enum amqp_side side, struct amqp_command *command,
                   struct amqp_exception *e)
{
    if (note(lane, side, &command) && !command->is_quiet)
        amqp_lane_tell(lane, command);
    else
        amqp_command_destroy(command);
    return amqp_lane_resume(lane, e);
}
