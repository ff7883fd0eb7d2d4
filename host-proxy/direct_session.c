/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: the client logs in (its credentials are verified, or a connection made with them stands),
 * chooses a vhost, joins the hub; works; says Close; hears Close-Ok; both directions end.
 *
 * What can go wrong: the broker refuses the client (it is told what the broker said); no node can be reached
 * in time, or the hub is lost (Close 320 with the cause); the client is gone (RESET or FIN: the member tidies
 * up and the session is over before it); the guest's stream breaks (the session waits for a resume, and the
 * client is not blamed for its silence); nobody resumes in time (as if the client were gone).
 */
#include "host-proxy/direct_session.h"

#include "host-proxy/direct.h"
#include "host-proxy/direct_login.h"
#include "host-proxy/guest.h"
#include "host-proxy/host.h"

#include <stdlib.h>
#include <string.h>

/* How long a client that has heard all may take to close its connection. */
#define LEAVE_MS 5000u

static const struct mux_session_ops session_ops;

static struct direct_session *of_session(struct mux_session *session)
{
    return (struct direct_session *)((char *)session - offsetof(struct direct_session, session));
}

static struct direct_session *of_task(struct mux_uv_task *task)
{
    return (struct direct_session *)((char *)task - offsetof(struct direct_session, task));
}

static struct direct_session *of_timer(struct mux_uv_timer *timer)
{
    return (struct direct_session *)((char *)timer - offsetof(struct direct_session, timer));
}

static struct mux_uv_loop *mux_loop(const struct direct_session *ds)
{
    return ds->direct->pool.mux_loop;
}

static uint64_t now_ms(const struct direct_session *ds)
{
    return uv_now(mux_loop(ds)->loop);
}

void direct_session_stir(struct direct_session *ds)
{
    if (!ds->closing)
        mux_uv_task_queue(mux_loop(ds), &ds->task);
}

/* ── From the client ── */

static void feed(struct direct_session *ds, const uint8_t *data, size_t len)
{
    amqp_member_feed(&ds->member, data, len, now_ms(ds));
    mux_session_consume(&ds->session, len, now_ms(ds));
}

static void session_on_data(struct mux_session *session, struct mux_chunk *chunk, const uint8_t *data,
                            size_t len)
{
    struct direct_session *ds = of_session(session);

    if (ds->held.len == 0 && amqp_member_wants_input(&ds->member))
        feed(ds, data, len);
    else if (mux_bytes_append(&ds->held, chunk, data, len) < 0)
        mux_session_reset(session, MUX_NO_MEMORY, NULL, now_ms(ds));
    direct_session_stir(ds);
}

static void feed_held(struct direct_session *ds)
{
    while (ds->held.len > 0 && !ds->over && amqp_member_wants_input(&ds->member)) {
        const struct mux_segment *first = ds->held.head;
        struct mux_chunk *chunk = mux_chunk_ref(first->chunk);
        const uint8_t *data = first->data;
        const size_t len = first->len;

        mux_bytes_drop(&ds->held, len);
        feed(ds, data, len);
        mux_chunk_unref(chunk);
    }
}

static void session_on_fin(struct mux_session *session)
{
    struct direct_session *ds = of_session(session);

    ds->fin_heard = true;
    direct_session_stir(ds);
}

/* The client has ended its direction. Having said Close it may wait for the answer; otherwise it is gone, as
 * RabbitMQ sees it. */
static bool has_left(const struct direct_session *ds)
{
    return ds->fin_heard && ds->held.len == 0 && ds->member.front.state != AMQP_FRONT_WINDING_UP &&
           ds->member.front.state != AMQP_FRONT_CLOSED;
}

/* ── To the client ── */

/* In pieces that are copied: what is kept for a replay must not pin more than its size. */
static void pass_on(struct direct_session *ds, const uint8_t *data, size_t len)
{
    while (len > 0) {
        const size_t piece = len < MUX_PIN_MIN ? len : MUX_PIN_MIN - 1;

        if (mux_session_send(&ds->session, NULL, data, piece) < 0) {
            mux_session_reset(&ds->session, MUX_NO_MEMORY, NULL, now_ms(ds));
            return;
        }
        data += piece;
        len -= piece;
    }
}

