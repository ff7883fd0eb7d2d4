/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A timer for a deadline that moves often. It is set again only when the deadline gets earlier than what is
 * set; when it fires too early it just looks again. So a deadline that is pushed back with every frame costs
 * nothing per frame.
 */
#ifndef MUX_UV_TIMER_H
#define MUX_UV_TIMER_H

#include <uv.h>

struct mux_uv_timer {
    uv_timer_t timer;
    uint64_t set_ms;                              /* when it fires; UINT64_MAX: not set */
    uint64_t (*deadline)(struct mux_uv_timer *t); /* in ms of uv_now; UINT64_MAX: none */
    void (*expired)(struct mux_uv_timer *t);      /* may close the timer */
    void (*closed)(struct mux_uv_timer *t);
};

void mux_uv_timer_init(struct mux_uv_timer *t, uv_loop_t *loop, uint64_t (*deadline)(struct mux_uv_timer *t),
                       void (*expired)(struct mux_uv_timer *t));

/* The deadline may have become earlier. */
void mux_uv_timer_update(struct mux_uv_timer *t);

/* `closed` follows, once. */
void mux_uv_timer_close(struct mux_uv_timer *t, void (*closed)(struct mux_uv_timer *t));

#endif
