/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session that ends here: the far edge of a mux_session on one side, an AMQP client (amqp/member.h) on the
 * other.
 *
 *     guest stream ──► session ──► held ──► member ──► its hub
 *     guest stream ◄── session ◄─────────── member ◄── its hub
 *
 * A client that sends more than its hub takes is not read: its bytes wait here, within the session's window.
 * A session that has lost its stream, or whose client does not read, takes no more than its window either;
 * its member is one that does not read.
 */
#ifndef HOST_PROXY_DIRECT_SESSION_H
#define HOST_PROXY_DIRECT_SESSION_H

#include "amqp/member.h"
#include "host-proxy/shared.h"
#include "mux/uv/timer.h"
#include "service/far.h"

struct direct;
struct guest;

struct direct_session {
    struct far_session far;
    struct mux_session session;
    struct amqp_member member;
    struct shared_waiter waiter;
    struct direct *direct;
    struct guest *stream;            /* that it is attached on; NULL: none */
    struct guest_entry *guest;       /* whose it is */
    struct credentials *credentials; /* until it has joined; NULL with a fixed identity */
    struct mux_bytes held;           /* came, and the member does not want it yet */
    struct mux_uv_task task;
    struct mux_uv_timer timer;
    uint64_t wait_ms;  /* how long it waits for the broker; UINT64_MAX: it does not */
    uint64_t leave_ms; /* all is said: how long its client has to leave; UINT64_MAX: not yet */
    bool fin_heard;    /* the client sends no more */
    bool over;         /* the session is; perhaps the member has still to tidy up */
    bool closing;
};

/* For direct.sessions. */
extern const struct far_ops direct_session_far_ops;

static inline struct direct_session *direct_session_of(struct far_session *far)
{
    return (struct direct_session *)((char *)far - offsetof(struct direct_session, far));
}

static inline struct direct_session *direct_session_of_member(struct amqp_member *member)
{
    return (struct direct_session *)((char *)member - offsetof(struct direct_session, member));
}

/* Look at everything, later in this turn of the loop. */
void direct_session_stir(struct direct_session *ds);

/* Tell the client that it is over, in these words. */
void direct_session_refuse(struct direct_session *ds, enum amqp_code code, const char *text,
                           const char *detail);

/* Tell the client that host-proxy stops, and end. */
void direct_session_drain(struct direct_session *ds);

/* End at once: its hub is gone already. */
void direct_session_abort(struct direct_session *ds);

#endif
