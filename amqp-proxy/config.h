/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of amqp-proxy. */
#ifndef AMQP_PROXY_CONFIG_H
#define AMQP_PROXY_CONFIG_H

#include "service/config.h"
#include "service/daemon.h"
#include "service/net.h"

struct amqp_config {
    struct service_settings service;
    struct config_list listen;
    struct config_list brokers;
    struct config_list services; /* NAME=HOST:PORT */
    char *name;
    size_t window_bytes;
    unsigned max_sessions;
    uint64_t detach_timeout_ms;
    size_t detached_memory_bytes;
    uint64_t totals_interval_ms;
    uint64_t broker_timeout_ms;
    uint64_t handshake_timeout_ms;
    uint64_t ping_interval_ms;
    uint64_t ping_timeout_ms;
};

extern const struct config_program amqp_program;

/*
 * Split "NAME=HOST:PORT". 0, or -EINVAL with what is wrong in `why`. `*name_len` is the length of the name at
 * the start of `text`.
 */
int amqp_service_parse(const char *text, size_t *name_len, struct net_address *address, char *why,
                       size_t why_size);

#endif
