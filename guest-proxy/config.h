/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of guest-proxy. */
#ifndef GUEST_PROXY_CONFIG_H
#define GUEST_PROXY_CONFIG_H

#include "service/config.h"
#include "service/daemon.h"

/* [service NAME]: another protocol than AMQP, passed through unread. */
struct guest_service_config {
    char *name;
    struct config_list listen;
};

struct guest_config {
    struct service_settings service;
    struct config_list listen;
    char *host;
    unsigned cid;
    char *fabric;
    char *name;
    size_t window_bytes;
    uint64_t connect_timeout_ms;
    uint64_t handshake_timeout_ms;
    uint64_t totals_interval_ms;
    uint64_t ping_interval_ms;
    uint64_t ping_timeout_ms;
    struct guest_service_config *services;
    size_t services_count;
};

extern const struct config_program guest_program;

#endif
