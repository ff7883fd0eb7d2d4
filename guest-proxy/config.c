/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-proxy/config.h"

#include "mux/frame.h"
#include "service/daemon.h"
#include "service/net.h"
#include "vmci/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_of(const char *transport, const char *endpoint)
{
    return strncmp(endpoint, transport, strlen(transport)) == 0;
}

static int check_host(const char *value, char *why, size_t why_size)
{
    struct vmci_endpoint endpoint;
    int rc = vmci_endpoint_parse(&endpoint, value, why, why_size);

    if (rc == 0 && is_of("hybrid:", value)) {
        snprintf(why, why_size,
                 "hybrid is the host's side: a guest says vsock:CID:PORT, or embedded:CID:PORT");
        return -EINVAL;
    }
    return rc < 0 ? rc : vmci_endpoint_can_connect(&endpoint, why, why_size);
}

static const struct config_setting settings[] = {
    CONFIG_LIST(struct guest_config, listen, .name = "listen", .initial = "127.0.0.1:5672 [::1]:5672",
                .metavar = "ADDRESS", .check = net_address_check,
                .help = "where AMQP clients connect: HOST:PORT or unix:PATH"),
    CONFIG_STRING(struct guest_config, host, .name = "host", .initial = "vsock:2:5672", .metavar = "ENDPOINT",
                  .check = check_host, .help = "the host proxy: vsock:CID:PORT or embedded:CID:PORT"),
    CONFIG_UNSIGNED(struct guest_config, cid, .name = "cid", .min = 0, .max = UINT32_MAX - 1, .metavar = "N",
                    .help = "embedded: the context id of this machine (otherwise $VMCI_CID)"),
    CONFIG_STRING(struct guest_config, fabric, .name = "fabric", .metavar = "DIR",
                  .help = "embedded: the fabric's folder (otherwise $VMCI_FABRIC, or amqp-vsock/fabric in "
                          "the runtime folder)"),
    CONFIG_STRING(struct guest_config, name, .name = "name", .metavar = "NAME", .check = service_name_check,
                  .help = "what this machine calls itself in logs (otherwise its host name)"),
    CONFIG_SIZE(struct guest_config, window_bytes, .name = "window", .initial = "512k",
                .min = MUX_INITIAL_CREDIT, .max = 64u << 20,
                .help = "most that is kept in memory per session and direction"),
    CONFIG_DURATION(struct guest_config, connect_timeout_ms, .name = "connect-timeout", .initial = "30s",
                    .min = 100, .max = 3600000,
                    .help = "how long a client waits for the host proxy and its link"),
    CONFIG_DURATION(struct guest_config, handshake_timeout_ms, .name = "handshake-timeout", .initial = "10s",
                    .min = 100, .max = 3600000,
                    .help = "how long a client may take to say the AMQP protocol header"),
    CONFIG_DURATION(struct guest_config, ping_interval_ms, .name = "ping-interval", .initial = "10s",
                    .min = 100, .max = 3600000, .help = "how often an idle session is checked end to end"),
    CONFIG_DURATION(struct guest_config, ping_timeout_ms, .name = "ping-timeout", .initial = "10s",
                    .min = 100, .max = 3600000, .help = "how long a check may remain without an answer"),
    CONFIG_DURATION(struct guest_config, totals_interval_ms, .name = "totals-interval", .initial = "60s",
                    .max = 86400000,
                    .help = "how often the counters are logged, when they changed; 0: only at the end"),
    SERVICE_SETTINGS(struct guest_config, service),
    CONFIG_END,
};

static const struct config_setting service_settings[] = {
    CONFIG_LIST(struct guest_service_config, listen, .name = "listen", .metavar = "ADDRESS", .required = true,
                .check = net_address_check, .help = "where its clients connect: HOST:PORT or unix:PATH"),
    CONFIG_END,
};

static const struct config_section sections[] = {
    CONFIG_SECTION(struct guest_config, services, services_count, struct guest_service_config, name,
                   .name = "service", .metavar = "NAME",
                   .help = "another protocol, passed through unread to the AMQP proxy's service NAME",
                   .settings = service_settings),
    {.name = NULL},
};

static void check(const void *loaded, struct config_load *load)
{
    const struct guest_config *config = loaded;

    if (is_of("embedded:", config->host) && config->cid == 0 && getenv("VMCI_CID") == NULL)
        config_fault(load, "host",
                     "embedded needs to know which machine this is: --cid, or VMCI_CID in the environment");
}

const struct config_program guest_program = {
    .name = "guest-proxy",
    .summary = "Accepts AMQP clients in a virtual machine and takes each to the host proxy over a vsock "
               "stream of its own.",
    .settings = settings,
    .sections = sections,
    .check = check,
};
