/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/uv/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#define LINGER_MS 2000u

/* Batches written in one turn, so that one fast socket does not keep the others waiting. */
#define BATCHES_PER_TURN 8

/* Unsent bytes that the kernel may hold for a link. */
#define NOTSENT_LOWAT (256 * 1024)

static struct mux_uv_link *of_stream(struct mux_uv_stream *stream)
{
    return (struct mux_uv_link *)((char *)stream - offsetof(struct mux_uv_link, stream));
}

static struct mux_uv_link *of_timer(struct mux_uv_timer *timer)
{
    return (struct mux_uv_link *)((char *)timer - offsetof(struct mux_uv_link, timer));
}

static uint64_t now_ms(const struct mux_uv_link *link)
{
    return uv_now(link->stream.mux_loop->loop);
}

static void down(struct mux_uv_link *link, enum mux_code code, const char *reason)
{
    char text[MUX_REASON_MAX];

    if (link->state == MUX_UV_LINK_CLOSING)
        return;
    snprintf(text, sizeof(text), "%s", reason);
    mux_link_close(&link->link, code == MUX_OK ? MUX_TRY_LATER : code, text, now_ms(link));
    if (link->state == MUX_UV_LINK_OPEN)
        link->ops->on_down(link, code, text);
    mux_uv_link_close(link, code, text);
}

/* ── The stream ── */

static size_t stream_want(struct mux_uv_stream *stream)
{
    struct mux_uv_link *link = of_stream(stream);

    return link->ops->want != NULL ? link->ops->want(link) : SIZE_MAX;
}

static void stream_on_read(struct mux_uv_stream *stream, struct mux_chunk *chunk, const uint8_t *data,
                           size_t len)
{
    struct mux_uv_link *link = of_stream(stream);
    int rc = mux_link_input(&link->link, chunk, data, len, now_ms(link));

    if (rc < 0)
        down(link, (enum mux_code) - rc, link->link.error);
}

static void stream_on_eof(struct mux_uv_stream *stream)
{
    down(of_stream(stream), MUX_OK, "connection closed by peer");
}

static void stream_on_error(struct mux_uv_stream *stream, int error)
{
    down(of_stream(stream), MUX_TRY_LATER, mux_uv_stream_reason(stream, error));
}

/* The batch to write next; NULL: there is none, or no memory for one. */
static struct mux_batch *next_batch(struct mux_uv_link *link)
{
    struct mux_batch *batch = link->batch;

    if (batch != NULL)
        return batch;
    batch = mux_uv_batch_get(link->stream.mux_loop);
    if (batch == NULL)
        return NULL;
    if (!mux_link_output(&link->link, batch, now_ms(link))) {
        mux_uv_batch_put(link->stream.mux_loop, batch);
        return NULL;
    }
    return batch;
}

static void stream_on_flush(struct mux_uv_stream *stream)
{
    struct mux_uv_link *link = of_stream(stream);

    for (int i = 0; i < BATCHES_PER_TURN; i++) {
        struct mux_batch *batch = next_batch(link);
        ssize_t n;

        if (batch == NULL) {
            if (link->state == MUX_UV_LINK_FINISHING)
                mux_uv_link_close(link, MUX_OK, "finished");
            return;
        }
        if (link->state == MUX_UV_LINK_CLOSING) {
            mux_uv_batch_put(stream->mux_loop, batch); /* what was said last made the owner close */
            return;
        }
        link->batch = batch;
        n = mux_uv_stream_writev(stream, batch->iov + batch->first, batch->count - batch->first);
        if (n < 0 && n != -EAGAIN) {
            down(link, MUX_TRY_LATER, mux_uv_stream_reason(stream, (int)n));
            return;
        }
        if (n > 0)
            mux_batch_written(batch, (size_t)n);
        if (batch->bytes > 0) {
            mux_link_compact(&link->link); /* on_flush comes again when the socket takes more */
            return;
        }
        link->batch = NULL;
        mux_uv_batch_put(stream->mux_loop, batch);
    }
    mux_uv_stream_want_flush(stream);
}

static void closed_one(struct mux_uv_link *link)
{
    if (--link->handles == 0)
        link->ops->on_closed(link);
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

/* ── Time ── */

static uint64_t timer_deadline(struct mux_uv_timer *timer)
{
    struct mux_uv_link *link = of_timer(timer);

    return link->state == MUX_UV_LINK_OPEN ? mux_link_deadline(&link->link) : link->linger_until_ms;
}

static void timer_expired(struct mux_uv_timer *timer)
{
    struct mux_uv_link *link = of_timer(timer);
    int rc;

    if (link->state != MUX_UV_LINK_OPEN) {
        mux_uv_link_close(link, MUX_OK, "lingered");
        return;
    }
    rc = mux_link_tick(&link->link, now_ms(link));
    if (rc < 0)
        down(link, (enum mux_code) - rc, link->link.error);
}

static void timer_closed(struct mux_uv_timer *timer)
{
    closed_one(of_timer(timer));
}

/* ── The link ── */

static void link_on_output(struct mux_link *link)
{
    mux_uv_stream_want_flush(&mux_uv_link_of(link)->stream);
}

int mux_uv_link_open(struct mux_uv_link *link, struct mux_uv_loop *mux_loop, int fd,
                     const struct mux_link_config *config, const struct mux_uv_link_ops *ops)
{
    int rc;

    *link = (struct mux_uv_link){.ops = ops, .link_ops = ops->link, .handles = 2};
    link->link_ops.on_output = link_on_output;
    rc = mux_uv_stream_open(&link->stream, mux_loop, fd, &stream_ops);
    if (rc < 0)
        return rc;
    mux_link_init(&link->link, &link->link_ops, config, uv_now(mux_loop->loop));
    mux_uv_timer_init(&link->timer, mux_loop->loop, timer_deadline, timer_expired);
    mux_uv_timer_update(&link->timer);
    mux_uv_stream_resume(&link->stream);
    mux_uv_stream_want_flush(&link->stream);
    return 0;
}

void mux_uv_link_tune(int fd)
{
    int lowat = NOTSENT_LOWAT;

    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
}

void mux_uv_link_resume(struct mux_uv_link *link)
{
    mux_uv_stream_resume(&link->stream);
}

static void leave_open(struct mux_uv_link *link, enum mux_uv_link_state next)
{
    if (link->state != MUX_UV_LINK_OPEN)
        return;
    link->state = next;
    link->linger_until_ms = now_ms(link) + LINGER_MS;
    mux_uv_stream_resume(&link->stream);
    mux_uv_stream_want_flush(&link->stream);
    mux_uv_timer_update(&link->timer);
}

void mux_uv_link_linger(struct mux_uv_link *link)
{
    leave_open(link, MUX_UV_LINK_LINGERING);
}

void mux_uv_link_finish(struct mux_uv_link *link)
{
    leave_open(link, MUX_UV_LINK_FINISHING);
}

void mux_uv_link_close(struct mux_uv_link *link, enum mux_code code, const char *reason)
{
    if (link->state == MUX_UV_LINK_CLOSING)
        return;
    link->state = MUX_UV_LINK_CLOSING;
    mux_link_close(&link->link, code, reason, now_ms(link));
    mux_link_deinit(&link->link, now_ms(link));
    mux_uv_batch_put(link->stream.mux_loop, link->batch);
    link->batch = NULL;
    mux_uv_stream_close(&link->stream);
    mux_uv_timer_close(&link->timer, timer_closed);
}
