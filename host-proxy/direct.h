/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct mode: host-proxy is the far edge of its guests' sessions and speaks AMQP to the broker itself, with
 * the channels of all of them on one connection (amqp/DIRECT.md).
 */
#ifndef HOST_PROXY_DIRECT_H
#define HOST_PROXY_DIRECT_H

#include "host-proxy/direct_session.h"
#include "host-proxy/pool.h"
#include "host-proxy/upstream_url.h"

struct host;

struct direct {
    struct host *host; /* NULL: host-proxy is in tunnel mode */
    struct amqp_front_config front;
    struct upstream_url url;
    struct mux_uv_tls *tls; /* amqps; NULL: amqp */
    struct pool pool;
    struct far_set sessions;
    const char **exchange_types; /* ends with NULL */
    const char **queue_types;    /* likewise; NULL: all */
    uint64_t broker_wait_ms;
    const char *vhost;               /* the only one, with a fixed identity; NULL: the client's */
    struct guest_entry *opening;     /* whose OPEN is being looked at */
    uint8_t out[AMQP_HUB_WRITE_MIN]; /* what a member has to say, on its way into its session */
};

/* From the settings, which were checked; takes the URL over. 0 or -1 after logging what is wrong. */
int direct_init(struct direct *direct, struct host *host, struct upstream_url *url);
void direct_deinit(struct direct *direct);

/* An OPEN came on a guest's stream. False: it was refused, and the guest has been told. */
bool direct_open(struct direct *direct, struct guest *stream, struct mux_link *link,
                 struct guest_entry *guest, uint32_t number, const struct mux_open *open);

/* Take no new sessions, and tell those there are that it is over. */
void direct_drain(struct direct *direct);

/* Is nothing left of the sessions and connections? During a drain host_maybe_done is called whenever this
 * may have turned true. */
bool direct_is_empty(const struct direct *direct);

/* End all at once; the handles are closed once the loop has turned. */
void direct_close(struct direct *direct);

/* A session is gone. */
void direct_session_ended(struct direct *direct);

#endif
