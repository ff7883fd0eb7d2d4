/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp-proxy/amqp_proxy.h"
#include "amqp-proxy/amqp_session.h"
#include "amqp-proxy/links.h"

void amqp_proxy_maybe_done(struct amqp_proxy *proxy)
{
    if (proxy->sessions.draining && TAILQ_EMPTY(&proxy->sessions.sessions))
        service_done(&proxy->service);
}

static void on_drain(void *ctx)
{
    struct amqp_proxy *proxy = ctx;

    proxy->sessions.draining = true;
    links_stop(proxy);
    amqp_sessions_drain(proxy);
    amqp_proxy_maybe_done(proxy);
}

static void on_end(void *ctx)
{
    struct amqp_proxy *proxy = ctx;

    links_stop(proxy);
    links_close(proxy);
    amqp_sessions_close(proxy);
    far_set_close(&proxy->sessions);
    mux_uv_loop_close(&proxy->mux_loop);
}

static const struct service_hooks hooks = {.drain = on_drain, .end = on_end};

static void prepare_sessions(struct amqp_proxy *proxy)
{
    const struct amqp_config *config = &proxy->config;
    const struct far_config far = {
        .session = {.window_bytes = (uint32_t)config->window_bytes,
                    .ack_delay_ms = FAR_ACK_DELAY_MS,
                    .detach_timeout_ms = (uint32_t)config->detach_timeout_ms},
        .detached_memory_bytes = config->detached_memory_bytes,
        .totals_interval_ms = config->totals_interval_ms,
        .max_sessions = config->max_sessions,
    };

    far_set_init(&proxy->sessions, &proxy->loop, &far, &amqp_session_far_ops);
}

static int prepare(struct amqp_proxy *proxy)
{
    const struct amqp_config *config = &proxy->config;
    int rc = broker_set_init(&proxy->brokers, config);

    TAILQ_INIT(&proxy->listeners);
    TAILQ_INIT(&proxy->links);
    prepare_sessions(proxy);
    if (rc < 0) {
        log_error(NULL, "cannot start", LOG_ERROR("error", rc));
        return rc;
    }
    service_name(proxy->name, sizeof(proxy->name), config->name);
    proxy->link_config = (struct mux_link_config){
        .role = MUX_ROLE_AMQP,
        .peer_role = MUX_ROLE_HOST,
        .name = proxy->name,
        .instance = service_instance(),
        .hello_timeout_ms = (uint32_t)config->handshake_timeout_ms,
        .ping_interval_ms = (uint32_t)config->ping_interval_ms,
        .ping_timeout_ms = (uint32_t)config->ping_timeout_ms,
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
    far_set_deinit(&proxy.sessions);
    broker_set_deinit(&proxy.brokers);
    uv_loop_close(&proxy.loop);
    config_free(&amqp_program, &proxy.config);
    return code;
}
