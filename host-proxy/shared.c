/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: dial, log in, open, run; sessions join; the last one leaves; a while later it is closed.
 *
 * What can go wrong: no node can be reached, or one does not go on with the handshake (it is tried again,
 * with backoff, while anybody waits); the broker refuses the user or the vhost (those who asked are told);
 * the connection is lost (the hub tells its members; with a fixed identity it is dialled again at once, else
 * when somebody comes).
 */
#include "host-proxy/shared.h"

#include "host-proxy/pool.h"
#include "mux/uv/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between attempts. A node that comes back is to serve within a second. */
#define BACKOFF_MIN_MS 20u
#define BACKOFF_MAX_MS 500u

/* After the broker has refused our own user: somebody has to do something about that. */
#define REFUSED_MS 5000u

/* How long a connection that nobody uses is kept for those who come next. */
#define KEEP_MS 10000u

static const struct amqp_uv_hub_ops hub_ops;

static struct shared *of_hub(struct amqp_uv_hub *uv_hub)
{
    return (struct shared *)((char *)uv_hub - offsetof(struct shared, uv_hub));
}

static bool is_fixed(const struct shared *shared)
{
    return shared->pool->config.fixed != NULL;
}

/* Is it to be dialled again when it is lost? */
static bool is_wanted(const struct shared *shared)
{
    return (is_fixed(shared) && !shared->pool->config.per_guest) || !TAILQ_EMPTY(&shared->waiters);
}

/* ── Waiters ── */

static void take_off(struct shared_waiter *waiter)
{
    TAILQ_REMOVE(&waiter->shared->waiters, waiter, entry);
    waiter->shared = NULL;
}

static struct shared_waiter *find_waiter(struct shared *shared, enum shared_need need)
{
    struct shared_waiter *waiter;

    TAILQ_FOREACH (waiter, &shared->waiters, entry)
        if (waiter->need == need)
            return waiter;
    return NULL;
}

void shared_add_waiter(struct shared *shared, struct shared_waiter *waiter, enum shared_need need)
{
    if (waiter->shared != shared) {
        struct shared *before = waiter->shared;

        if (before != NULL)
            take_off(waiter);
        TAILQ_INSERT_TAIL(&shared->waiters, waiter, entry);
        waiter->shared = shared;
        if (before != NULL)
            shared_check_use(before);
    }
    waiter->need = need;
}

void shared_remove_waiter(struct shared_waiter *waiter)
{
    struct shared *shared = waiter->shared;

    if (shared == NULL)
        return;
    take_off(waiter);
    shared_check_use(shared);
}

static void tell_login(struct shared *shared)
{
    struct shared_waiter *waiter;

    while ((waiter = find_waiter(shared, SHARED_NEEDS_LOGIN)) != NULL) {
        waiter->need = SHARED_NEEDS_NOTHING;
        waiter->ops->on_login(waiter);
    }
}

static void tell_hub(struct shared *shared)
{
    struct shared_waiter *waiter;

    while ((waiter = find_waiter(shared, SHARED_NEEDS_HUB)) != NULL) {
        take_off(waiter);
        waiter->ops->on_hub(waiter, &shared->uv_hub.hub);
    }
}

static void tell_refused(struct shared *shared, const struct amqp_exception *e)
{
    while (!TAILQ_EMPTY(&shared->waiters)) {
        struct shared_waiter *waiter = TAILQ_FIRST(&shared->waiters);

        take_off(waiter);
        if (waiter->need != SHARED_NEEDS_NOTHING)
            waiter->ops->on_refused(waiter, e);
    }
}

/* Those who were logged in here, and have not said where to, need it no more. */
static void drop_idle_waiters(struct shared *shared)
{
    struct shared_waiter *waiter;

    while ((waiter = find_waiter(shared, SHARED_NEEDS_NOTHING)) != NULL)
        take_off(waiter);
}

/* ── The end ── */

static void on_timer_closed(uv_handle_t *handle)
{
    struct shared *shared = handle->data;
    struct pool *pool = shared->pool;

    TAILQ_REMOVE(&pool->ended, shared, entry);
    credentials_unref(shared->key.credentials);
    free(shared);
    if (pool_is_empty(pool))
        pool->ops->on_empty(pool);
}

/* Frees it once its socket is closed. */
static void maybe_finish(struct shared *shared)
{
    if (shared->state == SHARED_ENDED && !shared->hub_open)
        uv_close((uv_handle_t *)&shared->timer, on_timer_closed);
}

/* It is found by nobody any more. */
static void leave_pool(struct shared *shared)
{
    shared->state = SHARED_ENDED;
    TAILQ_REMOVE(&shared->pool->shared, shared, entry);
    TAILQ_INSERT_TAIL(&shared->pool->ended, shared, entry);
    node_dial_cancel(&shared->dial);
    uv_timer_stop(&shared->timer);
}

