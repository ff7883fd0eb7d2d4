/* SPDX-License-Identifier: Apache-2.0 */
/* Streams that come in at a place: VMCI's, TCP's or a Unix socket's. */
#ifndef VMCI_NC_LISTENER_H
#define VMCI_NC_LISTENER_H

#include "vmci/nc/loop.h"
#include "vmci/nc/place.h"

struct nc_listener {
    struct nc_watch watch;
    struct vmci_listener *vmci; /* NULL: fd is a plain one */
    int fd;
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* to be removed in the end; or "" */
    /* A stream, which does not block and is the callee's. May pause and close the listener. */
    void (*accepted)(struct nc_listener *listener, int fd, const char *peer);
};

/* Binds and listens; accepted is set. 0 or -errno with the reason, and then there is nothing to close. */
int nc_listener_open(struct nc_loop *loop, struct nc_listener *listener, const struct nc_place *place,
                     const struct vmci_err *err);

/* Whoever comes waits in the backlog until nc_listener_resume(). */
void nc_listener_pause(struct nc_listener *listener);
void nc_listener_resume(struct nc_listener *listener);

/* Idempotent. */
void nc_listener_close(struct nc_listener *listener);

/* Binds fd to a path, in place of a socket there that nobody has any more. 0 or -errno. Also for datagram
 * sockets. */
int nc_bind_path(int fd, const struct sockaddr_un *address);

#endif
