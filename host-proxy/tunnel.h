/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one link to the AMQP proxy, for all sessions of all guests. Dialled again with backoff whenever it is
 * down.
 *
 *     WAITING ──► DIALING ──► UP ──► (down) ──► WAITING        any ──► CLOSED
 */
#ifndef HOST_PROXY_TUNNEL_H
#define HOST_PROXY_TUNNEL_H

#include "mux/uv/link.h"
#include "service/net.h"

struct host;
struct tunnel_link;

enum tunnel_state { TUNNEL_WAITING, TUNNEL_DIALING, TUNNEL_UP, TUNNEL_CLOSED };

struct tunnel {
    struct host *host;
    enum tunnel_state state;
    struct net_address address;
    struct mux_link_config link_config;
    struct net_dialer *dialer; /* DIALING */
    struct tunnel_link *link;  /* UP */
    bool going_away;           /* UP: the peer said GOAWAY */
    struct backoff backoff;
    uv_timer_t retry;
    struct log_limit failures;
    char object[NET_NAME_MAX + 8]; /* for log lines */
    char failure[256];             /* why it is not up */
};

/* Begins to dial. The host must be set up but for the tunnel. */
void tunnel_open(struct tunnel *tunnel, struct host *host, const struct net_address *address);

/* The link for a new session, or NULL: tunnel->failure says why there is none. */
struct mux_link *tunnel_link(struct tunnel *tunnel);

/* Close the link; the handles are closed once the loop has turned. Idempotent. */
void tunnel_close(struct tunnel *tunnel);

#endif
