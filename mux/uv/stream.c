/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/uv/stream.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads in one turn, so that one busy socket does not keep the others waiting. */
#define READS_PER_TURN 4

static void on_poll(uv_poll_t *handle, int status, int events);

/* Have poll wait for what is needed now. */
static void update_poll(struct mux_uv_stream *stream)
{
    int events = 0;

    if (stream->state == MUX_UV_STREAM_CLOSING)
        return;
    if (stream->state == MUX_UV_STREAM_OPEN && !stream->paused)
        events |= UV_READABLE;
    if (stream->blocked)
        events |= UV_WRITABLE;
    if (stream->filter->ops->events != NULL)
        events = stream->filter->ops->events(stream->filter, events);
    if (events == 0)
        events = UV_PRIORITIZED; /* nothing comes that way, but errors are told */
    if (events == stream->polled)
        return;
    stream->polled = events;
    uv_poll_start(&stream->poll, events, on_poll);
}

static bool has_pending(const struct mux_uv_stream *stream)
{
    return stream->filter->ops->pending != NULL && stream->filter->ops->pending(stream->filter);
}

/* What a filter has read ahead makes no socket readable. */
static void queue_pending(struct mux_uv_stream *stream)
{
    if (stream->state == MUX_UV_STREAM_OPEN && !stream->paused && has_pending(stream))
        mux_uv_task_queue(stream->mux_loop, &stream->more);
}

static void read_some(struct mux_uv_stream *stream)
{
    struct mux_pool *pool = &stream->mux_loop->pool;

    for (int i = 0; i < READS_PER_TURN && stream->state == MUX_UV_STREAM_OPEN; i++) {
        size_t wanted = stream->ops->want(stream);
        struct mux_chunk *chunk;
        uint8_t *room;
        size_t size;
        ssize_t n;

        if (wanted == 0) {
            stream->paused = true;
            return;
        }
        chunk = mux_pool_reserve(pool, &room, &size);
        if (chunk == NULL)
            return; /* out of memory: the socket waits, and is readable again in the next turn */
        size = size < wanted ? size : wanted;
        n = stream->filter->ops->read(stream->filter, room, size);
        if (n == -EAGAIN)
            return;
        if (n < 0) {
            stream->ops->on_error(stream, (int)n);
            return;
        }
        if (n == 0) {
            stream->state = MUX_UV_STREAM_ENDED;
            stream->ops->on_eof(stream);
            return;
        }
        mux_pool_commit(pool, (size_t)n);
        stream->ops->on_read(stream, chunk, room, (size_t)n);
        mux_pool_recycle(pool);
        if ((size_t)n < size)
            return;
    }
    queue_pending(stream);
}

/* The filters' own work. Whether the stream goes on. */
static bool advance(struct mux_uv_stream *stream)
{
    int rc = stream->filter->ops->advance != NULL ? stream->filter->ops->advance(stream->filter) : 0;

    if (rc < 0)
        stream->ops->on_error(stream, rc);
    return rc == 0;
}

/* Neither reading nor writing, and the socket says something: it is an error, or both ends have been shut
 * down. */
static void on_idle_event(struct mux_uv_stream *stream)
{
    struct pollfd pfd = {.fd = stream->socket.fd, .events = 0};
    int error = 0;
    socklen_t len = sizeof(error);

    poll(&pfd, 1, 0);
    if ((pfd.revents & POLLERR) != 0) {
        getsockopt(stream->socket.fd, SOL_SOCKET, SO_ERROR, &error, &len);
        stream->ops->on_error(stream, error != 0 ? -error : -ECONNRESET);
        return;
    }
    /* A hang-up stays: without this the loop would spin. What is left to read is still there after a resume.
     */
    uv_poll_stop(&stream->poll);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct mux_uv_stream *stream = handle->data;
    bool filtered = stream->filter->ops->advance != NULL; /* either event may be what a read or write needs */

    stream->polled = status < 0 ? 0 : stream->polled; /* on an error libuv stops polling: start again */
    if (status == 0 && (events & (UV_READABLE | UV_WRITABLE)) == 0) {
        on_idle_event(stream);
        return;
    }
    if (status < 0 && (stream->state != MUX_UV_STREAM_OPEN || stream->paused) && !stream->blocked) {
        on_idle_event(stream);
        return;
    }
    if (!advance(stream))
        return;
    if (stream->blocked && (status < 0 || filtered || (events & UV_WRITABLE) != 0)) {
        stream->blocked = false;
        mux_uv_task_queue(stream->mux_loop, &stream->flush);
    }
    if (stream->state == MUX_UV_STREAM_OPEN && !stream->paused &&
        (status < 0 || filtered || (events & UV_READABLE) != 0))
        read_some(stream);
    update_poll(stream);
}

