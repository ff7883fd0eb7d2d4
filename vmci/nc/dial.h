/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting a stream to a place, with a deadline; of several addresses, one after the other is tried.
 *
 *     start ──► next turn ──► connecting ──► done(fd)
 *                   ▲             │
 *                   └─ next one ──┴──► done(-errno), when there is none
 */
#ifndef VMCI_NC_DIAL_H
#define VMCI_NC_DIAL_H

#include "vmci/nc/loop.h"
#include "vmci/nc/place.h"

#define NC_REASON_SIZE 512

struct nc_dial {
    struct nc_watch watch;
    const struct nc_place *place;
    enum { NC_DIAL_NEXT, NC_DIAL_VMCI, NC_DIAL_PLAIN } state;
    struct vmci_connector *connector; /* in NC_DIAL_VMCI */
    const struct addrinfo *address;   /* to be tried next; of places that are not VMCI's */
    int fd;                           /* in NC_DIAL_PLAIN */
    uint64_t deadline_ms;
    char reason[NC_REASON_SIZE]; /* of the failure, for done() */

    /* The last that is heard of it; may free it. fd is connected, does not block, and is the callee's;
     * -ETIMEDOUT by the deadline, or the errors of transport.h and connect(). */
    void (*done)(struct nc_dial *dial, int fd);
};

/* The place must live until done(), which is never called from here. done is set. seconds: 0 for ever. */
void nc_dial_start(struct nc_loop *loop, struct nc_dial *dial, const struct nc_place *place,
                   unsigned seconds);

/* Gives up without done(). Idempotent; also for one that is done. */
void nc_dial_cancel(struct nc_dial *dial);

#endif
