/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: accept, dial, join the broker's socket, relay, both directions end, close.
 *
 * What can go wrong: no such service, or no broker (RESET); the broker goes away without AMQP's farewell
 * (RESET "broker closed", after its last bytes were delivered); the client dies (RESET heard: the broker's
 * socket is closed at once); the transport breaks (the broker's socket waits, as long as the window allows);
 * nobody resumes in time (it is closed).
 */
#include "amqp-proxy/far_session.h"

#include "amqp/uv/watch.h"

#include <stdio.h>
#include <stdlib.h>

struct far_session {
    struct mux_uv_edge edge;
    TAILQ_ENTRY(far_session) entry;
    struct amqp_proxy *proxy;
    struct broker_dial dial;
    struct detached_member detached;
    bool is_amqp; /* its bytes are looked at */
    struct amqp_watch watch;
    char object[160]; /* for log lines */
};

static struct far_session *far_of(struct mux_uv_edge *edge)
{
    return (struct far_session *)((char *)edge - offsetof(struct far_session, edge));
}

static uint64_t now_ms(const struct far_session *far)
{
    return uv_now(&far->proxy->loop);
}

static void count(struct far_session *far, enum amqp_count what, uint64_t n)
{
    far->proxy->counts[what].value += n;
}

/* ── Memory while detached ── */

static struct far_session *of_member(struct detached_member *member)
{
    return (struct far_session *)((char *)member - offsetof(struct far_session, detached));
}

/* Count what a detached session holds, `more` bytes being about to come, and end those that the budget has no
 * room for. */
static void account(struct far_session *far, size_t more)
{
    struct amqp_proxy *proxy = far->proxy;
    struct detached_member *excess;

    if (far->edge.session.state != MUX_SESSION_DETACHED)
        return;
    detached_put(&proxy->detached, &far->detached,
                 mux_session_held(&far->edge.session) + mux_uv_edge_queued(&far->edge) + more);
    while ((excess = detached_excess(&proxy->detached)) != NULL) {
        struct far_session *victim = of_member(excess);

        detached_remove(&proxy->detached, excess);
        count(victim, COUNT_EXPIRED, 1);
        mux_session_reset(&victim->edge.session, MUX_SESSION_EXPIRED,
                          "ended while detached: the memory for detached sessions is used up",
                          now_ms(victim));
    }
}

/* ── The broker ── */

static void on_dialed(struct broker_dial *dial, int fd, const char *text)
{
    struct far_session *far = (struct far_session *)((char *)dial - offsetof(struct far_session, dial));
    char name[NET_NAME_MAX];
    char reason[MUX_REASON_MAX];
    int rc;

    if (fd < 0) {
        snprintf(reason, sizeof(reason), "broker unreachable: %s", text);
        log_warning(far->object, "broker unreachable", LOG_STR("reason", text));
        mux_session_reset(&far->edge.session, MUX_BROKER_UNREACHABLE, reason, now_ms(far));
        return;
    }
    log_debug(far->object, "broker connected", LOG_STR("broker", net_peer_name(fd, name, sizeof(name))));
    rc = mux_uv_edge_attach(&far->edge, fd);
    if (rc < 0)
        mux_session_reset(&far->edge.session, MUX_NO_MEMORY, uv_strerror(rc), now_ms(far));
}

static uint64_t edge_tap_in(struct mux_uv_edge *edge, const uint8_t *data, size_t len)
{
    struct far_session *far = far_of(edge);

    return far->is_amqp ? amqp_watch_in(&far->watch, data, len) : edge->fed_off;
}

static size_t edge_tap_out(struct mux_uv_edge *edge, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    struct far_session *far = far_of(edge);

    (void)chunk;
    if (far->is_amqp)
        amqp_watch_out(&far->watch, data, len);
    account(far, len);
    return len;
}

/* The broker has closed the AMQP connection, or agreed to the client's closing it. */
static bool farewell_said(const struct far_session *far)
{
    return far->is_amqp && (far->watch.from_local.seen & (AMQP_SEEN_CLOSE | AMQP_SEEN_CLOSE_OK)) != 0;
}

/*
 * The broker sends no more. In the middle of an AMQP connection, without Close or Close-Ok, that is a loss
 * that the client is to be told; otherwise (a refused handshake, the end after a close, another protocol) the
 * client sees just what the broker did.
 */
static bool lost_in_the_middle(const struct far_session *far)
{
    return far->is_amqp && (far->watch.from_local.seen & AMQP_SEEN_OPEN_OK) != 0 && !farewell_said(far);
}

static void edge_on_local_eof(struct mux_uv_edge *edge)
{
    struct far_session *far = far_of(edge);

    if (lost_in_the_middle(far))
        mux_session_finish(&edge->session, MUX_BROKER_CLOSED,
                           "the broker closed the connection without a reason", now_ms(far));
    else
        mux_session_send_fin(&edge->session);
}

static void edge_on_local_error(struct mux_uv_edge *edge, int error)
{
    struct far_session *far = far_of(edge);
    char reason[128];

    if (farewell_said(far)) { /* RabbitMQ closes with a linger time of 0: its ordinary end is a reset */
        mux_session_send_fin(&edge->session);
        return;
    }
    snprintf(reason, sizeof(reason), "broker connection lost: %s", uv_strerror(error));
    log_info(far->object, "broker connection lost", LOG_ERROR("error", error));
    mux_session_finish(&edge->session, MUX_BROKER_CLOSED, reason, now_ms(far));
}

/* ── The session ── */

static void edge_on_attached(struct mux_uv_edge *edge)
{
    struct far_session *far = far_of(edge);

    /* Logged by far_session_open, which knows how it came about. */
    detached_remove(&far->proxy->detached, &far->detached);
}

static void edge_on_detached(struct mux_uv_edge *edge, enum mux_code code, const char *reason)
{
    struct far_session *far = far_of(edge);

    log_info(far->object, "session detached", LOG_STR("code", mux_code_name(code)), LOG_STR("reason", reason),
             LOG_UINT("held", mux_session_held(&edge->session)));
    count(far, COUNT_DETACHES, 1);
    account(far, 0);
}

static void edge_on_session_closed(struct mux_uv_edge *edge, enum mux_code code, const char *reason)
{
    struct far_session *far = far_of(edge);

    log_info(far->object, "session closed", LOG_STR("code", mux_code_name(code)),
             LOG_STR("reason", code == MUX_OK ? NULL : reason),
             LOG_UINT("from_client", edge->session.recv.next), LOG_UINT("to_client", edge->session.send.end),
             LOG_UINT("resumes", edge->session.counters.resumes),
             LOG_UINT("replayed", edge->session.counters.replayed_bytes));
    count(far, COUNT_REPLAYED_BYTES, edge->session.counters.replayed_bytes);
    count(far, COUNT_EXPIRED, code == MUX_SESSION_EXPIRED && far->detached.is_in ? 1 : 0);
    detached_remove(&far->proxy->detached, &far->detached);
    mux_registry_end(&far->proxy->registry, &edge->session, code, reason);
    broker_dial_cancel(&far->dial);
    mux_uv_edge_close(edge);
}

static void edge_on_closed(struct mux_uv_edge *edge)
{
    struct far_session *far = far_of(edge);
    struct amqp_proxy *proxy = far->proxy;

    TAILQ_REMOVE(&proxy->sessions, far, entry);
    proxy->session_count--;
    free(far);
    amqp_proxy_maybe_done(proxy);
}

static uint64_t edge_deadline(struct mux_uv_edge *edge)
{
    return amqp_watch_deadline(&far_of(edge)->watch);
}

static void edge_on_deadline(struct mux_uv_edge *edge)
{
    amqp_watch_expired(&far_of(edge)->watch);
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

static void describe(struct far_session *far, const struct mux_open *open, const char *object)
{
    const struct mux_attributes *attributes = &open->attributes;
    int n = snprintf(far->object, sizeof(far->object), "%s", object);
    size_t used = (size_t)n < sizeof(far->object) ? (size_t)n : sizeof(far->object) - 1;

    if (attributes->has_cid)
        n = snprintf(far->object + used, sizeof(far->object) - used, " guest=%u", attributes->cid);
    else
        n = 0;
    used += (size_t)n;
    if (used < sizeof(far->object))
        snprintf(far->object + used, sizeof(far->object) - used, " session=%02x%02x%02x%02x", open->token[0],
                 open->token[1], open->token[2], open->token[3]);
}

/* Create the session. MUX_OK, or why not. */
static enum mux_code create(struct amqp_proxy *proxy, struct mux_link *link, uint32_t number,
                            const struct mux_open *open, const char *object)
{
    struct broker_service *service = broker_service_find(&proxy->brokers, open->attributes.service);
    struct far_session *far;

    if (service == NULL)
        return MUX_UNKNOWN_SERVICE;
    if (proxy->session_count >= proxy->config.max_sessions)
        return MUX_SESSION_LIMIT;
    far = calloc(1, sizeof(*far));
    if (far == NULL)
        return MUX_NO_MEMORY;
    far->proxy = proxy;
    far->is_amqp = service->name[0] == '\0';
    describe(far, open, object);
    mux_uv_edge_init(&far->edge, &proxy->mux_loop, &edge_ops);
    amqp_watch_init(&far->watch, &far->edge, AMQP_FROM_SERVER);
    mux_session_init_far(&far->edge.session, &mux_uv_edge_session_ops, &proxy->session_config, open->token,
                         uv_now(&proxy->loop));
    TAILQ_INSERT_TAIL(&proxy->sessions, far, entry);
    proxy->session_count++;
    count(far, COUNT_SESSIONS, 1);
    if (mux_registry_add(&proxy->registry, &far->edge.session) < 0) {
        mux_uv_edge_close(&far->edge);
        return MUX_NO_MEMORY;
    }
    log_info(far->object, "session opens", LOG_STR("service", far->is_amqp ? "amqp" : service->name),
             LOG_TEXT("client", open->attributes.client_address.data, open->attributes.client_address.len));
    if (mux_session_accept(&far->edge.session, link, number, open, uv_now(&proxy->loop)) < 0) {
        mux_registry_end(&proxy->registry, &far->edge.session, MUX_NO_MEMORY, mux_code_text(MUX_NO_MEMORY));
        mux_uv_edge_close(&far->edge);
        return MUX_NO_MEMORY;
    }
    if (broker_dial_start(&far->dial, &proxy->loop, service, proxy->config.broker_timeout_ms, on_dialed) < 0)
        mux_session_reset(&far->edge.session, MUX_NO_MEMORY, NULL, uv_now(&proxy->loop));
    return MUX_OK;
}

static enum mux_code resume(struct mux_session *session, struct mux_link *link, uint32_t number,
                            const struct mux_open *open)
{
    struct far_session *far = far_of(mux_uv_edge_of(session));
    enum mux_code code = mux_session_resume(session, link, number, open, now_ms(far));

    if (code == MUX_OK) {
        count(far, COUNT_RESUMES, 1);
        log_info(far->object, "session resumed", LOG_UINT("attempt", open->attempt),
                 LOG_UINT("replay_bytes", session->replay_until - session->send.sent));
    }
    return code;
}

void far_session_open(struct amqp_proxy *proxy, struct mux_link *link, uint32_t number,
                      const struct mux_open *open, const char *object)
{
    char reason[MUX_REASON_MAX + 1] = "";
    enum mux_code code = MUX_OK;
    struct mux_session *session = mux_registry_find(&proxy->registry, open->token, &code, reason);

    if (session != NULL)
        code = resume(session, link, number, open);
    else if (!open->resume && proxy->draining)
        code = MUX_TRY_LATER;
    else if (!open->resume && code == MUX_UNKNOWN_SESSION)
        code = create(proxy, link, number, open, object);
    if (code == MUX_OK)
        return;
    if (session != NULL || reason[0] == '\0' || !open->resume)
        snprintf(reason, sizeof(reason), "%s", mux_code_text(code));
    log_info(object, open->resume ? "resume refused" : "session refused",
             LOG_STR("code", mux_code_name(code)), LOG_UINT("attempt", open->attempt));
    proxy->counts[open->resume ? COUNT_RESUMES_REFUSED : COUNT_REFUSED].value++;
    mux_link_refuse(link, number, code, reason);
}

void far_sessions_drain(struct amqp_proxy *proxy)
{
    struct far_session *far;

    TAILQ_FOREACH (far, &proxy->sessions, entry)
        mux_session_finish(&far->edge.session, MUX_SHUTTING_DOWN, "amqp-proxy is shutting down", now_ms(far));
}

void far_sessions_close(struct amqp_proxy *proxy)
{
    struct far_session *far;

    TAILQ_FOREACH (far, &proxy->sessions, entry) {
        broker_dial_cancel(&far->dial);
        mux_uv_edge_close(&far->edge);
    }
}
