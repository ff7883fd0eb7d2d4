/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/direct.h"

#include "host-proxy/guest.h"
#include "host-proxy/host.h"

#include <stdlib.h>
#include <string.h>

/* What is not worth a setting. */
#define FRAME_MAX        AMQP_HUB_FRAME_MAX
#define LOGIN_TIMEOUT_MS 10000u /* for a client, from its first byte to Open: as RabbitMQ has it */
#define CLOSE_TIMEOUT_MS 5000u
#define KEEP_MS          10000u /* a connection that nobody uses */
#define END_TIMEOUT_MS   5000u
#define STALL_TIMEOUT_MS 30000u
#define REPLY_TOKENS_MAX 65536u
#define KEPT_CHANNELS    64u

static void on_pool_empty(struct pool *pool)
{
    struct direct *direct = (struct direct *)((char *)pool - offsetof(struct direct, pool));

    host_maybe_done(direct->host);
}

static void on_suspect(struct pool *pool, struct amqp_member *member, const char *method)
{
    (void)pool;
    log_warning(direct_session_of_member(member)->far.object, "last to send before the broker's error",
                LOG_STR("method", method));
}

static const struct pool_ops pool_ops = {.on_empty = on_pool_empty, .on_suspect = on_suspect};

/* ── Settings ── */

static uint16_t seconds(uint64_t ms)
{
    return (uint16_t)(ms / 1000);
}

static void configure_front(struct direct *direct, const struct host_config *config)
{
    direct->front = (struct amqp_front_config){
        .frame_max = FRAME_MAX,
        .channel_max = (uint16_t)config->channels_per_session,
        .heartbeat_s = seconds(config->heartbeat_ms),
        .handshake_timeout_ms = LOGIN_TIMEOUT_MS,
        .close_timeout_ms = CLOSE_TIMEOUT_MS,
    };
}

static struct amqp_hub_config hub_config(const struct direct *direct, const struct host_config *config)
{
    return (struct amqp_hub_config){
        .back = {.frame_max = FRAME_MAX,
                 .heartbeat_s = seconds(config->broker_heartbeat_ms),
                 .handshake_timeout_ms = (uint32_t)config->broker_timeout_ms,
                 .close_timeout_ms = CLOSE_TIMEOUT_MS},
        .exchange_types = direct->exchange_types,
        .queue_types = direct->queue_types,
        .reply_tokens_max = REPLY_TOKENS_MAX,
        .believe_types_ms = (uint32_t)config->verify_queue_types_ms,
        .kept_max = KEPT_CHANNELS,
        .exclusive_max = config->exclusive_queues_per_session,
        .prefetch = (uint16_t)config->prefetch,
        .prefetch_wide = (uint16_t)config->prefetch_wide,
        .body_max = config->body_max_bytes,
        .memory_max = config->publish_memory_bytes,
        .member_up_max = config->session_publish_memory_bytes,
        .member_down_max = config->session_delivery_memory_bytes,
        .down_max = config->delivery_memory_bytes,
        .stall_timeout_ms = STALL_TIMEOUT_MS,
        .end_timeout_ms = END_TIMEOUT_MS,
    };
}

/* A list with NULL behind it; its items stay the settings'. NULL: out of memory. */
static const char **terminated(const struct config_list *list)
{
    const char **items = calloc(list->count + 1, sizeof(*items));

    for (size_t i = 0; items != NULL && i < list->count; i++)
        items[i] = list->items[i];
    return items;
}

/* 0 or -1: out of memory. */
static int configure_types(struct direct *direct, const struct host_config *config)
{
    direct->exchange_types = terminated(&config->exchange_types);
    if (direct->exchange_types == NULL || config->queue_types.count == 0)
        return direct->exchange_types != NULL ? 0 : -1;
    direct->queue_types = terminated(&config->queue_types);
    return direct->queue_types != NULL ? 0 : -1;
}

/* The URL's user and password. NULL: out of memory. */
static struct credentials *fixed_credentials(const struct upstream_url *url)
{
    const struct amqp_login login = {
        .user = {.data = (const uint8_t *)url->user, .len = strlen(url->user)},
        .password = {.data = (const uint8_t *)url->password, .len = strlen(url->password)},
    };

    return credentials_create(&login);
}

