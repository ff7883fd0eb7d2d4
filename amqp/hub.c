/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/hub_internal.h"
#include "amqp/member.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <assert.h>
#include <stdio.h>

enum { PLAIN_QUEUES_MAX = 10000 };

static const struct amqp_back_ops back_ops;

static struct amqp_hub *hub_of_fair(struct amqp_fair *fair)
{
    return (struct amqp_hub *)((char *)fair - offsetof(struct amqp_hub, fair));
}

/* --- to the broker --- */

void amqp_hub_send(struct amqp_hub *hub, struct amqp_flow *flow, struct amqp_command *command)
{
    const bool was_idle = hub->fair.cost == 0;
    amqp_hush_note_sent(hub, command);
    amqp_flow_add(&hub->fair, flow, command);
    if (was_idle)
        hub->ops->on_wake(hub);
}

struct amqp_flow *amqp_hub_flow_of(struct amqp_hub *hub, const struct amqp_slot *slot)
{
    return slot->seat != NULL ? &slot->seat->up : &hub->errands.up;
}

void amqp_hub_leave_slot(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *close)
{
    if (amqp_kept_fence(hub, slot))
        amqp_command_destroy(close);
    else
        amqp_hub_close_slot(hub, slot, close);
}

void amqp_hub_close_slot(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *close)
{
    if (close == NULL) {
        close = slot->spare;
        slot->spare = NULL;
    }
    close->channel = slot->number;
    amqp_slot_close_queued(slot);
    amqp_hub_send(hub, amqp_hub_flow_of(hub, slot), close);
}

void amqp_hub_free_slot(struct amqp_seat *seat)
{
    if (seat != NULL)
        amqp_member_slot_freed(seat);
}

static void on_written(struct amqp_fair *fair, struct amqp_flow *flow, const struct amqp_command *command)
{
    struct amqp_hub *hub = hub_of_fair(fair);
    (void)flow;
    hub->last_method = command->spec;
    hub->last_channel = command->channel;
    if (command->spec->id != AMQP_CHANNEL_CLOSE_OK_METHOD)
        return;
    struct amqp_slot *slot = amqp_slots_find(&hub->slots, command->channel);
    struct amqp_seat *seat = slot->seat;
    if (slot->user == AMQP_SLOT_OURS)
        slot->errands->slot = NULL;
    amqp_slot_close_ok_written(&hub->slots, slot);
    amqp_hub_free_slot(seat);
}

/* --- memory --- */

void amqp_hub_account(struct amqp_hub *hub, size_t before, size_t after)
{
    hub->waiting_cost = hub->waiting_cost - before + after;
}

/*
 * Past the limit only one may go on, lest many half-sent messages wait for one another for ever: the first
 * that asks with such a message. What is complete leaves by itself, as fast as the broker takes it.
 */
bool amqp_hub_lets_read(struct amqp_hub *hub, struct amqp_member *member, bool is_partial)
{
    if (amqp_hub_cost(hub) < hub->config->memory_max) {
        hub->favourite = NULL;
        return true;
    }
    if (hub->favourite == NULL && is_partial) {
        hub->favourite = member;
        hub->stall_ms = hub->now + hub->config->stall_timeout_ms;
    }
    if (hub->favourite == member && !is_partial)
        hub->favourite = NULL;
    return hub->favourite == member;
}

/* What is held has become less: whoever was not read for that may be now. */
static void wake_crowd(struct amqp_hub *hub)
{
    while (!TAILQ_EMPTY(&hub->crowd))
        amqp_seat_wake(TAILQ_FIRST(&hub->crowd));
}

/* --- the connection --- */

static void on_login(struct amqp_back *back)
{
    struct amqp_hub *hub = amqp_hub_of_back(back);
    if (hub->ops->on_login != NULL)
        hub->ops->on_login(hub);
}

static void on_running(struct amqp_back *back)
{
    struct amqp_hub *hub = amqp_hub_of_back(back);
    if (amqp_slots_init(&hub->slots, back->channel_max, AMQP_ERRAND_CHANNELS) < 0)
        amqp_back_lost(back, "out of memory");
    else
        hub->ops->on_running(hub);
}

