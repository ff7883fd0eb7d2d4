/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/app.h"

#include "tests/unit/mux/kit/check.h"
#include "tests/unit/mux/kit/pattern.h"

#include <stdio.h>
#include <string.h>

/* ── What the session says ── */

/* Which of the two senders do these bytes come from? All that come behind the fork must be of one. */
static bool matches_one_branch(struct kit_app *app, uint64_t offset, const uint8_t *data, size_t len)
{
    bool original = app->fork.heard != KIT_HEARD_COPY && kit_pattern_matches(app->salt_in, offset, data, len);
    bool copy =
        app->fork.heard != KIT_HEARD_ORIGINAL && kit_pattern_matches(app->fork.salt, offset, data, len);

    if (original && !copy)
        app->fork.heard = KIT_HEARD_ORIGINAL;
    if (copy && !original)
        app->fork.heard = KIT_HEARD_COPY;
    return original || copy;
}

static bool expected(struct kit_app *app, const uint8_t *data, size_t len)
{
    uint64_t before = app->fork.at > app->received ? app->fork.at - app->received : 0;

    if (!app->fork.exists || before > len)
        before = len;
    return kit_pattern_matches(app->salt_in, app->received, data, (size_t)before) &&
           (before == len ||
            matches_one_branch(app, app->received + before, data + before, len - (size_t)before));
}

static void on_data(struct mux_session *session, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    struct kit_app *app = kit_app_of(session);

    KIT_CHECK(!app->closed && !app->fin_heard, "data after the end");
    KIT_CHECK(len > 0 && data >= chunk->data && data + len <= chunk->data + chunk->used,
              "data is not in its chunk");
    KIT_CHECK(app->received + len <= app->peer_bytes, "%llu bytes came, %llu were sent",
              (unsigned long long)(app->received + len), (unsigned long long)app->peer_bytes);
    KIT_CHECK(expected(app, data, len), "wrong bytes at offset %llu", (unsigned long long)app->received);
    app->received += len;
    kit_app_check_bounds(app);
}

static void on_fin(struct mux_session *session)
{
    struct kit_app *app = kit_app_of(session);

    KIT_CHECK(!app->fin_heard, "the end came twice");
    KIT_CHECK(app->received == app->peer_bytes, "the end came after %llu of %llu bytes",
              (unsigned long long)app->received, (unsigned long long)app->peer_bytes);
    app->fin_heard = true;
}

static void on_space(struct mux_session *session)
{
    kit_app_check_bounds(kit_app_of(session));
}

static void on_attached(struct mux_session *session)
{
    struct kit_app *app = kit_app_of(session);

    KIT_CHECK(session->state == MUX_SESSION_ATTACHED, "attached in state %s",
              mux_session_state_name(session->state));
    app->attached++;
}

static void on_detached(struct mux_session *session, enum mux_code code, const char *reason)
{
    struct kit_app *app = kit_app_of(session);

    app->detached++;
    if (app->reset_when_detached)
        mux_session_reset(session, MUX_KILLED, NULL, app->now_ms);
    if (app->ops->on_detached != NULL)
        app->ops->on_detached(app, code, reason);
}

static void on_closed(struct mux_session *session, enum mux_code code, const char *reason)
{
    struct kit_app *app = kit_app_of(session);

    KIT_CHECK(!app->closed, "closed twice");
    KIT_CHECK(session->state == MUX_SESSION_CLOSED && session->attachment.link == NULL,
              "closed, but the session lives on");
    app->closed = true;
    app->code = code;
    snprintf(app->reason, sizeof(app->reason), "%s", reason);
    if (app->ops->on_closed != NULL)
        app->ops->on_closed(app, code, reason);
}

static void on_timer(struct mux_session *session)
{
    kit_app_of(session)->armed_ms = mux_session_deadline(session);
}

const struct mux_session_ops kit_session_ops = {
    .on_data = on_data,
    .on_fin = on_fin,
    .on_space = on_space,
    .on_attached = on_attached,
    .on_detached = on_detached,
    .on_closed = on_closed,
    .on_timer = on_timer,
};

/* ── What it does ── */

void kit_app_init(struct kit_app *app, const struct kit_app_ops *ops, void *owner, struct mux_pool *pool,
                  const struct kit_plan *plan, uint64_t salt_out, uint64_t salt_in, uint64_t peer_bytes)
{
    memset(app, 0, sizeof(*app));
    app->ops = ops;
    app->owner = owner;
    app->pool = pool;
    app->plan = *plan;
    app->salt_out = salt_out;
    app->salt_in = salt_in;
    app->peer_bytes = peer_bytes;
}

