/* SPDX-License-Identifier: Apache-2.0 */
#define HASH_NONFATAL_OOM 1 /* an element that could not be added has no table then */

#include "amqp/member.h"
#include <assert.h>

static const struct amqp_front_ops front_ops;

static struct amqp_member *member_of(struct amqp_front *front)
{
    return (struct amqp_member *)((char *)front - offsetof(struct amqp_member, front));
}

void amqp_member_init(struct amqp_member *member, const struct amqp_member_ops *ops,
                      const struct amqp_front_config *config, uint64_t now)
{
    *member = (struct amqp_member){.ops = ops, .end_ms = UINT64_MAX};
    amqp_front_init(&member->front, &front_ops, config, now);
    amqp_seat_init(&member->main, member);
    STAILQ_INIT(&member->down);
    amqp_owner_init(&member->queues, member);
}

/* The first command in line for the client is written, or will not be. */
static void destroy_first(struct amqp_member *member)
{
    struct amqp_command *command = STAILQ_FIRST(&member->down);
    STAILQ_REMOVE_HEAD(&member->down, entry);
    amqp_brake_unqueued(member, command);
    amqp_command_destroy(command);
}

static void drop_down(struct amqp_member *member)
{
    while (!STAILQ_EMPTY(&member->down))
        destroy_first(member);
}

void amqp_member_deinit(struct amqp_member *member)
{
    assert(!amqp_seat_is_taken(&member->main) && member->lanes == NULL &&
           amqp_flow_is_empty(&member->main.up));
    assert(member->queues.count == 0);
    drop_down(member);
    amqp_front_deinit(&member->front);
}

/* --- the end --- */

/* Tells the client, unless it was told: what it asked for, or what it did. */
static void tell_end(struct amqp_member *member, uint64_t now)
{
    member->end_ms = UINT64_MAX;
    drop_down(member);
    if (member->end.code != AMQP_CODE_NONE)
        amqp_front_close(&member->front, &member->end, now);
    else
        amqp_front_close_ok(&member->front);
}

/* The client is told as soon as what waits for it has been written (amqp_member_write). */
static void leave_hub(struct amqp_member *member)
{
    amqp_brake_leave(member);
    amqp_seat_leave(&member->main);
    member->state = AMQP_MEMBER_OVER;
}

/* A message of which the rest will not be read. */
static void drop_partial(struct amqp_member *member, struct amqp_lane *lane)
{
    const size_t cost = amqp_assembler_cost(&lane->assembler);
    amqp_assembler_reset(&lane->assembler);
    member->partial_cost -= cost;
    amqp_hub_account(member->main.hub, cost, 0);
}

static void drop_lane(struct amqp_member *member, struct amqp_lane *lane)
{
    drop_partial(member, lane);
    HASH_DEL(member->lanes, lane);
    amqp_lane_destroy(lane);
}

static void drop_lanes(struct amqp_member *member)
{
    while (member->lanes != NULL)
        drop_lane(member, member->lanes);
    if (member->main.hub->favourite == member)
        member->main.hub->favourite = NULL;
}

/* The lanes stay until the broker has answered; those that have no slot go at once. */
static void leave_lanes(struct amqp_member *member)
{
    struct amqp_lane *lane;
    struct amqp_lane *next;
    HASH_ITER (hh, member->lanes, lane, next) {
        drop_partial(member, lane);
        if (amqp_lane_leave(lane) == AMQP_LANE_GONE)
            drop_lane(member, lane);
    }
    if (member->main.hub->favourite == member)
        member->main.hub->favourite = NULL;
}

/* All channels are free; exclusive queues may not be yet. */
static void finish_leaving(struct amqp_member *member)
{
    if (amqp_queues_release(member->main.hub, member))
        amqp_member_released(member);
}

void amqp_member_released(struct amqp_member *member)
{
    leave_hub(member);
    member->ops->on_wake(member);
}

static void begin_end(struct amqp_member *member, uint64_t now)
{
    member->state = AMQP_MEMBER_ENDING;
    member->end_ms = now + member->main.hub->config->end_timeout_ms;
    leave_lanes(member);
    if (member->main.slots == 0)
        finish_leaving(member);
    member->ops->on_wake(member);
}