static void on_flush_task(struct mux_uv_task *task)
{
    struct mux_uv_stream *stream =
        (struct mux_uv_stream *)((char *)task - offsetof(struct mux_uv_stream, flush));

    if (stream->state == MUX_UV_STREAM_CLOSING || stream->blocked)
        return;
    stream->ops->on_flush(stream);
    update_poll(stream);
}

static void on_more_task(struct mux_uv_task *task)
{
    struct mux_uv_stream *stream =
        (struct mux_uv_stream *)((char *)task - offsetof(struct mux_uv_stream, more));

    if (stream->state == MUX_UV_STREAM_OPEN && !stream->paused)
        read_some(stream);
    update_poll(stream);
}

int mux_uv_stream_open(struct mux_uv_stream *stream, struct mux_uv_loop *mux_loop, int fd,
                       const struct mux_uv_stream_ops *ops)
{
    int rc;

    *stream = (struct mux_uv_stream){.mux_loop = mux_loop,
                                     .ops = ops,
                                     .paused = true,
                                     .flush.run = on_flush_task,
                                     .more.run = on_more_task};
    mux_uv_socket_init(&stream->socket, fd);
    stream->filter = &stream->socket.filter;
    rc = uv_poll_init(mux_loop->loop, &stream->poll, fd);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    stream->poll.data = stream;
    update_poll(stream);
    return 0;
}

void mux_uv_stream_push(struct mux_uv_stream *stream, struct mux_uv_filter *filter)
{
    assert(filter->below == stream->filter);
    stream->filter = filter;
    update_poll(stream);
}

const char *mux_uv_stream_reason(const struct mux_uv_stream *stream, int error)
{
    const struct mux_uv_filter *filter = stream->filter;
    const char *reason = filter->ops->reason != NULL ? filter->ops->reason(filter) : NULL;

    return reason != NULL ? reason : uv_strerror(error);
}

void mux_uv_stream_resume(struct mux_uv_stream *stream)
{
    if (!stream->paused)
        return;
    stream->paused = false;
    queue_pending(stream);
    update_poll(stream);
}

void mux_uv_stream_want_flush(struct mux_uv_stream *stream)
{
    if (stream->state != MUX_UV_STREAM_CLOSING && !stream->blocked)
        mux_uv_task_queue(stream->mux_loop, &stream->flush);
}

ssize_t mux_uv_stream_writev(struct mux_uv_stream *stream, const struct iovec *iov, int count)
{
    size_t size = 0;
    ssize_t n = stream->filter->ops->writev(stream->filter, iov, count);

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    if (n == -EAGAIN || (n >= 0 && (size_t)n < size)) {
        stream->blocked = true;
        update_poll(stream);
    }
    return n;
}

void mux_uv_stream_shutdown(struct mux_uv_stream *stream)
{
    if (stream->state != MUX_UV_STREAM_CLOSING)
        stream->filter->ops->shutdown(stream->filter);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct mux_uv_stream *stream = handle->data;

    while (stream->filter != NULL) {
        struct mux_uv_filter *filter = stream->filter;

        stream->filter = filter->below;
        filter->ops->destroy(filter);
    }
    stream->ops->on_closed(stream);
}

void mux_uv_stream_close(struct mux_uv_stream *stream)
{
    if (stream->state == MUX_UV_STREAM_CLOSING)
        return;
    stream->state = MUX_UV_STREAM_CLOSING;
    mux_uv_task_cancel(stream->mux_loop, &stream->flush);
    mux_uv_task_cancel(stream->mux_loop, &stream->more);
    uv_poll_stop(&stream->poll);
    uv_close((uv_handle_t *)&stream->poll, on_poll_closed);
    close(stream->socket.fd);
}
