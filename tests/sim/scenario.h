/* SPDX-License-Identifier: Apache-2.0 */
/* What a seed makes of the world, what each session does in it, and how each may end. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "tests/unit/mux/kit/world.h"

/* The world of this seed. `sessions` 0: a few, the seed says how many. */
struct kit_world_config scenario_config(uint64_t seed, unsigned sessions);

/* A kit_plan_for. */
void scenario_plan(struct kit_world *world, unsigned index, struct kit_plan *near, struct kit_plan *far);

/* The world is over: did every session end as its plans allow? Fails when not. */
void scenario_check(const struct kit_world *world);

#endif