void amqp_member_end(struct amqp_member *member, const struct amqp_exception *e, uint64_t now)
{
    if (member->state == AMQP_MEMBER_GREETING) {
        amqp_front_close(&member->front, e, now);
        member->ops->on_wake(member);
    } else if (member->state == AMQP_MEMBER_JOINED) {
        member->end = *e;
        begin_end(member, now);
    }
}

void amqp_member_doom(struct amqp_member *member, const struct amqp_exception *e)
{
    drop_down(member);
    member->end = *e;
    member->end_ms = member->main.hub->now;
    member->ops->on_wake(member);
}

void amqp_member_gone(struct amqp_member *member, uint64_t now)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0, "the client is gone");
    amqp_front_abandon(&member->front);
    drop_down(member);
    amqp_member_end(member, &e, now);
}

void amqp_member_slot_freed(struct amqp_seat *seat)
{
    struct amqp_member *member = seat->member;
    assert(seat->slots > 0);
    seat->slots--;
    if (member->main.slots > 0 || member->state != AMQP_MEMBER_ENDING)
        return;
    drop_lanes(member); /* those in TOLD, whose Close-Ok is of no interest */
    finish_leaving(member);
}

void amqp_member_cut_off(struct amqp_member *member, const struct amqp_exception *e)
{
    if (member->state == AMQP_MEMBER_JOINED) {
        member->end = *e;
        member->end_ms = member->main.hub->now + member->main.hub->config->end_timeout_ms;
    }
    drop_lanes(member);
    amqp_queues_abandon(member);
    leave_hub(member);
    member->ops->on_wake(member);
}

bool amqp_member_is_over(const struct amqp_member *member)
{
    const bool is_free = member->state == AMQP_MEMBER_OVER || member->state == AMQP_MEMBER_GREETING;
    return is_free && member->front.state == AMQP_FRONT_CLOSED;
}

/* --- from the client --- */

static void on_login(struct amqp_front *front, const struct amqp_login *login)
{
    struct amqp_member *member = member_of(front);
    member->ops->on_login(member, login);
}

static void on_open(struct amqp_front *front, struct amqp_span vhost)
{
    struct amqp_member *member = member_of(front);
    member->ops->on_open(member, vhost);
}

void amqp_member_join(struct amqp_member *member, struct amqp_hub *hub, uint64_t now)
{
    assert(member->state == AMQP_MEMBER_GREETING && amqp_hub_is_running(hub));
    if (member->front.state != AMQP_FRONT_VHOST)
        return;
    member->state = AMQP_MEMBER_JOINED;
    amqp_seat_take(&member->main, hub);
    hub->now = now;
    amqp_front_open_ok(&member->front, now);
    if (hub->blocked[0] != '\0')
        amqp_front_notify_blocked(&member->front, hub->blocked);
}

/* The lane of a channel, made on its first frame as RabbitMQ makes channels. NULL with `*e`: too many. */
static struct amqp_lane *lane_for(struct amqp_member *member, uint16_t number, struct amqp_exception *e)
{
    struct amqp_lane *lane;
    HASH_FIND(hh, member->lanes, &number, sizeof(number), lane);
    if (lane != NULL)
        return lane;
    if (HASH_COUNT(member->lanes) >= member->front.channel_max) {
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_ALLOWED, 0,
                           "number of channels opened (%u) has reached the negotiated channel_max (%u)",
                           HASH_COUNT(member->lanes), member->front.channel_max);
        return NULL;
    }
    lane = amqp_lane_create(member, number);
    if (lane != NULL)
        HASH_ADD(hh, member->lanes, number, sizeof(lane->number), lane);
    if (lane != NULL && lane->hh.tbl != NULL)
        return lane;
    if (lane != NULL)
        amqp_lane_destroy(lane);
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
    return NULL;
}

