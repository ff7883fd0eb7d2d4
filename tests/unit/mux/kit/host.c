/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/host.h"

#include "tests/unit/mux/kit/check.h"

#include <string.h>

#define BACKOFF_MIN_MS 20u
#define BACKOFF_MAX_MS 2000u

static const struct mux_link_config link_config = {
    .opener = true,
    .role = MUX_ROLE_HOST,
    .name = "host",
    .instance = 2,
    .ping_interval_ms = 10000,
    .ping_timeout_ms = 5000,
};

static const struct mux_link_config guest_config = {
    .role = MUX_ROLE_HOST,
    .name = "host",
    .instance = 2,
    .idle_timeout_ms = 30000,
    .hello_timeout_ms = 10000,
    .open_timeout_ms = 10000,
    .max_sessions = 1,
};

/* ── Relays ── */

static struct kit_guest *guest_of(struct mux_relay *relay)
{
    return (struct kit_guest *)((char *)relay - offsetof(struct kit_guest, relay));
}

static void relay_on_guest_end(struct mux_relay *relay)
{
    kit_end_finish(&guest_of(relay)->stream.b);
}

static void relay_on_drained(struct mux_relay *relay)
{
    guest_of(relay)->paused = false;
}

static void relay_on_closed(struct mux_relay *relay, enum mux_relay_end end, enum mux_code code,
                            const char *reason, bool by_guest)
{
    struct kit_guest *guest = guest_of(relay);

    (void)by_guest;
    guest->relayed = false;
    guest->paused = false;
    mux_relay_deinit(relay);
    memset(relay, 0xa5, sizeof(*relay)); /* it is the owner's again: nobody may touch it */
    if (end == MUX_RELAY_RESET)
        kit_end_linger(&guest->stream.b, guest->host->now_ms);
    else if (end == MUX_RELAY_BROKEN)
        kit_end_close(&guest->stream.b, code, reason, guest->host->now_ms);
}

static const struct mux_relay_ops relay_ops = {
    .on_guest_end = relay_on_guest_end,
    .on_drained = relay_on_drained,
    .on_closed = relay_on_closed,
};

/* ── Guest streams ── */

static void guest_on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    struct kit_guest *guest = kit_end_of(link)->owner;
    struct kit_host *host = guest->host;
    struct mux_open onward = *open;
    int rc = -MUX_TRY_LATER;

    (void)now;
    onward.attributes.host_name = mux_text("host");
    onward.attributes.cid = 101;
    onward.attributes.has_cid = true;
    if (host->link != NULL)
        rc = mux_relay_init(&guest->relay, &relay_ops, link, number, &host->link->a.link, &onward,
                            host->window_bytes);
    if (rc < 0)
        mux_link_refuse(link, number, (enum mux_code) - rc, mux_code_text((unsigned)-rc));
    else
        guest->relayed = true;
}

static size_t guest_want(struct kit_end *end)
{
    struct kit_guest *guest = end->owner;

    if (guest->relayed && mux_relay_backlog(&guest->relay) >= MUX_RELAY_SHARE)
        guest->paused = true;
    return guest->paused ? 0 : SIZE_MAX;
}

static void guest_on_down(struct kit_end *end, enum mux_code code, const char *reason, uint64_t now)
{
    (void)end;
    (void)now;
    KIT_CHECK(code != MUX_PROTOCOL_ERROR, "a guest broke the rules: %s", reason);
}

static const struct kit_end_ops guest_ops = {
    .link = {.on_open = guest_on_open, .on_output = kit_end_on_output},
    .want = guest_want,
    .on_down = guest_on_down,
};

bool kit_host_accept(struct kit_host *host, struct kit_guest *guest, uint64_t now)
{
    if (now < host->down_until_ms)
        return false;
    guest->host = host;
    kit_end_open(&guest->stream.b, &guest->stream, &guest_ops, guest, &guest_config, &host->pool, now);
    return true;
}

