/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: the stream says HELLO and OPEN; the session passes the limits; a relay takes it to the
 * link; both end.
 *
 * What can go wrong: no OPEN in time, or nonsense (the stream is closed); a limit, or no link (RESET with the
 * reason, then the guest closes); the stream breaks (the relay says DETACH on the link); the link breaks (the
 * stream is closed, the guest resumes).
 */
#include "host-proxy/guest.h"

#include "mux/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Streams open now, by guest. */
struct guest_count {
    uint32_t cid;
    unsigned streams;
    UT_hash_handle hh;
};

struct relayed;

struct guest {
    struct mux_uv_link link;
    TAILQ_ENTRY(guest) entry;
    struct host *host;
    struct guest_count *count;
    struct relayed *relayed; /* NULL: no session yet, or no more */
    uint32_t cid;
    char vm_name[256];
    char object[128]; /* for log lines */
};

/* A session on its way through. It outlives its guest stream while its last frame waits for the link. */
struct relayed {
    struct mux_relay relay;
    struct guest *guest; /* NULL: the stream is gone */
    char object[160];
};

static struct guest *guest_of(struct mux_link *link)
{
    return (struct guest *)((char *)mux_uv_link_of(link) - offsetof(struct guest, link));
}

static struct relayed *relayed_of(struct mux_relay *relay)
{
    return (struct relayed *)((char *)relay - offsetof(struct relayed, relay));
}

/* ── Who it is ── */

static struct guest_count *count_up(struct host *host, uint32_t cid)
{
    struct guest_count *count;

    HASH_FIND(hh, host->counts, &cid, sizeof(cid), count);
    if (count == NULL) {
        count = calloc(1, sizeof(*count));
        if (count == NULL)
            return NULL;
        count->cid = cid;
        HASH_ADD(hh, host->counts, cid, sizeof(cid), count);
    }
    count->streams++;
    host->streams++;
    return count;
}

static void count_down(struct host *host, struct guest_count *count)
{
    host->streams--;
    if (--count->streams > 0)
        return;
    HASH_DEL(host->counts, count);
    free(count);
}

/* ── The relay ── */

static void relay_on_guest_end(struct mux_relay *relay)
{
    struct guest *guest = relayed_of(relay)->guest;

    if (guest != NULL)
        mux_uv_link_finish(&guest->link);
}

static void relay_on_drained(struct mux_relay *relay)
{
    struct guest *guest = relayed_of(relay)->guest;

    if (guest != NULL)
        mux_uv_link_resume(&guest->link);
}

static void relay_on_closed(struct mux_relay *relay, enum mux_relay_end end, enum mux_code code,
                            const char *reason, bool by_guest)
{
    struct relayed *relayed = relayed_of(relay);
    struct guest *guest = relayed->guest;

    log_info(relayed->object, end == MUX_RELAY_BROKEN ? "session detached" : "session closed",
             LOG_STR("by", by_guest ? "guest" : "link"), LOG_STR("code", mux_code_name(code)),
             LOG_STR("reason", end == MUX_RELAY_ENDED ? NULL : reason),
             LOG_UINT("from_guest", relay->bytes_from_guest), LOG_UINT("to_guest", relay->bytes_to_guest));
    if (guest != NULL) {
        guest->relayed = NULL;
        if (end == MUX_RELAY_RESET)
            mux_uv_link_linger(&guest->link);
        else if (end == MUX_RELAY_BROKEN)
            mux_uv_link_close(&guest->link, code, reason);
    }
    mux_relay_deinit(relay);
    free(relayed);
}

static const struct mux_relay_ops relay_ops = {
    .on_guest_end = relay_on_guest_end,
    .on_drained = relay_on_drained,
    .on_closed = relay_on_closed,
};

/* ── The guest stream ── */

static void refuse(struct guest *guest, uint32_t number, enum mux_code code, const char *reason)
{
    struct host *host = guest->host;
    uint64_t suppressed;

    if (log_limit_pass(&host->refusals, uv_now(&host->loop), &suppressed))
        log_info(guest->object, "session refused", LOG_STR("code", mux_code_name(code)),
                 LOG_STR("reason", reason), LOG_SUPPRESSED(suppressed));
    mux_link_refuse(&guest->link.link, number, code, reason);
    mux_uv_link_linger(&guest->link);
}

/* Why this session can't be opened now; MUX_OK: it can. */
static enum mux_code over_limit(const struct guest *guest, const struct mux_open *open, char *reason,
                                size_t size)
{
    const struct host_config *config = &guest->host->config;

    if (guest->count->streams > config->max_sessions_per_guest)
        snprintf(reason, size, "this guest has %u sessions already, its limit",
                 config->max_sessions_per_guest);
    else if (guest->host->streams > config->max_sessions)
        snprintf(reason, size, "this host has %u sessions already, its limit", config->max_sessions);
    else
        return MUX_OK;
    /* A session that comes back may find its old stream still counted: that passes. */
    return open->resume ? MUX_TRY_LATER : MUX_SESSION_LIMIT;
}

