/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/brake.h"
#include "amqp/member.h"
#include <amqp.h>

enum { PREFETCH = 250, PREFETCH_WIDE = 2000, MIB = 1 << 20 };

static size_t or_else(size_t configured, size_t otherwise)
{
    return configured != 0 ? configured : otherwise;
}

struct amqp_limits amqp_limits_of(const struct amqp_hub_config *config)
{
    const size_t hard = or_else(config->member_down_max, 64 * (size_t)MIB);
    struct amqp_limits limits = {
        .hard = hard,
        .soft = or_else(config->member_down_soft, hard / 8),
        .all = or_else(config->down_max, 16 * hard),
        .replies = or_else(config->member_replies_max, hard / 8),
        .prefetch = (uint16_t)or_else(config->prefetch, PREFETCH),
        .prefetch_wide = (uint16_t)or_else(config->prefetch_wide, PREFETCH_WIDE),
    };
    if (limits.prefetch_wide < limits.prefetch)
        limits.prefetch_wide = limits.prefetch;
    return limits;
}

/* --- who pays --- */

/* Its channels are on their way out, and what is kept about them with them. */
static bool is_leaving(const struct amqp_member *member)
{
    return member->state != AMQP_MEMBER_JOINED || amqp_member_is_doomed(member);
}

/* What can be had from it at once. */
static size_t to_be_had_from(const struct amqp_member *member)
{
    return is_leaving(member) ? member->load.waiting : amqp_load_held(&member->load);
}

static struct amqp_member *biggest_of(const struct amqp_hub *hub)
{
    struct amqp_member *biggest = NULL;
    struct amqp_seat *seat;
    TAILQ_FOREACH (seat, &hub->seats, entry) {
        const size_t size = to_be_had_from(seat->member);
        if (size > 0 && (biggest == NULL || size > to_be_had_from(biggest)))
            biggest = seat->member;
    }
    return biggest;
}

/* Of all that is held, but for what comes back anyway: nobody who stays shall pay for that. */
static bool is_too_much(const struct amqp_hub *hub)
{
    const struct amqp_seat *seat;
    size_t held = hub->held;
    if (held <= hub->limits.all)
        return false;
    TAILQ_FOREACH (seat, &hub->seats, entry) {
        if (is_leaving(seat->member))
            held -= seat->member->load.kept;
    }
    return held > hub->limits.all;
}

static bool is_over_hard(const struct amqp_member *member)
{
    const struct amqp_command *first = STAILQ_FIRST(&member->down);
    const size_t exempt = first != NULL ? amqp_command_cost(first) : 0;
    return amqp_load_held(&member->load) - exempt > member->main.hub->limits.hard;
}

static void doom(struct amqp_member *member, const char *why)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0,
                       "the client does not read: %zu bytes are held for it, %s",
                       amqp_load_held(&member->load), why);
    amqp_member_doom(member, &e);
}

static void judge(struct amqp_member *member)
{
    struct amqp_hub *hub = member->main.hub;
    struct amqp_member *biggest;
    if (!is_leaving(member) && is_over_hard(member))
        doom(member, "more than one may have");
    while (is_too_much(hub) && (biggest = biggest_of(hub)) != NULL) {
        if (is_leaving(biggest))
            amqp_member_hurry(biggest);
        else
            doom(biggest, "the most of all while memory is short");
    }
}

/* --- accounting --- */

static void account(struct amqp_member *member, size_t before, size_t after)
{
    if (member->main.hub != NULL)
        member->main.hub->held = member->main.hub->held - before + after;
}

static bool is_reply(const struct amqp_command *command)
{
    return command->spec->id != AMQP_BASIC_DELIVER_METHOD;
}

void amqp_brake_queued(struct amqp_member *member, const struct amqp_command *command)
{
    const size_t cost = amqp_command_cost(command);
    member->load.waiting += cost;
    if (is_reply(command))
        member->load.replies += cost;
    account(member, 0, cost);
    if (member->main.hub != NULL)
        judge(member);
}

void amqp_brake_unqueued(struct amqp_member *member, const struct amqp_command *command)
{
    const size_t cost = amqp_command_cost(command);
    member->load.waiting -= cost;
    if (is_reply(command))
        member->load.replies -= cost;
    account(member, cost, 0);
}

void amqp_brake_kept(struct amqp_member *member, size_t before, size_t after)
{
    member->load.kept = member->load.kept - before + after;
    account(member, before, after);
    if (member->main.hub != NULL && after > before)
        judge(member);
}

void amqp_brake_leave(struct amqp_member *member)
{
    account(member, amqp_load_held(&member->load), 0);
}

bool amqp_brake_lets_ask(const struct amqp_member *member)
{
    return member->load.replies < member->main.hub->limits.replies;
}
