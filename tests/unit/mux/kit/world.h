/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole chain in one process, without a socket or a real clock: near edges, a host, a far edge, and the
 * transports between them. Time stands still while something can be done, and then jumps to the next
 * deadline. What happens in which order is drawn from a seed.
 *
 *     near ═ guest stream ═╗
 *     near ═ guest stream ═╬═ host ═══ link ═══ far
 *     near ═ guest stream ═╝
 */
#ifndef KIT_WORLD_H
#define KIT_WORLD_H

#include "tests/unit/mux/kit/near.h"

#define KIT_SESSIONS_MAX 512u

/* Where bytes pass, in the direction they go. */
enum kit_lane { KIT_GUEST_UP, KIT_GUEST_DOWN, KIT_LINK_UP, KIT_LINK_DOWN, KIT_LANES };

/* Break the transport of this lane once so many bytes were read there since the last cut, or the start. */
struct kit_cut {
    enum kit_lane lane;
    uint64_t after;
};

struct kit_world_config {
    uint64_t seed;
    unsigned sessions;
    uint32_t latency_max_ms;
    size_t write_max; /* most bytes that one write takes */
    size_t read_max;  /* most bytes that one read gives */
    uint32_t window_bytes;
    uint32_t host_window_bytes;
    uint32_t detach_timeout_ms;
};

struct kit_world {
    struct kit_world_config config;
    struct mux_session_config session_config;
    struct kit_rng rng;
    uint64_t now_ms;
    uint64_t ticked_ms; /* the links' timers had their chance at this time */
    struct mux_pool near_pool;
    struct kit_near *nears;
    struct kit_near **copies; /* of the near edges, that go on from a saved state; NULL: none */
    struct kit_far_session *far_sessions;
    struct kit_host host;
    struct kit_far far;
    unsigned *live; /* indices of the sessions that are not over yet */
    unsigned live_count;
    uint64_t passed[KIT_LANES]; /* bytes read */
    uint64_t since[KIT_LANES];  /* the same since the last cut */
    const struct kit_cut *cuts; /* to be made, in this order */
    unsigned cut_count;
    unsigned cuts_made;
    unsigned turns;
};

/* `near` and `far` are what each side of session `index` does. */
typedef void kit_plan_for(struct kit_world *world, unsigned index, struct kit_plan *near,
                          struct kit_plan *far);

struct kit_world *kit_world_create(const struct kit_world_config *config, kit_plan_for *plan_for);

/* All chunks must have come back to their pools: asserted. */
void kit_world_destroy(struct kit_world *world);

/* Let everything that can happen now happen once or, when there is nothing, the clock jump to the next
 * deadline. False: all sessions are over and all guest streams gone. Fails when nothing moves any more, or
 * when it takes longer than any run should. */
bool kit_world_turn(struct kit_world *world);

/* Go on until all is over. */
void kit_world_run(struct kit_world *world);

/*
 * Save the machine of session `index`'s near edge now and let it go on from there at `wakes_ms`: as a clone
 * beside it, or, when it is to be reverted, in its place. False: it was done before, or the session is over.
 */
bool kit_world_copy(struct kit_world *world, unsigned index, uint64_t wakes_ms, bool revert);

/* Both sides of session `index` have sent and received all, and are closed in order. */
bool kit_world_complete(const struct kit_world *world, unsigned index);
bool kit_world_copy_complete(const struct kit_world *world, unsigned index);

#endif