/* Feeds the frame to the lane's assembler, and what that makes of it to the lane. */
static int feed_lane(struct amqp_member *member, struct amqp_lane *lane, const struct amqp_frame *frame,
                     struct amqp_exception *e)
{
    const struct amqp_assembler_rules rules = {
        .sender = AMQP_BY_CLIENT, .checks_properties = true, .body_max = member->main.hub->config->body_max};
    const size_t before = amqp_assembler_cost(&lane->assembler);
    struct amqp_command *command = NULL;
    const int rc = amqp_assembler_feed(&lane->assembler, &rules, frame, &command, e);
    const size_t after = amqp_assembler_cost(&lane->assembler);
    member->partial_cost = member->partial_cost - before + after;
    amqp_hub_account(member->main.hub, before, after);
    switch (rc) {
    case AMQP_ASSEMBLER_MORE: return AMQP_LANE_GOES_ON;
    case AMQP_ASSEMBLER_COMMAND: return amqp_lane_take(lane, command, e);
    case AMQP_ASSEMBLER_NO_MEMORY:
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
        return AMQP_LANE_REFUSED;
    default: return AMQP_LANE_REFUSED;
    }
}

void amqp_member_judge(struct amqp_member *member, struct amqp_lane *lane, int verdict,
                       const struct amqp_exception *e)
{
    if (verdict == AMQP_LANE_GONE)
        drop_lane(member, lane);
    else if (verdict == AMQP_LANE_REFUSED && e->scope == AMQP_SCOPE_CHANNEL)
        amqp_lane_refuse(lane, e);
    else if (verdict == AMQP_LANE_REFUSED)
        amqp_member_end(member, e, member->main.hub->now);
}

static void on_frame(struct amqp_front *front, const struct amqp_frame *frame, uint64_t now)
{
    struct amqp_member *member = member_of(front);
    struct amqp_exception e = {0};
    if (member->state != AMQP_MEMBER_JOINED)
        return;
    member->main.hub->now = now;
    struct amqp_lane *lane = lane_for(member, frame->channel, &e);
    if (lane == NULL)
        amqp_member_end(member, &e, now);
    else
        amqp_member_judge(member, lane, feed_lane(member, lane, frame, &e), &e);
}

static void on_close(struct amqp_front *front)
{
    struct amqp_member *member = member_of(front);
    if (member->state == AMQP_MEMBER_JOINED)
        begin_end(member, member->main.hub->now);
}

static void on_fault(struct amqp_front *front, const struct amqp_exception *e, uint64_t now)
{
    amqp_member_end(member_of(front), e, now);
}

static const struct amqp_front_ops front_ops = {
    .on_login = on_login,
    .on_open = on_open,
    .on_frame = on_frame,
    .on_fault = on_fault,
    .on_close = on_close,
};

void amqp_member_feed(struct amqp_member *member, const uint8_t *data, size_t len, uint64_t now)
{
    if (member->main.hub != NULL)
        member->main.hub->now = now;
    amqp_front_feed(&member->front, data, len, now);
    if (member->front.state == AMQP_FRONT_CLOSED || member->front.state == AMQP_FRONT_CLOSING)
        amqp_member_end(member, &member->front.end, now); /* by its own fault, on channel 0 */
}

bool amqp_member_wants_input(struct amqp_member *member)
{
    if (amqp_front_is_waiting(&member->front))
        return false;
    if (member->state != AMQP_MEMBER_JOINED)
        return true; /* only the end is read, or the handshake */
    return member->main.up.cost + member->held_cost < member->main.hub->config->member_up_max &&
           amqp_brake_lets_ask(member) &&
           amqp_hub_lets_read(member->main.hub, member, member->partial_cost > 0);
}

void amqp_member_account_held(struct amqp_member *member, size_t before, size_t after)
{
    member->held_cost = member->held_cost - before + after;
    if (member->main.hub != NULL)
        amqp_hub_account(member->main.hub, before, after);
}

/* --- to the client --- */

static bool listens(const struct amqp_member *member)
{
    return member->front.state == AMQP_FRONT_RUNNING || member->front.state == AMQP_FRONT_WINDING_UP;
}

static void out_of_memory(struct amqp_member *member)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
    if (member->state == AMQP_MEMBER_JOINED)
        amqp_member_doom(member, &e);
    else
        member->end_ms = member->main.hub->now;
}

