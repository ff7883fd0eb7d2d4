/* SPDX-License-Identifier: Apache-2.0 */

/* What waits for a client, on its way out (amqp/member.h). */

#include "amqp/member.h"
#include "amqp/member_internal.h"
#include <assert.h>

/* The first command in line for the client is written, or will not be. */
static void destroy_first(struct amqp_member *member)
{
    struct amqp_command *command = STAILQ_FIRST(&member->down);
    STAILQ_REMOVE_HEAD(&member->down, entry);
    amqp_brake_unqueued(member, command);
    amqp_command_destroy(command);
}

void amqp_member_drop_down(struct amqp_member *member)
{
    while (!STAILQ_EMPTY(&member->down))
        destroy_first(member);
}

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
        amqp_member_hurry(member);
}

void amqp_member_tell(struct amqp_member *member, uint16_t channel, struct amqp_command *command)
{
    if (!listens(member) || member->is_hurried) {
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
    amqp_member_answered(member);
    member->ops->on_wake(member);
}

/* Tells the client, unless it was told: what it asked for, or what it did. */
void amqp_member_tell_end(struct amqp_member *member, uint64_t now)
{
    member->end_ms = UINT64_MAX;
    amqp_member_drop_down(member);
    if (member->end.code != AMQP_CODE_NONE)
        amqp_front_close(&member->front, &member->end, now);
    else
        amqp_front_close_ok(&member->front);
}

/* --- writing --- */

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
        lane = amqp_member_lane(member, command->channel);
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
        amqp_member_tell_end(member, now);
        used += amqp_front_write(&member->front, buf + used, size - used);
    }
    if (used > 0)
        amqp_front_sent(&member->front, now);
    return used;
}
