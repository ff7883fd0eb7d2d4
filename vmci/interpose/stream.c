/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and connections. */
#include <sys/socket.h>

#include "vmci/interpose/interpose.h"

VMCI_INTERPOSE int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    if (ours(fd))
        return result(WITHIN(vmci_socket_bind(fd, address.__sockaddr__, length)));
    return NEXT(bind)(fd, address, length);
}

VMCI_INTERPOSE int listen(int fd, int backlog)
{
    return ours(fd) ? result(WITHIN(vmci_socket_listen(fd, backlog))) : NEXT(listen)(fd, backlog);
}

VMCI_INTERPOSE int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    if (ours(fd))
        return result(WITHIN(vmci_socket_connect(fd, address.__sockaddr__, length)));
    return NEXT(connect)(fd, address, length);
}

VMCI_INTERPOSE int accept4(int fd, __SOCKADDR_ARG address, socklen_t *length, int flags)
{
    if (ours(fd))
        return result(WITHIN(vmci_socket_accept(fd, address.__sockaddr__, length, flags)));
    return NEXT(accept4)(fd, address, length, flags);
}

VMCI_INTERPOSE int accept(int fd, __SOCKADDR_ARG address, socklen_t *length)
{
    if (ours(fd))
        return result(WITHIN(vmci_socket_accept(fd, address.__sockaddr__, length, 0)));
    return NEXT(accept)(fd, address, length);
}

VMCI_INTERPOSE int getsockname(int fd, __SOCKADDR_ARG address, socklen_t *length)
{
    if (ours(fd))
        return result(WITHIN(vmci_socket_name(fd, address.__sockaddr__, length)));
    return NEXT(getsockname)(fd, address, length);
}

VMCI_INTERPOSE int getpeername(int fd, __SOCKADDR_ARG address, socklen_t *length)
{
    if (ours(fd))
        return result(WITHIN(vmci_socket_peer(fd, address.__sockaddr__, length)));
    return NEXT(getpeername)(fd, address, length);
}

VMCI_INTERPOSE int shutdown(int fd, int how)
{
    return ours(fd) ? result(WITHIN(vmci_socket_shutdown(fd, how))) : NEXT(shutdown)(fd, how);
}