void amqp_member_tell(struct amqp_member *member, uint16_t channel, struct amqp_command *command)
{
    if (!listens(member) || amqp_member_is_doomed(member)) {
        amqp_command_destroy(command);
        return;
    }
    if (command == NULL) {
        out_of_memory(member);
        return;
    }
    command->channel = channel;
    STAILQ_INSERT_TAIL(&member->down, command, entry);
    amqp_brake_queued(member, command);
    member->ops->on_wake(member);
}

/* Deliveries of one lane, one after another, that the proxy acknowledges once they have left. */
struct run {
    struct amqp_lane *lane; /* NULL: none */
    uint64_t first;
    uint64_t last;
};

static void end_run(struct run *run)
{
    if (run->lane != NULL)
        amqp_intake_written(run->lane, run->first, run->last);
    run->lane = NULL;
}

static void note_written(struct amqp_member *member, const struct amqp_command *command, struct run *run)
{
    struct amqp_lane *lane = run->lane;
    if (command->spec->id != AMQP_BASIC_DELIVER_METHOD)
        return;
    if (lane == NULL || lane->number != command->channel) {
        end_run(run);
        HASH_FIND(hh, member->lanes, &command->channel, sizeof(command->channel), lane);
    }
    if (lane == NULL || lane->intake.deliveries.count[AMQP_HELD_BY_PROXY] == 0)
        return;
    const uint64_t tag = amqp_delivery_tag(command);
    if (amqp_deliveries_holder(&lane->intake.deliveries, tag) != AMQP_HELD_BY_PROXY)
        return;
    if (run->lane == NULL)
        *run = (struct run){.lane = lane, .first = tag};
    run->last = tag;
}

static size_t write_commands(struct amqp_member *member, uint8_t *buf, size_t size)
{
    struct run run = {.lane = NULL};
    size_t used = 0;
    while (!STAILQ_EMPTY(&member->down)) {
        struct amqp_command *command = STAILQ_FIRST(&member->down);
        used += amqp_command_write(command, member->front.frame_max, buf + used, size - used);
        if (!amqp_command_written(command))
            break;
        note_written(member, command, &run);
        destroy_first(member);
    }
    end_run(&run);
    return used;
}

/* The client has read all there is. */
static void note_drained(struct amqp_member *member)
{
    struct amqp_lane *lane;
    member->awaits_drain = false;
    for (lane = member->lanes; lane != NULL; lane = lane->hh.next)
        amqp_intake_drained(lane);
}

size_t amqp_member_write(struct amqp_member *member, uint8_t *buf, size_t size, uint64_t now)
{
    size_t used = amqp_front_write(&member->front, buf, size);
    assert(size >= AMQP_HUB_WRITE_MIN);
    if (listens(member) && member->front.out.len == 0)
        used += write_commands(member, buf + used, size - used);
    if (member->awaits_drain && STAILQ_EMPTY(&member->down))
        note_drained(member);
    if (listens(member) && member->state == AMQP_MEMBER_OVER && STAILQ_EMPTY(&member->down)) {
        tell_end(member, now);
        used += amqp_front_write(&member->front, buf + used, size - used);
    }
    if (used > 0)
        amqp_front_sent(&member->front, now);
    return used;
}

/* --- time --- */

uint64_t amqp_member_deadline(const struct amqp_member *member)
{
    const uint64_t front = amqp_front_deadline(&member->front);
    return front < member->end_ms ? front : member->end_ms;
}

void amqp_member_tick(struct amqp_member *member, uint64_t now)
{
    if (member->main.hub != NULL)
        member->main.hub->now = now;
    amqp_front_tick(&member->front, now);
    if (now >= member->end_ms) {
        drop_down(member);
        if (member->state == AMQP_MEMBER_JOINED)
            begin_end(member, now);
        tell_end(member, now);
    } else if (member->state == AMQP_MEMBER_JOINED && member->front.state == AMQP_FRONT_CLOSED) {
        amqp_member_end(member, &member->front.end, now);
    }
}
