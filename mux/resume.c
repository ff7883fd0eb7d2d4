/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session and its transports: attaching, losing, resuming. PROTOCOL.md, "Resume".
 *
 * The happy path: the near edge attaches to a new guest stream with OPEN(RESUME), a higher attempt and its
 * received offset; the far edge judges whether both remember the same, leaves the old link if it still seems
 * attached there, answers OPEN_OK with its own received offset, and both send again from where the other is.
 *
 * What can go wrong: the new transport breaks too (DETACHED again; the clock of the detach timeout goes on
 * from the first loss); the far edge refuses (it is the end, unless it says "try later"); an OPEN from the
 * past or from another history arrives, that is, from a snapshot that was reverted or cloned (refused before
 * anything is touched; when only the near edge can see it, by OPEN_OK, it ends the session); nobody answers
 * (the transport is given up and the owner tries another).
 */
#include "mux/session.h"

#include "mux/session_internal.h"

#include <assert.h>
#include <string.h>

/* A timer that fires so late means that the machine slept: what was attached before is probably gone. */
#define SLEPT_MS 2000u

/* After a sleep the peer must prove itself faster than usual. */
#define SLEPT_PING_TIMEOUT_MS 2000u

/* ── Attaching ── */

int mux_session_attach(struct mux_session *session, struct mux_link *link,
                       const struct mux_attributes *attributes, uint64_t now)
{
    uint32_t number = mux_link_next_number(link);
    struct mux_open open = {.attempt = session->attempt + 1, .resume = session->established};
    int rc;

    assert(session->edge == MUX_EDGE_NEAR);
    if (number == 0)
        return -MUX_NO_MEMORY;
    memcpy(open.token, session->token, MUX_TOKEN_SIZE);
    open.max_data = mux_recv_state_tell(&session->recv, &open.received_offset);
    open.received_digest = mux_digest_value(&session->received);
    open.sent_offset = mux_send_state_highest(&session->send);
    if (attributes != NULL)
        open.attributes = *attributes;
    mux_outbox_clear(&session->outbox);
    rc = mux_outbox_open(&session->outbox, number, &open);
    if (rc == 0)
        rc = mux_link_attach(link, &session->attachment, number);
    if (rc < 0)
        return rc;
    session->attempt = open.attempt;
    session->opened_ms = now;
    session->heard_ms = now;
    mux_session_set_state(session, session->established ? MUX_SESSION_RESUMING : MUX_SESSION_OPENING);
    mux_link_want_control(&session->attachment);
    mux_session_want_data(session);
    session->ops->on_timer(session);
    return 0;
}

/* The peer is there and both know where they are. */
static void attached(struct mux_session *session, uint64_t now)
{
    bool again = session->established;

    session->heard_ms = now;
    session->ping_deadline_ms = 0;
    session->ping_after_sleep = false;
    session->ack_due_ms = 0;
    session->established = true;
    if (again)
        session->counters.resumes++;
    mux_session_set_state(session, MUX_SESSION_ATTACHED);
    mux_session_want_data(session);
    mux_session_acknowledge(session, now); /* of what was delivered since OPEN was said */
    session->ops->on_attached(session);
    session->ops->on_space(session);
    session->ops->on_timer(session);
}

/*
 * Does the peer remember what we have sent? It claims to have received all before `received`, with that
 * digest. 0; -MUX_OFFSET_RANGE; -MUX_HISTORY_MISMATCH; -MUX_NO_MEMORY: can't be told now.
 */
static int judge_received(const struct mux_session *session, uint64_t received, uint64_t digest)
{
    uint64_t ours;
    int rc = mux_send_state_digest(&session->send, received, &ours);

    if (rc < 0)
        return rc;
    return ours == digest ? 0 : -MUX_HISTORY_MISMATCH;
}

