/* SPDX-License-Identifier: Apache-2.0 */
/* read() and write() of datagram sockets, and of streams that have no peer; those of others are the kernel's
 * own. */
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmci/interpose/interpose.h"

static ssize_t receive_parts(int fd, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};

    return size_result(WITHIN(vmci_socket_recvmsg(fd, &message, 0)));
}

static ssize_t send_parts(int fd, const struct iovec *parts, int count)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};

    return size_result(WITHIN(vmci_socket_sendmsg(fd, &message, 0)));
}

VMCI_INTERPOSE ssize_t read(int fd, void *bytes, size_t size)
{
    const struct iovec part = {.iov_base = bytes, .iov_len = size};

    return ours_to_carry(fd) ? receive_parts(fd, &part, 1) : NEXT(read)(fd, bytes, size);
}

VMCI_INTERPOSE ssize_t readv(int fd, const struct iovec *parts, int count)
{
    return ours_to_carry(fd) ? receive_parts(fd, parts, count) : NEXT(readv)(fd, parts, count);
}

VMCI_INTERPOSE ssize_t write(int fd, const void *bytes, size_t size)
{
    const struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};

    return ours_to_carry(fd) ? send_parts(fd, &part, 1) : NEXT(write)(fd, bytes, size);
}

VMCI_INTERPOSE ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return ours_to_carry(fd) ? send_parts(fd, parts, count) : NEXT(writev)(fd, parts, count);
}

/* What read() is called in programs built with _FORTIFY_SOURCE. */
ssize_t __read_chk(int fd, void *bytes, size_t size, size_t room);

VMCI_INTERPOSE ssize_t __read_chk(int fd, void *bytes, size_t size, size_t room)
{
    const struct iovec part = {.iov_base = bytes, .iov_len = size};

    if (size <= room && ours_to_carry(fd))
        return receive_parts(fd, &part, 1);
    return NEXT(__read_chk)(fd, bytes, size, room);
}
