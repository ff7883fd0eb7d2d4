/* SPDX-License-Identifier: Apache-2.0 */
/* Where guests connect. */
#ifndef HOST_PROXY_GUESTS_H
#define HOST_PROXY_GUESTS_H

#include "host-proxy/host.h"

/* Listen on every endpoint of the settings. 0, or -1 after logging what can't be listened on. */
int guests_listen(struct host *host);

/* Take no new streams, and give up the sockets. Idempotent. */
void guests_stop(struct host *host);

#endif