int kit_app_send(struct kit_app *app, size_t n)
{
    while (n > 0) {
        uint8_t *room;
        size_t size;
        struct mux_chunk *chunk = mux_pool_reserve(app->pool, &room, &size);
        size_t piece = n < size ? n : size;
        int rc;

        if (chunk == NULL)
            return -MUX_NO_MEMORY;
        kit_pattern_fill(app->salt_out, app->sent, room, piece);
        mux_pool_commit(app->pool, piece);
        rc = mux_session_send(&app->session, chunk, room, piece);
        mux_pool_recycle(app->pool);
        if (rc < 0)
            return rc;
        app->sent += piece;
        n -= piece;
    }
    return 0;
}

void kit_app_take(struct kit_app *app, uint64_t n)
{
    KIT_CHECK(n <= app->received - app->consumed, "more is taken than came");
    app->consumed += n;
    mux_session_consume(&app->session, (size_t)n, app->now_ms);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Bytes that the plan and the session let it send now. */
static uint64_t sendable(const struct kit_app *app)
{
    uint64_t left = app->plan.send_bytes - app->sent;

    if (app->plan.answer && app->received < app->peer_bytes)
        left = min_u64(left, app->received > app->sent ? app->received - app->sent : 0);
    return min_u64(left, mux_session_space(&app->session));
}

/* May the local side still do something? */
static bool open_here(const struct kit_app *app)
{
    return !app->closed && app->session.state < MUX_SESSION_CLOSING;
}

static bool finale_due(const struct kit_app *app)
{
    return !app->ended && app->sent == app->plan.send_bytes;
}

static void finale(struct kit_app *app)
{
    app->ended = true;
    switch (app->plan.finale) {
    case KIT_FINALE_FIN: mux_session_send_fin(&app->session); break;
    case KIT_FINALE_RESET: mux_session_reset(&app->session, KIT_FINALE_CODE, "test", app->now_ms); break;
    case KIT_FINALE_FINISH: mux_session_finish(&app->session, KIT_FINALE_CODE, "test", app->now_ms); break;
    }
}

static bool step_send(struct kit_app *app, struct kit_rng *rng)
{
    uint64_t n = sendable(app);

    if (app->now_ms < app->next_send_ms || (n == 0 && !finale_due(app)))
        return false;
    app->next_send_ms = app->now_ms + kit_below(rng, (uint64_t)app->plan.pause_max_ms + 1);
    if (n > 0) {
        n = min_u64(n, kit_size(rng, app->plan.piece_max));
        if (kit_app_send(app, (size_t)n) < 0)
            mux_session_reset(&app->session, MUX_NO_MEMORY, NULL, app->now_ms);
        return true;
    }
    finale(app);
    return true;
}

static bool step_take(struct kit_app *app, struct kit_rng *rng)
{
    uint64_t n = app->received - app->consumed;

    if (n == 0 || app->now_ms < app->next_take_ms)
        return false;
    app->next_take_ms = app->now_ms + kit_below(rng, (uint64_t)app->plan.pause_max_ms + 1);
    kit_app_take(app, min_u64(n, kit_size(rng, app->plan.piece_max)));
    return true;
}

bool kit_app_step(struct kit_app *app, struct kit_rng *rng, uint64_t now)
{
    bool done = false;

    app->now_ms = now;
    if (!open_here(app))
        return false;
    done = step_take(app, rng);
    if (open_here(app))
        done = step_send(app, rng) || done;
    return done;
}

bool kit_app_tick(struct kit_app *app, uint64_t now)
{
    struct mux_session *session = &app->session;

    app->now_ms = now;
    if (app->closed)
        return false;
    kit_app_check_bounds(app);
    if (app->armed_ms > now) {
        KIT_CHECK(mux_session_deadline(session) > now, "the deadline moved forward unannounced");
        return false;
    }
    mux_session_tick(session, now);
    if (app->closed)
        return true;
    app->armed_ms = mux_session_deadline(session);
    KIT_CHECK(app->armed_ms > now, "the timer fires again at once, in state %s",
              mux_session_state_name(session->state));
    return true;
}

uint64_t kit_app_deadline(const struct kit_app *app)
{
    uint64_t deadline = UINT64_MAX;

    if (!open_here(app))
        return UINT64_MAX;
    if (app->received > app->consumed)
        deadline = app->next_take_ms;
    if (sendable(app) > 0 || finale_due(app))
        deadline = min_u64(deadline, app->next_send_ms);
    return deadline;
}

void kit_app_check_bounds(const struct kit_app *app)
{
    const struct mux_session *session = &app->session;
    uint64_t window = session->config->window_bytes;

    KIT_CHECK(mux_session_held(session) <= window, "%zu bytes are held for replay, the window is %llu",
              mux_session_held(session), (unsigned long long)window);
    KIT_CHECK(app->received - app->consumed <= window, "%llu bytes came unasked for",
              (unsigned long long)(app->received - app->consumed));
}

bool kit_app_complete(const struct kit_app *app)
{
    return app->closed && app->code == MUX_OK && app->fin_heard && app->sent == app->plan.send_bytes &&
           app->received == app->peer_bytes && app->consumed == app->received;
}
