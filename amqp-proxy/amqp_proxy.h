/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: what its parts share. */
#ifndef AMQP_PROXY_AMQP_PROXY_H
#define AMQP_PROXY_AMQP_PROXY_H

#include "amqp-proxy/broker.h"
#include "amqp-proxy/config.h"
#include "amqp-proxy/detached.h"
#include "mux/registry.h"
#include "mux/session.h"
#include "mux/uv/loop.h"
#include "service/log.h"
#include "service/totals.h"

#include <sys/queue.h>

struct far_session;
struct host_link;
struct link_listener;

TAILQ_HEAD(far_session_list, far_session);
TAILQ_HEAD(host_link_list, host_link);
TAILQ_HEAD(link_listener_list, link_listener);

/* What is counted; main.c names the rows. */
enum amqp_count {
    COUNT_SESSIONS,
    COUNT_REFUSED,
    COUNT_DETACHES,
    COUNT_RESUMES,
    COUNT_RESUMES_REFUSED,
    COUNT_REPLAYED_BYTES,
    COUNT_EXPIRED,
    COUNT_END,
};

struct amqp_proxy {
    struct amqp_config config;
    struct service service;
    uv_loop_t loop;
    struct mux_uv_loop mux_loop;
    struct mux_link_config link_config;
    struct mux_session_config session_config;
    struct mux_registry registry;
    struct broker_set brokers;
    struct link_listener_list listeners;
    struct host_link_list links;
    struct far_session_list sessions;
    unsigned session_count;
    struct detached_set detached;
    struct total counts[COUNT_END + 1]; /* by enum amqp_count */
    struct totals totals;
    bool draining;
    char name[64];
};

/* Called when something is gone: during a drain the daemon ends with the last session. */
void amqp_proxy_maybe_done(struct amqp_proxy *proxy);

#endif
