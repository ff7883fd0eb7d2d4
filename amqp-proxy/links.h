/* SPDX-License-Identifier: Apache-2.0 */
/* The links of host proxies: where they connect, and what comes in on them. */
#ifndef AMQP_PROXY_LINKS_H
#define AMQP_PROXY_LINKS_H

#include "amqp-proxy/amqp_proxy.h"

/* Listen on every address of the settings. 0, or -1 after logging what can't be listened on. */
int links_listen(struct amqp_proxy *proxy);

/* Take no new links, and tell the peers of those there are to open no more sessions. Idempotent. */
void links_stop(struct amqp_proxy *proxy);

/* Close all links. */
void links_close(struct amqp_proxy *proxy);

#endif
