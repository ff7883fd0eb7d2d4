/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-proxy/client.h"

#include "service/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long a client may take to read its last bytes. */
#define CLOSING_MS 5000u

static uint64_t now_ms(const struct client *client)
{
    return uv_now(&client->guest->loop);
}

void client_set_state(struct client *client, enum client_state next)
{
    assert(next > client->state); /* only ever forward */
    client->state = next;
    client->deadline_ms = UINT64_MAX;
}

void client_limit(struct client *client, uint64_t ms)
{
    client->deadline_ms = now_ms(client) + ms;
    mux_uv_edge_update_timer(&client->edge);
}

static void count(struct client *client, enum guest_count what, uint64_t n)
{
    client->guest->counts[what].value += n;
}

/* ── Opening the session ── */

/*
 * A secret, and one of its own also in virtual machines that go on from the same snapshot: there the system's
 * source says the same bytes for up to a minute, so the clock's nanoseconds are mixed in. 0 or -1.
 */
static int make_token(uint8_t token[MUX_TOKEN_SIZE])
{
    uint64_t ns = uv_hrtime();

    if (getrandom(token, MUX_TOKEN_SIZE, 0) != MUX_TOKEN_SIZE)
        return -1; /* can't happen once the system is up */
    for (size_t i = 0; i < sizeof(ns); i++)
        token[i] ^= (uint8_t)(ns >> (8 * i));
    return 0;
}

static int begin_session(struct client *client)
{
    struct guest *guest = client->guest;
    uint8_t token[MUX_TOKEN_SIZE];
    size_t used = strlen(client->object);

    if (make_token(token) < 0)
        return -1;
    snprintf(client->object + used, sizeof(client->object) - used, " session=%02x%02x%02x%02x", token[0],
             token[1], token[2], token[3]);
    client->attributes = (struct mux_attributes){
        .service = mux_text(client->service),
        .client_address = mux_text(client->address),
        .client_process = mux_text(client->process),
        .guest_name = mux_text(guest->name),
    };
    count(client, COUNT_SESSIONS, 1);
    client_set_state(client, CLIENT_SERVING);
    mux_session_init_near(&client->edge.session, &mux_uv_edge_session_ops, &guest->session_config, token,
                          now_ms(client));
    mux_uv_edge_update_timer(&client->edge);
    uplink_start(&client->uplink);
    return 0;
}

/* Send bytes that are in no chunk. */
static void send_copy(struct client *client, const uint8_t *data, size_t len)
{
    struct mux_chunk *chunk = mux_chunk_create(len);
    int rc = -MUX_NO_MEMORY;

    if (chunk != NULL) {
        memcpy(chunk->data, data, len);
        chunk->used = chunk->size;
        rc = mux_session_send(&client->edge.session, chunk, chunk->data, len);
        mux_chunk_unref(chunk);
    }
    if (rc < 0)
        mux_session_reset(&client->edge.session, MUX_NO_MEMORY, NULL, now_ms(client));
}

static void not_amqp(struct client *client)
{
    count(client, COUNT_NOT_AMQP, 1);
    log_info(client->object, "not AMQP", LOG_TEXT("got", (const char *)client->header, client->header_len));
    mux_uv_edge_insert(&client->edge, amqp_protocol_header_0_9_1, AMQP_PROTOCOL_HEADER_SIZE);
    client_close_when_written(client);
}

/* Bytes while the protocol header is not complete; `want` saw to it that they are no more than its rest. */
static void on_header_bytes(struct client *client, const uint8_t *data, size_t len)
{
    memcpy(client->header + client->header_len, data, len);
    client->header_len += len;
    switch (amqp_protocol_header_check(client->header, client->header_len)) {
    case AMQP_PROTOCOL_MORE: return;
    case AMQP_PROTOCOL_NOT_AMQP: not_amqp(client); return;
    default: break;
    }
    amqp_watch_out(&client->watch, client->header, client->header_len);
    if (begin_session(client) < 0)
        client_close(client);
    else
        send_copy(client, client->header, client->header_len);
}

/* ── The edge ── */

