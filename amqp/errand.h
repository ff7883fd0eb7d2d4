/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_ERRAND_H
#define AMQP_ERRAND_H

/*
 * What a hub asks the broker in its own name, on channels of its own: a few commands that are sent at once,
 * each of which the broker answers, or closes the channel for. The end of the last answer or the broker's
 * Close ends the errand; after a Close the next errand gets a new channel.
 *
 * Errands begin in the order in which they were submitted, AMQP_ERRAND_CHANNELS at a time, and each is
 * finished exactly once. One for which memory is short waits for the next occasion.
 */

#include "amqp/command.h"
#include "amqp/fair.h"

#define AMQP_ERRAND_CHANNELS 2

struct amqp_errand;
struct amqp_slot;
struct amqp_hub;

struct amqp_errand_end {
    unsigned answers;      /* commands that were answered */
    uint16_t code;         /* of the broker's Close; 0: all were answered; 320: the connection is lost */
    uint32_t method;       /* that the Close blames, class << 16 | id; 0: none */
    struct amqp_span text; /* of the Close, valid in the call */
};

struct amqp_errand_ops {
    /* Adds its commands, each one with an answer, to the queue, in order and without channel. 0, or -1 for
     * want of memory: it will be asked again, with an empty queue. */
    int (*speak)(struct amqp_errand *errand, struct amqp_command_queue *commands);

    /* It is done. The errand may be freed, and others submitted. */
    void (*on_done)(struct amqp_hub *hub, struct amqp_errand *errand, const struct amqp_errand_end *end);
};

struct amqp_errand {
    TAILQ_ENTRY(amqp_errand) entry; /* while it waits */
    const struct amqp_errand_ops *ops;
};

struct amqp_errand_channel {
    struct amqp_slot *slot;     /* NULL: none is open */
    struct amqp_errand *errand; /* under way */
    unsigned answers;
    unsigned due; /* answers that end it */
};

struct amqp_errands {
    TAILQ_HEAD(, amqp_errand) waiting;
    struct amqp_flow up;
    struct amqp_errand_channel channels[AMQP_ERRAND_CHANNELS];
};

void amqp_errands_init(struct amqp_errands *errands);

/* Takes the errand, whose `ops` are set; on_done comes later, not from within. */
void amqp_errand_submit(struct amqp_hub *hub, struct amqp_errand *errand);

/* Begins as many as can begin. */
void amqp_errands_run(struct amqp_hub *hub);

/* The broker's word on the slot of an errand, taken over. 0 or -1: it makes no sense. */
int amqp_errands_hear(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *command);

/* The connection is lost: all end with code 320. */
void amqp_errands_clear(struct amqp_hub *hub);

#endif
