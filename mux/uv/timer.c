/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/uv/timer.h"

static void on_timer(uv_timer_t *handle)
{
    struct mux_uv_timer *t = handle->data;

    t->set_ms = UINT64_MAX;
    if (t->deadline(t) <= uv_now(handle->loop))
        t->expired(t);
    mux_uv_timer_update(t);
}

void mux_uv_timer_init(struct mux_uv_timer *t, uv_loop_t *loop, uint64_t (*deadline)(struct mux_uv_timer *t),
                       void (*expired)(struct mux_uv_timer *t))
{
    *t = (struct mux_uv_timer){.set_ms = UINT64_MAX, .deadline = deadline, .expired = expired};
    uv_timer_init(loop, &t->timer);
    t->timer.data = t;
}

void mux_uv_timer_update(struct mux_uv_timer *t)
{
    uint64_t deadline;
    uint64_t now;

    if (uv_is_closing((uv_handle_t *)&t->timer))
        return;
    deadline = t->deadline(t);
    if (deadline >= t->set_ms)
        return;
    now = uv_now(t->timer.loop);
    t->set_ms = deadline;
    uv_timer_start(&t->timer, on_timer, deadline > now ? deadline - now : 0, 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct mux_uv_timer *t = handle->data;

    t->closed(t);
}

void mux_uv_timer_close(struct mux_uv_timer *t, void (*closed)(struct mux_uv_timer *t))
{
    if (uv_is_closing((uv_handle_t *)&t->timer))
        return;
    t->closed = closed;
    uv_close((uv_handle_t *)&t->timer, on_closed);
}