void shared_end(struct shared *shared, const char *reason)
{
    struct amqp_exception e;

    if (shared->state == SHARED_ENDED)
        return;
    leave_pool(shared);
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0, "%s", reason);
    tell_refused(shared, &e);
    if (shared->hub_open)
        amqp_uv_hub_close(&shared->uv_hub, reason);
    else
        maybe_finish(shared);
}

void shared_abort(struct shared *shared)
{
    shared_end(shared, "host-proxy is shutting down");
    if (shared->hub_open)
        amqp_uv_hub_abort(&shared->uv_hub, "host-proxy is shutting down");
}

/* ── Use ── */

bool shared_is_used(const struct shared *shared)
{
    return is_wanted(shared) || (shared->hub_open && !TAILQ_EMPTY(&shared->uv_hub.hub.seats));
}

static void on_kept_long_enough(uv_timer_t *timer)
{
    struct shared *shared = timer->data;

    if (!shared_is_used(shared)) {
        log_info(shared->object, "broker connection not used any more");
        shared_end(shared, "not used any more");
    }
}

void shared_check_use(struct shared *shared)
{
    if (shared_is_used(shared) || shared->state == SHARED_ENDED)
        return;
    if (shared->state != SHARED_RUNNING)
        shared_end(shared, "not needed any more");
    else if (!uv_is_active((uv_handle_t *)&shared->timer))
        uv_timer_start(&shared->timer, on_kept_long_enough, KEEP_MS, 0);
}

void shared_keep(struct shared *shared)
{
    uv_timer_stop(&shared->timer);
}

/* ── Connecting ── */

static void on_dialed(struct node_dial *dial, int fd, const char *text);

/* It did not come about, or is no more. */
static void note_failure(struct shared *shared, const char *text)
{
    uint64_t suppressed;

    snprintf(shared->failure, sizeof(shared->failure), "%s: %s",
             shared->is_refused ? "the broker refuses this host" : "broker unreachable", text);
    if (log_limit_pass(&shared->pool->failures, uv_now(shared->pool->mux_loop->loop), &suppressed))
        log_warning(shared->object, "broker connection not up", LOG_STR("reason", text),
                    LOG_SUPPRESSED(suppressed));
}

static void on_retry(uv_timer_t *timer)
{
    struct shared *shared = timer->data;
    struct pool *pool = shared->pool;

    shared->state = SHARED_DIALING;
    if (node_dial_start(&shared->dial, pool->mux_loop->loop, pool->nodes, pool->config.dial_timeout_ms,
                        on_dialed) == 0)
        return;
    note_failure(shared, "out of memory");
    shared->state = SHARED_WAITING;
    uv_timer_start(&shared->timer, on_retry, BACKOFF_MAX_MS, 0);
}

/* Try again, if anybody wants that. */
static void retry_or_end(struct shared *shared)
{
    if (shared->state == SHARED_ENDED)
        return;
    if (!is_wanted(shared)) {
        shared_end(shared, "not needed any more");
        return;
    }
    shared->state = SHARED_WAITING;
    uv_timer_start(&shared->timer, on_retry,
                   shared->is_refused ? REFUSED_MS : backoff_next_ms(&shared->backoff), 0);
}

static void on_dialed(struct node_dial *dial, int fd, const char *text)
{
    struct shared *shared = (struct shared *)((char *)dial - offsetof(struct shared, dial));
    struct pool *pool = shared->pool;
    int rc;

    if (fd < 0) {
        note_failure(shared, text);
        retry_or_end(shared);
        return;
    }
    mux_uv_link_tune(fd);
    rc = amqp_uv_hub_open(&shared->uv_hub, pool->mux_loop, fd, &hub_ops, &shared->config);
    if (rc < 0) {
        note_failure(shared, uv_strerror(rc));
        retry_or_end(shared);
        return;
    }
    shared->hub_open = true;
    shared->state = SHARED_GREETING;
    snprintf(shared->peer, sizeof(shared->peer), "%s", text);
    if (pool->config.tls != NULL &&
        mux_uv_tls_connect(pool->config.tls, &shared->uv_hub.stream, pool->nodes->nodes[dial->node].host) < 0)
        amqp_uv_hub_abort(&shared->uv_hub, "out of memory");
}

/* ── The hub ── */

static void on_login(struct amqp_uv_hub *uv_hub)
{
    struct shared *shared = of_hub(uv_hub);

    shared->state = SHARED_LOGGED_IN;
    tell_login(shared);
    shared_check_use(shared); /* they may all have gone */
}

void shared_choose(struct shared *shared, struct amqp_span vhost)
{
    memcpy(shared->key.vhost, vhost.data, vhost.len);
    shared->key.vhost_len = (uint8_t)vhost.len;
    shared->key.has_vhost = true;
    shared->config.back.vhost = (struct amqp_span){.data = shared->key.vhost, .len = vhost.len};
    amqp_uv_hub_choose(&shared->uv_hub, vhost);
}

