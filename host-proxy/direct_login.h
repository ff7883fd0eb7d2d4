/* SPDX-License-Identifier: Apache-2.0 */
/* How a client gets into a hub: who it is, where it wants to go, and what it is told while no broker is
 * there. */
#ifndef HOST_PROXY_DIRECT_LOGIN_H
#define HOST_PROXY_DIRECT_LOGIN_H

#include "host-proxy/direct_session.h"

/* For a session's member and waiter. */
extern const struct amqp_member_ops direct_login_member_ops;
extern const struct shared_waiter_ops direct_login_waiter_ops;

/* The session's wait_ms is over: the client is told why there is no connection for it. */
void direct_login_expired(struct direct_session *ds);

#endif