static void on_blocked(struct amqp_back *back, const char *reason)
{
    struct amqp_hub *hub = amqp_hub_of_back(back);
    struct amqp_seat *seat;
    const char *text = reason != NULL && reason[0] == '\0' ? "blocked" : reason;
    snprintf(hub->blocked, sizeof(hub->blocked), "%s", text != NULL ? text : "");
    TAILQ_FOREACH (seat, &hub->seats, entry)
        amqp_member_hear_blocked(seat, text);
}

/* All members lose all they had there. */
static void cut_off_members(struct amqp_hub *hub, const struct amqp_exception *why)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0,
                       "the connection to the broker is lost: %s",
                       why->code != AMQP_CODE_NONE ? amqp_exception_cause(why) : "closed");
    amqp_hush_slots_lost(hub);
    for (struct amqp_seat *seat = TAILQ_FIRST(&hub->seats); seat != NULL;) {
        struct amqp_seat *next = TAILQ_NEXT(seat, entry);
        amqp_member_cut_off(seat, &e);
        seat = next;
    }
}

/* Not when an operator has ended it, or the transport: then nobody is to blame. */
static void name_suspect(struct amqp_hub *hub, const struct amqp_exception *e)
{
    if (hub->ops->on_suspect == NULL || hub->last_method == NULL || e->code == AMQP_CODE_NONE ||
        e->code == AMQP_CODE_CONNECTION_FORCED)
        return;
    const struct amqp_slot *slot = amqp_slots_find(&hub->slots, hub->last_channel);
    if (slot != NULL && slot->seat != NULL)
        hub->ops->on_suspect(hub, slot->seat->member, hub->last_method);
}

static void on_down(struct amqp_back *back, const struct amqp_exception *e)
{
    struct amqp_hub *hub = amqp_hub_of_back(back);
    const struct amqp_exception why = *e;
    name_suspect(hub, &why);
    cut_off_members(hub, &why);
    amqp_fair_clear(&hub->fair);
    amqp_queues_clear(hub);
    amqp_hush_clear(hub);
    amqp_kept_init(&hub->kept);
    hub->opened = amqp_slots_count_opened(&hub->slots);
    amqp_slots_deinit(&hub->slots);
    hub->ops->on_down(hub, &why);
}

static const struct amqp_back_ops back_ops = {
    .on_login = on_login,
    .on_running = on_running,
    .on_frame = amqp_hub_hear_frame,
    .on_blocked = on_blocked,
    .on_down = on_down,
};

/* --- the hub --- */

static bool is_reply_token(void *ctx, struct amqp_span token)
{
    struct amqp_hub *hub = ctx;
    return amqp_tokens_use(&hub->tokens, token);
}

/* For texts. */
static void note_vhost(struct amqp_hub *hub, struct amqp_span vhost)
{
    snprintf(hub->vhost, sizeof(hub->vhost), "%.*s", (int)vhost.len, (const char *)vhost.data);
}

void amqp_hub_init(struct amqp_hub *hub, const struct amqp_hub_ops *ops, const struct amqp_hub_config *config,
                   uint64_t now)
{
    *hub = (struct amqp_hub){.ops = ops, .config = config, .now = now};
    assert(config->back.frame_max > 0 && config->back.frame_max <= AMQP_HUB_FRAME_MAX);
    TAILQ_INIT(&hub->seats);
    TAILQ_INIT(&hub->crowd);
    TAILQ_INIT(&hub->slots.free);
    amqp_kept_init(&hub->kept);
    amqp_fair_init(&hub->fair, on_written);
    hub->rules = (struct amqp_rules){.exchange_types = config->exchange_types,
                                     .queue_types = config->queue_types,
                                     .body_max = config->body_max,
                                     .is_reply_token = is_reply_token,
                                     .ctx = hub};
    amqp_tokens_init(&hub->tokens, config->reply_tokens_max);
    amqp_tokens_init(&hub->plain_queues, PLAIN_QUEUES_MAX);
    hub->limits = amqp_limits_of(config);
    note_vhost(hub, config->back.vhost);
    amqp_errands_init(&hub->errands);
    amqp_hush_init(&hub->hush);
    amqp_queues_init(&hub->queues, (uint32_t)((uintptr_t)hub >> 4 ^ now));
    init_amqp_pool(&hub->pool, 4096);
    amqp_back_init(&hub->back, &back_ops, &config->back, now);
}

