/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong in a simulated world, drawn from its seed. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "tests/unit/mux/kit/world.h"

/* name, text */
#define FAULTS(X)                                                                                            \
    X(GUEST_RESET, "guest stream reset")                                                                     \
    X(GUEST_EOF, "guest stream ended without FIN")                                                           \
    X(GUEST_SILENT, "guest stream silent")                                                                   \
    X(GUEST_FROZEN, "guest suspended")                                                                       \
    X(LINK_RESET, "link reset")                                                                              \
    X(LINK_EOF, "link ended")                                                                                \
    X(LINK_SILENT, "link silent")                                                                            \
    X(HOST_KILLED, "host proxy killed and started")                                                          \
    X(STALE_OPEN, "OPEN of an old attempt")                                                                  \
    X(BAD_OFFSET, "OPEN with a bad offset")                                                                  \
    X(BAD_TOKEN, "OPEN with a wrong token")                                                                  \
    X(BAD_HISTORY, "OPEN with another history")                                                              \
    X(REVERTED, "guest reverted to a snapshot")                                                              \
    X(CLONED, "guest cloned")

enum fault {
#define X(name, text) FAULT_##name,
    FAULTS(X)
#undef X
        FAULT_KINDS
};

struct faults {
    unsigned left;    /* still to come in this seed */
    unsigned one_in;  /* a turn brings one with this probability */
    uint64_t *counts; /* of FAULT_KINDS, over all seeds */
};

/* Draw how many and how often. `counts` is added to. */
void faults_init(struct faults *faults, struct kit_world *world, uint64_t counts[FAULT_KINDS]);

/* To call before each turn. */
void faults_turn(struct faults *faults, struct kit_world *world);

#endif
