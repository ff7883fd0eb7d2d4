/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One session and its broker connection. The session is accepted at once and its early bytes are kept while
 * the broker is dialled; when either ends, so does the other, after what was sent has been delivered.
 */
#ifndef AMQP_PROXY_AMQP_SESSION_H
#define AMQP_PROXY_AMQP_SESSION_H

#include "amqp-proxy/amqp_proxy.h"

/* For the far_set that is amqp_proxy.sessions. */
extern const struct far_ops amqp_session_far_ops;

/* End every session with "shutting down", after what the broker sent was delivered. */
void amqp_sessions_drain(struct amqp_proxy *proxy);

/* Close every session at once. */
void amqp_sessions_close(struct amqp_proxy *proxy);

#endif
