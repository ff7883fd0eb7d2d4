/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMCI sockets on the embedded fabric, with the functions of Berkeley sockets: stream, seqpacket, datagram.
 *
 * Each is an ordinary Unix socket, so that read, write, poll, select, epoll, sendfile, half-close and SIGPIPE
 * of streams are the kernel's own. What a Unix socket does not know (CID and port, buffer sizes, the peer of
 * a connected datagram socket) is kept in the socket itself (memo.h): it goes wherever the descriptor goes,
 * by dup, fork, exec or SCM_RIGHTS, and nothing here has a table to keep in step.
 *
 * A datagram socket must be read and written by the functions here: they check who sent what comes in, and
 * find the way for what goes out. The bytes of a stream that is connected need none of them.
 *
 * All return -errno, with the numbers of the kernel's vsock. Safe in threads. Where the fabric is and who we
 * are on it: $VMCI_FABRIC and $VMCI_CID, when a socket is bound first; from then on the socket knows.
 *
 * With VMCI_DEBUG=1 in the environment, each failure is explained on standard error.
 */
#ifndef VMCI_SOCKET_H
#define VMCI_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>

#include "vmci/vmci_sockets.h"

/* The longest datagram: VMCI's limit, 17 pages with its header. */
#define VMCI_DATAGRAM_MAX (17U * 4096U - 24U)

/* Which sockets the environment asks for: the kernel's when $VMCI_TRANSPORT is "kernel", or unset or empty
 * while $VMCI_CID is so too; otherwise the fabric's. */
bool vmci_socket_fabric_wanted(void);

/* A new socket; type may have SOCK_NONBLOCK and SOCK_CLOEXEC. The descriptor is the caller's:
 * vmci_socket_close() cleans up more than close(). -ESOCKTNOSUPPORT, -EPROTONOSUPPORT; of socket(). */
int vmci_socket_open(int type, int protocol);

/* Is this descriptor one of ours? Any number will do; errno stays. */
bool vmci_socket_is(int fd);

/* SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM of one of ours; -ENOTSOCK for all others. errno stays. */
int vmci_socket_type(int fd);

/* Must its bytes come by the functions here? Of datagrams always, of streams until they are connected; false
 * for all others. errno stays. */
bool vmci_socket_needs_us(int fd);

/* All of the following: fd is one of ours, else -ENOTSOCK. */

/* -EADDRNOTAVAIL, -EADDRINUSE, -EACCES, -EINVAL (bound already, no sockaddr_vm). */
int vmci_socket_bind(int fd, const struct sockaddr *address, socklen_t length);

/* -EINVAL (not bound, connected), -EOPNOTSUPP (datagrams). */
int vmci_socket_listen(int fd, int backlog);

/* Waits for a peer that may connect, unless fd does not block; others are closed on the way. Returns its
 * socket. address may be NULL. As accept4(). */
int vmci_socket_accept(int fd, struct sockaddr *address, socklen_t *length, int flags);

/* Streams: connected or failed at once, never -EINPROGRESS. Datagrams: whom send() means from now on;
 * AF_UNSPEC undoes it. -ECONNRESET, -ENODEV, -ENETUNREACH, -EADDRNOTAVAIL, -EINVAL (a buffer size out of our
 * range, no sockaddr_vm, listening), -EISCONN. */
int vmci_socket_connect(int fd, const struct sockaddr *address, socklen_t length);

/* As getsockname(), getpeername(). */
int vmci_socket_name(int fd, struct sockaddr *address, socklen_t *length);
int vmci_socket_peer(int fd, struct sockaddr *address, socklen_t *length);

/* As shutdown(). -ENOTCONN. */
int vmci_socket_shutdown(int fd, int how);

/* All levels; those of the fabric's own at level AF_VSOCK. -ENOPROTOOPT, -EOPNOTSUPP (datagrams), -EINVAL,
 * -ERANGE (timeout). */
int vmci_socket_set_option(int fd, int level, int name, const void *value, socklen_t length);
int vmci_socket_get_option(int fd, int level, int name, void *value, socklen_t *length);

/* As sendmsg(); sockaddr_vm in msg_name. Datagrams: -EHOSTUNREACH (nobody has that port), -EINVAL (no such
 * machine, no address), -EPERM (guest to guest), -EMSGSIZE, -ENOBUFS (the receiver's queue is full: at once
 * when fd does not block, else after VMCI_SEND_WAIT_MS). */
ssize_t vmci_socket_sendmsg(int fd, const struct msghdr *message, int flags);
#define VMCI_SEND_WAIT_MS 100

/* As recvmsg(); sockaddr_vm in msg_name, of datagrams only. A datagram whose sender is not who it says it is,
 * or may not talk to us, is dropped on the way. */
ssize_t vmci_socket_recvmsg(int fd, struct msghdr *message, int flags);

/* Closes; removes the name in the fabric if no copy of the socket is left anywhere. */
int vmci_socket_close(int fd);

#endif
