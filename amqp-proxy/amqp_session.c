/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: accept, dial, join the broker's socket, relay, both directions end, close.
 *
 * What can go wrong: no such service, or no broker (RESET); the broker goes away without AMQP's farewell
 * (RESET "broker closed", after its last bytes were delivered); the client dies (RESET heard: the broker's
 * socket is closed at once); the transport breaks (the broker's socket waits, as long as the window allows);
 * nobody resumes in time (it is closed).
 */
#include "amqp-proxy/amqp_session.h"

#include "amqp/uv/watch.h"
#include "service/node_dial.h"

#include <stdio.h>
#include <stdlib.h>

struct amqp_session {
    struct far_session far;
    struct mux_uv_edge edge;
    struct amqp_proxy *proxy;
    struct node_dial dial;
    bool is_amqp; /* its bytes are looked at */
    struct amqp_watch watch;
};

static struct amqp_session *session_of(struct mux_uv_edge *edge)
{
    return (struct amqp_session *)((char *)edge - offsetof(struct amqp_session, edge));
}

static struct amqp_session *session_of_far(struct far_session *far)
{
    return (struct amqp_session *)((char *)far - offsetof(struct amqp_session, far));
}

static uint64_t now_ms(const struct amqp_session *as)
{
    return uv_now(&as->proxy->loop);
}

/* ── The broker ── */

static void on_dialed(struct node_dial *dial, int fd, const char *text)
{
    struct amqp_session *as = (struct amqp_session *)((char *)dial - offsetof(struct amqp_session, dial));
    char name[NET_NAME_MAX];
    char reason[MUX_REASON_MAX];
    int rc;

    if (fd < 0) {
        snprintf(reason, sizeof(reason), "broker unreachable: %s", text);
        log_warning(as->far.object, "broker unreachable", LOG_STR("reason", text));
        mux_session_reset(&as->edge.session, MUX_BROKER_UNREACHABLE, reason, now_ms(as));
        return;
    }
    log_debug(as->far.object, "broker connected", LOG_STR("broker", net_peer_name(fd, name, sizeof(name))));
    rc = mux_uv_edge_attach(&as->edge, fd);
    if (rc < 0)
        mux_session_reset(&as->edge.session, MUX_NO_MEMORY, uv_strerror(rc), now_ms(as));
}

static uint64_t edge_tap_in(struct mux_uv_edge *edge, const uint8_t *data, size_t len)
{
    struct amqp_session *as = session_of(edge);

    return as->is_amqp ? amqp_watch_in(&as->watch, data, len) : edge->fed_off;
}

static size_t edge_tap_out(struct mux_uv_edge *edge, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    struct amqp_session *as = session_of(edge);

    (void)chunk;
    if (as->is_amqp)
        amqp_watch_out(&as->watch, data, len);
    far_session_account(&as->far, len);
    return len;
}

/* The broker has closed the AMQP connection, or agreed to the client's closing it. */
static bool farewell_said(const struct amqp_session *as)
{
    return as->is_amqp && (as->watch.from_local.seen & (AMQP_SEEN_CLOSE | AMQP_SEEN_CLOSE_OK)) != 0;
}

/*
 * The broker sends no more. In the middle of an AMQP connection, without Close or Close-Ok, that is a loss
 * that the client is to be told; otherwise (a refused handshake, the end after a close, another protocol) the
 * client sees just what the broker did.
 */
static bool lost_in_the_middle(const struct amqp_session *as)
{
    return as->is_amqp && (as->watch.from_local.seen & AMQP_SEEN_OPEN_OK) != 0 && !farewell_said(as);
}

static void edge_on_local_eof(struct mux_uv_edge *edge)
{
    struct amqp_session *as = session_of(edge);

    if (lost_in_the_middle(as))
        mux_session_finish(&edge->session, MUX_BROKER_CLOSED,
                           "the broker closed the connection without a reason", now_ms(as));
    else
        mux_session_send_fin(&edge->session);
}

static void edge_on_local_error(struct mux_uv_edge *edge, int error)
{
    struct amqp_session *as = session_of(edge);
    char reason[128];

    if (farewell_said(as)) { /* RabbitMQ closes with a linger time of 0: its ordinary end is a reset */
        mux_session_send_fin(&edge->session);
        return;
    }
    snprintf(reason, sizeof(reason), "broker connection lost: %s", uv_strerror(error));
    log_info(as->far.object, "broker connection lost", LOG_ERROR("error", error));
    mux_session_finish(&edge->session, MUX_BROKER_CLOSED, reason, now_ms(as));
}

/* ── The session ── */

static void edge_on_attached(struct mux_uv_edge *edge)
{
    far_session_attached(&session_of(edge)->far);
}

static void edge_on_detached(struct mux_uv_edge *edge, enum mux_code code, const char *reason)
{
    far_session_detached(&session_of(edge)->far, code, reason);
}

static void edge_on_session_closed(struct mux_uv_edge *edge, enum mux_code code, const char *reason)
{
    struct amqp_session *as = session_of(edge);

    far_session_closed(&as->far, code, reason);
    node_dial_cancel(&as->dial);
    mux_uv_edge_close(edge);
}

static void edge_on_closed(struct mux_uv_edge *edge)
{
    struct amqp_session *as = session_of(edge);
    struct amqp_proxy *proxy = as->proxy;

    far_session_gone(&as->far);
    free(as);
    amqp_proxy_maybe_done(proxy);
}

static uint64_t edge_deadline(struct mux_uv_edge *edge)
{
    return amqp_watch_deadline(&session_of(edge)->watch);
}

static void edge_on_deadline(struct mux_uv_edge *edge)
{
    amqp_watch_expired(&session_of(edge)->watch);
}

static const struct mux_uv_edge_ops edge_ops = {
    .tap_in = edge_tap_in,
    .tap_out = edge_tap_out,
    .on_local_eof = edge_on_local_eof,
    .on_local_error = edge_on_local_error,
    .on_attached = edge_on_attached,
    .on_detached = edge_on_detached,
    .on_session_closed = edge_on_session_closed,
    .deadline = edge_deadline,
    .on_deadline = edge_on_deadline,
    .on_closed = edge_on_closed,
};

/* ── Opening ── */

static enum mux_code create(struct far_set *set, struct mux_link *link, uint32_t number,
                            const struct mux_open *open, const char *object, struct far_session **made)
{
    struct amqp_proxy *proxy = (struct amqp_proxy *)((char *)set - offsetof(struct amqp_proxy, sessions));
    struct broker_service *service = broker_service_find(&proxy->brokers, open->attributes.service);
    struct amqp_session *as;
    char name[FAR_OBJECT_MAX];
    enum mux_code code;

    if (service == NULL)
        return MUX_UNKNOWN_SERVICE;
    as = calloc(1, sizeof(*as));
    if (as == NULL)
        return MUX_NO_MEMORY;
    as->proxy = proxy;
    as->is_amqp = service->name[0] == '\0';
    snprintf(name, sizeof(name), "%s", object);
    if (open->attributes.has_cid)
        snprintf(name, sizeof(name), "%s guest=%u", object, open->attributes.cid);
    mux_uv_edge_init(&as->edge, &proxy->mux_loop, &edge_ops);
    amqp_watch_init(&as->watch, &as->edge, AMQP_FROM_SERVER);
    mux_session_init_far(&as->edge.session, &mux_uv_edge_session_ops, &set->config.session, open->token,
                         uv_now(&proxy->loop));
    code = far_session_begin(set, &as->far, &as->edge.session, link, number, open, name,
                             as->is_amqp ? "amqp" : service->name);
    if (code != MUX_OK) {
        mux_uv_edge_close(&as->edge);
        return code;
    }
    if (node_dial_start(&as->dial, &proxy->loop, &service->nodes, proxy->config.broker_timeout_ms,
                        on_dialed) < 0)
        mux_session_reset(&as->edge.session, MUX_NO_MEMORY, NULL, uv_now(&proxy->loop));
    *made = &as->far;
    return MUX_OK;
}

static struct far_session *of_session(struct mux_session *session)
{
    return &session_of(mux_uv_edge_of(session))->far;
}

static size_t held(struct far_session *far)
{
    return mux_uv_edge_queued(&session_of_far(far)->edge);
}

const struct far_ops amqp_session_far_ops = {.create = create, .of_session = of_session, .held = held};

void amqp_sessions_drain(struct amqp_proxy *proxy)
{
    struct far_session *far;

    TAILQ_FOREACH (far, &proxy->sessions.sessions, entry)
        mux_session_finish(far->session, MUX_SHUTTING_DOWN, "amqp-proxy is shutting down",
                           uv_now(&proxy->loop));
}

void amqp_sessions_close(struct amqp_proxy *proxy)
{
    struct far_session *far;

    TAILQ_FOREACH (far, &proxy->sessions.sessions, entry) {
        struct amqp_session *as = session_of_far(far);

        node_dial_cancel(&as->dial);
        mux_uv_edge_close(&as->edge);
    }
}
