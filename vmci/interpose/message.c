/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: all ways to send and receive one become sendmsg() and recvmsg(). */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "vmci/interpose/interpose.h"

static ssize_t send_bytes(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to,
                          socklen_t to_length)
{
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    const struct msghdr message = {
        .msg_name = (void *)to, .msg_namelen = to ? to_length : 0, .msg_iov = &part, .msg_iovlen = 1};

    return size_result(WITHIN(vmci_socket_sendmsg(fd, &message, flags)));
}

/* from_length: room and length of the address; NULL when the caller does not ask. */
static ssize_t receive_bytes(int fd, void *bytes, size_t size, int flags, struct sockaddr *from,
                             socklen_t *from_length)
{
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t rc;

    if (from && from_length) {
        message.msg_name = from;
        message.msg_namelen = *from_length;
    }
    rc = WITHIN(vmci_socket_recvmsg(fd, &message, flags));
    if (rc >= 0 && from && from_length)
        *from_length = message.msg_namelen;
    return size_result(rc);
}

VMCI_INTERPOSE ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    return ours(fd) ? send_bytes(fd, bytes, size, flags, NULL, 0) : NEXT(send)(fd, bytes, size, flags);
}

VMCI_INTERPOSE ssize_t sendto(int fd, const void *bytes, size_t size, int flags, __CONST_SOCKADDR_ARG to,
                              socklen_t to_length)
{
    if (ours(fd))
        return send_bytes(fd, bytes, size, flags, to.__sockaddr__, to_length);
    return NEXT(sendto)(fd, bytes, size, flags, to, to_length);
}

VMCI_INTERPOSE ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (ours(fd))
        return size_result(WITHIN(vmci_socket_sendmsg(fd, message, flags)));
    return NEXT(sendmsg)(fd, message, flags);
}

VMCI_INTERPOSE ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    return ours(fd) ? receive_bytes(fd, bytes, size, flags, NULL, NULL) : NEXT(recv)(fd, bytes, size, flags);
}

VMCI_INTERPOSE ssize_t recvfrom(int fd, void *bytes, size_t size, int flags, __SOCKADDR_ARG from,
                                socklen_t *from_length)
{
    if (ours(fd))
        return receive_bytes(fd, bytes, size, flags, from.__sockaddr__, from_length);
    return NEXT(recvfrom)(fd, bytes, size, flags, from, from_length);
}

VMCI_INTERPOSE ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    if (ours(fd))
        return size_result(WITHIN(vmci_socket_recvmsg(fd, message, flags)));
    return NEXT(recvmsg)(fd, message, flags);
}

/* How many were sent; the first failure is told only when it was the first message. */
static int send_many(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    unsigned done = 0;

    while (done < count) {
        const ssize_t rc = WITHIN(vmci_socket_sendmsg(fd, &messages[done].msg_hdr, flags));

        if (rc < 0)
            return done > 0 ? (int)done : result((int)rc);
        messages[done++].msg_len = (unsigned)rc;
    }
    return (int)done;
}

VMCI_INTERPOSE int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    return ours(fd) ? send_many(fd, messages, count, flags) : NEXT(sendmmsg)(fd, messages, count, flags);
}

static bool has_passed(const struct timespec *deadline)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > deadline->tv_sec ||
           (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec);
}

static struct timespec deadline_after(const struct timespec *timeout)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout->tv_sec + (at.tv_nsec + timeout->tv_nsec) / 1000000000L;
    at.tv_nsec = (at.tv_nsec + timeout->tv_nsec) % 1000000000L;
    return at;
}

/* As the kernel's: the timeout is looked at after each message. */
static int receive_many(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    const struct timespec deadline = timeout ? deadline_after(timeout) : (struct timespec){0};
    unsigned done = 0;

    while (done < count) {
        const int once = flags & ~MSG_WAITFORONE;
        const ssize_t rc = WITHIN(vmci_socket_recvmsg(fd, &messages[done].msg_hdr, once));

        if (rc < 0)
            return done > 0 ? (int)done : result((int)rc);
        messages[done++].msg_len = (unsigned)rc;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (timeout && has_passed(&deadline))
            break;
    }
    return (int)done;
}

VMCI_INTERPOSE int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                            struct timespec *timeout)
{
    if (ours(fd))
        return receive_many(fd, messages, count, flags, timeout);
    return NEXT(recvmmsg)(fd, messages, count, flags, timeout);
}

/* What recv() and recvfrom() are called in programs built with _FORTIFY_SOURCE. */
ssize_t __recv_chk(int fd, void *bytes, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *bytes, size_t size, size_t room, int flags, __SOCKADDR_ARG from,
                       socklen_t *from_length);

VMCI_INTERPOSE ssize_t __recv_chk(int fd, void *bytes, size_t size, size_t room, int flags)
{
    if (ours(fd) && size <= room)
        return receive_bytes(fd, bytes, size, flags, NULL, NULL);
    return NEXT(__recv_chk)(fd, bytes, size, room, flags);
}

VMCI_INTERPOSE ssize_t __recvfrom_chk(int fd, void *bytes, size_t size, size_t room, int flags,
                                      __SOCKADDR_ARG from, socklen_t *from_length)
{
    if (ours(fd) && size <= room)
        return receive_bytes(fd, bytes, size, flags, from.__sockaddr__, from_length);
    return NEXT(__recvfrom_chk)(fd, bytes, size, room, flags, from, from_length);
}
