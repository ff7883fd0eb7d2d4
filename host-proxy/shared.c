/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: dial, log in, open, run; sessions join; the last one leaves; a while later it is closed.
 *
 * What can go wrong: no node serves (they are tried again, with backoff, while anybody waits); the broker
 * refuses the user or the vhost (those who asked are told); the connection is lost (the hub tells its
 * members; with a fixed identity it is dialled again at once, else when somebody comes).
 */
#include "host-proxy/shared.h"

#include "host-proxy/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between attempts. A node that comes back is to serve within a second. */
#define BACKOFF_MIN_MS 20u
#define BACKOFF_MAX_MS 500u

/* After the broker has refused our own user: somebody has to do something about that. */
#define REFUSED_MS 5000u

static struct shared *of_race(struct race *race)
{
    return (struct shared *)((char *)race - offsetof(struct shared, race));
}

struct amqp_hub *shared_hub(const struct shared *shared)
{
    struct amqp_uv_hub *uv_hub = race_hub(&shared->race);

    return uv_hub != NULL ? &uv_hub->hub : NULL;
}

static bool is_for_publishing(const struct shared *shared)
{
    return shared->key.purpose == SHARED_FOR_PUBLISHING;
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

static void tell_running(struct shared *shared)
{
    struct shared_waiter *waiter;

    while ((waiter = find_waiter(shared, SHARED_NEEDS_HUB)) != NULL) {
        take_off(waiter);
        waiter->ops->on_running(waiter, shared);
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

static void on_closed(struct race *race)
{
    uv_close((uv_handle_t *)&of_race(race)->timer, on_timer_closed);
}

/* It is found by nobody any more. */
static void leave_pool(struct shared *shared)
{
    shared->state = SHARED_ENDED;
    TAILQ_REMOVE(&shared->pool->shared, shared, entry);
    TAILQ_INSERT_TAIL(&shared->pool->ended, shared, entry);
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
    race_end(&shared->race, reason);
}

void shared_abort(struct shared *shared)
{
    shared_end(shared, "host-proxy is shutting down");
    race_abort(&shared->race, "host-proxy is shutting down");
}

/* ── Use ── */

bool shared_is_used(const struct shared *shared)
{
    const struct amqp_hub *hub = shared_hub(shared);

    return is_wanted(shared) || (hub != NULL && !TAILQ_EMPTY(&hub->seats));
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
        uv_timer_start(&shared->timer, on_kept_long_enough, shared->pool->config.keep_ms, 0);
}

void shared_keep(struct shared *shared)
{
    uv_timer_stop(&shared->timer);
}

/* ── Connecting ── */

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

    shared->state = SHARED_TRYING;
    shared->config.back.channel_max =
        channel_caps_find(&shared->pool->caps, shared->key.credentials->login.user, shared->key.guest,
                          uv_now(shared->pool->mux_loop->loop));
    if (race_start(&shared->race) == 0)
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

/* ── The hub ── */

/* Some nodes have failed, and another one is here. */
static void note_nodes(struct shared *shared, const char *failures)
{
    uint64_t suppressed;

    if (failures[0] != '\0' &&
        log_limit_pass(&shared->pool->failures, uv_now(shared->pool->mux_loop->loop), &suppressed))
        log_warning(shared->object, "nodes that do not serve", LOG_STR("reason", failures),
                    LOG_SUPPRESSED(suppressed));
}

static void on_login(struct race *race)
{
    struct shared *shared = of_race(race);

    shared->state = SHARED_LOGGED_IN;
    pool_verified(shared->pool, &shared->key, true);
    note_nodes(shared, race->round.failures);
    tell_login(shared);
    shared_check_use(shared); /* they may all have gone */
}

void shared_choose(struct shared *shared, struct amqp_span vhost)
{
    memcpy(shared->key.vhost, vhost.data, vhost.len);
    shared->key.vhost_len = (uint8_t)vhost.len;
    shared->key.has_vhost = true;
    shared->config.back.vhost = (struct amqp_span){.data = shared->key.vhost, .len = vhost.len};
    amqp_uv_hub_choose(race_hub(&shared->race), vhost);
}

void shared_retire(struct shared *shared, struct amqp_span vhost)
{
    drop_idle_waiters(shared);
    leave_pool(shared);
    amqp_uv_hub_choose(race_hub(&shared->race), vhost);
}

static void on_running(struct race *race)
{
    struct shared *shared = of_race(race);
    const struct amqp_back *back = &shared_hub(shared)->back;
    const struct amqp_login *login = &shared->key.credentials->login;

    if (shared->state == SHARED_ENDED) { /* retired */
        race_end(race, "the login is verified");
        return;
    }
    shared->state = SHARED_RUNNING;
    shared->failure[0] = '\0';
    backoff_reset(&shared->backoff);
    log_info(shared->object, "broker connection up", LOG_STR("broker", race_peer(race)),
             LOG_STR("product", back->product),
             LOG_TEXT("user", (const char *)login->user.data, login->user.len),
             LOG_TEXT("vhost", (const char *)shared->key.vhost, shared->key.vhost_len),
             LOG_STR("for", shared->key.guest[0] != '\0' ? shared->key.guest : NULL),
             LOG_STR("purpose", is_for_publishing(shared) ? "publishing" : NULL),
             LOG_UINT("channel_max", back->channel_max));
    tell_running(shared);
    shared_check_use(shared);
}

/* A user's limit of channels can't be known before it ends a connection. That one is to be the last. RabbitMQ
 * counts channels a little late, so more may have stood than it allows; or less, beside other connections. */
static void note_channel_cap(struct shared *shared, uint16_t limit)
{
    struct pool *pool = shared->pool;
    const struct amqp_span user = shared->key.credentials->login.user;
    const uint16_t channels = shared->race.opened < limit ? shared->race.opened : limit;

    channel_caps_note(&pool->caps, user, shared->key.guest, channels, uv_now(pool->mux_loop->loop));
    log_warning(shared->object, "the broker limits this user's channels: the next connections open no more",
                LOG_TEXT("user", (const char *)user.data, user.len), LOG_UINT("channels", channels));
}

static void on_down(struct race *race, const struct amqp_exception *e)
{
    struct shared *shared = of_race(race);
    const enum shared_state state = shared->state;

    if (state == SHARED_ENDED) { /* retired, and not there any more */
        race_end(race, "");
        return;
    }
    shared->state = SHARED_WAITING;
    uv_timer_stop(&shared->timer);
    drop_idle_waiters(shared);
    shared->is_refused = state != SHARED_RUNNING && race_is_refusal(e);
    if (state == SHARED_RUNNING) {
        log_warning(shared->object, "broker connection lost", LOG_UINT("code", e->code),
                    LOG_STR("reason", amqp_exception_cause(e)));
        snprintf(shared->failure, sizeof(shared->failure), "the connection to the broker was lost: %s",
                 amqp_exception_cause(e));
        if (channel_caps_limit(e) > 0)
            note_channel_cap(shared, channel_caps_limit(e));
    } else if (shared->is_refused && !is_fixed(shared)) {
        if (state == SHARED_TRYING)
            pool_verified(shared->pool, &shared->key, false);
        tell_refused(shared, e);
    } else {
        note_failure(shared, amqp_exception_cause(e));
    }
    retry_or_end(shared);
}

static void on_suspect(struct race *race, struct amqp_member *member, const struct amqp_method_spec *method)
{
    struct pool *pool = of_race(race)->pool;

    pool->ops->on_suspect(pool, member, method->name);
}

static void on_hush_given_up(struct race *race)
{
    log_warning(of_race(race)->object,
                "broker does not answer: publishing goes on while a queue is deleted or a stream made");
}

static const struct race_ops race_ops = {
    .on_login = on_login,
    .on_running = on_running,
    .on_suspect = on_suspect,
    .on_hush_given_up = on_hush_given_up,
    .on_down = on_down,
    .on_closed = on_closed,
};

unsigned shared_number(struct amqp_hub *hub)
{
    return of_race(race_of(hub))->number;
}

/* ── Making one ── */

static void configure(struct shared *shared)
{
    const struct pool_config *config = &shared->pool->config;
    const char *guest = shared->key.guest;

    snprintf(shared->name, sizeof(shared->name), "amqp-vsock host-proxy %s%s%s%s", config->host_name,
             guest[0] != '\0' ? " " : "", guest, is_for_publishing(shared) ? " publishing" : "");
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
    race_init(&shared->race,
              &(struct race_config){.mux_loop = pool->mux_loop,
                                    .nodes = pool->nodes,
                                    .tls = pool->config.tls,
                                    .dial_timeout_ms = pool->config.dial_timeout_ms,
                                    .hub = &shared->config},
              &race_ops);
    TAILQ_INIT(&shared->waiters);
    TAILQ_INSERT_TAIL(&pool->shared, shared, entry);
    backoff_init(&shared->backoff, BACKOFF_MIN_MS, BACKOFF_MAX_MS, 0);
    uv_timer_init(pool->mux_loop->loop, &shared->timer);
    shared->timer.data = shared;
    on_retry(&shared->timer);
    return shared;
}