/* All that the member has to say and the session's window takes. False: the member has more. */
static bool write_out(struct direct_session *ds)
{
    uint8_t *out = ds->direct->out;
    size_t n;

    do {
        if (mux_session_space(&ds->session) < AMQP_HUB_WRITE_MIN)
            return false;
        n = amqp_member_write(&ds->member, out, AMQP_HUB_WRITE_MIN, now_ms(ds));
        pass_on(ds, out, n);
    } while (n > 0);
    return true;
}

/* All is said. */
static void say_fin(struct direct_session *ds)
{
    if (ds->session.send.fin != MUX_FIN_NONE)
        return;
    ds->leave_ms = now_ms(ds) + LEAVE_MS;
    mux_session_send_fin(&ds->session);
}

static void session_on_space(struct mux_session *session)
{
    direct_session_stir(of_session(session));
}

/* ── The session's end, and this one's ── */

static void on_timer_closed(struct mux_uv_timer *timer)
{
    struct direct_session *ds = of_timer(timer);
    struct direct *direct = ds->direct;

    amqp_member_deinit(&ds->member);
    mux_session_deinit(&ds->session);
    mux_bytes_clear(&ds->held);
    credentials_unref(ds->credentials);
    far_session_gone(&ds->far);
    guest_table_remove_session(&direct->host->guest_table, ds->guest);
    free(ds);
    direct_session_ended(direct);
}

static void close_session(struct direct_session *ds)
{
    if (ds->closing)
        return;
    ds->closing = true;
    mux_uv_task_cancel(mux_loop(ds), &ds->task);
    mux_uv_timer_close(&ds->timer, on_timer_closed);
}

/* The client can't be reached any more. */
static void give_up_member(struct direct_session *ds)
{
    ds->over = true;
    mux_bytes_clear(&ds->held);
    shared_remove_waiter(&ds->waiter);
    amqp_member_gone(&ds->member, now_ms(ds));
    direct_session_stir(ds);
}

static void leave_stream(struct direct_session *ds, bool peer_waits)
{
    struct guest *stream = ds->stream;

    ds->stream = NULL;
    if (stream != NULL)
        guest_session_left(stream, peer_waits);
}

static void session_on_attached(struct mux_session *session)
{
    far_session_attached(&of_session(session)->far);
    direct_session_stir(of_session(session));
}

static void session_on_detached(struct mux_session *session, enum mux_code code, const char *reason)
{
    struct direct_session *ds = of_session(session);

    far_session_detached(&ds->far, code, reason);
    leave_stream(ds, false);
}

static void session_on_closed(struct mux_session *session, enum mux_code code, const char *reason)
{
    struct direct_session *ds = of_session(session);

    far_session_closed(&ds->far, code, reason);
    leave_stream(ds, session->end_heard);
    give_up_member(ds);
}

static void session_on_timer(struct mux_session *session)
{
    mux_uv_timer_update(&of_session(session)->timer);
}

static const struct mux_session_ops session_ops = {
    .on_data = session_on_data,
    .on_fin = session_on_fin,
    .on_space = session_on_space,
    .on_attached = session_on_attached,
    .on_detached = session_on_detached,
    .on_closed = session_on_closed,
    .on_timer = session_on_timer,
};

/* ── Moving on ── */