static int configure_pool(struct direct *direct, const struct host_config *config)
{
    struct pool_config pool = {
        .hub = hub_config(direct, config),
        .tls = direct->tls,
        .per_guest = config->connections == HOST_CONNECTIONS_PER_GUEST,
        .is_split = config->connections == HOST_CONNECTIONS_SPLIT,
        .dial_timeout_ms = config->broker_timeout_ms,
        .keep_ms = KEEP_MS,
        .believe_ms = config->verify_logins_ms,
        .host_name = direct->host->name,
    };

    if (config->identity == HOST_IDENTITY_FIXED) {
        pool.fixed = fixed_credentials(&direct->url);
        pool.vhost = direct->vhost = direct->url.vhost != NULL ? direct->url.vhost : "/";
        if (pool.fixed == NULL)
            return -1;
    }
    pool_init(&direct->pool, &direct->host->mux_loop, &pool, &direct->url.nodes, &pool_ops);
    return pool.fixed != NULL && !pool.per_guest ? pool_start(&direct->pool) : 0;
}

static void configure_sessions(struct direct *direct, const struct host_config *config)
{
    const struct far_config far = {
        .session = {.window_bytes = (uint32_t)config->window_bytes,
                    .ack_delay_ms = FAR_ACK_DELAY_MS,
                    .detach_timeout_ms = (uint32_t)config->detach_timeout_ms},
        .detached_memory_bytes = config->detached_memory_bytes,
        .totals_interval_ms = config->totals_interval_ms,
        .max_sessions = config->max_sessions,
    };

    far_set_init(&direct->sessions, &direct->host->loop, &far, &direct_session_far_ops);
}

/* For amqps. 0 or -1 after logging what is wrong. */
static int configure_tls(struct direct *direct, const struct host_config *config)
{
    const struct mux_uv_tls_options options = {
        .ca_file = config->tls_ca, .cert_file = config->tls_cert, .key_file = config->tls_key};
    char why[256];

    if (direct->url.kind != UPSTREAM_AMQPS)
        return 0;
    direct->tls = mux_uv_tls_create(&options, why, sizeof(why));
    if (direct->tls != NULL)
        return 0;
    log_error(NULL, "cannot start", LOG_STR("reason", why));
    return -1;
}

int direct_init(struct direct *direct, struct host *host, struct upstream_url *url)
{
    const struct host_config *config = &host->config;

    direct->host = host;
    direct->url = *url;
    direct->broker_wait_ms = config->broker_wait_ms;
    configure_front(direct, config);
    configure_sessions(direct, config);
    if (configure_tls(direct, config) < 0)
        return -1;
    if (configure_types(direct, config) == 0 && configure_pool(direct, config) == 0)
        return 0;
    log_error(NULL, "cannot start", LOG_STR("reason", "out of memory"));
    return -1;
}

void direct_deinit(struct direct *direct)
{
    credentials_unref(direct->pool.config.fixed);
    far_set_deinit(&direct->sessions);
    mux_uv_tls_destroy(direct->tls);
    upstream_url_deinit(&direct->url);
    free(direct->exchange_types);
    free(direct->queue_types);
}

/* ── Sessions ── */

bool direct_open(struct direct *direct, struct guest *stream, struct mux_link *link,
                 struct guest_entry *guest, uint32_t number, const struct mux_open *open)
{
    struct far_session *far;

    direct->opening = guest;
    far = far_open(&direct->sessions, link, number, open, guest->name, &guest->refusals);
    direct->opening = NULL;
    if (far == NULL)
        return false;
    direct_session_of(far)->stream = stream;
    return true;
}

/* Nothing keeps the connections any more. */
static void end_pool_when_due(struct direct *direct)
{
    if (direct->sessions.draining && TAILQ_EMPTY(&direct->sessions.sessions))
        pool_end(&direct->pool, "host-proxy is shutting down");
}

void direct_session_ended(struct direct *direct)
{
    pool_check_use(&direct->pool);
    end_pool_when_due(direct);
}

void direct_drain(struct direct *direct)
{
    struct far_session *far;

    direct->sessions.draining = true;
    TAILQ_FOREACH (far, &direct->sessions.sessions, entry)
        direct_session_drain(direct_session_of(far));
    end_pool_when_due(direct);
}

bool direct_is_empty(const struct direct *direct)
{
    return TAILQ_EMPTY(&direct->sessions.sessions) && pool_is_empty(&direct->pool);
}

void direct_close(struct direct *direct)
{
    struct far_session *far;

    direct->sessions.draining = true;
    pool_abort(&direct->pool);
    TAILQ_FOREACH (far, &direct->sessions.sessions, entry)
        direct_session_abort(direct_session_of(far));
    far_set_close(&direct->sessions);
}
