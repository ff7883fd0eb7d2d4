/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to a broker, as the bench's AMQP clients make it. What fails is fatal, as in net.h. */
#ifndef BENCH_AMQP_CLIENT_H
#define BENCH_AMQP_CLIENT_H

#include "net.h"

#include <amqp.h>

#define BENCH_CHANNEL 1

/* The reply to WHAT must be good. */
void bench_require(amqp_rpc_reply_t reply, const char *what);

/* Logs in as guest, without heartbeats, and opens BENCH_CHANNEL. */
amqp_connection_state_t bench_amqp_connect(const struct sockaddr_in *target);

void bench_amqp_disconnect(amqp_connection_state_t connection);

#endif
