/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of sessions that have lost their transport, within one budget for all. While attached a session
 * is bounded by its window; a mass detach (a hypervisor that dies) must not add up to all of them.
 */
#ifndef SERVICE_DETACHED_H
#define SERVICE_DETACHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* A session's place in the list. Embedded; zeroed before first use. */
struct detached_member {
    TAILQ_ENTRY(detached_member) entry;
    bool is_in;
    size_t bytes; /* that it counts for */
};

TAILQ_HEAD(detached_list, detached_member);

struct detached_set {
    struct detached_list list; /* longest detached first */
    size_t bytes;
    size_t budget_bytes;
};

void detached_init(struct detached_set *set, size_t budget_bytes);

/* The session is detached and holds so many bytes now. */
void detached_put(struct detached_set *set, struct detached_member *member, size_t bytes);

/* It is not detached any more. No effect when it is not in. */
void detached_remove(struct detached_set *set, struct detached_member *member);

/* Who has to go because the budget is exceeded: the one detached longest, of those that hold anything; NULL:
 * nobody. */
struct detached_member *detached_excess(struct detached_set *set);

#endif
