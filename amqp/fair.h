/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_FAIR_H
#define AMQP_FAIR_H

/*
 * Whose commands go to the broker next. Each flow (a session's, or our own) is a queue in order; the flows
 * take turns of at most AMQP_FAIR_TURN bytes, or one frame if that is longer, so a large body is interleaved
 * with everybody else's frames. Little is taken at a time, since what has been taken can't be overtaken.
 */

#include "amqp/command.h"

#define AMQP_FAIR_TURN 16384u

struct amqp_flow {
    TAILQ_ENTRY(amqp_flow) entry; /* while it has commands */
    struct amqp_command_queue queue;
    size_t cost; /* memory that the queue takes */
};

struct amqp_fair {
    TAILQ_HEAD(, amqp_flow) waiting; /* flows with commands, the next one first */
    size_t cost;                     /* of all flows */

    /* The whole of a command has been written; it is destroyed afterwards. */
    void (*on_written)(struct amqp_fair *fair, struct amqp_flow *flow, const struct amqp_command *command);
};

void amqp_fair_init(struct amqp_fair *fair, void (*on_written)(struct amqp_fair *fair, struct amqp_flow *flow,
                                                               const struct amqp_command *command));

/* Drops all commands of all flows, and takes the flows off. */
void amqp_fair_clear(struct amqp_fair *fair);

void amqp_flow_init(struct amqp_flow *flow);

/* Puts a command, whose channel is set, at the end. Takes it over. */
void amqp_flow_add(struct amqp_fair *fair, struct amqp_flow *flow, struct amqp_command *command);

/*
 * Drops the commands of a channel, but for one of which frames have been written. Returns whether a method of
 * this id was among them.
 */
bool amqp_flow_purge(struct amqp_fair *fair, struct amqp_flow *flow, uint16_t channel, uint32_t method);

/* Whether nothing waits: only then may the flow be freed. */
static inline bool amqp_flow_is_empty(const struct amqp_flow *flow)
{
    return STAILQ_EMPTY(&flow->queue);
}

/* Writes whole frames to buf[0, size); size is at least frame_max. Returns how many bytes. */
size_t amqp_fair_write(struct amqp_fair *fair, uint32_t frame_max, uint8_t *buf, size_t size);

#endif
