/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: vmci_connect, its steps whenever the descriptor is ready, the descriptor handed over. A
 * timer starts the first step, so that the callback never comes from inside dial_start, and is the time limit
 * afterwards.
 */
#include "guest-proxy/dial.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct dial {
    struct vmci_endpoint endpoint;
    struct vmci_settings settings;
    struct vmci_connector *connector; /* NULL before the first step */
    uint64_t timeout_ms;
    dialed_fn dialed; /* NULL: cancelled, or done */
    void *ctx;
    uv_timer_t timer;
    uv_poll_t poll;
    bool polling; /* `poll` was initialised */
    unsigned handles;
};

static void on_closed(uv_handle_t *handle)
{
    struct dial *dial = handle->data;

    if (--dial->handles > 0)
        return;
    vmci_connector_close(dial->connector); /* closes the descriptor unless it was taken */
    free(dial);
}

static void close_handles(struct dial *dial)
{
    uv_close((uv_handle_t *)&dial->timer, on_closed);
    if (dial->polling)
        uv_close((uv_handle_t *)&dial->poll, on_closed);
}

static void finish(struct dial *dial, int fd, const char *text)
{
    dialed_fn dialed = dial->dialed;

    dial->dialed = NULL;
    close_handles(dial);
    dialed(dial->ctx, fd, text);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void step(struct dial *dial)
{
    char why[256] = "";
    int events;
    int rc = vmci_connector_step(dial->connector, why, sizeof(why));

    if (rc == 0) {
        if (dial->polling)
            uv_poll_stop(&dial->poll); /* the descriptor goes to its new owner, who polls it himself */
        finish(dial, vmci_connector_take(dial->connector), NULL);
        return;
    }
    if (rc != -EAGAIN) {
        finish(dial, rc, why);
        return;
    }
    if (!dial->polling) {
        rc = uv_poll_init(uv_handle_get_loop((uv_handle_t *)&dial->timer), &dial->poll,
                          vmci_connector_fd(dial->connector));
        if (rc < 0) {
            finish(dial, rc, uv_strerror(rc));
            return;
        }
        dial->poll.data = dial;
        dial->polling = true;
        dial->handles++;
    }
    events = (vmci_connector_events(dial->connector) & POLLOUT) != 0 ? UV_WRITABLE : UV_READABLE;
    uv_poll_start(&dial->poll, events, on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status; /* what is wrong shows in the step */
    (void)events;
    step(poll->data);
}

static void on_timeout(uv_timer_t *timer)
{
    finish(timer->data, -ETIMEDOUT, "no answer in time");
}

static void on_start(uv_timer_t *timer)
{
    struct dial *dial = timer->data;
    char why[256] = "";
    int rc = vmci_connect(&dial->endpoint, &dial->settings, &dial->connector, why, sizeof(why));

    if (rc < 0) {
        finish(dial, rc, why);
        return;
    }
    uv_timer_start(timer, on_timeout, dial->timeout_ms, 0);
    step(dial);
}

struct dial *dial_start(uv_loop_t *loop, const struct vmci_endpoint *endpoint,
                        const struct vmci_settings *settings, uint64_t timeout_ms, dialed_fn dialed,
                        void *ctx)
{
    struct dial *dial = calloc(1, sizeof(*dial));

    if (dial == NULL)
        return NULL;
    dial->endpoint = *endpoint;
    dial->settings = *settings;
    dial->timeout_ms = timeout_ms;
    dial->dialed = dialed;
    dial->ctx = ctx;
    dial->handles = 1;
    uv_timer_init(loop, &dial->timer);
    dial->timer.data = dial;
    uv_timer_start(&dial->timer, on_start, 0, 0);
    return dial;
}

void dial_cancel(struct dial *dial)
{
    if (dial == NULL || dial->dialed == NULL)
        return;
    dial->dialed = NULL;
    if (dial->polling)
        uv_poll_stop(&dial->poll);
    close_handles(dial);
}
