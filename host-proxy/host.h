/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: what its parts share. */
#ifndef HOST_PROXY_HOST_H
#define HOST_PROXY_HOST_H

#include "host-proxy/config.h"
#include "host-proxy/direct.h"
#include "host-proxy/guest_table.h"
#include "host-proxy/tunnel.h"
#include "mux/link.h"
#include "mux/uv/loop.h"
#include "service/daemon.h"
#include "service/log.h"

#include <sys/queue.h>

struct guest;
struct guest_listener;

TAILQ_HEAD(guest_list, guest);
TAILQ_HEAD(guest_listener_list, guest_listener);

struct host {
    struct host_config config;
    struct service service;
    uv_loop_t loop;
    struct mux_uv_loop mux_loop;
    struct mux_link_config guest_link_config;
    struct tunnel tunnel; /* one of these two is in use */
    struct direct direct;
    struct guest_listener_list listeners;
    struct guest_list guests; /* streams, and relays that outlive theirs */
    struct guest_table guest_table;
    bool draining;
    char name[SERVICE_NAME_MAX];
};

static inline bool host_is_direct(const struct host *host)
{
    return host->direct.host != NULL;
}

/* Called when something is gone: during a drain the daemon ends with the last of it. */
void host_maybe_done(struct host *host);

#endif