/* Send again from `received`, which was judged. */
static void replay_from(struct mux_session *session, uint64_t received, uint64_t max_data)
{
    uint64_t sent = session->send.sent;
    int rc = mux_send_state_rewind(&session->send, received);

    assert(rc == 0);
    if (max_data > session->send.limit)
        session->send.limit = max_data;
    if (sent > session->replay_until)
        session->replay_until = sent; /* a replay cut short is still one */
}

int mux_session_on_open_ok(struct mux_session *session, const struct mux_open_ok *ok, uint64_t now)
{
    int rc;

    if (session->edge != MUX_EDGE_NEAR)
        return -MUX_PROTOCOL_ERROR;
    rc = judge_received(session, ok->received_offset, ok->received_digest);
    if (rc == -MUX_NO_MEMORY) {
        mux_session_detach(session, MUX_NO_MEMORY, mux_code_text(MUX_NO_MEMORY), now); /* ask again */
        return 0;
    }
    if (rc < 0)
        return rc;
    /* On the first transport early data may be on its way: go on behind it. On later ones, from where the
     * peer is. */
    if (session->attempt == 1)
        mux_send_state_ack(&session->send, ok->received_offset, ok->max_data);
    else
        replay_from(session, ok->received_offset, ok->max_data);
    session->detach_timeout_ms = ok->detach_timeout_ms;
    attached(session, now);
    return 0; /* the caller sees whether an end is due */
}

/* Attach and say OPEN_OK. 0 or -MUX_NO_MEMORY, nothing changed. */
static int answer(struct mux_session *session, struct mux_link *link, uint32_t number,
                  const struct mux_open *open)
{
    struct mux_open_ok ok = {.detach_timeout_ms = session->config->detach_timeout_ms};
    int rc = mux_link_attach(link, &session->attachment, number);

    if (rc < 0)
        return rc;
    ok.max_data = mux_recv_state_tell(&session->recv, &ok.received_offset);
    ok.received_digest = mux_digest_value(&session->received);
    session->attempt = open->attempt;
    mux_outbox_clear(&session->outbox);
    mux_outbox_open_ok(&session->outbox, &ok);
    mux_link_want_control(&session->attachment);
    return 0;
}

int mux_session_accept(struct mux_session *session, struct mux_link *link, uint32_t number,
                       const struct mux_open *open, uint64_t now)
{
    int rc;

    assert(session->edge == MUX_EDGE_FAR && session->state == MUX_SESSION_IDLE);
    if (open->received_offset > 0)
        return -MUX_OFFSET_RANGE;
    rc = answer(session, link, number, open);
    if (rc < 0)
        return rc;
    session->send.limit = open->max_data;
    attached(session, now);
    return 0;
}

/* What a resume that comes after the end is told. */
static enum mux_code verdict(const struct mux_session *session)
{
    return session->end_code != MUX_OK ? session->end_code : MUX_UNKNOWN_SESSION;
}

/*
 * Does the near edge that says `open` go on from what we remember? MUX_OK, why it must be refused, or
 * MUX_TRY_LATER: can't be told now. Nothing changes.
 */
static enum mux_code judge(const struct mux_session *session, const struct mux_open *open)
{
    const struct mux_recv_state *recv = &session->recv;
    int rc;

    if (open->attempt <= session->attempt)
        return MUX_STALE_ATTEMPT;
    /* It has sent all that we have, and no more than we let it. */
    if (open->sent_offset < mux_recv_state_received(recv) || open->sent_offset > recv->limit + 1)
        return MUX_OFFSET_RANGE;
    rc = judge_received(session, open->received_offset, open->received_digest);
    return rc == -MUX_NO_MEMORY ? MUX_TRY_LATER : (enum mux_code) - rc;
}

/* The newest attempt wins: whoever is still on the old transport hears that it is over there. */
static void leave_old_transport(struct mux_session *session, uint64_t now)
{
    struct mux_link *old = session->attachment.link;
    uint32_t old_number = session->attachment.number;

    mux_link_remove(&session->attachment);
    mux_link_refuse(old, old_number, MUX_STALE_ATTEMPT, mux_code_text(MUX_STALE_ATTEMPT));
    mux_session_on_lost(session, MUX_STALE_ATTEMPT, mux_code_text(MUX_STALE_ATTEMPT), now);
}

