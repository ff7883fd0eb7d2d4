/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a session on a transport that works: data, credit, the end. What happens when the transport
 * breaks is in resume.c; both move the state through mux_session_set_state, which knows the allowed moves.
 */
#include "mux/session.h"

#include "mux/session_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* For ack_due_ms: it goes with the next control frames, as soon as the link has room for them. */
#define ACK_QUEUED UINT64_MAX

/* How long a session waits for its RESET to be written. */
#define CLOSING_MS 2000u

const char *mux_session_state_name(enum mux_session_state state)
{
    static const char *const names[] = {"idle",     "opening", "resuming", "attached",
                                        "detached", "closing", "closed"};

    return names[state];
}

void mux_session_set_state(struct mux_session *session, enum mux_session_state next)
{
#define MAY(state) (1u << MUX_SESSION_##state)
    static const unsigned allowed[] = {
        [MUX_SESSION_IDLE] = MAY(OPENING) | MAY(ATTACHED) | MAY(CLOSING) | MAY(CLOSED),
        [MUX_SESSION_OPENING] = MAY(ATTACHED) | MAY(DETACHED) | MAY(CLOSING) | MAY(CLOSED),
        [MUX_SESSION_RESUMING] = MAY(ATTACHED) | MAY(DETACHED) | MAY(CLOSING) | MAY(CLOSED),
        [MUX_SESSION_ATTACHED] = MAY(DETACHED) | MAY(CLOSING) | MAY(CLOSED),
        [MUX_SESSION_DETACHED] = MAY(OPENING) | MAY(RESUMING) | MAY(ATTACHED) | MAY(CLOSING) | MAY(CLOSED),
        [MUX_SESSION_CLOSING] = MAY(CLOSED),
        [MUX_SESSION_CLOSED] = 0,
    };
#undef MAY

    assert((allowed[session->state] & (1u << next)) != 0);
    session->state = next;
}

static void init(struct mux_session *session, const struct mux_session_ops *ops,
                 const struct mux_session_config *config, const uint8_t token[MUX_TOKEN_SIZE], uint64_t now)
{
    assert(config->window_bytes >= MUX_INITIAL_CREDIT);
    *session = (struct mux_session){.ops = ops, .config = config, .lost_ms = now, .heard_ms = now};
    session->attachment.ops = &mux_session_attachment_ops;
    memcpy(session->token, token, MUX_TOKEN_SIZE);
}

void mux_session_init_near(struct mux_session *session, const struct mux_session_ops *ops,
                           const struct mux_session_config *config, const uint8_t token[MUX_TOKEN_SIZE],
                           uint64_t now)
{
    init(session, ops, config, token, now);
    session->edge = MUX_EDGE_NEAR;
    session->detach_timeout_ms = config->connect_timeout_ms;
    mux_send_state_init(&session->send, MUX_INITIAL_CREDIT);
    mux_recv_state_init(&session->recv, config->window_bytes, config->window_bytes);
}

void mux_session_init_far(struct mux_session *session, const struct mux_session_ops *ops,
                          const struct mux_session_config *config, const uint8_t token[MUX_TOKEN_SIZE],
                          uint64_t now)
{
    init(session, ops, config, token, now);
    session->edge = MUX_EDGE_FAR;
    session->detach_timeout_ms = config->detach_timeout_ms;
    mux_send_state_init(&session->send, 0); /* OPEN brings the credit */
    mux_recv_state_init(&session->recv, MUX_INITIAL_CREDIT, config->window_bytes);
}

void mux_session_deinit(struct mux_session *session)
{
    mux_link_remove(&session->attachment);
    mux_send_state_deinit(&session->send);
    mux_digest_deinit(&session->received);
    mux_outbox_clear(&session->outbox);
    free(session->end_reason);
    session->end_reason = NULL;
}

/* ── The end ── */

static void decide_end(struct mux_session *session, enum mux_code code, const char *reason)
{
    free(session->end_reason);
    session->end_reason = reason != NULL ? strdup(reason) : NULL;
    session->end_code = code;
}

static const char *end_reason(const struct mux_session *session)
{
    return session->end_reason != NULL ? session->end_reason : mux_code_text(session->end_code);
}

/* The last step: nothing of the session may be touched after the callback. */
static void closed(struct mux_session *session)
{
    mux_link_remove(&session->attachment);
    mux_session_set_state(session, MUX_SESSION_CLOSED);
    session->ops->on_closed(session, session->end_code, end_reason(session));
}

void mux_session_closed_by(struct mux_session *session, enum mux_code code, const char *reason)
{
    decide_end(session, code, reason);
    closed(session);
}

static void closing(struct mux_session *session, uint64_t now)
{
    session->closing_ms = now;
    mux_session_set_state(session, MUX_SESSION_CLOSING);
    mux_bytes_clear(&session->send.buffer);
    if (session->attachment.link != NULL) {
        mux_outbox_reset(&session->outbox, session->end_code, end_reason(session));
        mux_link_want_control(&session->attachment);
    }
    session->ops->on_timer(session);
}

