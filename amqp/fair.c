/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/fair.h"
#include <assert.h>

void amqp_fair_init(struct amqp_fair *fair, void (*on_written)(struct amqp_fair *fair, struct amqp_flow *flow,
                                                               const struct amqp_command *command))
{
    *fair = (struct amqp_fair){.on_written = on_written};
    TAILQ_INIT(&fair->waiting);
}

void amqp_flow_init(struct amqp_flow *flow)
{
    *flow = (struct amqp_flow){.cost = 0};
    STAILQ_INIT(&flow->queue);
}

static void account(struct amqp_fair *fair, struct amqp_flow *flow, const struct amqp_command *gone)
{
    flow->cost -= amqp_command_cost(gone);
    fair->cost -= amqp_command_cost(gone);
}

void amqp_flow_add(struct amqp_fair *fair, struct amqp_flow *flow, struct amqp_command *command)
{
    if (STAILQ_EMPTY(&flow->queue))
        TAILQ_INSERT_TAIL(&fair->waiting, flow, entry);
    STAILQ_INSERT_TAIL(&flow->queue, command, entry);
    flow->cost += amqp_command_cost(command);
    fair->cost += amqp_command_cost(command);
}

bool amqp_flow_purge(struct amqp_fair *fair, struct amqp_flow *flow, uint16_t channel, uint32_t method)
{
    struct amqp_command_queue kept = STAILQ_HEAD_INITIALIZER(kept);
    const bool was_listed = !STAILQ_EMPTY(&flow->queue);
    bool found = false;
    while (!STAILQ_EMPTY(&flow->queue)) {
        struct amqp_command *command = STAILQ_FIRST(&flow->queue);
        STAILQ_REMOVE_HEAD(&flow->queue, entry);
        if (command->channel != channel || amqp_command_begun(command)) {
            STAILQ_INSERT_TAIL(&kept, command, entry);
            continue;
        }
        found = found || command->spec->id == method;
        account(fair, flow, command);
        amqp_command_destroy(command);
    }
    STAILQ_CONCAT(&flow->queue, &kept);
    if (was_listed && STAILQ_EMPTY(&flow->queue))
        TAILQ_REMOVE(&fair->waiting, flow, entry);
    return found;
}

void amqp_fair_clear(struct amqp_fair *fair)
{
    while (!TAILQ_EMPTY(&fair->waiting)) {
        struct amqp_flow *flow = TAILQ_FIRST(&fair->waiting);
        TAILQ_REMOVE(&fair->waiting, flow, entry);
        amqp_command_queue_clear(&flow->queue);
        fair->cost -= flow->cost;
        flow->cost = 0;
    }
    assert(fair->cost == 0);
}

/* The first command has been written: the flow goes to the end of the line, or off it. */
static void finish(struct amqp_fair *fair, struct amqp_flow *flow)
{
    struct amqp_command *command = STAILQ_FIRST(&flow->queue);
    STAILQ_REMOVE_HEAD(&flow->queue, entry);
    account(fair, flow, command);
    if (STAILQ_EMPTY(&flow->queue))
        TAILQ_REMOVE(&fair->waiting, flow, entry);
    fair->on_written(fair, flow, command);
    amqp_command_destroy(command);
}

/* Writes the next frames of a flow within what is left of its turn. 0: they don't fit. */
static size_t write_some(struct amqp_command *command, uint32_t frame_max, uint8_t *buf, size_t size,
                         size_t used)
{
    const size_t turn = AMQP_FAIR_TURN - used;
    const size_t left = size - used;
    const size_t n = amqp_command_write(command, frame_max, buf + used, turn < left ? turn : left);
    if (n > 0 || used > 0)
        return n;
    return amqp_command_write(command, frame_max, buf, size); /* one frame that is longer than a turn */
}

/* The turn of the first flow, which goes to the end of the line. Returns the bytes written; 0: no room. */
static size_t take_turn(struct amqp_fair *fair, uint32_t frame_max, uint8_t *buf, size_t size)
{
    struct amqp_flow *flow = TAILQ_FIRST(&fair->waiting);
    size_t used = 0;
    while (used < AMQP_FAIR_TURN) {
        struct amqp_command *command = STAILQ_FIRST(&flow->queue);
        const size_t n = write_some(command, frame_max, buf, size, used);
        if (n == 0)
            break;
        used += n;
        if (!amqp_command_written(command))
            continue;
        const bool is_last = STAILQ_NEXT(command, entry) == NULL;
        finish(fair, flow);
        if (is_last) /* it is off the line, and may be gone */
            return used;
    }
    if (used > 0) {
        TAILQ_REMOVE(&fair->waiting, flow, entry);
        TAILQ_INSERT_TAIL(&fair->waiting, flow, entry);
    }
    return used;
}

size_t amqp_fair_write(struct amqp_fair *fair, uint32_t frame_max, uint8_t *buf, size_t size)
{
    size_t used = 0;
    while (!TAILQ_EMPTY(&fair->waiting)) {
        const size_t n = take_turn(fair, frame_max, buf + used, size - used);
        if (n == 0)
            break;
        used += n;
    }
    return used;
}
