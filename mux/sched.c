/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/sched.h"

void mux_sched_init(struct mux_sched *sched)
{
    TAILQ_INIT(&sched->fresh);
    TAILQ_INIT(&sched->bulk);
}

static struct mux_sched_list *list_of(struct mux_sched *sched, enum mux_sched_place place)
{
    return place == MUX_SCHED_FRESH ? &sched->fresh : &sched->bulk;
}

static void move(struct mux_sched *sched, struct mux_sched_flow *flow, enum mux_sched_place place)
{
    if (flow->place != MUX_SCHED_IDLE)
        TAILQ_REMOVE(list_of(sched, flow->place), flow, entry);
    if (place != MUX_SCHED_IDLE)
        TAILQ_INSERT_TAIL(list_of(sched, place), flow, entry);
    flow->place = place;
}

void mux_sched_activate(struct mux_sched *sched, struct mux_sched_flow *flow)
{
    if (flow->place != MUX_SCHED_IDLE)
        return;
    flow->deficit = MUX_SCHED_QUANTUM;
    move(sched, flow, MUX_SCHED_FRESH);
}

void mux_sched_remove(struct mux_sched *sched, struct mux_sched_flow *flow)
{
    move(sched, flow, MUX_SCHED_IDLE);
}

struct mux_sched_flow *mux_sched_next(struct mux_sched *sched)
{
    for (;;) {
        struct mux_sched_flow *flow = TAILQ_FIRST(&sched->fresh);

        if (flow == NULL)
            flow = TAILQ_FIRST(&sched->bulk);
        if (flow == NULL || flow->deficit > 0)
            return flow;
        flow->deficit += MUX_SCHED_QUANTUM;
        move(sched, flow, MUX_SCHED_BULK);
    }
}

void mux_sched_charge(struct mux_sched_flow *flow, size_t n)
{
    flow->deficit -= (int32_t)n;
}

void mux_sched_exhausted(struct mux_sched *sched, struct mux_sched_flow *flow)
{
    /* From the fast lane it goes through the slow one first: else it could come back ahead of it for ever. */
    if (flow->place == MUX_SCHED_FRESH && !TAILQ_EMPTY(&sched->bulk))
        move(sched, flow, MUX_SCHED_BULK);
    else
        move(sched, flow, MUX_SCHED_IDLE);
}
