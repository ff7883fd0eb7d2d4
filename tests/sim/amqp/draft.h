/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_AMQP_DRAFT_H
#define TESTS_SIM_AMQP_DRAFT_H

#include "tests/sim/amqp/play.h"
#include "tests/unit/mux/kit/rng.h"

enum {
    DRAFT_STEPS_MIN = 10,
    DRAFT_STEPS_MAX = 160,
    DRAFT_STEP_SIZE_MAX = 24,
    DRAFT_SIZE_MAX = 2 + DRAFT_STEPS_MAX * DRAFT_STEP_SIZE_MAX,
};

/* A play in the making. */
struct draft {
    struct kit_rng rng;
    unsigned weights[PLAY_STEPS]; /* 0: left out */
    unsigned weight;              /* of all */
    size_t len;
    uint8_t bytes[DRAFT_SIZE_MAX];
};

/* Writes the play of a seed: the same one on every machine. Each leaves out some kinds of steps, so that
 * others come close together. */
void draft_play(struct draft *draft, uint64_t seed);

#endif
