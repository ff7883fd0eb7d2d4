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

struct relayed;

struct guest {
    struct mux_uv_link link;
    TAILQ_ENTRY(guest) entry;
    struct host *host;
    struct guest_entry *known; /* who it is, and what it has */
    struct relayed *relayed;   /* tunnel mode; NULL: no session yet, or no more */
    bool has_session;          /* direct mode: likewise */
    uint32_t cid;
    char vm_name[256];
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

    if (log_limit_pass(&guest->known->refusals, uv_now(&host->loop), &suppressed))
        log_info(guest->known->name, "session refused", LOG_STR("code", mux_code_name(code)),
                 LOG_STR("reason", reason), LOG_SUPPRESSED(suppressed));
    mux_link_refuse(&guest->link.link, number, code, reason);
    mux_uv_link_linger(&guest->link);
}

/* Why this session can't be opened now; MUX_OK: it can. */
static enum mux_code over_limit(const struct guest *guest, const struct mux_open *open, char *reason,
                                size_t size)
{
    const struct host_config *config = &guest->host->config;

    if (guest->known->streams > config->max_sessions_per_guest)
        snprintf(reason, size, "this guest has %u sessions already, its limit",
                 config->max_sessions_per_guest);
    else if (guest->host->guest_table.streams > config->max_sessions)
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

/* Take the session on to the link. MUX_OK, or why not. */
static enum mux_code relay(struct guest *guest, uint32_t number, const struct mux_open *open,
                           struct mux_link *upstream)
{
    struct host *host = guest->host;
    struct mux_text service = open->attributes.service.len > 0 ? open->attributes.service : mux_text("amqp");
    struct relayed *relayed = calloc(1, sizeof(*relayed));
    int rc = relayed != NULL ? mux_relay_init(&relayed->relay, &relay_ops, &guest->link.link, number,
                                              upstream, open, (uint32_t)host->config.window_bytes)
                             : -MUX_NO_MEMORY;

    if (rc < 0) {
        free(relayed);
        return (enum mux_code) - rc;
    }
    relayed->guest = guest;
    guest->relayed = relayed;
    snprintf(relayed->object, sizeof(relayed->object), "%s session=%02x%02x%02x%02x", guest->known->name,
             open->token[0], open->token[1], open->token[2], open->token[3]);
    log_info(relayed->object, open->resume ? "session resumes" : "session opens",
             LOG_UINT("attempt", open->attempt), LOG_TEXT("service", service.data, service.len),
             LOG_TEXT("client", open->attributes.client_address.data, open->attributes.client_address.len));
    return MUX_OK;
}

static void open_tunnel(struct guest *guest, uint32_t number, const struct mux_open *open)
{
    struct host *host = guest->host;
    struct mux_link *upstream = tunnel_link(&host->tunnel);
    enum mux_code code;

    if (upstream == NULL) {
        refuse(guest, number, MUX_TRY_LATER, host->tunnel.failure);
        return;
    }
    code = relay(guest, number, open, upstream);
    if (code != MUX_OK)
        refuse(guest, number, code, mux_code_text(code));
}

static void open_direct(struct guest *guest, uint32_t number, const struct mux_open *open)
{
    guest->has_session =
        direct_open(&guest->host->direct, guest, &guest->link.link, guest->known, number, open);
    if (!guest->has_session)
        mux_uv_link_linger(&guest->link);
}

static void on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    struct guest *guest = guest_of(link);
    struct host *host = guest->host;
    struct mux_open onward = *open;
    char reason[128];
    enum mux_code code = over_limit(guest, open, reason, sizeof(reason));

    (void)now;
    set_attributes(guest, &onward.attributes);
    if (code != MUX_OK)
        refuse(guest, number, code, reason);
    else if (host->draining)
        refuse(guest, number, MUX_TRY_LATER, "host-proxy is shutting down");
    else if (host_is_direct(host))
        open_direct(guest, number, &onward);
    else
        open_tunnel(guest, number, &onward);
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

    if (code != MUX_OK && log_limit_pass(&guest->known->refusals, uv_now(&host->loop), &suppressed))
        log_warning(guest->known->name, "stream closed", LOG_STR("code", mux_code_name(code)),
                    LOG_STR("reason", reason), LOG_SUPPRESSED(suppressed));
}

static void on_closed(struct mux_uv_link *link)
{
    struct guest *guest = guest_of(&link->link);
    struct host *host = guest->host;

    if (guest->relayed != NULL)
        guest->relayed->guest = NULL;
    TAILQ_REMOVE(&host->guests, guest, entry);
    guest_table_remove_stream(&host->guest_table, guest->known);
    free(guest);
    host_maybe_done(host);
}

static const struct mux_uv_link_ops guest_ops = {
    .link = {.on_open = on_open},
    .want = want,
    .on_down = on_down,
    .on_closed = on_closed,
};

/* What a guest goes by in log lines. */
static const char *name_of(const struct vmci_peer *peer, char name[GUEST_NAME_MAX])
{
    if (peer->cid == VMCI_CID_ANY)
        snprintf(name, GUEST_NAME_MAX, "vm=%.100s", peer->name);
    else
        snprintf(name, GUEST_NAME_MAX, "guest=%u", peer->cid);
    return name;
}

void guest_open(struct host *host, int fd, const struct vmci_peer *peer)
{
    char name[GUEST_NAME_MAX];
    struct guest_entry *known = guest_table_add_stream(&host->guest_table, name_of(peer, name));
    struct guest *guest = known != NULL ? calloc(1, sizeof(*guest)) : NULL;

    if (guest == NULL) {
        log_error(NULL, "out of memory");
        close(fd);
        goto failed;
    }
    guest->host = host;
    guest->known = known;
    guest->cid = peer->cid;
    snprintf(guest->vm_name, sizeof(guest->vm_name), "%s", peer->name);
    if (mux_uv_link_open(&guest->link, &host->mux_loop, fd, &host->guest_link_config, &guest_ops) < 0)
        goto failed;
    TAILQ_INSERT_TAIL(&host->guests, guest, entry);
    return;
failed:
    free(guest);
    if (known != NULL)
        guest_table_remove_stream(&host->guest_table, known);
}

void guest_session_left(struct guest *guest, bool peer_waits)
{
    guest->has_session = false;
    if (peer_waits)
        mux_uv_link_finish(&guest->link);
    else
        mux_uv_link_linger(&guest->link);
}

void guest_end_session(struct guest *guest, enum mux_code code, const char *reason)
{
    if (guest->relayed != NULL)
        mux_relay_reset(&guest->relayed->relay, code, reason);
    else if (!guest->has_session)
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
