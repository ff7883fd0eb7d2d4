/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two streams joined: bytes go both ways until both directions have ended, or one says that it is over.
 *
 *     left.in ──► there ──► right.out
 *     left.out ◄── back ◄── right.in
 *
 * A direction that can't be written to any more drops what it has, while the other goes on to its own end:
 * the last answer of a peer that has closed already is not lost. A direction that can't be read ends the
 * session at once, and sockets are reset where that exists, so that nobody takes it for the regular end.
 */
#ifndef VMCI_NC_SESSION_H
#define VMCI_NC_SESSION_H

#include <stdbool.h>

#include "vmci/nc/loop.h"

#define NC_FLOW_BYTES 65536U

/* What happens to the other side when a direction has ended, and all its bytes are written. */
enum nc_at_end {
    NC_END_PASS, /* it is told: half-close; standard output is given up */
    NC_END_KEEP, /* it is not told */
    NC_END_ALL,  /* the session is over */
};

enum nc_end_kind {
    NC_END_SOCKET, /* in and out are one stream that does not block, and the session's to close */
    NC_END_STDIO,  /* they are others' too: never made non-blocking, closed by NC_END_PASS only */
};

struct nc_end {
    int in;
    int out;
    enum nc_end_kind kind;
};

struct nc_session;

struct nc_flow {
    struct nc_watch in;
    struct nc_watch out;
    struct nc_session *session;
    enum nc_at_end at_end;
    enum { NC_FLOW_OPEN, NC_FLOW_DRAINING, NC_FLOW_DONE } state; /* draining: all is read */
    size_t write_max;                                            /* that never blocks when poll() says so */
    size_t start;                                                /* bytes[start, end) are to be written */
    size_t end;
    unsigned char bytes[NC_FLOW_BYTES];
};

struct nc_session {
    struct nc_flow there;
    struct nc_flow back;
    struct nc_end left;
    struct nc_end right;
    struct nc_watch idle;
    unsigned idle_seconds; /* 0: may be idle for ever */

    /* The last that is heard of it; may free it. 0; -ETIMEDOUT: idle for too long; other -errno: what a
     * descriptor said. */
    void (*closed)(struct nc_session *session, int rc);
};

/* Joins them; closed and idle_seconds are set, all else is done here. */
void nc_session_start(struct nc_loop *loop, struct nc_session *session, struct nc_end left,
                      enum nc_at_end at_end_of_left, struct nc_end right, enum nc_at_end at_end_of_right);

/* Ends it now, without closed(). */
void nc_session_cancel(struct nc_session *session);

#endif
