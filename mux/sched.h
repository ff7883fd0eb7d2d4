/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose turn it is on a link: deficit round robin with a fast lane, after RFC 8290 (FQ-CoDel) section 4.2. A
 * flow that was idle is served ahead of those that send all the time, once; so a small message on one session
 * does not wait behind the bulk of others, and no flow can starve another by going idle and coming back.
 */
#ifndef MUX_SCHED_H
#define MUX_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* Bytes a flow may send per round. */
#define MUX_SCHED_QUANTUM 16384

enum mux_sched_place { MUX_SCHED_IDLE, MUX_SCHED_FRESH, MUX_SCHED_BULK };

struct mux_sched_flow {
    TAILQ_ENTRY(mux_sched_flow) entry; /* in the list that `place` names */
    int32_t deficit;                   /* bytes it may still send in this round */
    enum mux_sched_place place;
};

TAILQ_HEAD(mux_sched_list, mux_sched_flow);

struct mux_sched {
    struct mux_sched_list fresh;
    struct mux_sched_list bulk;
};

void mux_sched_init(struct mux_sched *sched);

/* The flow has something to send. No effect when it is queued already. */
void mux_sched_activate(struct mux_sched *sched, struct mux_sched_flow *flow);

/* Take the flow out, wherever it is. */
void mux_sched_remove(struct mux_sched *sched, struct mux_sched_flow *flow);

/* The flow whose turn it is, with a positive deficit; NULL when all are idle. */
struct mux_sched_flow *mux_sched_next(struct mux_sched *sched);

/* The flow, just returned by next, sent `n` bytes. */
void mux_sched_charge(struct mux_sched_flow *flow, size_t n);

/* The flow, just returned by next, has nothing to send. */
void mux_sched_exhausted(struct mux_sched *sched, struct mux_sched_flow *flow);

#endif
