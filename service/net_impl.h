/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_NET_IMPL_H
#define SERVICE_NET_IMPL_H

/* What the parts of net.h share. */

#include "service/net.h"

/* The libuv code of a getaddrinfo(3) result: UV_EAI_..., or -errno for EAI_SYSTEM; 0 for 0. */
int net_lookup_error(int eai);

/* Fills a socket address for the path of a NET_UNIX address. */
void net_unix_sockaddr(const struct net_address *address, struct sockaddr_un *sockaddr);

/* The bytes of a socket address that count, by its family. */
socklen_t net_sockaddr_length(const struct sockaddr *sockaddr);

/* Writes "127.0.0.1:5672", "[::1]:5672", "unix:PATH", "unix" or "?". Returns `name`, cut to its size. */
const char *net_sockaddr_name(const struct sockaddr *sockaddr, char *name, size_t size);

/* Turns Nagle's algorithm off where there is one. */
void net_set_nodelay(int fd);

/* As net_dial, with the name looked up already: these addresses are tried (1 to NET_DIALER_ADDRESSES,
 * copied). */
int net_dial_found(struct net_dialer **dialer, uv_loop_t *loop, const struct net_address *address,
                   const struct sockaddr_storage *found, unsigned count, uint64_t timeout_ms,
                   net_dialed_fn dialed, void *ctx);

#endif