static void on_running(struct amqp_uv_hub *uv_hub)
{
    struct shared *shared = of_hub(uv_hub);
    const struct amqp_login *login = &shared->key.credentials->login;

    shared->state = SHARED_RUNNING;
    shared->failure[0] = '\0';
    backoff_reset(&shared->backoff);
    log_info(shared->object, "broker connection up", LOG_STR("broker", shared->peer),
             LOG_STR("product", uv_hub->hub.back.product),
             LOG_TEXT("user", (const char *)login->user.data, login->user.len),
             LOG_TEXT("vhost", (const char *)shared->key.vhost, shared->key.vhost_len),
             LOG_STR("for", shared->key.guest[0] != '\0' ? shared->key.guest : NULL),
             LOG_UINT("channel_max", uv_hub->hub.back.channel_max));
    tell_hub(shared);
    shared_check_use(shared);
}

/* What the broker says to a user that it will not have, in this vhost or at all. */
static bool is_refusal(const struct amqp_exception *e)
{
    return e->code == AMQP_CODE_ACCESS_REFUSED || e->code == AMQP_CODE_NOT_ALLOWED ||
           e->code == AMQP_CODE_INVALID_PATH;
}

/* A node was reached, and that was all. */
static void note_handshake_failure(struct shared *shared, const struct amqp_exception *e)
{
    char text[sizeof(shared->peer) + sizeof(e->text)];

    snprintf(text, sizeof(text), "%s: %s", shared->peer, amqp_exception_cause(e));
    note_failure(shared, text);
}

static void on_down(struct amqp_uv_hub *uv_hub, const struct amqp_exception *e)
{
    struct shared *shared = of_hub(uv_hub);
    const enum shared_state state = shared->state;

    if (state == SHARED_ENDED)
        return;
    shared->state = SHARED_WAITING; /* at first for the socket to be closed */
    uv_timer_stop(&shared->timer);
    drop_idle_waiters(shared);
    shared->is_refused = state != SHARED_RUNNING && is_refusal(e);
    if (state == SHARED_RUNNING) {
        log_warning(shared->object, "broker connection lost", LOG_UINT("code", e->code),
                    LOG_STR("reason", amqp_exception_cause(e)));
        snprintf(shared->failure, sizeof(shared->failure), "the connection to the broker was lost: %s",
                 amqp_exception_cause(e));
    } else if (shared->is_refused && !is_fixed(shared)) {
        tell_refused(shared, e);
    } else {
        note_handshake_failure(shared, e);
    }
}

static void on_suspect(struct amqp_uv_hub *uv_hub, struct amqp_member *member,
                       const struct amqp_method_spec *method)
{
    struct pool *pool = of_hub(uv_hub)->pool;

    pool->ops->on_suspect(pool, member, method->name);
}

static void on_closed(struct amqp_uv_hub *uv_hub)
{
    struct shared *shared = of_hub(uv_hub);

    shared->hub_open = false;
    if (shared->state == SHARED_ENDED)
        maybe_finish(shared);
    else
        retry_or_end(shared);
}

static const struct amqp_uv_hub_ops hub_ops = {
    .on_login = on_login,
    .on_running = on_running,
    .on_suspect = on_suspect,
    .on_down = on_down,
    .on_closed = on_closed,
};

unsigned shared_number(struct amqp_hub *hub)
{
    return of_hub(amqp_uv_hub_of(hub))->number;
}

/* ── Making one ── */

static void configure(struct shared *shared)
{
    const struct pool_config *config = &shared->pool->config;
    const char *guest = shared->key.guest;

    snprintf(shared->name, sizeof(shared->name), "amqp-vsock host-proxy %s%s%s", config->host_name,
             guest[0] != '\0' ? " " : "", guest);
    shared->config = config->hub;
    shared->config.back.user = shared->key.credentials->login.user;
    shared->config.back.password = shared->key.credentials->login.password;
    shared->config.back.connection_name = shared->name;
    if (shared->key.has_vhost)
        shared->config.back.vhost =
            (struct amqp_span){.data = shared->key.vhost, .len = shared->key.vhost_len};
}

struct shared *shared_create(struct pool *pool, const struct shared_key *key)
{
    struct shared *shared = calloc(1, sizeof(*shared));

    if (shared == NULL) {
        credentials_unref(key->credentials);
        return NULL;
    }
    shared->pool = pool;
    shared->key = *key;
    snprintf(shared->failure, sizeof(shared->failure), "the connection to the broker is not up yet");
    shared->number = ++pool->numbers;
    snprintf(shared->object, sizeof(shared->object), "broker-connection=%u", shared->number);
    configure(shared);
    TAILQ_INIT(&shared->waiters);
    TAILQ_INSERT_TAIL(&pool->shared, shared, entry);
    backoff_init(&shared->backoff, BACKOFF_MIN_MS, BACKOFF_MAX_MS, 0);
    uv_timer_init(pool->mux_loop->loop, &shared->timer);
    shared->timer.data = shared;
    on_retry(&shared->timer);
    return shared;
}
