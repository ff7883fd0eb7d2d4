/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of socket.h share. */
#ifndef VMCI_SOCKET_IMPL_H
#define VMCI_SOCKET_IMPL_H

#include "vmci/fabric.h"
#include "vmci/memo.h"
#include "vmci/socket.h"

/* Who we are and where: a fabric and our own folder in it, both open. */
struct vmci_site {
    struct vmci_fabric fabric;
    struct vmci_folder folder;
    uint32_t cid;
};

/* Opens the site of the socket: where it is bound, or else what the environment says. 0; -EADDRNOTAVAIL … On
 * success the site is to be left. */
int vmci_site_enter(struct vmci_site *site, int fd, const struct vmci_memo *memo, const struct vmci_err *err);
void vmci_site_leave(struct vmci_site *site);

/* A text for one failure, on the stack: `struct vmci_err err = VMCI_TEXT;`. */
#define VMCI_TEXT_SIZE 256
#define VMCI_TEXT      ((struct vmci_err){(char[VMCI_TEXT_SIZE]){""}, VMCI_TEXT_SIZE})

/* Tells a failure on standard error if VMCI_DEBUG is set; returns rc. */
int vmci_explain(const char *call, int rc, const struct vmci_err *err);

/* Binds a new socket to any port, for as long as it lives; the memo says so. 0 or -errno. */
int vmci_socket_bind_any(int fd, struct vmci_memo *memo, struct vmci_site *site, const struct vmci_err *err);

/* Reads a sockaddr_vm. 0; -EFAULT (too short), -EAFNOSUPPORT. */
int vmci_address_read(const struct sockaddr *address, socklen_t length, struct sockaddr_vm *read);

/* Writes one, as much as there is room for; *length becomes its size. Nothing happens when address is NULL.
 */
void vmci_address_write(uint32_t cid, uint32_t port, struct sockaddr *address, socklen_t *length);

#endif
