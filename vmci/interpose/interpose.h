/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standing between a program and libc: what the interposed functions share.
 *
 * Each of them is small: is the descriptor a VMCI socket of the fabric? Then socket.h does it, otherwise the
 * next library, as if we were not there:
 *
 *     VMCI_INTERPOSE int listen(int fd, int backlog)
 *     {
 *         return ours(fd) ? result(WITHIN(vmci_socket_listen(fd, backlog))) : NEXT(listen)(fd, backlog);
 *     }
 *
 * The library's own calls come by here too, on their way to libc, and must find the way open: WITHIN marks
 * them.
 */
#ifndef VMCI_INTERPOSE_H
#define VMCI_INTERPOSE_H

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

#include "vmci/interpose/functions.h"
#include "vmci/socket.h"

/* Declares before it defines: not all of these functions are in a header. */
#define VMCI_INTERPOSE __attribute__((visibility("default")))

/* How deep this thread is in our own code; 0 in the program's. */
extern _Thread_local int interpose_depth __attribute__((tls_model("initial-exec"), visibility("hidden")));

#define WITHIN(expression)                                                                                   \
    __extension__({                                                                                          \
        interpose_depth++;                                                                                   \
        const __typeof__(expression) within_ = (expression);                                                 \
        interpose_depth--;                                                                                   \
        within_;                                                                                             \
    })

/* The function of that name in the next library. */
#define NEXT(function) ((__typeof__(&function))interpose_next(NEXT_##function))

#define NEXT_NAME(function) NEXT_##function,
enum interpose_function { VMCI_INTERPOSED_FUNCTIONS(NEXT_NAME) NEXT_COUNT };

/* Found when the library is loaded, so that a signal handler or a child of vfork() does not have to look. */
void *interpose_next(enum interpose_function function);

/* Do VMCI sockets lead to the fabric? For libvmci.so as vmci_socket_fabric_wanted() says; for
 * libvmci-preload.so always, unless VMCI_TRANSPORT is "kernel". */
bool interpose_wanted(void);

/* Is the descriptor a socket of the fabric, in the program's hands? */
static inline bool ours(int fd)
{
    return interpose_depth == 0 && WITHIN(vmci_socket_is(fd));
}

/* The same, and its bytes need us too. */
static inline bool ours_to_carry(int fd)
{
    return interpose_depth == 0 && WITHIN(vmci_socket_needs_us(fd));
}

/* -errno into -1 and errno. */
static inline ssize_t size_result(ssize_t rc)
{
    if (rc >= 0)
        return rc;
    errno = (int)-rc;
    return -1;
}

static inline int result(int rc)
{
    return (int)size_result(rc);
}

#endif
