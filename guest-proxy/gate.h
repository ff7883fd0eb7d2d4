/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may try to reach the host proxy now. When it restarts, thousands of sessions lose their streams in the
 * same moment: they come back oldest first, a bounded number at a time, and while the host proxy does not
 * answer only one of them knocks, with backoff, for all.
 *
 *     OPEN: up to GATE_MAX attempts under way ──(an attempt failed)──► CLOSED: none, until the backoff has
 * passed ▲                                                                 │ └────(the attempt got
 * through)──── PROBING: one attempt ◄─────────┘
 */
#ifndef GUEST_PROXY_GATE_H
#define GUEST_PROXY_GATE_H

#include "service/net.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

/* Attempts under way at once. */
#define GATE_MAX 64u

enum gate_state { GATE_OPEN, GATE_CLOSED, GATE_PROBING };

enum gate_place { GATE_OUTSIDE, GATE_QUEUED, GATE_ADMITTED };

/* One who wants to get through. Embedded in its owner; zeroed before first use. */
struct gate_visitor {
    TAILQ_ENTRY(gate_visitor) entry; /* while queued */
    enum gate_place place;
    unsigned failures;                              /* in a row: others go first */
    uint64_t age;                                   /* order of creation: smaller is older */
    void (*admitted)(struct gate_visitor *visitor); /* make the attempt; may come from inside gate_enter */
};

TAILQ_HEAD(gate_queue, gate_visitor);

struct gate {
    enum gate_state state;
    struct gate_queue queue; /* fewest failures first, then oldest */
    unsigned under_way;
    uint64_t next_age;
    struct backoff backoff;
    uv_timer_t retry;
};

void gate_init(struct gate *gate, uv_loop_t *loop);

/* No callback comes any more; the timer is closed once the loop has turned. */
void gate_close(struct gate *gate);

/* Set up a visitor, younger than all before. */
void gate_visitor_init(struct gate *gate, struct gate_visitor *visitor,
                       void (*admitted)(struct gate_visitor *visitor));

/* Ask for an attempt: `admitted` is called when it is its turn, at once if that is now. */
void gate_enter(struct gate *gate, struct gate_visitor *visitor);

/* The attempt got through to the far edge, whatever that answered; or it failed. */
void gate_passed(struct gate *gate, struct gate_visitor *visitor);
void gate_failed(struct gate *gate, struct gate_visitor *visitor);

/* It is not interested any more. No effect when it is outside. */
void gate_leave(struct gate *gate, struct gate_visitor *visitor);

#endif
