/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a socket of the fabric knows about itself, kept in the socket.
 *
 * The kernel keeps a packet filter for any socket, gives it back on request, and asks for no privilege. Ours
 * lets everything pass, and the memo is in its constants:
 *
 *     ld #magic    ld #type    ld #state  …   ret #-1
 *
 * So the memo goes wherever the descriptor goes (dup, fork, exec, SCM_RIGHTS), ends with the last copy of the
 * socket, and is known to every process that has one. A table by descriptor would have to follow all that.
 * Stream sockets never run their filter; for a datagram it costs some nanoseconds.
 */
#ifndef VMCI_MEMO_H
#define VMCI_MEMO_H

#include <stdint.h>

#include "vmci/limits.h"

enum vmci_memo_state {
    VMCI_SOCKET_NEW,
    VMCI_SOCKET_BOUND,
    VMCI_SOCKET_LISTENING,
    VMCI_SOCKET_CONNECTED,
};

#define VMCI_MEMO_NAMED   1U /* the socket's name is in the fabric until it is closed */
#define VMCI_MEMO_TRUSTED 2U /* made by a process with CAP_NET_ADMIN */

/* No padding: it is stored as it is. */
struct vmci_memo {
    uint32_t magic;
    uint32_t type;      /* SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM */
    uint32_t state;     /* enum vmci_memo_state */
    uint32_t flags;     /* VMCI_MEMO_… */
    uint32_t cid;       /* ours; VMCI_CID_ANY before bind */
    uint32_t port;      /* ours; VMCI_PORT_ANY before bind */
    uint32_t peer_cid;  /* the other's, when connected */
    uint32_t peer_port; /* the other's, when connected */
    struct vmci_limits limits;
    uint64_t timeout_us; /* SO_VMCI_CONNECT_TIMEOUT */
};

/* The memo of a new socket. */
void vmci_memo_init(struct vmci_memo *memo, int type);

/* Keeps the memo in the socket, in place of what was there. 0; -errno of setsockopt(). */
int vmci_memo_write(int fd, const struct vmci_memo *memo);

/* 0; -ENOTSOCK when fd is not a socket of the fabric, whatever else it is. errno stays. */
int vmci_memo_read(int fd, struct vmci_memo *memo);

#endif
