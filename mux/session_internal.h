/* SPDX-License-Identifier: Apache-2.0 */
/* What session.c and resume.c share. */
#ifndef MUX_SESSION_INTERNAL_H
#define MUX_SESSION_INTERNAL_H

#include "mux/session.h"

extern const struct mux_attachment_ops mux_session_attachment_ops;

/* Move to another state; an invariant of ours when it is not allowed. */
void mux_session_set_state(struct mux_session *session, enum mux_session_state next);

/* The session is over for this reason, said by the peer or by the clock. Calls on_closed. */
void mux_session_closed_by(struct mux_session *session, enum mux_code code, const char *reason);

static inline struct mux_session *mux_session_of(struct mux_attachment *attachment)
{
    return (struct mux_session *)((char *)attachment - offsetof(struct mux_session, attachment));
}

/* RESET, when it is time: the end is decided on and the peer has everything, or (far) both directions have
 * ended. */
void mux_session_end_when_due(struct mux_session *session, uint64_t now);

/*
 * May DATA go out now? Before OPEN_OK only with the very first OPEN: after that the far edge may have some
 * already, and where to go on from is not known before it says so.
 */
static inline bool mux_session_may_send(const struct mux_session *session)
{
    return session->state == MUX_SESSION_ATTACHED ||
           (session->state == MUX_SESSION_OPENING && session->attempt == 1);
}

/* Ask the link for a turn when there is something to send. */
void mux_session_want_data(struct mux_session *session);

/* See to it that the peer hears, now or soon, of what was received and what it may send. */
void mux_session_acknowledge(struct mux_session *session, uint64_t now);

/* resume.c: the transport's side of things. */
int mux_session_on_open_ok(struct mux_session *session, const struct mux_open_ok *ok, uint64_t now);
void mux_session_on_reset(struct mux_session *session, enum mux_code code, const char *reason, uint64_t now);
void mux_session_heard(struct mux_session *session, const struct mux_frame *frame, uint64_t now);
void mux_session_on_lost(struct mux_session *session, enum mux_code code, const char *reason, uint64_t now);
uint64_t mux_session_transport_deadline(const struct mux_session *session);
void mux_session_transport_tick(struct mux_session *session, uint64_t now);

#endif
