/* SPDX-License-Identifier: Apache-2.0 */
/* Where clients connect: the AMQP addresses, and those of the services. */
#ifndef GUEST_PROXY_LISTENERS_H
#define GUEST_PROXY_LISTENERS_H

#include "guest-proxy/guest.h"

/*
 * Listen on every address of the settings. 0, or -1 after logging what can't be listened on. A default
 * address that this machine does not have (::1 without IPv6) is only a warning as long as another one works.
 */
int listeners_open(struct guest *guest);

/* Take no new clients, and give up the sockets. Idempotent. */
void listeners_close(struct guest *guest);

#endif
