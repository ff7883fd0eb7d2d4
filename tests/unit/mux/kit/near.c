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
    struct mux_attributes attributes = {.service = mux_text("amqp"), .guest_name = mux_text(near->name)};
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
    if (near->guest != NULL || near->off || near->app.closed ||
        near->app.session.state >= MUX_SESSION_CLOSING)
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
    near->name = "vm";
    kit_app_init(&near->app, &app_ops, near, pool, plan, salt_out, salt_in, peer_bytes);
    mux_session_init_near(&near->app.session, &kit_session_ops, config, token, now);
    near->app.armed_ms = mux_session_deadline(&near->app.session);
    near->app.now_ms = now;
}

/* ── Copies ── */

/* What a session holds on the heap, and where it is attached, belongs to the original. */
static void copy_session(struct mux_session *session, const struct mux_session *from, uint64_t wakes_ms)
{
    session->attachment = (struct mux_attachment){.ops = from->attachment.ops};
    session->outbox = (struct mux_outbox){0};
    session->end_reason = NULL;
    session->received = (struct mux_digest){0};
    session->send.digest = (struct mux_digest){0};
    session->send.buffer = (struct mux_bytes){0};
    KIT_CHECK(mux_digest_copy(&session->received, &from->received) == 0 &&
                  mux_digest_copy(&session->send.digest, &from->send.digest) == 0,
              "out of memory");
    for (const struct mux_segment *seg = from->send.buffer.head; seg != NULL; seg = seg->next)
        KIT_CHECK(mux_bytes_append_copy(&session->send.buffer, seg->data, seg->len) == 0, "out of memory");
    session->send.cursor = (struct mux_cursor){.seg = session->send.buffer.head};
    if (session->state != MUX_SESSION_IDLE)
        session->state = MUX_SESSION_DETACHED;
    session->lost_ms = wakes_ms;
    session->ack_due_ms = 0;
    session->ping_deadline_ms = 0;
    session->ping_after_sleep = false;
}

/* Bytes that nobody will ever get. */
static void write_to_dead_stream(struct kit_app *app, struct kit_rng *rng)
{
    struct mux_send_state *send = &app->session.send;
    uint64_t left = app->plan.send_bytes - app->sent;
    uint64_t space = mux_session_space(&app->session);
    uint64_t n = left < space ? left : space;

    if (n > 0 && !app->plan.answer)
        KIT_CHECK(kit_app_send(app, (size_t)(kit_one_in(rng, 2) ? n : kit_size(rng, n))) == 0,
                  "out of memory");
    send->sent = send->end < send->limit ? send->end : send->limit;
    if (send->fin == MUX_FIN_QUEUED && send->sent == send->end)
        send->fin = MUX_FIN_SENT;
}

void kit_near_copy(struct kit_near *copy, const struct kit_near *near, uint64_t salt_out, uint64_t wakes_ms,
                   struct kit_rng *rng)
{
    bool attached = near->app.session.state == MUX_SESSION_ATTACHED;

    memset(copy, 0, sizeof(*copy));
    copy->app = near->app;
    copy->app.owner = copy;
    copy->app.salt_out = salt_out;
    copy->host = near->host;
    copy->pool = near->pool;
    copy->name = KIT_COPY_NAME;
    copy->retry_at_ms = wakes_ms;
    copy->frozen_until_ms = wakes_ms;
    copy_session(&copy->app.session, &near->app.session, wakes_ms);
    copy->app.armed_ms = mux_session_deadline(&copy->app.session);
    if (attached && kit_one_in(rng, 2))
        write_to_dead_stream(&copy->app, rng);
}

bool kit_near_maybe_off(struct kit_near *near, uint64_t now)
{
    if (near->off || near->off_at_ms == 0 || now < near->off_at_ms)
        return false;
    near->off = true;
    for (unsigned i = 0; i < KIT_NEAR_GUESTS; i++) {
        struct kit_stream *stream = &near->guests[i].stream;

        if (kit_stream_over(stream))
            continue;
        kit_stream_reset(stream);
        kit_end_close(&stream->a, MUX_SHUTTING_DOWN, "switched off", now);
    }
    return true;
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
