/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions that a far edge knows, by token, and for a while after their end why they ended: a near edge
 * that comes back too late learns that instead of "unknown session".
 */
#ifndef MUX_REGISTRY_H
#define MUX_REGISTRY_H

#include "mux/session.h"

/* Ends that are remembered; the oldest go first. */
#define MUX_REGISTRY_TOMBSTONES 4096u

struct mux_registry_entry;

struct mux_registry {
    struct mux_registry_entry *entries;                     /* by token */
    TAILQ_HEAD(mux_registry_dead, mux_registry_entry) dead; /* oldest first */
    unsigned dead_count;
};

void mux_registry_init(struct mux_registry *registry);
void mux_registry_deinit(struct mux_registry *registry);

/* Add a session under its token, which no session has now; an end remembered for it is forgotten. 0 or
 * -MUX_NO_MEMORY. */
int mux_registry_add(struct mux_registry *registry, struct mux_session *session);

/*
 * The session with this token; NULL when there is none, and then *code and *reason (MUX_REASON_MAX + 1 bytes)
 * say what to answer: how it ended, or MUX_UNKNOWN_SESSION. Tokens are compared in constant time.
 */
struct mux_session *mux_registry_find(struct mux_registry *registry, const uint8_t token[MUX_TOKEN_SIZE],
                                      enum mux_code *code, char *reason);

/* The session is over: forget it, remember why. No effect when it is not there. */
void mux_registry_end(struct mux_registry *registry, const struct mux_session *session, enum mux_code code,
                      const char *reason);

#endif
