/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/uv/hub_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Buffers written in one turn of the loop, so that others get theirs. */
#define WRITES_PER_TURN 8

static struct amqp_uv_hub *of_stream(struct mux_uv_stream *stream)
{
    return (struct amqp_uv_hub *)((char *)stream - offsetof(struct amqp_uv_hub, stream));
}

static struct amqp_uv_hub *of_timer(struct mux_uv_timer *timer)
{
    return (struct amqp_uv_hub *)((char *)timer - offsetof(struct amqp_uv_hub, timer));
}

static uint64_t now_ms(const struct amqp_uv_hub *uv_hub)
{
    return uv_now(uv_hub->stream.mux_loop->loop);
}

/* Something went in: perhaps something is to go out, and a deadline has moved. */
static void stir(struct amqp_uv_hub *uv_hub)
{
    mux_uv_stream_want_flush(&uv_hub->stream);
    mux_uv_timer_update(&uv_hub->timer);
}

/* ── The socket ── */

static size_t stream_want(struct mux_uv_stream *stream)
{
    (void)stream;
    return SIZE_MAX;
}

static void stream_on_read(struct mux_uv_stream *stream, struct mux_chunk *chunk, const uint8_t *data,
                           size_t len)
{
    struct amqp_uv_hub *uv_hub = of_stream(stream);

    (void)chunk;
    amqp_hub_feed(&uv_hub->hub, data, len, now_ms(uv_hub));
    stir(uv_hub);
}

static void stream_on_eof(struct mux_uv_stream *stream)
{
    amqp_uv_hub_abort(of_stream(stream), "the broker closed the connection without a reason");
}

static void stream_on_error(struct mux_uv_stream *stream, int error)
{
    amqp_uv_hub_abort(of_stream(stream), mux_uv_stream_reason(stream, error));
}

/* Write what is in the buffer, filled again if it is empty. Bytes written; 0: nothing to write; or -errno. */
static ssize_t write_some(struct amqp_uv_hub *uv_hub)
{
    struct iovec iov;
    ssize_t n;

    if (uv_hub->out_off == uv_hub->out_len) {
        uv_hub->out_off = 0;
        uv_hub->out_len = amqp_hub_write(&uv_hub->hub, uv_hub->out, AMQP_HUB_WRITE_MIN, now_ms(uv_hub));
    }
    if (uv_hub->out_len == 0)
        return 0;
    iov = (struct iovec){.iov_base = uv_hub->out + uv_hub->out_off,
                         .iov_len = uv_hub->out_len - uv_hub->out_off};
    n = mux_uv_stream_writev(&uv_hub->stream, &iov, 1);
    if (n > 0)
        uv_hub->out_off += (size_t)n;
    return n;
}

static void stream_on_flush(struct mux_uv_stream *stream)
{
    struct amqp_uv_hub *uv_hub = of_stream(stream);

    for (int i = 0; i < WRITES_PER_TURN; i++) {
        ssize_t n = write_some(uv_hub);

        if (n < 0 && n != -EAGAIN) {
            amqp_uv_hub_abort(uv_hub, mux_uv_stream_reason(stream, (int)n));
            return;
        }
        if (n <= 0 || uv_hub->out_off < uv_hub->out_len)
            return;
    }
    mux_uv_stream_want_flush(stream);
}

static void closed_one(struct amqp_uv_hub *uv_hub)
{
    if (--uv_hub->handles > 0)
        return;
    amqp_hub_deinit(&uv_hub->hub);
    free(uv_hub->out);
    uv_hub->ops->on_closed(uv_hub);
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
    return amqp_hub_deadline(&of_timer(timer)->hub);
}

bool amqp_uv_hub_has_unread(const struct amqp_uv_hub *uv_hub)
{
    int count = 0;

    return ioctl(uv_hub->stream.socket.fd, FIONREAD, &count) == 0 && count > 0;
}

static void timer_expired(struct mux_uv_timer *timer)
{
    struct amqp_uv_hub *uv_hub = of_timer(timer);

    if (amqp_uv_hub_has_unread(uv_hub))
        amqp_back_excuse(&uv_hub->hub.back, now_ms(uv_hub));
    amqp_hub_tick(&uv_hub->hub, now_ms(uv_hub));
    mux_uv_stream_want_flush(&uv_hub->stream);
}