static size_t edge_want(struct mux_uv_edge *edge)
{
    struct client *client = client_of(edge);

    switch (client->state) {
    case CLIENT_HEADER: return AMQP_PROTOCOL_HEADER_SIZE - client->header_len;
    case CLIENT_SERVING: return mux_session_space(&edge->session);
    default: return SIZE_MAX; /* unread bytes would make the close a reset */
    }
}

static uint64_t edge_tap_in(struct mux_uv_edge *edge, const uint8_t *data, size_t len)
{
    struct client *client = client_of(edge);

    return client->service == NULL ? amqp_watch_in(&client->watch, data, len) : edge->fed_off;
}

static size_t edge_tap_out(struct mux_uv_edge *edge, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    struct client *client = client_of(edge);

    (void)chunk;
    switch (client->state) {
    case CLIENT_HEADER: on_header_bytes(client, data, len); return 0;
    case CLIENT_SERVING:
        if (client->service == NULL)
            amqp_watch_out(&client->watch, data, len);
        return len;
    case CLIENT_REFUSING: client_refuse_feed(client, data, len); return 0;
    default: return 0;
    }
}

static void edge_on_local_eof(struct mux_uv_edge *edge)
{
    struct client *client = client_of(edge);

    if (client->state != CLIENT_SERVING)
        client_close(client);
    else if (client->service == NULL && !edge->session.established)
        mux_session_reset(&edge->session, MUX_CLIENT_CLOSED, NULL,
                          now_ms(client)); /* it did not even hear a Start */
    else
        mux_session_send_fin(&edge->session);
}

static void edge_on_local_error(struct mux_uv_edge *edge, int error)
{
    struct client *client = client_of(edge);

    log_debug(client->object, "client gone", LOG_ERROR("error", error));
    if (client->state == CLIENT_SERVING)
        mux_session_reset(&edge->session, MUX_CLIENT_CLOSED, NULL, now_ms(client));
    else
        client_close(client);
}

static void edge_on_local_drained(struct mux_uv_edge *edge)
{
    struct client *client = client_of(edge);

    if (client->state == CLIENT_CLOSING)
        client_close(client);
}

static void edge_on_attached(struct mux_uv_edge *edge)
{
    struct client *client = client_of(edge);
    const struct mux_session_counters *counters = &edge->session.counters;

    uplink_attached(&client->uplink);
    if (counters->resumes == 0)
        log_info(client->object, "session open");
    else
        log_info(client->object, "session resumed", LOG_UINT("attempt", edge->session.attempt),
                 LOG_UINT("replay_bytes", edge->session.replay_until - edge->session.send.sent));
}

static void edge_on_detached(struct mux_uv_edge *edge, enum mux_code code, const char *reason)
{
    struct client *client = client_of(edge);

    if (edge->session.established)
        log_info(client->object, "session detached", LOG_STR("code", mux_code_name(code)),
                 LOG_STR("reason", reason));
    uplink_lost(&client->uplink, reason);
}

static void edge_on_session_closed(struct mux_uv_edge *edge, enum mux_code code, const char *reason)
{
    struct client *client = client_of(edge);
    char text[MUX_REASON_MAX + 1];

    snprintf(text, sizeof(text), "%s", reason);
    if ((code == MUX_HOST_UNREACHABLE || code == MUX_SESSION_EXPIRED) && client->uplink.failure[0] != '\0')
        snprintf(text, sizeof(text), "%s: %s", reason, client->uplink.failure);
    LOG_AT(code == MUX_OK || code == MUX_CLIENT_CLOSED ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, client->object,
           "session closed", LOG_STR("code", mux_code_name(code)),
           LOG_STR("reason", code == MUX_OK ? NULL : text), LOG_UINT("from_client", edge->session.send.end),
           LOG_UINT("to_client", edge->session.recv.consumed),
           LOG_UINT("resumes", edge->session.counters.resumes));
    count(client, COUNT_DETACHES, edge->session.counters.detaches);
    count(client, COUNT_RESUMES, edge->session.counters.resumes);
    count(client, COUNT_REPLAYED_BYTES, edge->session.counters.replayed_bytes);
    uplink_stop(&client->uplink, !edge->session.end_heard);
    if (edge->local != MUX_UV_LOCAL_OPEN || code == MUX_OK) {
        client_close(client);
        return;
    }
    count(client, COUNT_REFUSALS, 1);
    client_refuse(client, text);
}

