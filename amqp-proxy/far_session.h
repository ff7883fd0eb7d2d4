/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The far edge of one session and its broker connection. The session is accepted at once and its early bytes
 * are kept while the broker is dialled; when either ends, so does the other, after what was sent has been
 * delivered.
 */
#ifndef AMQP_PROXY_FAR_SESSION_H
#define AMQP_PROXY_FAR_SESSION_H

#include "amqp-proxy/amqp_proxy.h"

/* An OPEN came on a link: accept it, resume what it names, or refuse it. `object` is the link's, for log
 * lines. */
void far_session_open(struct amqp_proxy *proxy, struct mux_link *link, uint32_t number,
                      const struct mux_open *open, const char *object);

/* End every session with "shutting down", after what the broker sent was delivered. */
void far_sessions_drain(struct amqp_proxy *proxy);

/* Close every session at once. */
void far_sessions_close(struct amqp_proxy *proxy);

#endif
