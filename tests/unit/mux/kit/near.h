/* SPDX-License-Identifier: Apache-2.0 */
/* A near edge as guest-proxy is one for one client: finds a transport for its session again and again. */
#ifndef KIT_NEAR_H
#define KIT_NEAR_H

#include "tests/unit/mux/kit/host.h"

/* Guest streams at once: one in use, others that the host has not found broken yet. */
#define KIT_NEAR_GUESTS 4u

struct kit_near {
    struct kit_app app;
    struct kit_guest guests[KIT_NEAR_GUESTS];
    struct kit_guest *guest; /* the one in use; NULL: none */
    struct kit_host *host;
    struct mux_pool *pool;
    uint64_t retry_at_ms;
    uint32_t backoff_ms;
    uint64_t frozen_until_ms; /* the guest is suspended: it neither reads nor writes nor looks at its clock */
    struct mux_session_counters counters; /* when it closed */
    const char *name;
    uint64_t off_at_ms; /* its machine is switched off then; 0: never */
    bool off;
};

/* `app` is initialised by kit_app_init here. */
void kit_near_init(struct kit_near *near, struct kit_host *host, const struct mux_session_config *config,
                   struct mux_pool *pool, const uint8_t token[MUX_TOKEN_SIZE], const struct kit_plan *plan,
                   uint64_t salt_out, uint64_t salt_in, uint64_t peer_bytes, uint64_t now);

/*
 * `copy` becomes what `near`, whose session lives, is now, as if its machine had been saved: it goes on at
 * `wakes_ms` without any transport, and what it sends behind that point is its own (`salt_out`). `rng` says
 * whether it has written some of it already, to a stream it did not know to be dead.
 */
void kit_near_copy(struct kit_near *copy, const struct kit_near *near, uint64_t salt_out, uint64_t wakes_ms,
                   struct kit_rng *rng);

/* The machine is switched off when it is time: its streams break, its session is never heard of again.
 * Returns whether it was. */
bool kit_near_maybe_off(struct kit_near *near, uint64_t now);

void kit_near_deinit(struct kit_near *near, uint64_t now);

/* Connect when it is time. Returns whether something was done. */
bool kit_near_step(struct kit_near *near, uint64_t now);

/* When the next attempt to connect is due. */
uint64_t kit_near_deadline(const struct kit_near *near);

/* A guest stream that is free for another use; NULL: all are taken. */
struct kit_guest *kit_near_free_guest(struct kit_near *near);

#endif
