/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp-proxy/config.h"

#include "mux/frame.h"
#include "service/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int amqp_service_parse(const char *text, size_t *name_len, struct net_address *address, char *why,
                       size_t why_size)
{
    const char *equals = strchr(text, '=');

    if (equals == NULL || equals == text) {
        snprintf(why, why_size, "\"%s\" is not a service: NAME=HOST:PORT is expected", text);
        return -EINVAL;
    }
    *name_len = (size_t)(equals - text);
    if (*name_len > MUX_ATTR_MAX) {
        snprintf(why, why_size, "the name of a service has at most %u bytes", MUX_ATTR_MAX);
        return -EINVAL;
    }
    return net_address_parse(address, equals + 1, why, why_size);
}

static int check_service(const char *value, char *why, size_t why_size)
{
    struct net_address address;
    size_t name_len;

    return amqp_service_parse(value, &name_len, &address, why, why_size);
}

static const struct config_setting settings[] = {
    CONFIG_LIST(struct amqp_config, listen, .name = "listen", .initial = "127.0.0.1:5680",
                .metavar = "ADDRESS", .check = net_address_check, .help = "where host proxies connect"),
    CONFIG_LIST(
        struct amqp_config, brokers, .name = "broker", .initial = "127.0.0.1:5672", .metavar = "HOST:PORT",
        .check = net_address_check,
        .help = "a RabbitMQ node; several are taken in turn, and one that fails or is silent keeps nobody "
                "from the others"),
    CONFIG_LIST(
        struct amqp_config, services, .name = "service", .metavar = "NAME=HOST:PORT", .check = check_service,
        .help = "another protocol that guests may reach by name; several of one name are taken in turn"),
    CONFIG_STRING(struct amqp_config, name, .name = "name", .metavar = "NAME", .check = service_name_check,
                  .help = "what this proxy calls itself (otherwise its host name)"),
    CONFIG_SIZE(struct amqp_config, window_bytes, .name = "window", .initial = "512k",
                .min = MUX_INITIAL_CREDIT, .max = 64u << 20,
                .help = "most that is kept in memory per session and direction"),
    CONFIG_UNSIGNED(struct amqp_config, max_sessions, .name = "max-sessions", .initial = "50000", .min = 1,
                    .max = 1000000, .help = "sessions at once"),
    CONFIG_DURATION(struct amqp_config, detach_timeout_ms, .name = "detach-timeout", .initial = "60s",
                    .min = 100, .max = 86400000,
                    .help = "how long a session whose transport broke waits to be resumed"),
    CONFIG_SIZE(
        struct amqp_config, detached_memory_bytes, .name = "detached-memory", .initial = "256M", .min = 0,
        .help = "most that all detached sessions together may hold; beyond it the longest detached end"),
    CONFIG_DURATION(struct amqp_config, broker_timeout_ms, .name = "broker-timeout", .initial = "5s",
                    .min = 100, .max = 600000, .help = "how long one broker may take to accept a connection"),
    CONFIG_DURATION(struct amqp_config, handshake_timeout_ms, .name = "handshake-timeout", .initial = "10s",
                    .min = 100, .max = 3600000, .help = "how long a host proxy may take to say HELLO"),
    CONFIG_DURATION(struct amqp_config, ping_interval_ms, .name = "ping-interval", .initial = "5s",
                    .min = 100, .max = 3600000, .help = "how often an idle link is checked"),
    CONFIG_DURATION(struct amqp_config, ping_timeout_ms, .name = "ping-timeout", .initial = "5s", .min = 100,
                    .max = 3600000, .help = "how long a check may remain without an answer"),
    CONFIG_DURATION(struct amqp_config, totals_interval_ms, .name = "totals-interval", .initial = "60s",
                    .max = 86400000,
                    .help = "how often the counters are logged, when they changed; 0: only at the end"),
    SERVICE_SETTINGS(struct amqp_config, service),
    CONFIG_END,
};

const struct config_program amqp_program = {
    .name = "amqp-proxy",
    .summary = "Takes the sessions of host proxies to RabbitMQ, a broker connection for each.",
    .settings = settings,
};
