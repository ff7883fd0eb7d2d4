/* SPDX-License-Identifier: Apache-2.0 */
/* One guest stream, and the session that it carries through this host. */
#ifndef HOST_PROXY_GUEST_H
#define HOST_PROXY_GUEST_H

#include "host-proxy/host.h"
#include "vmci/transport.h"

/* A guest connected; the descriptor is taken over. */
void guest_open(struct host *host, int fd, const struct vmci_peer *peer);

/* Direct mode: the session is not on this stream any more. `peer_waits`: for the stream to be closed. */
void guest_session_left(struct guest *guest, bool peer_waits);

/* Tunnel mode: end the session, telling both edges. A stream without a session is closed in either mode. */
void guest_end_session(struct guest *guest, enum mux_code code, const char *reason);

/* Close the stream: the session is resumed elsewhere, or later. */
void guest_close(struct guest *guest, const char *reason);

/* The stream after this one in host->guests; NULL: none. */
struct guest *guest_next(struct guest *guest);

#endif