enum mux_code mux_session_resume(struct mux_session *session, struct mux_link *link, uint32_t number,
                                 const struct mux_open *open, uint64_t now)
{
    enum mux_code code;

    assert(session->edge == MUX_EDGE_FAR);
    if (session->state >= MUX_SESSION_CLOSING)
        return verdict(session);
    code = judge(session, open);
    if (code != MUX_OK)
        return code;
    if (session->state == MUX_SESSION_ATTACHED)
        leave_old_transport(session, now);
    if (session->state != MUX_SESSION_DETACHED)
        return verdict(session); /* the owner ended it when it heard that */
    if (answer(session, link, number, open) < 0)
        return MUX_TRY_LATER;
    replay_from(session, open->received_offset, open->max_data);
    attached(session, now);
    mux_session_end_when_due(session, now);
    return MUX_OK;
}

/* ── Losing ── */

void mux_session_on_lost(struct mux_session *session, enum mux_code code, const char *reason, uint64_t now)
{
    if (session->state == MUX_SESSION_ATTACHED) {
        session->lost_ms = now;
        session->counters.detaches++;
    }
    session->ack_due_ms = 0;
    session->ping_deadline_ms = 0;
    mux_session_set_state(session, MUX_SESSION_DETACHED);
    session->ops->on_detached(session, code, reason);
    session->ops->on_timer(session);
}

void mux_session_detach(struct mux_session *session, enum mux_code code, const char *reason, uint64_t now)
{
    if (session->attachment.link == NULL || session->state >= MUX_SESSION_CLOSING)
        return;
    mux_link_remove(&session->attachment);
    mux_session_on_lost(session, code, reason, now);
}

/* As far as the near edge can tell both directions have ended: all was sent, and all that came was taken. */
static bool over_for_near(const struct mux_session *session)
{
    const struct mux_recv_state *recv = &session->recv;

    return session->edge == MUX_EDGE_NEAR && recv->fin && recv->consumed == recv->next &&
           session->send.fin >= MUX_FIN_AGAIN;
}

/*
 * OPEN was answered by "try later": it left no trace at the far edge, nor did early data that went with it.
 * The attempt is used again: a near edge from the past must not overtake the one that lives by waiting here.
 */
static void take_back_open(struct mux_session *session)
{
    int rc = 0;

    session->attempt--;
    if (session->attempt == 0)
        rc = mux_send_state_rewind(&session->send, 0);
    assert(rc == 0);
}

static void on_try_later(struct mux_session *session, const char *reason, uint64_t now)
{
    if (session->state == MUX_SESSION_OPENING || session->state == MUX_SESSION_RESUMING)
        take_back_open(session);
    mux_session_detach(session, MUX_TRY_LATER, reason, now);
}

void mux_session_on_reset(struct mux_session *session, enum mux_code code, const char *reason, uint64_t now)
{
    session->end_heard = session->edge == MUX_EDGE_FAR || code != MUX_TRY_LATER;
    if (!session->end_heard)
        on_try_later(session, reason, now);
    else if (over_for_near(session) && (code == MUX_OK || code == MUX_UNKNOWN_SESSION))
        mux_session_closed_by(session, MUX_OK,
                              NULL); /* or the far edge had said so, and forgotten it since */
    else if (code == MUX_OK)
        mux_session_closed_by(session, MUX_PROTOCOL_ERROR, "the peer called an end that is none");
    else
        mux_session_closed_by(session, code, reason);
}

/* ── Time ── */

