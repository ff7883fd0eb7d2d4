/* SPDX-License-Identifier: Apache-2.0 */
/* All functions that are interposed, as X(name): what device.c, lifetime.c, message.c, option.c, readwrite.c
 * and stream.c define. */
#ifndef VMCI_INTERPOSE_FUNCTIONS_H
#define VMCI_INTERPOSE_FUNCTIONS_H

#define VMCI_INTERPOSED_FUNCTIONS(X)                                                                         \
    X(socket)                                                                                                \
    X(socketpair)                                                                                            \
    X(close)                                                                                                 \
    X(bind)                                                                                                  \
    X(listen)                                                                                                \
    X(connect)                                                                                               \
    X(accept)                                                                                                \
    X(accept4)                                                                                               \
    X(getsockname)                                                                                           \
    X(getpeername)                                                                                           \
    X(shutdown)                                                                                              \
    X(setsockopt)                                                                                            \
    X(getsockopt)                                                                                            \
    X(send)                                                                                                  \
    X(sendto)                                                                                                \
    X(sendmsg)                                                                                               \
    X(sendmmsg)                                                                                              \
    X(recv)                                                                                                  \
    X(recvfrom)                                                                                              \
    X(recvmsg)                                                                                               \
    X(recvmmsg)                                                                                              \
    X(__recv_chk)                                                                                            \
    X(__recvfrom_chk)                                                                                        \
    X(read)                                                                                                  \
    X(readv)                                                                                                 \
    X(write)                                                                                                 \
    X(writev)                                                                                                \
    X(__read_chk)                                                                                            \
    X(open)                                                                                                  \
    X(open64)                                                                                                \
    X(openat)                                                                                                \
    X(openat64)                                                                                              \
    X(__open_2)                                                                                              \
    X(__open64_2)                                                                                            \
    X(ioctl)

#endif
