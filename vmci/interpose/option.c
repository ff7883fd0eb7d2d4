/* SPDX-License-Identifier: Apache-2.0 */
/* Options. */
#include <sys/socket.h>

#include "vmci/interpose/interpose.h"

VMCI_INTERPOSE int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    if (ours(fd))
        return result(WITHIN(vmci_socket_set_option(fd, level, name, value, length)));
    return NEXT(setsockopt)(fd, level, name, value, length);
}

VMCI_INTERPOSE int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    if (ours(fd))
        return result(WITHIN(vmci_socket_get_option(fd, level, name, value, length)));
    return NEXT(getsockopt)(fd, level, name, value, length);
}