uint64_t mux_session_transport_deadline(const struct mux_session *session)
{
    const struct mux_session_config *config = session->config;
    uint64_t expiry = session->lost_ms + session->detach_timeout_ms;
    uint64_t answer_due = session->opened_ms + config->open_timeout_ms;

    switch (session->state) {
    case MUX_SESSION_IDLE:
    case MUX_SESSION_DETACHED: return expiry;
    case MUX_SESSION_OPENING:
    case MUX_SESSION_RESUMING: return expiry < answer_due ? expiry : answer_due;
    case MUX_SESSION_ATTACHED:
        if (session->edge == MUX_EDGE_FAR)
            return UINT64_MAX;
        return session->ping_deadline_ms != 0 ? session->ping_deadline_ms
                                              : session->heard_ms + config->ping_interval_ms;
    default: return UINT64_MAX;
    }
}

static const uint8_t ping_alive[MUX_PING_SIZE] = "alive?";
static const uint8_t ping_awake[MUX_PING_SIZE] = "awake?";

/* A deadline was missed by so much that the machine must have slept meanwhile. */
static bool slept(uint64_t deadline, uint64_t now)
{
    return now > deadline && now - deadline >= SLEPT_MS;
}

static void ping(struct mux_session *session, uint64_t now, uint64_t deadline)
{
    uint32_t timeout = session->config->ping_timeout_ms;

    session->ping_after_sleep = slept(deadline, now);
    if (session->ping_after_sleep && timeout > SLEPT_PING_TIMEOUT_MS)
        timeout = SLEPT_PING_TIMEOUT_MS;
    session->ping_deadline_ms = now + timeout;
    mux_outbox_ping(&session->outbox, session->ping_after_sleep ? ping_awake : ping_alive);
    mux_link_want_control(&session->attachment);
}

/*
 * A frame came: the transport is alive. Unless the machine slept: then the frame may have lain here since
 * before, while the transport was lost, and only an answer to a new PING counts.
 */
void mux_session_heard(struct mux_session *session, const struct mux_frame *frame, uint64_t now)
{
    uint64_t deadline = mux_session_transport_deadline(session);

    if (session->state == MUX_SESSION_ATTACHED && slept(deadline, now)) {
        ping(session, now, deadline);
        session->ops->on_timer(session);
    }
    session->heard_ms = now;
    if (session->ping_after_sleep &&
        (frame->type != MUX_PONG || memcmp(frame->u.ping, ping_awake, MUX_PING_SIZE) != 0))
        return;
    if (session->ping_deadline_ms == 0)
        return;
    session->ping_deadline_ms = 0;
    session->ping_after_sleep = false;
    session->ops->on_timer(session); /* the next PING may be due before this answer was */
}

void mux_session_probe(struct mux_session *session, uint64_t now)
{
    if (session->state == MUX_SESSION_ATTACHED && session->ping_deadline_ms == 0) {
        ping(session, now, now);
        session->ops->on_timer(session);
    }
}

bool mux_session_in_doubt(const struct mux_session *session)
{
    return session->state < MUX_SESSION_CLOSING &&
           (session->state != MUX_SESSION_ATTACHED || session->ping_deadline_ms != 0);
}

/* What it means that no transport was found in time. */
static enum mux_code expired(const struct mux_session *session)
{
    if (over_for_near(session) && session->send.fin == MUX_FIN_ACKED)
        return MUX_OK; /* nothing was left to do but to hear of the end */
    return session->established ? MUX_SESSION_EXPIRED : MUX_HOST_UNREACHABLE;
}

void mux_session_transport_tick(struct mux_session *session, uint64_t now)
{
    uint64_t deadline = mux_session_transport_deadline(session);

    if (now < deadline)
        return;
    if (session->state == MUX_SESSION_ATTACHED) {
        if (session->ping_deadline_ms == 0)
            ping(session, now, deadline);
        else
            mux_session_detach(session, MUX_IDLE_TIMEOUT, "no answer from the far edge", now);
    } else if (now >= session->lost_ms + session->detach_timeout_ms) {
        mux_link_remove(&session->attachment);
        mux_session_closed_by(session, expired(session), NULL);
    } else {
        mux_session_detach(session, MUX_IDLE_TIMEOUT, "no answer to OPEN", now);
    }
}
