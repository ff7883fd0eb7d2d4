/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/config.h"

#include "mux/frame.h"
#include "service/net.h"
#include "vmci/transport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char tunnel_scheme[] = "tunnel://";

const char *host_upstream_address(const char *upstream)
{
    return upstream + strlen(tunnel_scheme);
}

static int check_guests(const char *value, char *why, size_t why_size)
{
    struct vmci_endpoint endpoint;
    int rc = vmci_endpoint_parse(&endpoint, value, why, why_size);

    return rc < 0 ? rc : vmci_endpoint_can_listen(&endpoint, why, why_size);
}

static int check_upstream(const char *value, char *why, size_t why_size)
{
    if (strncmp(value, tunnel_scheme, strlen(tunnel_scheme)) != 0) {
        snprintf(why, why_size, "\"%s\" is not an upstream: tunnel://HOST:PORT is expected", value);
        return -EINVAL;
    }
    return net_address_check(host_upstream_address(value), why, why_size);
}

static const struct config_choice host_on_stop_choices[] = {
    {"handover", HOST_ON_STOP_HANDOVER}, {"close", HOST_ON_STOP_CLOSE}, {NULL, 0}};

static const struct config_setting settings[] = {
    CONFIG_LIST(struct host_config, guests, .name = "guests", .initial = "vsock:any:5672",
                .metavar = "ENDPOINT", .check = check_guests,
                .help = "where guests connect: vsock:any:PORT, embedded:PORT or hybrid:GLOB:PORT"),
    CONFIG_STRING(struct host_config, upstream, .name = "upstream", .required = true,
                  .metavar = "tunnel://HOST:PORT", .check = check_upstream,
                  .help = "the AMQP proxy that all sessions go to"),
    CONFIG_STRING(struct host_config, fabric, .name = "fabric", .metavar = "DIR",
                  .help = "embedded: the fabric's folder (otherwise $VMCI_FABRIC, or amqp-vsock/fabric in "
                          "the runtime folder)"),
    CONFIG_STRING(struct host_config, name, .name = "name", .metavar = "NAME",
                  .help = "what this host calls itself (otherwise its host name)"),
    CONFIG_SIZE(struct host_config, window_bytes, .name = "window", .initial = "1M",
                .min = MUX_INITIAL_CREDIT, .max = 64u << 20,
                .help = "most that may wait here for one session's guest"),
    CONFIG_UNSIGNED(struct host_config, max_sessions, .name = "max-sessions", .initial = "20000", .min = 1,
                    .max = 1000000, .help = "sessions at once, of all guests"),
    CONFIG_UNSIGNED(struct host_config, max_sessions_per_guest, .name = "max-sessions-per-guest",
                    .initial = "10000", .min = 1, .max = 1000000, .help = "sessions at once, of one guest"),
    CONFIG_DURATION(struct host_config, handshake_timeout_ms, .name = "handshake-timeout", .initial = "10s",
                    .min = 100, .max = 3600000,
                    .help = "how long a guest's stream may take to open its session"),
    CONFIG_DURATION(struct host_config, guest_idle_timeout_ms, .name = "guest-idle-timeout", .initial = "60s",
                    .min = 1000, .max = 86400000, .help = "when a silent guest's stream is given up"),
    CONFIG_ENUM(struct host_config, on_stop, .name = "on-stop", .initial = "handover",
                .choices = host_on_stop_choices,
                .help = "what SIGTERM means for sessions: handover leaves them to resume through this host "
                        "proxy's successor, "
                        "close ends them"),
    CONFIG_DURATION(struct host_config, ping_interval_ms, .name = "ping-interval", .initial = "5s",
                    .min = 100, .max = 3600000, .help = "how often an idle link is checked"),
    CONFIG_DURATION(struct host_config, ping_timeout_ms, .name = "ping-timeout", .initial = "5s", .min = 100,
                    .max = 3600000, .help = "how long a check may remain without an answer"),
    SERVICE_SETTINGS(struct host_config, service),
    CONFIG_END,
};

static const struct config_setting vm_settings[] = {
    CONFIG_UNSIGNED(struct host_vm_config, cid, .name = "cid", .required = true, .min = 3,
                    .max = UINT32_MAX - 1, .metavar = "N", .help = "its context id"),
    CONFIG_END,
};

static const struct config_section sections[] = {
    CONFIG_SECTION(struct host_config, vms, vms_count, struct host_vm_config, name, .name = "vm",
                   .metavar = "NAME", .help = "a machine of a hybrid transport", .settings = vm_settings),
    {.name = NULL},
};

const struct config_program host_program = {
    .name = "host-proxy",
    .summary = "Accepts the guests of a hypervisor over vsock and takes all their sessions over one link to "
               "the AMQP proxy.",
    .settings = settings,
    .sections = sections,
};