static void timer_closed(struct mux_uv_timer *timer)
{
    closed_one(of_timer(timer));
}

/* ── The hub ── */

static void hub_on_login(struct amqp_hub *hub)
{
    struct amqp_uv_hub *uv_hub = amqp_uv_hub_of(hub);

    if (uv_hub->ops->on_login != NULL)
        uv_hub->ops->on_login(uv_hub);
}

static void hub_on_suspect(struct amqp_hub *hub, struct amqp_member *member,
                           const struct amqp_method_spec *method)
{
    struct amqp_uv_hub *uv_hub = amqp_uv_hub_of(hub);

    if (uv_hub->ops->on_suspect != NULL)
        uv_hub->ops->on_suspect(uv_hub, member, method);
}

static void hub_on_hush_given_up(struct amqp_hub *hub)
{
    struct amqp_uv_hub *uv_hub = amqp_uv_hub_of(hub);

    if (uv_hub->ops->on_hush_given_up != NULL)
        uv_hub->ops->on_hush_given_up(uv_hub);
}

static void hub_on_running(struct amqp_hub *hub)
{
    amqp_uv_hub_of(hub)->ops->on_running(amqp_uv_hub_of(hub));
}

static void hub_on_wake(struct amqp_hub *hub)
{
    mux_uv_stream_want_flush(&amqp_uv_hub_of(hub)->stream);
}

/* What it has said last, perhaps a Close-Ok, is written if that goes at once. */
static void hub_on_down(struct amqp_hub *hub, const struct amqp_exception *e)
{
    struct amqp_uv_hub *uv_hub = amqp_uv_hub_of(hub);

    uv_hub->ops->on_down(uv_hub, e);
    while (write_some(uv_hub) > 0 && uv_hub->out_off == uv_hub->out_len)
        continue;
    mux_uv_stream_close(&uv_hub->stream);
    mux_uv_timer_close(&uv_hub->timer, timer_closed);
}

int amqp_uv_hub_open(struct amqp_uv_hub *uv_hub, struct mux_uv_loop *mux_loop, int fd,
                     const struct amqp_uv_hub_ops *ops, const struct amqp_hub_config *config)
{
    int rc;

    *uv_hub = (struct amqp_uv_hub){.ops = ops, .handles = 2};
    uv_hub->hub_ops = (struct amqp_hub_ops){.on_login = hub_on_login,
                                            .on_running = hub_on_running,
                                            .on_suspect = hub_on_suspect,
                                            .on_hush_given_up = hub_on_hush_given_up,
                                            .on_down = hub_on_down,
                                            .on_wake = hub_on_wake};
    uv_hub->out = malloc(AMQP_HUB_WRITE_MIN);
    if (uv_hub->out == NULL) {
        close(fd);
        return -ENOMEM;
    }
    rc = mux_uv_stream_open(&uv_hub->stream, mux_loop, fd, &stream_ops);
    if (rc < 0) {
        free(uv_hub->out);
        return rc;
    }
    amqp_hub_init(&uv_hub->hub, &uv_hub->hub_ops, config, uv_now(mux_loop->loop));
    mux_uv_timer_init(&uv_hub->timer, mux_loop->loop, timer_deadline, timer_expired);
    mux_uv_stream_resume(&uv_hub->stream);
    stir(uv_hub);
    return 0;
}

void amqp_uv_hub_choose(struct amqp_uv_hub *uv_hub, struct amqp_span vhost)
{
    amqp_hub_open(&uv_hub->hub, vhost, now_ms(uv_hub));
    stir(uv_hub);
}

void amqp_uv_hub_close(struct amqp_uv_hub *uv_hub, const char *reason)
{
    amqp_hub_close(&uv_hub->hub, reason, now_ms(uv_hub));
    stir(uv_hub);
}

void amqp_uv_hub_abort(struct amqp_uv_hub *uv_hub, const char *reason)
{
    amqp_hub_lost(&uv_hub->hub, reason, now_ms(uv_hub));
}
