/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/uv/edge.h"

#include <errno.h>

/* Vectors in one writev. */
#define IOV_MAX_OUT 64

static struct mux_uv_edge *of_stream(struct mux_uv_stream *stream)
{
    return (struct mux_uv_edge *)((char *)stream - offsetof(struct mux_uv_edge, stream));
}

static struct mux_uv_edge *of_timer(struct mux_uv_timer *timer)
{
    return (struct mux_uv_edge *)((char *)timer - offsetof(struct mux_uv_edge, timer));
}

static uint64_t now_ms(const struct mux_uv_edge *edge)
{
    return uv_now(edge->mux_loop->loop);
}

static void flush(struct mux_uv_edge *edge)
{
    if (edge->local == MUX_UV_LOCAL_OPEN)
        mux_uv_stream_want_flush(&edge->stream);
}

/* ── From the session to the local socket ── */

/* Queue new bytes and let through what the owner's tap allows. 0 or -MUX_NO_MEMORY. */
static int queue_in(struct mux_uv_edge *edge, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    uint64_t limit;
    size_t release;
    int rc;

    edge->fed_off += len;
    limit = edge->ops->tap_in != NULL ? edge->ops->tap_in(edge, data, len) : edge->fed_off;
    release = (size_t)(limit - edge->released_off);
    edge->released_off = limit;
    if (edge->held.len == 0 && release == len)
        return mux_bytes_append_ref(&edge->out, chunk, data, len);
    rc = mux_bytes_append_ref(&edge->held, chunk, data, len);
    return rc < 0 ? rc : mux_bytes_move(&edge->out, &edge->held, release);
}

static void session_on_data(struct mux_session *session, struct mux_chunk *chunk, const uint8_t *data,
                            size_t len)
{
    struct mux_uv_edge *edge = mux_uv_edge_of(session);

    if (edge->local == MUX_UV_LOCAL_CLOSED) {
        mux_session_consume(session, len, now_ms(edge)); /* nobody is there to read it */
        return;
    }
    if (queue_in(edge, chunk, data, len) < 0)
        mux_session_reset(session, MUX_NO_MEMORY, NULL, now_ms(edge));
    flush(edge);
}

static void session_on_fin(struct mux_session *session)
{
    struct mux_uv_edge *edge = mux_uv_edge_of(session);

    /* What is held will not be completed any more: it goes as it is. */
    if (mux_bytes_move(&edge->out, &edge->held, edge->held.len) < 0)
        mux_session_reset(session, MUX_NO_MEMORY, NULL, now_ms(edge));
    edge->released_off = edge->fed_off;
    edge->fin_heard = true;
    flush(edge);
}

/* `n` bytes of `out` were written. What is left counts as the session's first: credit may come late, never
 * early. */
static void written(struct mux_uv_edge *edge, size_t n)
{
    size_t before = edge->out.len - edge->inserted;
    size_t after;

    mux_bytes_drop(&edge->out, n);
    after = before < edge->out.len ? before : edge->out.len;
    edge->inserted = edge->out.len - after;
    if (before > after)
        mux_session_consume(&edge->session, before - after, now_ms(edge));
}

static void local_failed(struct mux_uv_edge *edge, int error)
{
    mux_uv_edge_close_local(edge);
    edge->ops->on_local_error(edge, error);
}

static void stream_on_flush(struct mux_uv_stream *stream)
{
    struct mux_uv_edge *edge = of_stream(stream);
    struct iovec iov[IOV_MAX_OUT];

    while (edge->out.len > 0) {
        size_t total;
        int count = mux_bytes_peek(&edge->out, SIZE_MAX, iov, IOV_MAX_OUT, &total);
        ssize_t n = mux_uv_stream_writev(stream, iov, count);

        if (n < 0 && n != -EAGAIN) {
            local_failed(edge, (int)n);
            return;
        }
        if (n > 0)
            written(edge, (size_t)n);
        if (n < 0 || (size_t)n < total)
            break;
    }
    mux_bytes_compact(&edge->out);
    mux_bytes_compact(&edge->held);
    if (edge->out.len > 0)
        return;
    if (edge->fin_heard)
        mux_uv_stream_shutdown(stream);
    if (edge->ops->on_local_drained != NULL)
        edge->ops->on_local_drained(edge);
}

int mux_uv_edge_insert(struct mux_uv_edge *edge, const uint8_t *data, size_t len)
{
    int rc = mux_bytes_append_copy(&edge->out, data, len);

    if (rc < 0)
        return rc;
    edge->inserted += len;
    flush(edge);
    return 0;
}

void mux_uv_edge_drop_held(struct mux_uv_edge *edge)
{
    mux_bytes_clear(&edge->held);
}

size_t mux_uv_edge_queued(const struct mux_uv_edge *edge)
{
    return edge->out.len + edge->held.len;
}

bool mux_uv_edge_drained(const struct mux_uv_edge *edge)
{
    return edge->out.len == 0;
}

/* ── From the local socket to the session ── */

static size_t stream_want(struct mux_uv_stream *stream)
{
    struct mux_uv_edge *edge = of_stream(stream);

    return edge->ops->want != NULL ? edge->ops->want(edge) : mux_session_space(&edge->session);
}

static void stream_on_read(struct mux_uv_stream *stream, struct mux_chunk *chunk, const uint8_t *data,
                           size_t len)
{
    struct mux_uv_edge *edge = of_stream(stream);

    if (edge->ops->tap_out != NULL)
        len = edge->ops->tap_out(edge, chunk, data, len);
    if (len > 0 && mux_session_send(&edge->session, chunk, data, len) < 0)
        mux_session_reset(&edge->session, MUX_NO_MEMORY, NULL, now_ms(edge));
}

