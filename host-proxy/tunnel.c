/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/tunnel.h"

#include "host-proxy/host.h"
#include "service/log.h"

#include <stdio.h>
#include <stdlib.h>

#define DIAL_TIMEOUT_MS 5000u
#define BACKOFF_MIN_MS  20u
#define BACKOFF_MAX_MS  2000u

/* It may still be closing while the next one is up. */
struct tunnel_link {
    struct mux_uv_link link;
    struct tunnel *tunnel;
};

static struct tunnel_link *link_of(struct mux_uv_link *link)
{
    return (struct tunnel_link *)((char *)link - offsetof(struct tunnel_link, link));
}

static void retry_later(struct tunnel *tunnel);

static void on_hello(struct mux_link *link, uint64_t now)
{
    struct tunnel *tunnel = link_of(mux_uv_link_of(link))->tunnel;

    (void)now;
    backoff_reset(&tunnel->backoff);
    log_info(tunnel->object, "link up", LOG_STR("peer", link->peer.name));
}

static void on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    (void)open;
    (void)now;
    mux_link_refuse(link, number, MUX_PROTOCOL_ERROR,
                    "sessions come from guests only"); /* never called on an opener */
}

static void on_goaway(struct mux_link *link, const char *reason)
{
    struct tunnel *tunnel = link_of(mux_uv_link_of(link))->tunnel;

    tunnel->going_away = true;
    snprintf(tunnel->failure, sizeof(tunnel->failure), "the AMQP proxy takes no new sessions: %s", reason);
    log_info(tunnel->object, "link goes away", LOG_STR("reason", reason));
}

static void on_down(struct mux_uv_link *link, enum mux_code code, const char *reason)
{
    struct tunnel *tunnel = link_of(link)->tunnel;

    log_warning(tunnel->object, "link down", LOG_STR("code", code != MUX_OK ? mux_code_name(code) : NULL),
                LOG_STR("reason", reason));
    snprintf(tunnel->failure, sizeof(tunnel->failure), "link to the AMQP proxy is down: %s", reason);
    tunnel->link = NULL;
    retry_later(tunnel);
}

static void on_closed(struct mux_uv_link *link)
{
    free(link_of(link));
}

static const struct mux_uv_link_ops link_ops = {
    .link = {.on_hello = on_hello, .on_open = on_open, .on_goaway = on_goaway},
    .on_down = on_down,
    .on_closed = on_closed,
};

static void on_dialed(void *ctx, int fd, const char *text)
{
    struct tunnel *tunnel = ctx;
    struct tunnel_link *link;
    uint64_t suppressed;

    tunnel->dialer = NULL;
    if (fd < 0) {
        snprintf(tunnel->failure, sizeof(tunnel->failure), "AMQP proxy unreachable: %s", text);
        if (log_limit_pass(&tunnel->failures, uv_now(&tunnel->host->loop), &suppressed))
            log_warning(tunnel->object, "link not up", LOG_STR("reason", text), LOG_SUPPRESSED(suppressed));
        retry_later(tunnel);
        return;
    }
    mux_uv_link_tune(fd);
    link = calloc(1, sizeof(*link));
    if (link == NULL ||
        mux_uv_link_open(&link->link, &tunnel->host->mux_loop, fd, &tunnel->link_config, &link_ops) < 0) {
        free(link);
        snprintf(tunnel->failure, sizeof(tunnel->failure), "out of memory");
        retry_later(tunnel);
        return;
    }
    link->tunnel = tunnel;
    tunnel->link = link;
    tunnel->going_away = false;
    tunnel->state = TUNNEL_UP;
}

static void on_retry(uv_timer_t *timer)
{
    struct tunnel *tunnel = timer->data;

    tunnel->state = TUNNEL_DIALING;
    if (net_dial(&tunnel->dialer, &tunnel->host->loop, &tunnel->address, DIAL_TIMEOUT_MS, on_dialed, tunnel) <
        0)
        retry_later(tunnel);
}

static void retry_later(struct tunnel *tunnel)
{
    if (tunnel->state == TUNNEL_CLOSED)
        return;
    tunnel->state = TUNNEL_WAITING;
    uv_timer_start(&tunnel->retry, on_retry, backoff_next_ms(&tunnel->backoff), 0);
}

void tunnel_open(struct tunnel *tunnel, struct host *host, const struct net_address *address)
{
    const struct host_config *config = &host->config;
    char name[NET_NAME_MAX];

    *tunnel = (struct tunnel){.host = host,
                              .failures = {.burst = 3, .interval_ms = 10000},
                              .failure = "link to the AMQP proxy is not up yet"};
    tunnel->link_config = (struct mux_link_config){
        .opener = true,
        .role = MUX_ROLE_HOST,
        .peer_role = MUX_ROLE_AMQP,
        .name = host->name,
        .instance = host->guest_link_config.instance,
        .hello_timeout_ms = (uint32_t)config->handshake_timeout_ms,
        .ping_interval_ms = (uint32_t)config->ping_interval_ms,
        .ping_timeout_ms = (uint32_t)config->ping_timeout_ms,
    };
    tunnel->address = *address;
    snprintf(tunnel->object, sizeof(tunnel->object), "link=%s",
             net_address_name(address, name, sizeof(name)));
    backoff_init(&tunnel->backoff, BACKOFF_MIN_MS, BACKOFF_MAX_MS, 0);
    uv_timer_init(&host->loop, &tunnel->retry);
    tunnel->retry.data = tunnel;
    on_retry(&tunnel->retry);
}

struct mux_link *tunnel_link(struct tunnel *tunnel)
{
    return tunnel->state == TUNNEL_UP && !tunnel->going_away ? &tunnel->link->link.link : NULL;
}

void tunnel_close(struct tunnel *tunnel)
{
    if (tunnel->host == NULL || tunnel->state == TUNNEL_CLOSED)
        return;
    tunnel->state = TUNNEL_CLOSED;
    if (tunnel->dialer != NULL)
        net_dial_cancel(tunnel->dialer);
    tunnel->dialer = NULL;
    if (tunnel->link != NULL)
        mux_uv_link_close(&tunnel->link->link, MUX_SHUTTING_DOWN, "host-proxy is shutting down");
    tunnel->link = NULL;
    uv_close((uv_handle_t *)&tunnel->retry, NULL);
}
