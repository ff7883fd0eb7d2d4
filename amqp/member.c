/* SPDX-License-Identifier: Apache-2.0 */
#define HASH_NONFATAL_OOM 1 /* an element that could not be added has no table then */

#include "amqp/member.h"
#include "amqp/member_internal.h"
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
    amqp_seat_init(&member->main, member, AMQP_SIDE_MAIN);
    amqp_seat_init(&member->publishing, member, AMQP_SIDE_PUBLISHING);
    STAILQ_INIT(&member->down);
    amqp_owner_init(&member->queues, member);
}

void amqp_member_deinit(struct amqp_member *member)
{
    assert(!amqp_seat_is_taken(&member->main) && !amqp_seat_is_taken(&member->publishing));
    assert(amqp_flow_is_empty(&member->main.up) && amqp_flow_is_empty(&member->publishing.up));
    assert(member->lanes == NULL && member->queues.count == 0);
    amqp_member_drop_down(member);
    amqp_front_deinit(&member->front);
}

/* --- the hubs --- */

static void note_time(const struct amqp_member *member, uint64_t now)
{
    if (amqp_seat_is_taken(&member->main))
        member->main.hub->now = now;
    if (amqp_seat_is_taken(&member->publishing))
        member->publishing.hub->now = now;
}

uint64_t amqp_member_now(const struct amqp_member *member)
{
    const uint64_t main = amqp_seat_is_taken(&member->main) ? member->main.hub->now : 0;
    const uint64_t publishing = amqp_seat_is_taken(&member->publishing) ? member->publishing.hub->now : 0;
    return main > publishing ? main : publishing;
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

/* Why the connection of a seat's hub is blocked; NULL: it is not. */
static const char *blocked_by(const struct amqp_seat *seat)
{
    return amqp_seat_is_taken(seat) && seat->hub->blocked[0] != '\0' ? seat->hub->blocked : NULL;
}

void amqp_member_join(struct amqp_member *member, struct amqp_hub *hub, struct amqp_hub *publishing,
                      uint64_t now)
{
    assert(member->state == AMQP_MEMBER_GREETING && amqp_hub_is_running(hub));
    assert(publishing == NULL || amqp_hub_is_running(publishing));
    if (member->front.state != AMQP_FRONT_VHOST)
        return;
    member->state = AMQP_MEMBER_JOINED;
    amqp_seat_take(&member->main, hub);
    if (publishing != NULL)
        amqp_seat_take(&member->publishing, publishing);
    note_time(member, now);
    amqp_front_open_ok(&member->front, now);
    if (blocked_by(&member->main) != NULL)
        amqp_front_notify_blocked(&member->front, blocked_by(&member->main));
    else if (blocked_by(&member->publishing) != NULL)
        amqp_front_notify_blocked(&member->front, blocked_by(&member->publishing));
}

/* The client has one connection, which is blocked as long as one of ours is. */
void amqp_member_hear_blocked(struct amqp_seat *seat, const char *reason)
{
    struct amqp_member *member = seat->member;
    const struct amqp_seat *other = seat == &member->main ? &member->publishing : &member->main;
    if (blocked_by(other) != NULL)
        return;
    amqp_front_notify_blocked(&member->front, reason);
    member->ops->on_wake(member);
}

/* The lane of a channel, made on its first frame as RabbitMQ makes channels. NULL with `*e`: too many. */
static struct amqp_lane *lane_for(struct amqp_member *member, uint16_t number, struct amqp_exception *e)
{
    struct amqp_lane *lane = amqp_member_lane(member, number);
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
        HASH_ADD_BYHASHVALUE(hh, member->lanes, number, sizeof(lane->number), number, lane);
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
        .sender = AMQP_BY_CLIENT, .checks_properties = true, .body_max = member->main.hub->rules.body_max};
    const size_t before = amqp_assembler_cost(&lane->assembler);
    struct amqp_command *command = NULL;
    const int rc = amqp_assembler_feed(&lane->assembler, &rules, frame, &command, e);
    const size_t after = amqp_assembler_cost(&lane->assembler);
    member->partial_cost = member->partial_cost - before + after;
    amqp_hub_account(amqp_member_payer(member), before, after);
    switch (rc) {
    case AMQP_ASSEMBLER_MORE: return AMQP_LANE_GOES_ON;
    case AMQP_ASSEMBLER_COMMAND:
        amqp_member_favour_no_more(member); /* it has completed what it was favoured for */
        return amqp_lane_take(lane, command, e);
    case AMQP_ASSEMBLER_NO_MEMORY:
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
        return AMQP_LANE_FATAL;
    default: return AMQP_LANE_FATAL;
    }
}

