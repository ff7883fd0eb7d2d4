/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: what its parts share. */
#ifndef AMQP_PROXY_AMQP_PROXY_H
#define AMQP_PROXY_AMQP_PROXY_H

#include "amqp-proxy/broker.h"
#include "amqp-proxy/config.h"
#include "mux/uv/loop.h"
#include "service/daemon.h"
#include "service/far.h"
#include "service/log.h"

#include <sys/queue.h>

struct host_link;
struct link_listener;

TAILQ_HEAD(host_link_list, host_link);
TAILQ_HEAD(link_listener_list, link_listener);

struct amqp_proxy {
    struct amqp_config config;
    struct service service;
    uv_loop_t loop;
    struct mux_uv_loop mux_loop;
    struct mux_link_config link_config;
    struct broker_set brokers;
    struct link_listener_list listeners;
    struct host_link_list links;
    struct far_set sessions;
    char name[SERVICE_NAME_MAX];
};

/* Called when something is gone: during a drain the daemon ends with the last session. */
void amqp_proxy_maybe_done(struct amqp_proxy *proxy);

#endif
