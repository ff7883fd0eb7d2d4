/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: what its parts share. */
#ifndef GUEST_PROXY_GUEST_H
#define GUEST_PROXY_GUEST_H

#include "guest-proxy/config.h"
#include "guest-proxy/gate.h"
#include "mux/session.h"
#include "mux/uv/loop.h"
#include "service/daemon.h"
#include "service/totals.h"
#include "vmci/transport.h"

#include <sys/queue.h>

struct client;
struct guest_stream;
struct listener;

TAILQ_HEAD(client_list, client);
TAILQ_HEAD(guest_stream_list, guest_stream);
TAILQ_HEAD(listener_list, listener);

/* What is counted; main.c names the rows. */
enum guest_count {
    COUNT_SESSIONS,
    COUNT_DETACHES,
    COUNT_RESUMES,
    COUNT_REPLAYED_BYTES,
    COUNT_REFUSALS,
    COUNT_NOT_AMQP,
    COUNT_END,
};

struct guest {
    struct guest_config config;
    struct service service;
    uv_loop_t loop;
    struct mux_uv_loop mux_loop;
    struct vmci_endpoint host;
    struct vmci_settings vmci;
    struct mux_link_config link_config;
    struct mux_session_config session_config;
    struct gate gate;
    struct client_list clients;
    struct guest_stream_list streams; /* also those that no client wants any more */
    struct listener_list listeners;
    struct total counts[COUNT_END + 1]; /* by enum guest_count */
    struct totals totals;
    bool draining;
    char name[SERVICE_NAME_MAX]; /* of this machine */
};

#endif