void mux_session_reset(struct mux_session *session, enum mux_code code, const char *reason, uint64_t now)
{
    if (session->state >= MUX_SESSION_CLOSING)
        return;
    decide_end(session, code, reason);
    closing(session, now);
}

/* Both directions have ended and each local side has taken all: the far edge knows, and says so. */
static bool ended_in_order(const struct mux_session *session)
{
    const struct mux_recv_state *recv = &session->recv;

    return session->edge == MUX_EDGE_FAR && session->send.fin == MUX_FIN_ACKED && recv->fin &&
           recv->consumed == recv->next;
}

void mux_session_end_when_due(struct mux_session *session, uint64_t now)
{
    bool drained = session->end_code != MUX_OK && mux_send_state_drained(&session->send);

    if (session->state < MUX_SESSION_CLOSING && (drained || ended_in_order(session)))
        closing(session, now);
}

void mux_session_finish(struct mux_session *session, enum mux_code code, const char *reason, uint64_t now)
{
    if (session->state >= MUX_SESSION_CLOSING || session->end_code != MUX_OK)
        return;
    decide_end(session, code, reason);
    mux_session_end_when_due(session, now);
}

/* ── The local side ── */

size_t mux_session_space(const struct mux_session *session)
{
    uint64_t held = session->send.end - session->send.acked;

    if (session->state >= MUX_SESSION_CLOSING || session->end_code != MUX_OK)
        return 0;
    return held < session->config->window_bytes ? (size_t)(session->config->window_bytes - held) : 0;
}

void mux_session_want_data(struct mux_session *session)
{
    if (mux_session_may_send(session) && mux_send_state_ready(&session->send))
        mux_link_want_data(&session->attachment);
}

int mux_session_send(struct mux_session *session, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    int rc;

    if (session->state >= MUX_SESSION_CLOSING || session->end_code != MUX_OK)
        return 0;
    rc = mux_send_state_append(&session->send, chunk, data, len);
    if (rc == 0)
        mux_session_want_data(session);
    return rc;
}

void mux_session_send_fin(struct mux_session *session)
{
    mux_send_state_fin(&session->send);
    mux_session_want_data(session);
}

static void queue_ack(struct mux_session *session)
{
    session->ack_due_ms = ACK_QUEUED;
    mux_link_want_control(&session->attachment);
}

void mux_session_acknowledge(struct mux_session *session, uint64_t now)
{
    if (session->state != MUX_SESSION_ATTACHED || !mux_recv_state_untold(&session->recv))
        return;
    if (mux_recv_state_urgent(&session->recv)) {
        queue_ack(session);
    } else if (session->ack_due_ms == 0) {
        session->ack_due_ms = now + session->config->ack_delay_ms;
        session->ops->on_timer(session);
    }
}

void mux_session_consume(struct mux_session *session, size_t n, uint64_t now)
{
    if (session->state >= MUX_SESSION_CLOSING)
        return;
    mux_recv_state_consume(&session->recv, n);
    mux_session_acknowledge(session, now);
    mux_session_end_when_due(session, now);
}

size_t mux_session_held(const struct mux_session *session)
{
    return session->send.buffer.len;
}

/* ── Frames ── */

static int on_data(struct mux_session *session, const struct mux_frame *frame, struct mux_chunk *chunk,
                   uint64_t now)
{
    bool had_fin = session->recv.fin;
    size_t skip;
    int rc = mux_digest_reserve(&session->received);

    if (rc == 0)
        rc = mux_recv_state_accept(&session->recv, frame->u.data.offset, frame->u.data.len, frame->u.data.fin,
                                   &skip);
    if (rc < 0)
        return rc;
    mux_digest_add(&session->received, frame->u.data.bytes + skip, frame->u.data.len - skip);
    if (skip < frame->u.data.len) {
        if (session->end_code != MUX_OK)
            mux_recv_state_consume(&session->recv, frame->u.data.len - skip); /* finishing: nobody wants it */
        else
            session->ops->on_data(session, chunk, frame->u.data.bytes + skip, frame->u.data.len - skip);
    }
    if (session->recv.fin && !had_fin && session->state == MUX_SESSION_ATTACHED &&
        session->end_code == MUX_OK)
        session->ops->on_fin(session);
    mux_session_acknowledge(session, now);
    return 0;
}

static int on_max_data(struct mux_session *session, const struct mux_max_data *max)
{
    uint64_t acked = session->send.acked;
    int rc = mux_send_state_ack(&session->send, max->received_offset, max->max_data);

    if (rc < 0)
        return rc;
    mux_session_want_data(session);
    if (session->send.acked != acked && session->state == MUX_SESSION_ATTACHED)
        session->ops->on_space(session);
    return 0;
}

