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

/* --- What a dialer is made of --- */

/* Fills in the address when it is a number or a Unix socket's; room for NET_DIALER_ADDRESSES. How many: 0 for
 * a name. */
unsigned net_address_numbers(const struct net_address *address, struct sockaddr_storage *found);

struct net_lookup; /* of one name, on a thread of libuv's; frees itself */

/* The lookup has ended and is gone. `status`: 0, and there is an address at least; or a negative error code.
 */
typedef void (*net_found_fn)(void *ctx, int status, const struct sockaddr_storage *found, unsigned count);

/* Begins to look a NET_TCP address up. The callback comes once, from the loop. 0, or an error code: then
 * there is no lookup. */
int net_lookup_start(struct net_lookup **lookup, uv_loop_t *loop, const struct net_address *address,
                     net_found_fn found, void *ctx);

/* Before the callback: it does not come any more. The thread may run on for a while. */
void net_lookup_cancel(struct net_lookup *lookup);

/* Begins to connect. 0: connected; -EINPROGRESS: wait until the descriptor is writable; both times it is the
 * caller's. Any other error code: *fd is -1. */
int net_connect(const struct sockaddr *address, int *fd);

/* How that went: 0, -EINPROGRESS as long as it goes on, or another error code. */
int net_connect_outcome(int fd);

/* As net_dial, with the name looked up already: these addresses are tried (NET_DIALER_ADDRESSES at most,
 * copied). None: it is looked up. */
int net_dial_found(struct net_dialer **dialer, uv_loop_t *loop, const struct net_address *address,
                   const struct sockaddr_storage *found, unsigned count, uint64_t timeout_ms,
                   net_dialed_fn dialed, void *ctx);

#endif