/* What the guest says of itself, and what we know of it. */
static void set_attributes(const struct guest *guest, struct mux_attributes *attributes)
{
    attributes->host_name = mux_text(guest->host->name);
    attributes->vm_name = mux_text(guest->vm_name);
    attributes->policy = (struct mux_text){0};
    attributes->cid = guest->cid;
    attributes->has_cid = guest->cid != VMCI_CID_ANY;
}

static void on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    struct guest *guest = guest_of(link);
    struct host *host = guest->host;
    struct mux_link *upstream = tunnel_link(&host->tunnel);
    struct mux_text service = open->attributes.service.len > 0 ? open->attributes.service : mux_text("amqp");
    struct mux_open onward = *open;
    struct relayed *relayed;
    char reason[128];
    enum mux_code code = over_limit(guest, open, reason, sizeof(reason));
    int rc;

    (void)now;
    if (code != MUX_OK || host->draining || upstream == NULL) {
        refuse(guest, number, code != MUX_OK ? code : MUX_TRY_LATER,
               code != MUX_OK   ? reason
               : host->draining ? "host-proxy is shutting down"
                                : host->tunnel.failure);
        return;
    }
    set_attributes(guest, &onward.attributes);
    relayed = calloc(1, sizeof(*relayed));
    rc = relayed != NULL ? mux_relay_init(&relayed->relay, &relay_ops, link, number, upstream, &onward,
                                          (uint32_t)host->config.window_bytes)
                         : -MUX_NO_MEMORY;
    if (rc < 0) {
        free(relayed);
        refuse(guest, number, (enum mux_code) - rc, mux_code_text((unsigned)-rc));
        return;
    }
    relayed->guest = guest;
    guest->relayed = relayed;
    snprintf(relayed->object, sizeof(relayed->object), "%s session=%02x%02x%02x%02x", guest->object,
             open->token[0], open->token[1], open->token[2], open->token[3]);
    log_info(relayed->object, open->resume ? "session resumes" : "session opens",
             LOG_UINT("attempt", open->attempt), LOG_TEXT("service", service.data, service.len),
             LOG_TEXT("client", open->attributes.client_address.data, open->attributes.client_address.len));
}

static size_t want(struct mux_uv_link *link)
{
    const struct guest *guest = guest_of(&link->link);

    return guest->relayed != NULL && mux_relay_backlog(&guest->relayed->relay) >= MUX_RELAY_SHARE ? 0
                                                                                                  : SIZE_MAX;
}

static void on_down(struct mux_uv_link *link, enum mux_code code, const char *reason)
{
    struct guest *guest = guest_of(&link->link);
    struct host *host = guest->host;
    uint64_t suppressed;

    if (code != MUX_OK && log_limit_pass(&host->refusals, uv_now(&host->loop), &suppressed))
        log_warning(guest->object, "stream closed", LOG_STR("code", mux_code_name(code)),
                    LOG_STR("reason", reason), LOG_SUPPRESSED(suppressed));
}

static void on_closed(struct mux_uv_link *link)
{
    struct guest *guest = guest_of(&link->link);
    struct host *host = guest->host;

    if (guest->relayed != NULL)
        guest->relayed->guest = NULL;
    TAILQ_REMOVE(&host->guests, guest, entry);
    count_down(host, guest->count);
    free(guest);
    host_maybe_done(host);
}

static const struct mux_uv_link_ops guest_ops = {
    .link = {.on_open = on_open},
    .want = want,
    .on_down = on_down,
    .on_closed = on_closed,
};

void guest_open(struct host *host, int fd, const struct vmci_peer *peer)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    struct guest_count *count = count_up(host, peer->cid);

    if (guest == NULL || count == NULL) {
        log_error(NULL, "out of memory");
        close(fd);
        goto failed;
    }
    guest->host = host;
    guest->count = count;
    guest->cid = peer->cid;
    snprintf(guest->vm_name, sizeof(guest->vm_name), "%s", peer->name);
    if (peer->cid == VMCI_CID_ANY)
        snprintf(guest->object, sizeof(guest->object), "vm=%.100s", peer->name);
    else
        snprintf(guest->object, sizeof(guest->object), "guest=%u", peer->cid);
    if (mux_uv_link_open(&guest->link, &host->mux_loop, fd, &host->guest_link_config, &guest_ops) < 0)
        goto failed;
    TAILQ_INSERT_TAIL(&host->guests, guest, entry);
    return;
failed:
    free(guest);
    if (count != NULL)
        count_down(host, count);
}

void guest_end_session(struct guest *guest, enum mux_code code, const char *reason)
{
    if (guest->relayed != NULL)
        mux_relay_reset(&guest->relayed->relay, code, reason);
    else
        mux_uv_link_close(&guest->link, code, reason);
}

void guest_close(struct guest *guest, const char *reason)
{
    mux_uv_link_close(&guest->link, MUX_SHUTTING_DOWN, reason);
}

struct guest *guest_next(struct guest *guest)
{
    return TAILQ_NEXT(guest, entry);
}
