/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/uv/watch.h"

#include "amqp/canned.h"

#include <amqp.h>
#include <amqp_framing.h>

void amqp_watch_init(struct amqp_watch *watch, struct mux_uv_edge *edge, enum amqp_direction local)
{
    *watch = (struct amqp_watch){.edge = edge, .due_ms = UINT64_MAX};
    amqp_scanner_init(&watch->from_local, local);
    amqp_scanner_init(&watch->to_local, local == AMQP_FROM_CLIENT ? AMQP_FROM_SERVER : AMQP_FROM_CLIENT);
}

static uint64_t now_ms(const struct amqp_watch *watch)
{
    return uv_now(watch->edge->mux_loop->loop);
}

static void look_again_in(struct amqp_watch *watch, uint64_t ms)
{
    watch->due_ms = now_ms(watch) + ms;
}

static void on_method(void *ctx, const struct amqp_connection_method *method)
{
    struct amqp_watch *watch = ctx;

    if (method->id != AMQP_CONNECTION_TUNE_OK_METHOD || method->heartbeat_s == 0)
        return;
    watch->heartbeat_ms = method->heartbeat_s * UINT64_C(1000);
    look_again_in(watch, watch->heartbeat_ms / 2);
    mux_uv_edge_update_timer(watch->edge);
}

uint64_t amqp_watch_in(struct amqp_watch *watch, const uint8_t *data, size_t len)
{
    amqp_scanner_feed(&watch->to_local, data, len, on_method, watch);
    if (watch->heartbeat_ms > 0)
        look_again_in(watch, watch->heartbeat_ms / 2);
    return amqp_scanner_releasable_off(&watch->to_local, watch->edge->session.config->window_bytes / 2);
}

void amqp_watch_out(struct amqp_watch *watch, const uint8_t *data, size_t len)
{
    amqp_scanner_feed(&watch->from_local, data, len, on_method, watch);
}

uint64_t amqp_watch_deadline(const struct amqp_watch *watch)
{
    return watch->due_ms;
}

static void beat(struct amqp_watch *watch)
{
    uint8_t frame[AMQP_CANNED_HEARTBEAT_SIZE];

    if (!amqp_scanner_may_insert(&watch->to_local, watch->edge->released_off) ||
        !mux_uv_edge_drained(watch->edge))
        return; /* in the middle of a huge frame, or the local side does not read: it sees no silence */
    if (mux_uv_edge_insert(watch->edge, frame, amqp_canned_heartbeat(frame, sizeof(frame))) == 0)
        watch->beats++;
}

void amqp_watch_expired(struct amqp_watch *watch)
{
    if (mux_session_in_doubt(&watch->edge->session)) {
        beat(watch);
        look_again_in(watch, watch->heartbeat_ms / 2);
    } else {
        mux_session_probe(&watch->edge->session, now_ms(watch));
        look_again_in(watch, watch->heartbeat_ms / 4);
    }
}
