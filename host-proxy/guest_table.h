/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests that are known: how much each has open, and how much each may still put into the log. A guest
 * that has nothing open is remembered for a while, so that it can't begin anew by leaving and coming back.
 */
#ifndef HOST_PROXY_GUEST_TABLE_H
#define HOST_PROXY_GUEST_TABLE_H

#include "service/log.h"

#include <sys/queue.h>
#include <uthash.h>

/* Guests without anything open that are remembered; the longest idle go first. */
#define GUEST_TABLE_IDLE_MAX 1024u

#define GUEST_NAME_MAX 128

struct guest_entry {
    UT_hash_handle hh;
    TAILQ_ENTRY(guest_entry) entry; /* while idle */
    unsigned streams;               /* guest streams now */
    unsigned sessions;              /* sessions that end here, those without a stream among them */
    struct log_limit refusals;      /* a hostile guest must not fill the log */
    char name[GUEST_NAME_MAX];      /* "guest=101", for log lines */
};

struct guest_table {
    struct guest_entry *entries; /* by name */
    TAILQ_HEAD(, guest_entry) idle;
    unsigned idle_count;
    unsigned streams; /* of all guests */
};

void guest_table_init(struct guest_table *table);

/* All must be idle. */
void guest_table_deinit(struct guest_table *table);

/* The guest of this name, with one stream more. NULL: out of memory. */
struct guest_entry *guest_table_add_stream(struct guest_table *table, const char *name);
void guest_table_remove_stream(struct guest_table *table, struct guest_entry *guest);

/* For a guest that is not idle. */
void guest_table_add_session(struct guest_entry *guest);
void guest_table_remove_session(struct guest_table *table, struct guest_entry *guest);

#endif
