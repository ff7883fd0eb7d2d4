/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/near.h"

#include "tests/unit/mux/kit/check.h"

#include <string.h>

#define BACKOFF_MIN_MS 20u
#define BACKOFF_MAX_MS 1000u

static const struct mux_link_config guest_config = {
    .opener = true,
    .role = MUX_ROLE_GUEST,
    .name = "near",
    .instance = 1,
    .hello_timeout_ms = 10000,
};

static struct kit_near *near_of(struct kit_app *app)
{
    return (struct kit_near *)((char *)app - offsetof(struct kit_near, app));
}

/* ── The session ── */

static void retry_later(struct kit_near *near, uint64_t now)
{
    near->backoff_ms = near->backoff_ms == 0 ? BACKOFF_MIN_MS : near->backoff_ms * 2;
    if (near->backoff_ms > BACKOFF_MAX_MS)
        near->backoff_ms = BACKOFF_MAX_MS;
    near->retry_at_ms = now + near->backoff_ms;
}

static void on_detached(struct kit_app *app, enum mux_code code, const char *reason)
{
    struct kit_near *near = near_of(app);
    struct kit_guest *guest = near->guest;

    near->guest = NULL;
    retry_later(near, app->now_ms);
    if (guest != NULL)
        kit_end_close(&guest->stream.a, code, reason, app->now_ms);
}

static void on_closed(struct kit_app *app, enum mux_code code, const char *reason)
{
    struct kit_near *near = near_of(app);
    struct kit_guest *guest = near->guest;
    bool end_heard = app->session.end_heard;

    near->guest = NULL;
    near->counters = app->session.counters;
    mux_session_deinit(&app->session);
    memset(&app->session, 0xa5, sizeof(app->session)); /* it is the owner's again: nobody may touch it */
    if (guest == NULL)
        return;
    if (end_heard)
        kit_end_close(&guest->stream.a, code, reason, app->now_ms);
    else
        kit_end_linger(&guest->stream.a, app->now_ms); /* our RESET is on its way */
}

static const struct kit_app_ops app_ops = {.on_detached = on_detached, .on_closed = on_closed};

/* ── The guest stream ── */

static void on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    (void)link;
    (void)open;
    (void)now;
    KIT_CHECK(false, "the host opened session %u", number);
}

static void on_down(struct kit_end *end, enum mux_code code, const char *reason, uint64_t now)
{
    (void)end;
    (void)now;
    KIT_CHECK(code != MUX_PROTOCOL_ERROR, "the host broke the rules: %s", reason);
}

static const struct kit_end_ops end_ops = {
    .link = {.on_open = on_open, .on_output = kit_end_on_output},
    .on_down = on_down,
};

struct kit_guest *kit_near_free_guest(struct kit_near *near)
{
    for (unsigned i = 0; i < KIT_NEAR_GUESTS; i++)
        if (kit_stream_over(&near->guests[i].stream) && !near->guests[i].relayed)
            return &near->guests[i];
    return NULL;
}

/* One attempt. False: there was no host, or no memory. */
static bool attempt(struct kit_near *near, struct kit_guest *guest, uint64_t now)
{
    struct mux_attributes attributes = {.service = mux_text("amqp"), .guest_name = mux_text("vm")};
    struct kit_end *end = &guest->stream.a;

    kit_stream_init(&guest->stream);
    if (!kit_host_accept(near->host, guest, now))
        return false;
    kit_end_open(end, &guest->stream, &end_ops, near, &guest_config, near->pool, now);
    if (mux_session_attach(&near->app.session, &end->link, &attributes, now) < 0) {
        kit_end_close(end, MUX_NO_MEMORY, "no memory", now);
        return false;
    }
    near->guest = guest;
    return true;
}

bool kit_near_step(struct kit_near *near, uint64_t now)
{
    struct kit_guest *guest;

    near->app.now_ms = now;
    if (now < kit_near_deadline(near))
        return false;
    guest = kit_near_free_guest(near);
    if (guest == NULL || !attempt(near, guest, now))
        retry_later(near, now);
    return true;
}

uint64_t kit_near_deadline(const struct kit_near *near)
{
    if (near->guest != NULL || near->app.closed || near->app.session.state >= MUX_SESSION_CLOSING)
        return UINT64_MAX;
    return near->retry_at_ms;
}

/* ── Life ── */

void kit_near_init(struct kit_near *near, struct kit_host *host, const struct mux_session_config *config,
                   struct mux_pool *pool, const uint8_t token[MUX_TOKEN_SIZE], const struct kit_plan *plan,
                   uint64_t salt_out, uint64_t salt_in, uint64_t peer_bytes, uint64_t now)
{
    memset(near, 0, sizeof(*near));
    near->host = host;
    near->pool = pool;
    kit_app_init(&near->app, &app_ops, near, pool, plan, salt_out, salt_in, peer_bytes);
    mux_session_init_near(&near->app.session, &kit_session_ops, config, token, now);
    near->app.armed_ms = mux_session_deadline(&near->app.session);
    near->app.now_ms = now;
}

void kit_near_deinit(struct kit_near *near, uint64_t now)
{
    if (!near->app.closed)
        mux_session_deinit(&near->app.session);
    for (unsigned i = 0; i < KIT_NEAR_GUESTS; i++) {
        if (near->guests[i].relayed)
            mux_relay_deinit(&near->guests[i].relay);
        kit_stream_deinit(&near->guests[i].stream, now);
    }
}