static void stream_on_eof(struct mux_uv_stream *stream)
{
    struct mux_uv_edge *edge = of_stream(stream);

    if (edge->ops->on_local_eof != NULL)
        edge->ops->on_local_eof(edge);
    else
        mux_session_send_fin(&edge->session);
}

static void stream_on_error(struct mux_uv_stream *stream, int error)
{
    local_failed(of_stream(stream), error);
}

static void closed_one(struct mux_uv_edge *edge)
{
    if (--edge->handles == 0 && edge->closing)
        edge->ops->on_closed(edge);
}

static void stream_on_closed(struct mux_uv_stream *stream)
{
    closed_one(of_stream(stream));
}

static const struct mux_uv_stream_ops stream_ops = {
    .want = stream_want,
    .on_read = stream_on_read,
    .on_eof = stream_on_eof,
    .on_error = stream_on_error,
    .on_flush = stream_on_flush,
    .on_closed = stream_on_closed,
};

/* ── The session ── */

static void session_on_space(struct mux_session *session)
{
    mux_uv_edge_read(mux_uv_edge_of(session));
}

static void session_on_attached(struct mux_session *session)
{
    struct mux_uv_edge *edge = mux_uv_edge_of(session);

    edge->ops->on_attached(edge);
}

static void session_on_detached(struct mux_session *session, enum mux_code code, const char *reason)
{
    struct mux_uv_edge *edge = mux_uv_edge_of(session);

    edge->ops->on_detached(edge, code, reason);
}

static void session_on_closed(struct mux_session *session, enum mux_code code, const char *reason)
{
    struct mux_uv_edge *edge = mux_uv_edge_of(session);

    edge->ops->on_session_closed(edge, code, reason);
}

static void session_on_timer(struct mux_session *session)
{
    mux_uv_timer_update(&mux_uv_edge_of(session)->timer);
}

const struct mux_session_ops mux_uv_edge_session_ops = {
    .on_data = session_on_data,
    .on_fin = session_on_fin,
    .on_space = session_on_space,
    .on_attached = session_on_attached,
    .on_detached = session_on_detached,
    .on_closed = session_on_closed,
    .on_timer = session_on_timer,
};

static uint64_t session_deadline(const struct mux_uv_edge *edge)
{
    return edge->session.config != NULL ? mux_session_deadline(&edge->session)
                                        : UINT64_MAX; /* or not begun yet */
}

static uint64_t owner_deadline(struct mux_uv_edge *edge)
{
    return edge->ops->deadline != NULL ? edge->ops->deadline(edge) : UINT64_MAX;
}

static uint64_t timer_deadline(struct mux_uv_timer *timer)
{
    struct mux_uv_edge *edge = of_timer(timer);
    uint64_t session = session_deadline(edge);
    uint64_t owner = owner_deadline(edge);

    return session < owner ? session : owner;
}

static void timer_expired(struct mux_uv_timer *timer)
{
    struct mux_uv_edge *edge = of_timer(timer);

    if (session_deadline(edge) <= now_ms(edge))
        mux_session_tick(&edge->session, now_ms(edge));
    if (!edge->closing && owner_deadline(edge) <= now_ms(edge))
        edge->ops->on_deadline(edge);
}

static void timer_closed(struct mux_uv_timer *timer)
{
    closed_one(of_timer(timer));
}

/* ── The edge ── */

void mux_uv_edge_init(struct mux_uv_edge *edge, struct mux_uv_loop *mux_loop,
                      const struct mux_uv_edge_ops *ops)
{
    *edge = (struct mux_uv_edge){.mux_loop = mux_loop, .ops = ops, .handles = 1};
    mux_uv_timer_init(&edge->timer, mux_loop->loop, timer_deadline, timer_expired);
}

int mux_uv_edge_attach(struct mux_uv_edge *edge, int fd)
{
    int rc = mux_uv_stream_open(&edge->stream, edge->mux_loop, fd, &stream_ops);

    if (rc < 0)
        return rc;
    edge->handles++;
    edge->local = MUX_UV_LOCAL_OPEN;
    mux_uv_stream_resume(&edge->stream);
    if (edge->out.len > 0 || edge->fin_heard)
        flush(edge);
    return 0;
}

void mux_uv_edge_update_timer(struct mux_uv_edge *edge)
{
    mux_uv_timer_update(&edge->timer);
}

void mux_uv_edge_read(struct mux_uv_edge *edge)
{
    if (edge->local == MUX_UV_LOCAL_OPEN)
        mux_uv_stream_resume(&edge->stream);
}

void mux_uv_edge_close_local(struct mux_uv_edge *edge)
{
    if (edge->local == MUX_UV_LOCAL_OPEN)
        mux_uv_stream_close(&edge->stream);
    edge->local = MUX_UV_LOCAL_CLOSED;
    edge->inserted = 0;
    mux_bytes_clear(&edge->out);
    mux_bytes_clear(&edge->held);
}

void mux_uv_edge_close(struct mux_uv_edge *edge)
{
    if (edge->closing)
        return;
    edge->closing = true;
    mux_uv_edge_close_local(edge);
    mux_session_deinit(&edge->session);
    mux_uv_timer_close(&edge->timer, timer_closed);
}