void kit_guest_check_bounds(const struct kit_guest *guest)
{
    const struct mux_relay *relay = &guest->relay;

    if (!guest->relayed)
        return;
    KIT_CHECK(relay->guest.queue.len <= relay->window_bytes, "%zu bytes wait for the guest, the window is %u",
              relay->guest.queue.len, relay->window_bytes);
    KIT_CHECK(relay->link.queue.len <= MUX_RELAY_SHARE + MUX_CHUNK_SIZE, "%zu bytes wait for the link",
              relay->link.queue.len);
}

/* ── The link ── */

static void link_on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    (void)link;
    (void)open;
    (void)now;
    KIT_CHECK(false, "the far edge opened session %u", number);
}

static void link_on_down(struct kit_end *end, enum mux_code code, const char *reason, uint64_t now)
{
    struct kit_host *host = end->owner;

    KIT_CHECK(code != MUX_PROTOCOL_ERROR, "the far edge broke the rules: %s", reason);
    host->link = NULL;
    host->backoff_ms = host->backoff_ms == 0 ? BACKOFF_MIN_MS : host->backoff_ms * 2;
    if (host->backoff_ms > BACKOFF_MAX_MS)
        host->backoff_ms = BACKOFF_MAX_MS;
    host->retry_at_ms = now + host->backoff_ms;
}

static void link_on_hello(struct mux_link *link, uint64_t now)
{
    struct kit_host *host = kit_end_of(link)->owner;

    (void)now;
    host->backoff_ms = 0;
}

static const struct kit_end_ops link_ops = {
    .link = {.on_hello = link_on_hello, .on_open = link_on_open, .on_output = kit_end_on_output},
    .on_down = link_on_down,
};

bool kit_host_step(struct kit_host *host, uint64_t now)
{
    host->now_ms = now;
    if (host->link != NULL || now < host->retry_at_ms || now < host->down_until_ms)
        return false;
    for (unsigned i = 0; i < KIT_HOST_LINKS; i++) {
        struct kit_stream *link = &host->links[i];

        if (!kit_stream_over(link))
            continue;
        kit_stream_init(link);
        kit_end_open(&link->a, link, &link_ops, host, &link_config, &host->pool, now);
        kit_far_accept(host->far, link, now);
        host->link = link;
        return true;
    }
    return false; /* the far edge still holds all of them: later */
}

uint64_t kit_host_deadline(const struct kit_host *host)
{
    if (host->link != NULL)
        return UINT64_MAX;
    return host->retry_at_ms > host->down_until_ms ? host->retry_at_ms : host->down_until_ms;
}

/* ── Life and death ── */

void kit_host_init(struct kit_host *host, struct kit_far *far, uint32_t window_bytes)
{
    memset(host, 0, sizeof(*host));
    host->far = far;
    host->window_bytes = window_bytes;
    mux_pool_init(&host->pool);
}

void kit_host_deinit(struct kit_host *host, uint64_t now)
{
    for (unsigned i = 0; i < KIT_HOST_LINKS; i++)
        kit_stream_deinit(&host->links[i], now);
    mux_pool_deinit(&host->pool);
}

/* The process is gone, with all it had: no callback runs, nothing more is said. */
static void end_kill(struct kit_end *end, uint64_t now)
{
    if (end->state == KIT_END_UNUSED || end->state == KIT_END_CLOSED)
        return;
    kit_stream_reset(end->stream);
    kit_end_close(end, MUX_SHUTTING_DOWN, "killed", now);
}

void kit_host_kill(struct kit_host *host, struct kit_guest **guests, unsigned guest_count, uint64_t until_ms,
                   uint64_t now)
{
    for (unsigned i = 0; i < guest_count; i++) {
        if (guests[i]->relayed)
            mux_relay_deinit(&guests[i]->relay);
        guests[i]->relayed = false;
        guests[i]->paused = false;
        end_kill(&guests[i]->stream.b, now);
        kit_stream_reap(&guests[i]->stream, now);
    }
    for (unsigned i = 0; i < KIT_HOST_LINKS; i++) {
        end_kill(&host->links[i].a, now);
        kit_stream_reap(&host->links[i], now);
    }
    host->link = NULL;
    host->backoff_ms = 0;
    host->retry_at_ms = until_ms;
    host->down_until_ms = until_ms;
    mux_pool_deinit(&host->pool);
    mux_pool_init(&host->pool);
}
