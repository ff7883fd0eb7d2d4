/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-proxy/client.h"
#include "guest-proxy/guest.h"
#include "guest-proxy/listeners.h"
#include "guest-proxy/uplink.h"
#include "service/log.h"

#include <string.h>

/* An acknowledgement waits so long for company. */
#define ACK_DELAY_MS 20u

/* Without an answer to OPEN in this time another stream is tried: or as soon as a PING would be given up. A
 * stream that is silently dead keeps its session, and those that wait at the gate, for as long. RabbitMQ ends
 * a handshake after 10 s, so it must be less. */
#define OPEN_TIMEOUT_MS 5000u

static void on_drain(void *ctx)
{
    struct guest *guest = ctx;
    struct client *client;
    struct client *next;

    guest->draining = true;
    listeners_close(guest);
    if (TAILQ_EMPTY(&guest->clients))
        service_done(&guest->service);
    for (client = TAILQ_FIRST(&guest->clients); client != NULL; client = next) {
        next = TAILQ_NEXT(client, entry);
        client_drain(client);
    }
}

static void on_end(void *ctx)
{
    struct guest *guest = ctx;
    struct client *client;

    listeners_close(guest);
    TAILQ_FOREACH (client, &guest->clients, entry)
        client_close(client);
    uplink_close_streams(guest);
    totals_log(&guest->totals);
    totals_close(&guest->totals);
    gate_close(&guest->gate);
    mux_uv_loop_close(&guest->mux_loop);
}

static const struct service_hooks hooks = {.drain = on_drain, .end = on_end};

static const struct total counts[COUNT_END + 1] = {
    [COUNT_SESSIONS] = {.name = "sessions"}, [COUNT_DETACHES] = {.name = "detaches"},
    [COUNT_RESUMES] = {.name = "resumes"},   [COUNT_REPLAYED_BYTES] = {.name = "replayed_bytes"},
    [COUNT_REFUSALS] = {.name = "refusals"}, [COUNT_NOT_AMQP] = {.name = "not_amqp"},
};

static int prepare(struct guest *guest)
{
    const struct guest_config *config = &guest->config;
    uint32_t open_timeout_ms =
        config->ping_timeout_ms < OPEN_TIMEOUT_MS ? (uint32_t)config->ping_timeout_ms : OPEN_TIMEOUT_MS;
    char why[256];

    TAILQ_INIT(&guest->clients);
    TAILQ_INIT(&guest->streams);
    gate_init(&guest->gate, &guest->loop);
    memcpy(guest->counts, counts, sizeof(counts));
    totals_init(&guest->totals, &guest->loop, guest->counts, config->totals_interval_ms);
    TAILQ_INIT(&guest->listeners);
    if (vmci_endpoint_parse(&guest->host, config->host, why, sizeof(why)) < 0) {
        log_error(NULL, "bad host", LOG_STR("reason", why)); /* the settings were checked: never */
        return -1;
    }
    guest->vmci = (struct vmci_settings){.fabric = config->fabric, .local_cid = config->cid};
    service_name(guest->name, sizeof(guest->name), config->name);
    guest->link_config = (struct mux_link_config){.opener = true,
                                                  .role = MUX_ROLE_GUEST,
                                                  .peer_role = MUX_ROLE_HOST,
                                                  .name = guest->name,
                                                  .instance = service_instance()};
    guest->session_config = (struct mux_session_config){
        .window_bytes = (uint32_t)config->window_bytes,
        .ack_delay_ms = ACK_DELAY_MS,
        .ping_interval_ms = (uint32_t)config->ping_interval_ms,
        .ping_timeout_ms = (uint32_t)config->ping_timeout_ms,
        .open_timeout_ms = open_timeout_ms,
        .connect_timeout_ms = (uint32_t)config->connect_timeout_ms,
    };
    return 0;
}

int main(int argc, char **argv)
{
    static struct guest guest;
    int code = config_run(&guest_program, argc, argv, &guest.config);

    if (code != CONFIG_RUN)
        return code;
    uv_loop_init(&guest.loop);
    if (service_init(&guest.service, &guest.loop, &guest.config.service, &hooks, &guest) < 0)
        return 1;
    mux_uv_loop_init(&guest.mux_loop, &guest.loop);
    if (prepare(&guest) == 0 && listeners_open(&guest) == 0)
        service_ready(&guest.service);
    else
        service_fail(&guest.service);
    code = service_run(&guest.service);
    mux_uv_loop_deinit(&guest.mux_loop);
    uv_loop_close(&guest.loop);
    config_free(&guest_program, &guest.config);
    return code;
}