/* Frames that only an attached session takes. 0, or a negative code: what is wrong with it. */
static int on_attached_frame(struct mux_session *session, const struct mux_frame *frame,
                             struct mux_chunk *chunk, uint64_t now)
{
    switch (frame->type) {
    case MUX_DATA: return on_data(session, frame, chunk, now);
    case MUX_MAX_DATA: return on_max_data(session, &frame->u.max_data);
    case MUX_PING:
        mux_outbox_pong(&session->outbox, frame->u.ping);
        mux_link_want_control(&session->attachment);
        return 0;
    case MUX_PONG: return 0;
    default: return -MUX_PROTOCOL_ERROR;
    }
}

static void on_frame(struct mux_attachment *attachment, const struct mux_frame *frame,
                     struct mux_chunk *chunk, uint64_t now)
{
    struct mux_session *session = mux_session_of(attachment);
    char reason[MUX_REASON_MAX + 1];
    int rc;

    if (session->state == MUX_SESSION_CLOSING)
        return; /* our RESET is on its way */
    mux_session_heard(session, frame, now);
    if (frame->type == MUX_RESET) {
        mux_text_copy(frame->u.reset.reason, reason, sizeof(reason));
        mux_session_on_reset(session, (enum mux_code)frame->u.reset.code, reason, now);
        return;
    }
    if (frame->type == MUX_DETACH) {
        mux_session_detach(session, MUX_TRY_LATER, "the other side of the host proxy lost its transport",
                           now);
        return;
    }
    if (session->state == MUX_SESSION_ATTACHED)
        rc = on_attached_frame(session, frame, chunk, now);
    else
        rc = frame->type == MUX_OPEN_OK ? mux_session_on_open_ok(session, &frame->u.open_ok, now)
                                        : -MUX_PROTOCOL_ERROR;
    if (rc < 0)
        mux_session_reset(session, (enum mux_code) - rc, NULL, now);
    else
        mux_session_end_when_due(session, now);
}

static bool pull_control(struct mux_attachment *attachment, struct mux_batch *batch, uint64_t now)
{
    struct mux_session *session = mux_session_of(attachment);

    if (session->state == MUX_SESSION_ATTACHED && session->ack_due_ms != 0 &&
        (session->ack_due_ms == ACK_QUEUED || session->ack_due_ms <= now)) {
        uint64_t received;
        uint64_t limit = mux_recv_state_tell(&session->recv, &received);

        mux_outbox_max_data(&session->outbox, received, limit);
        session->ack_due_ms = 0;
    }
    if (!mux_outbox_pull(&session->outbox, batch, attachment->number))
        return false;
    if (session->state == MUX_SESSION_CLOSING)
        closed(session);
    return true;
}

static size_t pull_data(struct mux_attachment *attachment, struct mux_batch *batch, size_t max, uint64_t now)
{
    struct mux_session *session = mux_session_of(attachment);
    uint64_t from = session->send.sent;
    size_t cost;

    (void)now;
    if (!mux_session_may_send(session))
        return 0;
    cost = mux_send_state_pull(&session->send, batch, attachment->number, max);
    if (from < session->replay_until)
        session->counters.replayed_bytes +=
            (session->send.sent < session->replay_until ? session->send.sent : session->replay_until) - from;
    return cost;
}

static void on_lost(struct mux_attachment *attachment, enum mux_code code, const char *reason, uint64_t now)
{
    struct mux_session *session = mux_session_of(attachment);

    if (session->state == MUX_SESSION_CLOSING) {
        closed(session); /* RESET could not be sent: the peer will find out by itself */
        return;
    }
    mux_session_on_lost(session, code, reason, now);
}

const struct mux_attachment_ops mux_session_attachment_ops = {
    .on_frame = on_frame,
    .pull_control = pull_control,
    .pull_data = pull_data,
    .on_lost = on_lost,
};

/* ── Time ── */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t mux_session_deadline(const struct mux_session *session)
{
    uint64_t deadline = UINT64_MAX;

    if (session->state == MUX_SESSION_CLOSED)
        return UINT64_MAX;
    if (session->state == MUX_SESSION_CLOSING)
        return session->attachment.link != NULL ? session->closing_ms + CLOSING_MS : 0;
    if (session->ack_due_ms != 0)
        deadline = session->ack_due_ms;
    return min_u64(deadline, mux_session_transport_deadline(session));
}

/* RESET has waited long: the far edge leaves it to the link, which will say it when it can. A near edge's
 * OPEN may not even have left. */
static void leave_reset_to_link(struct mux_session *session)
{
    struct mux_link *link = session->attachment.link;
    uint32_t number = session->attachment.number;

    mux_link_remove(&session->attachment);
    if (link != NULL && session->edge == MUX_EDGE_FAR)
        mux_link_refuse(link, number, session->end_code, end_reason(session));
}

void mux_session_tick(struct mux_session *session, uint64_t now)
{
    if (session->state == MUX_SESSION_CLOSED || now < mux_session_deadline(session))
        return;
    if (session->state == MUX_SESSION_CLOSING) {
        leave_reset_to_link(session);
        closed(session);
        return;
    }
    if (session->ack_due_ms != 0 && session->ack_due_ms <= now)
        queue_ack(session);
    mux_session_transport_tick(session, now);
}
