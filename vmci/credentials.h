/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are, and who is at the other end of a Unix socket, by the kernel's word. */
#ifndef VMCI_CREDENTIALS_H
#define VMCI_CREDENTIALS_H

#include <stdbool.h>
#include <sys/types.h>

/* Is CAP_NET_BIND_SERVICE effective? Being root is neither needed nor enough. */
bool vmci_may_bind_reserved(void);

/* Is CAP_NET_ADMIN effective? Then our sockets are trusted ones. */
bool vmci_may_be_trusted(void);

/* The uid that stands for more than one user here: what the kernel shows for all those without a number in
 * our user namespace. (uid_t)-1 when every user has a number, as outside of user namespaces. Never changes
 * for a process. */
uid_t vmci_ambiguous_uid(void);

/* The effective uid that the peer of a connected Unix socket had when it called connect(), or listen(). 0 or
 * -errno of getsockopt(). */
int vmci_peer_uid(int fd, uid_t *uid);

#endif