void amqp_hub_deinit(struct amqp_hub *hub)
{
    assert(TAILQ_EMPTY(&hub->seats));
    amqp_fair_clear(&hub->fair);
    amqp_queues_clear(hub);
    amqp_slots_deinit(&hub->slots);
    amqp_tokens_clear(&hub->tokens);
    amqp_tokens_clear(&hub->plain_queues);
    empty_amqp_pool(&hub->pool);
    amqp_back_deinit(&hub->back);
}

/* Lets all go on that can. */
static void run(struct amqp_hub *hub)
{
    if (!amqp_hub_is_running(hub))
        return;
    amqp_hush_run(hub);
    amqp_queues_run(hub);
    amqp_errands_run(hub);
}

void amqp_hub_feed(struct amqp_hub *hub, const uint8_t *data, size_t len, uint64_t now)
{
    hub->now = now;
    amqp_back_feed(&hub->back, data, len, now);
    run(hub);
}

size_t amqp_hub_write(struct amqp_hub *hub, uint8_t *buf, size_t size, uint64_t now)
{
    const size_t before = amqp_hub_cost(hub);
    size_t used = amqp_back_write(&hub->back, buf, size);
    hub->now = now;
    assert(size >= AMQP_HUB_WRITE_MIN);
    run(hub);
    if (amqp_hub_is_running(hub) && hub->back.out.len == 0)
        used += amqp_fair_write(&hub->fair, hub->back.frame_max, buf + used, size - used);
    if (used > 0)
        amqp_back_sent(&hub->back, now);
    run(hub);
    if (amqp_hub_cost(hub) < before)
        wake_crowd(hub);
    return used;
}

void amqp_hub_open(struct amqp_hub *hub, struct amqp_span vhost, uint64_t now)
{
    hub->now = now;
    note_vhost(hub, vhost);
    amqp_back_open(&hub->back, vhost, now);
}

void amqp_hub_close(struct amqp_hub *hub, const char *reason, uint64_t now)
{
    struct amqp_exception why;
    hub->now = now;
    amqp_exception_set(&why, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0, "%s", reason);
    cut_off_members(hub, &why);
    amqp_fair_clear(&hub->fair);
    hub->last_method = NULL; /* who has sent it may be gone when the broker says something */
    amqp_back_close(&hub->back, reason, now);
}

void amqp_hub_lost(struct amqp_hub *hub, const char *reason, uint64_t now)
{
    hub->now = now;
    amqp_back_lost(&hub->back, reason);
}

static bool is_stalling(const struct amqp_hub *hub)
{
    return hub->favourite != NULL && amqp_hub_cost(hub) >= hub->config->memory_max;
}

/* Of what the members and the channels wait for. */
static uint64_t members_deadline(const struct amqp_hub *hub)
{
    const uint64_t kept = amqp_kept_deadline(hub);
    const uint64_t hush = amqp_hush_deadline(hub);
    const uint64_t first = kept < hush ? kept : hush;
    return is_stalling(hub) && hub->stall_ms < first ? hub->stall_ms : first;
}

uint64_t amqp_hub_deadline(const struct amqp_hub *hub)
{
    const uint64_t back = amqp_back_deadline(&hub->back);
    const uint64_t members = amqp_hub_is_running(hub) ? members_deadline(hub) : UINT64_MAX;
    return back < members ? back : members;
}

static void end_stall(struct amqp_hub *hub)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, AMQP_BASIC_PUBLISH_METHOD,
                       "memory is short and the rest of a message did not come in time");
    amqp_member_end(hub->favourite, &e, hub->now);
    hub->favourite = NULL;
    wake_crowd(hub);
}

void amqp_hub_tick(struct amqp_hub *hub, uint64_t now)
{
    hub->now = now;
    if (is_stalling(hub) && now >= hub->stall_ms)
        end_stall(hub);
    if (amqp_hub_is_running(hub))
        amqp_kept_run(hub);
    amqp_back_tick(&hub->back, now);
    run(hub);
}
