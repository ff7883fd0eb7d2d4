/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a session gets to the host proxy: dials, opens a guest stream, attaches the session to it, and does so
 * again with backoff for as long as the session has no transport. How long that may go on is the session's
 * business.
 */
#ifndef GUEST_PROXY_UPLINK_H
#define GUEST_PROXY_UPLINK_H

#include "guest-proxy/guest.h"
#include "mux/uv/timer.h"
#include "service/net.h"

struct guest_stream;
struct dial;

enum uplink_state {
    UPLINK_IDLE,    /* not wanted */
    UPLINK_WAITING, /* at the gate */
    UPLINK_DIALING,
    UPLINK_OPENING, /* the session is attached to a stream and waits for its answer */
    UPLINK_OPEN,
};

struct uplink {
    struct guest *guest;
    struct mux_session *session;
    const struct mux_attributes *attributes; /* of the session's OPEN; must stay */
    const char *object;                      /* for log lines; must stay */
    enum uplink_state state;
    struct dial *dial;           /* DIALING */
    struct guest_stream *stream; /* OPENING, OPEN */
    struct gate_visitor visitor;
    int reserve_fd;    /* given up for the first stream's descriptor; -1 after that */
    char failure[256]; /* why the last attempt failed; "" */
};

/* All pointers must outlive the uplink. `reserve_fd` is taken over. */
void uplink_init(struct uplink *uplink, struct guest *guest, struct mux_session *session,
                 const struct mux_attributes *attributes, const char *object, int reserve_fd);

/* The session needs a transport. */
void uplink_start(struct uplink *uplink);

/* The session is attached. */
void uplink_attached(struct uplink *uplink);

/* The session lost its transport for this reason, or was told to try later: find another. */
void uplink_lost(struct uplink *uplink, const char *reason);

/* The session is over. `politely`: its last frame may still be on the way. Idempotent. */
void uplink_stop(struct uplink *uplink, bool politely);

/* Close all guest streams at once, those among them that linger after their session's end. */
void uplink_close_streams(struct guest *guest);

#endif
