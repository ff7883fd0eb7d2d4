/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net_impl.h"

#include <errno.h>
#include <unistd.h>

#define ACCEPTS_PER_WAKE 32 /* then other handles have their turn */
#define RETRY_MS         100
#define LOG_INTERVAL_MS  10000

static int accept_socket(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return -errno;
    net_set_nodelay(fd);
    return fd;
}

static int accept_one(struct net_acceptor *acceptor)
{
    const struct net_acceptor_options *options = &acceptor->options;

    return options->accept != NULL ? options->accept(options->ctx) : accept_socket(options->fd);
}

/* Errors of the one connection that was to be accepted, gone by now; see accept(2) on Linux's network errors.
 */
static bool is_about_connection(int error)
{
    switch (-error) {
    case ECONNABORTED:
    case ECONNRESET:
    case EINTR:
    case EPROTO:
    case EPERM:
    case EACCES:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP: return true;
    default: return false;
    }
}

static void on_retry(uv_timer_t *timer);

/* No descriptors, no memory, or a listener that is broken: the poll would wake at once, for nothing. */
static void starve(struct net_acceptor *acceptor, int error)
{
    uint64_t suppressed;

    acceptor->state = NET_ACCEPT_STARVED;
    uv_poll_stop(&acceptor->poll);
    uv_timer_start(&acceptor->retry, on_retry, RETRY_MS, 0);
    if (log_limit_pass(&acceptor->limit, uv_now(acceptor->retry.loop), &suppressed))
        log_warning(acceptor->options.object, "accepting pauses", LOG_ERROR("error", error),
                    LOG_UINT("retry_ms", RETRY_MS), LOG_SUPPRESSED(suppressed));
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct net_acceptor *acceptor = poll->data;

    (void)events;
    if (status < 0) {
        starve(acceptor, status);
        return;
    }
    for (int i = 0; i < ACCEPTS_PER_WAKE && acceptor->state == NET_ACCEPTING; i++) {
        int fd = accept_one(acceptor);
        if (fd >= 0)
            acceptor->options.connection(acceptor->options.ctx, fd); /* may change the state */
        else if (fd == -EAGAIN)
            return;
        else if (!is_about_connection(fd))
            starve(acceptor, fd);
    }
}

static void start(struct net_acceptor *acceptor)
{
    acceptor->state = NET_ACCEPTING;
    uv_poll_start(&acceptor->poll, UV_READABLE, on_readable);
}

static void on_retry(uv_timer_t *timer)
{
    start(timer->data);
}

int net_acceptor_open(struct net_acceptor *acceptor, uv_loop_t *loop,
                      const struct net_acceptor_options *options)
{
    *acceptor = (struct net_acceptor){
        .options = *options, .handles_open = 2, .limit = {.burst = 1, .interval_ms = LOG_INTERVAL_MS}};
    int error = uv_poll_init(loop, &acceptor->poll, options->fd);
    if (error != 0)
        return error;
    uv_timer_init(loop, &acceptor->retry);
    acceptor->poll.data = acceptor->retry.data = acceptor;
    start(acceptor);
    return 0;
}

void net_acceptor_pause(struct net_acceptor *acceptor)
{
    if (acceptor->state == NET_ACCEPT_CLOSING)
        return;
    acceptor->state = NET_ACCEPT_PAUSED;
    uv_poll_stop(&acceptor->poll);
    uv_timer_stop(&acceptor->retry);
}

void net_acceptor_resume(struct net_acceptor *acceptor)
{
    if (acceptor->state == NET_ACCEPT_PAUSED)
        start(acceptor);
}

static void on_closed(uv_handle_t *handle)
{
    struct net_acceptor *acceptor = handle->data;

    if (--acceptor->handles_open == 0 && acceptor->closed != NULL)
        acceptor->closed(acceptor);
}

void net_acceptor_close(struct net_acceptor *acceptor, void (*closed)(struct net_acceptor *acceptor))
{
    if (acceptor->state == NET_ACCEPT_CLOSING)
        return;
    acceptor->state = NET_ACCEPT_CLOSING;
    acceptor->closed = closed;
    uv_close((uv_handle_t *)&acceptor->poll, on_closed);
    uv_close((uv_handle_t *)&acceptor->retry, on_closed);
}
