/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/guest.h"
#include "host-proxy/guests.h"
#include "host-proxy/host.h"

void host_maybe_done(struct host *host)
{
    if (host->draining && TAILQ_EMPTY(&host->guests) &&
        (!host_is_direct(host) || direct_is_empty(&host->direct)))
        service_done(&host->service);
}

/* Leave no stream open: in tunnel mode sessions resume through our successor. */
static void hand_over(struct host *host)
{
    for (struct guest *guest = TAILQ_FIRST(&host->guests); guest != NULL; guest = guest_next(guest))
        guest_close(guest, "host-proxy is shutting down");
    if (!host_is_direct(host))
        tunnel_close(&host->tunnel);
}

/* End the sessions, telling both edges. */
static void end_sessions(struct host *host)
{
    for (struct guest *guest = TAILQ_FIRST(&host->guests); guest != NULL; guest = guest_next(guest))
        guest_end_session(guest, MUX_SHUTTING_DOWN, "host-proxy is shutting down");
    if (host_is_direct(host))
        direct_drain(&host->direct);
}

static void on_drain(void *ctx)
{
    struct host *host = ctx;

    host->draining = true;
    guests_stop(host);
    if (host->config.on_stop == HOST_ON_STOP_HANDOVER && !host_is_direct(host))
        hand_over(host);
    else
        end_sessions(host);
    host_maybe_done(host);
}

static void on_end(void *ctx)
{
    struct host *host = ctx;

    guests_stop(host);
    if (host_is_direct(host))
        direct_close(&host->direct);
    hand_over(host);
    mux_uv_loop_close(&host->mux_loop);
}

static const struct service_hooks hooks = {.drain = on_drain, .end = on_end};

static int open_upstream(struct host *host)
{
    struct upstream_url url;
    char why[256];

    if (host_upstream(&host->config, &url, why, sizeof(why)) < 0) {
        log_error(NULL, "cannot start", LOG_STR("reason", why));
        return -1;
    }
    if (url.kind != UPSTREAM_TUNNEL)
        return direct_init(&host->direct, host, &url);
    tunnel_open(&host->tunnel, host, &url.nodes.nodes[0].address);
    upstream_url_deinit(&url);
    return 0;
}

static int prepare(struct host *host)
{
    const struct host_config *config = &host->config;

    TAILQ_INIT(&host->listeners);
    TAILQ_INIT(&host->guests);
    guest_table_init(&host->guest_table);
    service_name(host->name, sizeof(host->name), config->name);
    host->guest_link_config = (struct mux_link_config){
        .role = MUX_ROLE_HOST,
        .peer_role = MUX_ROLE_GUEST,
        .name = host->name,
        .instance = service_instance(),
        .idle_timeout_ms = (uint32_t)config->guest_idle_timeout_ms,
        .open_timeout_ms = (uint32_t)config->handshake_timeout_ms,
        .max_sessions = 1,
    };
    return open_upstream(host);
}

int main(int argc, char **argv)
{
    static struct host host;
    int code = config_run(&host_program, argc, argv, &host.config);

    if (code != CONFIG_RUN)
        return code;
    uv_loop_init(&host.loop);
    if (service_init(&host.service, &host.loop, &host.config.service, &hooks, &host) < 0)
        return 1;
    mux_uv_loop_init(&host.mux_loop, &host.loop);
    if (prepare(&host) == 0 && guests_listen(&host) == 0)
        service_ready(&host.service);
    else
        service_fail(&host.service);
    code = service_run(&host.service);
    mux_uv_loop_deinit(&host.mux_loop);
    if (host_is_direct(&host))
        direct_deinit(&host.direct);
    guest_table_deinit(&host.guest_table);
    uv_loop_close(&host.loop);
    config_free(&host_program, &host.config);
    return code;
}
