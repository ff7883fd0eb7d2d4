/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets made and closed. dup(), fork() and exec() need no help: the memo is in the socket. */
#include <sys/socket.h>
#include <unistd.h>

#include "vmci/interpose/interpose.h"

static bool is_for_us(int family)
{
    return interpose_depth == 0 && family == AF_VSOCK && interpose_wanted();
}

VMCI_INTERPOSE int socket(int family, int type, int protocol)
{
    if (is_for_us(family))
        return result(WITHIN(vmci_socket_open(type, protocol)));
    return NEXT(socket)(family, type, protocol);
}

/* As the kernel says it for this family. */
VMCI_INTERPOSE int socketpair(int family, int type, int protocol, int fds[2])
{
    if (is_for_us(family))
        return result(-EOPNOTSUPP);
    return NEXT(socketpair)(family, type, protocol, fds);
}

VMCI_INTERPOSE int close(int fd)
{
    return ours(fd) ? result(WITHIN(vmci_socket_close(fd))) : NEXT(close)(fd);
}