static void on_task(struct mux_uv_task *task)
{
    struct direct_session *ds = of_task(task);
    bool all_said = false;

    feed_held(ds);
    if (!ds->over && has_left(ds)) {
        shared_remove_waiter(&ds->waiter);
        amqp_member_gone(&ds->member, now_ms(ds));
    }
    if (!ds->over)
        all_said = write_out(ds);
    feed_held(ds);
    far_session_account(&ds->far, 0);
    if (amqp_member_is_over(&ds->member)) {
        shared_remove_waiter(&ds->waiter);
        if (ds->over)
            close_session(ds);
        else if (all_said)
            say_fin(ds);
    }
    mux_uv_timer_update(&ds->timer);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t timer_deadline(struct mux_uv_timer *timer)
{
    struct direct_session *ds = of_timer(timer);
    const uint64_t member = earlier(amqp_member_deadline(&ds->member), ds->wait_ms);

    if (ds->over)
        return member;
    return earlier(member, earlier(mux_session_deadline(&ds->session), ds->leave_ms));
}

/*
 * A client out of reach must not be taken for one that is silent. Whether it is out of reach is asked in
 * time: an answer clears the doubt.
 */
static void mind_silence(struct direct_session *ds)
{
    const struct amqp_pulse *pulse = &ds->member.front.pulse;

    if (mux_session_in_doubt(&ds->session))
        amqp_front_excuse(&ds->member.front, now_ms(ds));
    else if (pulse->interval_ms > 0 && now_ms(ds) >= pulse->heard_ms + pulse->interval_ms)
        mux_session_probe(&ds->session, now_ms(ds));
}

static void timer_expired(struct mux_uv_timer *timer)
{
    struct direct_session *ds = of_timer(timer);
    const uint64_t now = now_ms(ds);

    if (!ds->over && now >= mux_session_deadline(&ds->session))
        mux_session_tick(&ds->session, now);
    if (!ds->over)
        mind_silence(ds);
    if (now >= ds->wait_ms)
        direct_login_expired(ds);
    if (now >= amqp_member_deadline(&ds->member))
        amqp_member_tick(&ds->member, now);
    if (!ds->over && now >= ds->leave_ms) {
        ds->leave_ms = UINT64_MAX;
        mux_session_finish(&ds->session, MUX_BROKER_CLOSED, "the AMQP connection is closed", now);
    }
    direct_session_stir(ds);
}

void direct_session_refuse(struct direct_session *ds, enum amqp_code code, const char *text,
                           const char *detail)
{
    struct amqp_exception e;

    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, code, 0, "%s%s", text, detail);
    amqp_member_end(&ds->member, &e, now_ms(ds));
}

void direct_session_drain(struct direct_session *ds)
{
    if (ds->over)
        return;
    if (ds->session.state != MUX_SESSION_ATTACHED)
        mux_session_reset(&ds->session, MUX_SHUTTING_DOWN, "host-proxy is shutting down", now_ms(ds));
    else if (ds->member.state == AMQP_MEMBER_JOINED)
        direct_session_refuse(ds, AMQP_CODE_CONNECTION_FORCED, "host-proxy is shutting down", "");
    else if (ds->member.state == AMQP_MEMBER_GREETING)
        mux_session_finish(&ds->session, MUX_SHUTTING_DOWN, "host-proxy is shutting down", now_ms(ds));
}

void direct_session_abort(struct direct_session *ds)
{
    if (ds->closing)
        return;
    if (!ds->over)
        give_up_member(ds);
    mux_link_remove(&ds->session.attachment);
    close_session(ds);
}

/* ── Opening ── */

static enum mux_code create(struct far_set *set, struct mux_link *link, uint32_t number,
                            const struct mux_open *open, const char *object, struct far_session **made)
{
    struct direct *direct = (struct direct *)((char *)set - offsetof(struct direct, sessions));
    struct direct_session *ds;
    enum mux_code code;

    if (open->attributes.service.len > 0)
        return MUX_UNKNOWN_SERVICE;
    if (direct->opening->sessions >= direct->host->config.max_sessions_per_guest)
        return MUX_SESSION_LIMIT;
    ds = calloc(1, sizeof(*ds));
    if (ds == NULL)
        return MUX_NO_MEMORY;
    ds->direct = direct;
    ds->guest = direct->opening;
    ds->waiter.ops = &direct_login_waiter_ops;
    ds->task.run = on_task;
    ds->wait_ms = UINT64_MAX;
    ds->leave_ms = UINT64_MAX;
    guest_table_add_session(ds->guest);
    mux_bytes_init(&ds->held);
    amqp_member_init(&ds->member, &direct_login_member_ops, &direct->front, now_ms(ds));
    mux_session_init_far(&ds->session, &session_ops, &set->config.session, open->token, now_ms(ds));
    mux_uv_timer_init(&ds->timer, mux_loop(ds)->loop, timer_deadline, timer_expired);
    code = far_session_begin(set, &ds->far, &ds->session, link, number, open, object, "amqp");
    if (code != MUX_OK)
        direct_session_abort(ds);
    else
        *made = &ds->far;
    return code;
}

static struct far_session *far_of_session(struct mux_session *session)
{
    return &of_session(session)->far;
}

static size_t held(struct far_session *far)
{
    const struct direct_session *ds = direct_session_of(far);

    return ds->held.len + amqp_load_held(&ds->member.load);
}

const struct far_ops direct_session_far_ops = {.create = create, .of_session = far_of_session, .held = held};
