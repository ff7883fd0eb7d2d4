/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp-proxy/amqp_proxy.h"
#include "amqp-proxy/far_session.h"
#include "amqp-proxy/links.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* An acknowledgement waits so long for company. */
#define ACK_DELAY_MS 20u

void amqp_proxy_maybe_done(struct amqp_proxy *proxy)
{
    if (proxy->draining && TAILQ_EMPTY(&proxy->sessions))
        service_done(&proxy->service);
}

static void on_drain(void *ctx)
{
    struct amqp_proxy *proxy = ctx;

    proxy->draining = true;
    links_stop(proxy);
    far_sessions_drain(proxy);
    amqp_proxy_maybe_done(proxy);
}

static void on_end(void *ctx)
{
    struct amqp_proxy *proxy = ctx;

    links_stop(proxy);
    links_close(proxy);
    far_sessions_close(proxy);
    totals_log(&proxy->totals);
    totals_close(&proxy->totals);
    mux_uv_loop_close(&proxy->mux_loop);
}

static const struct service_hooks hooks = {.drain = on_drain, .end = on_end};

static const struct total counts[COUNT_END + 1] = {
    [COUNT_SESSIONS] = {.name = "sessions"},
    [COUNT_REFUSED] = {.name = "refused"},
    [COUNT_DETACHES] = {.name = "detaches"},
    [COUNT_RESUMES] = {.name = "resumes"},
    [COUNT_RESUMES_REFUSED] = {.name = "resumes_refused"},
    [COUNT_REPLAYED_BYTES] = {.name = "replayed_bytes"},
    [COUNT_EXPIRED] = {.name = "expired"},
};

static int prepare(struct amqp_proxy *proxy)
{
    const struct amqp_config *config = &proxy->config;
    uint64_t instance;
    int rc = broker_set_init(&proxy->brokers, config);

    TAILQ_INIT(&proxy->listeners);
    TAILQ_INIT(&proxy->links);
    TAILQ_INIT(&proxy->sessions);
    mux_registry_init(&proxy->registry);
    detached_init(&proxy->detached, config->detached_memory_bytes);
    memcpy(proxy->counts, counts, sizeof(counts));
    totals_init(&proxy->totals, &proxy->loop, proxy->counts, config->totals_interval_ms);
    if (rc < 0) {
        log_error(NULL, "cannot start", LOG_ERROR("error", rc));
        return rc;
    }
    if (config->name != NULL)
        snprintf(proxy->name, sizeof(proxy->name), "%s", config->name);
    else if (gethostname(proxy->name, sizeof(proxy->name) - 1) < 0)
        snprintf(proxy->name, sizeof(proxy->name), "amqp-proxy");
    if (getrandom(&instance, sizeof(instance), 0) != (ssize_t)sizeof(instance))
        instance = (uint64_t)getpid();
    proxy->link_config = (struct mux_link_config){
        .role = MUX_ROLE_AMQP,
        .peer_role = MUX_ROLE_HOST,
        .name = proxy->name,
        .instance = instance,
        .hello_timeout_ms = (uint32_t)config->handshake_timeout_ms,
        .ping_interval_ms = (uint32_t)config->ping_interval_ms,
        .ping_timeout_ms = (uint32_t)config->ping_timeout_ms,
    };
    proxy->session_config = (struct mux_session_config){
        .window_bytes = (uint32_t)config->window_bytes,
        .ack_delay_ms = ACK_DELAY_MS,
        .detach_timeout_ms = (uint32_t)config->detach_timeout_ms,
    };
    return 0;
}

int main(int argc, char **argv)
{
    static struct amqp_proxy proxy;
    int code = config_run(&amqp_program, argc, argv, &proxy.config);

    if (code != CONFIG_RUN)
        return code;
    uv_loop_init(&proxy.loop);
    if (service_init(&proxy.service, &proxy.loop, &proxy.config.service, &hooks, &proxy) < 0)
        return 1;
    mux_uv_loop_init(&proxy.mux_loop, &proxy.loop);
    if (prepare(&proxy) == 0 && links_listen(&proxy) == 0)
        service_ready(&proxy.service);
    else
        service_fail(&proxy.service);
    code = service_run(&proxy.service);
    mux_uv_loop_deinit(&proxy.mux_loop);
    mux_registry_deinit(&proxy.registry);
    broker_set_deinit(&proxy.brokers);
    uv_loop_close(&proxy.loop);
    config_free(&amqp_program, &proxy.config);
    return code;
}