/* Whether it is only the broker's answer that its connection's end waits for. */
static bool is_refused(const struct amqp_member *member)
{
    const struct amqp_lane *lane = member->refused;
    return member->state == AMQP_MEMBER_JOINED && lane != NULL &&
           (lane->state == AMQP_LANE_ENDING || lane->state == AMQP_LANE_CROSSED);
}

static void refuse(struct amqp_member *member, struct amqp_lane *lane, const struct amqp_exception *e)
{
    amqp_lane_refuse(lane, e);
    if (e->scope == AMQP_SCOPE_CHANNEL || is_refused(member))
        return;
    member->refused = lane;
    member->refused_ms = amqp_member_now(member) + member->main.hub->config->end_timeout_ms;
}

void amqp_member_judge(struct amqp_member *member, struct amqp_lane *lane, int verdict,
                       const struct amqp_exception *e)
{
    if (verdict == AMQP_LANE_GONE)
        amqp_member_drop_lane(member, lane);
    else if (verdict == AMQP_LANE_REFUSED)
        refuse(member, lane, e);
    else if (verdict == AMQP_LANE_FATAL)
        amqp_member_end(member, e, amqp_member_now(member));
}

static void on_frame(struct amqp_front *front, const struct amqp_frame *frame, uint64_t now)
{
    struct amqp_member *member = member_of(front);
    struct amqp_exception e;
    if (member->state != AMQP_MEMBER_JOINED)
        return;
    note_time(member, now);
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
        amqp_member_begin_end(member, amqp_member_now(member));
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
    note_time(member, now);
    amqp_front_feed(&member->front, data, len, now);
    if (member->front.state == AMQP_FRONT_CLOSED || member->front.state == AMQP_FRONT_CLOSING)
        amqp_member_end(member, &member->front.end, now); /* by its own fault, on channel 0 */
}

/*
 * Who publishes apart waits for memory there only with what it has said already: that the broker takes no
 * publishes must not hold up those who only consume.
 */
static bool memory_lets_read(struct amqp_member *member)
{
    struct amqp_hub *payer = amqp_member_payer(member);
    const bool is_partial = member->partial_cost > 0;
    if (payer == member->main.hub)
        return amqp_hub_lets_read(payer, member, is_partial);
    if (!amqp_hub_lets_read(member->main.hub, member, false))
        return false;
    return (!is_partial && member->publishing.up.cost + member->held_cost == 0) ||
           amqp_hub_lets_read(payer, member, is_partial);
}

/* Whether what its hubs hold for it lets it be read. */
static bool has_room(struct amqp_member *member)
{
    const size_t cost = member->main.up.cost + member->publishing.up.cost + member->held_cost;
    if (cost < member->main.hub->config->member_up_max && amqp_brake_lets_ask(member))
        return memory_lets_read(member);
    amqp_member_favour_no_more(member); /* or it would be blamed for what we don't read */
    return false;
}

bool amqp_member_wants_input(struct amqp_member *member)
{
    if (amqp_front_is_waiting(&member->front))
        return false;
    if (member->state != AMQP_MEMBER_JOINED || has_room(member))
        return true; /* in other states only the end is read, or the handshake */
    amqp_seat_await_room(&member->main);
    amqp_seat_await_room(&member->publishing);
    return false;
}

void amqp_member_account_held(struct amqp_member *member, size_t before, size_t after)
{
    member->held_cost = member->held_cost - before + after;
    if (amqp_member_payer(member) != NULL)
        amqp_hub_account(amqp_member_payer(member), before, after);
}

/* --- time --- */

uint64_t amqp_member_deadline(const struct amqp_member *member)
{
    const uint64_t front = amqp_front_deadline(&member->front);
    const uint64_t end =
        is_refused(member) && member->refused_ms < member->end_ms ? member->refused_ms : member->end_ms;
    return front < end ? front : end;
}

void amqp_member_tick(struct amqp_member *member, uint64_t now)
{
    note_time(member, now);
    amqp_front_tick(&member->front, now);
    if (is_refused(member) && now >= member->refused_ms) {
        member->end = member->refused->end;
        member->end_ms = now;
    }
    if (now >= member->end_ms) {
        amqp_member_drop_down(member);
        if (member->state == AMQP_MEMBER_JOINED)
            amqp_member_begin_end(member, now);
        amqp_member_tell_end(member, now);
    } else if (member->state == AMQP_MEMBER_JOINED && member->front.state == AMQP_FRONT_CLOSED) {
        amqp_member_end(member, &member->front.end, now);
    }
}