static void edge_on_closed(struct mux_uv_edge *edge)
{
    struct client *client = client_of(edge);
    struct guest *guest = client->guest;

    TAILQ_REMOVE(&guest->clients, client, entry);
    free(client->refusal);
    free(client);
    if (guest->draining && TAILQ_EMPTY(&guest->clients))
        service_done(&guest->service);
}

/* ── Time ── */

static bool serves_amqp(const struct client *client)
{
    return client->state == CLIENT_SERVING && client->service == NULL;
}

static uint64_t edge_deadline(struct mux_uv_edge *edge)
{
    struct client *client = client_of(edge);

    return serves_amqp(client) ? amqp_watch_deadline(&client->watch) : client->deadline_ms;
}

static void edge_on_deadline(struct mux_uv_edge *edge)
{
    struct client *client = client_of(edge);

    if (serves_amqp(client)) {
        amqp_watch_expired(&client->watch);
        return;
    }
    log_info(client->object,
             client->state == CLIENT_HEADER ? "no protocol header in time" : "client does not read");
    client_close(client);
}

static const struct mux_uv_edge_ops edge_ops = {
    .want = edge_want,
    .tap_in = edge_tap_in,
    .tap_out = edge_tap_out,
    .on_local_eof = edge_on_local_eof,
    .on_local_error = edge_on_local_error,
    .on_local_drained = edge_on_local_drained,
    .on_attached = edge_on_attached,
    .on_detached = edge_on_detached,
    .on_session_closed = edge_on_session_closed,
    .deadline = edge_deadline,
    .on_deadline = edge_on_deadline,
    .on_closed = edge_on_closed,
};

/* ── The client ── */

static void describe(struct client *client, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    net_peer_name(fd, client->address, sizeof(client->address));
    if (strncmp(client->address, "unix", 4) == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
        snprintf(client->process, sizeof(client->process), "pid=%d uid=%u", (int)peer.pid,
                 (unsigned)peer.uid);
    snprintf(client->object, sizeof(client->object), "client=%s%s%s", client->address,
             client->process[0] != '\0' ? " " : "", client->process);
}

void client_open(struct guest *guest, int fd, int reserve_fd, const char *service)
{
    struct client *client = calloc(1, sizeof(*client));

    if (client == NULL) {
        log_error(NULL, "out of memory");
        close(fd);
        close(reserve_fd);
        return;
    }
    client->guest = guest;
    client->service = service;
    TAILQ_INSERT_TAIL(&guest->clients, client, entry);
    describe(client, fd);
    mux_uv_edge_init(&client->edge, &guest->mux_loop, &edge_ops);
    amqp_watch_init(&client->watch, &client->edge, AMQP_FROM_CLIENT);
    uplink_init(&client->uplink, guest, &client->edge.session, &client->attributes, client->object,
                reserve_fd);
    client_limit(client, guest->config.handshake_timeout_ms);
    if (mux_uv_edge_attach(&client->edge, fd) < 0 || (service != NULL && begin_session(client) < 0))
        client_close(client);
}

void client_drain(struct client *client)
{
    if (client->state == CLIENT_HEADER)
        client_close(client);
    else if (client->state == CLIENT_SERVING)
        mux_session_reset(&client->edge.session, MUX_SHUTTING_DOWN, "guest-proxy is shutting down",
                          now_ms(client));
}

void client_close_when_written(struct client *client)
{
    if (client->state < CLIENT_CLOSING)
        client_set_state(client, CLIENT_CLOSING);
    if (mux_uv_edge_drained(&client->edge))
        client_close(client);
    else
        client_limit(client, CLOSING_MS);
}

void client_close(struct client *client)
{
    if (client->edge.closing)
        return;
    if (client->state < CLIENT_CLOSING)
        client_set_state(client, CLIENT_CLOSING);
    uplink_stop(&client->uplink, true);
    mux_uv_edge_close(&client->edge);
}
