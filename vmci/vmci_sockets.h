/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMCI Sockets API, as VMware's "VMCI Sockets Programming Guide" describes it: what a program needs
 * beside socket(), bind(), connect() and the rest of the Berkeley interface.
 *
 *     int af = VMCISock_GetAFValue();
 *     int fd = socket(af, SOCK_STREAM, 0);
 *     struct sockaddr_vm address = {.svm_family = af, .svm_cid = VMADDR_CID_HOST, .svm_port = 5672};
 *     connect(fd, (struct sockaddr *)&address, sizeof(address));
 *
 * Compile with this header, link with -lvmci. The same program then runs over
 *
 *   the kernel     AF_VSOCK of mainline Linux (virtio, VMware's VMCI, Hyper-V, loopback), or VMware's own
 * module, whose address family is asked for by ioctl the fabric     Unix sockets in a folder, without any
 * hypervisor, when $VMCI_CID says which machine of it this process is (vmci_sockets(7))
 *
 * Works in C and C++, before or after <sys/socket.h> and <linux/vm_sockets.h>. vmci_sockets(3) is the manual.
 */
#ifndef VMCI_SOCKETS_H
#define VMCI_SOCKETS_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

/* Where the system has them, struct sockaddr_vm and the first constants are the system's. */
#if defined(__has_include)
#if __has_include(<linux/vm_sockets.h>)
#include <linux/vm_sockets.h>
#define VMCI_SOCKETS_SYSTEM_ADDRESS
#endif
#endif

#ifndef VMCI_SOCKETS_SYSTEM_ADDRESS
/* An address: 16 bytes, host byte order. Zero it first, then set family, CID and port. */
struct sockaddr_vm {
    sa_family_t svm_family;
    unsigned short svm_reserved1;
    unsigned int svm_port;
    unsigned int svm_cid;
    unsigned char svm_zero[sizeof(struct sockaddr) - sizeof(sa_family_t) - sizeof(unsigned short) -
                           2 * sizeof(unsigned int)];
};
#endif

/* Context ids: machines. All others are virtual machines. */
#ifndef VMADDR_CID_ANY
#define VMADDR_CID_ANY (-1U) /* to bind: whatever is ours */
#endif
#ifndef VMADDR_CID_HYPERVISOR
#define VMADDR_CID_HYPERVISOR 0
#endif
#ifndef VMADDR_CID_LOCAL
#define VMADDR_CID_LOCAL 1 /* this machine, whatever its CID; VMware reserves it */
#endif
#ifndef VMADDR_CID_RESERVED
#define VMADDR_CID_RESERVED 1 /* the older name of the same */
#endif
#ifndef VMADDR_CID_HOST
#define VMADDR_CID_HOST 2
#endif

/* Ports: below 1024 for processes with CAP_NET_BIND_SERVICE. */
#ifndef VMADDR_PORT_ANY
#define VMADDR_PORT_ANY (-1U) /* to bind: a free one from 1024 */
#endif

/* Options of a socket, at the level of the address family's value. Sizes are uint64_t, in bytes; set before
 * listen() and connect(). */
#define SO_VMCI_BUFFER_SIZE     0 /* clamped into MIN..MAX, so raise MAX first */
#define SO_VMCI_BUFFER_MIN_SIZE 1
#define SO_VMCI_BUFFER_MAX_SIZE 2
#define SO_VMCI_PEER_HOST_VM_ID 3 /* int, read only */
#define SO_VMCI_TRUSTED         5 /* int, read only */
#define SO_VMCI_CONNECT_TIMEOUT 6 /* struct timeval, 2 s if not set */
#define SO_VMCI_NONBLOCK_TXRX   7 /* for kernels' own sockets only */

/* A version's parts; VMCISock_Version() gives one. */
#define VMCI_SOCKETS_INVALID_VERSION   ((unsigned)-1)
#define VMCI_SOCKETS_VERSION_EPOCH(_v) (((_v)&0xFF000000U) >> 24)
#define VMCI_SOCKETS_VERSION_MAJOR(_v) (((_v)&0x00FF0000U) >> 16)
#define VMCI_SOCKETS_VERSION_MINOR(_v) ((_v)&0x0000FFFFU)
#define VMCI_SOCKETS_MAKE_VERSION(_p)                                                                        \
    ((((unsigned)(_p)[0] & 0xFFU) << 24) | (((unsigned)(_p)[1] & 0xFFU) << 16) |                             \
     ((unsigned)(_p)[2] & 0xFFFFU))

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The version of the sockets below: VMware's module answers by ioctl, mainline's by its module's version, the
 * fabric is 1.0.2. VMCI_SOCKETS_INVALID_VERSION when there are no VMCI sockets. */
unsigned VMCISock_Version(void);

/* The address family for socket(), and the level of the options. -1 when there are no VMCI sockets. On
 * VMware's module the value lasts only while the device is open: it is held open until the process ends. */
int VMCISock_GetAFValue(void);

/* The same, and *fd is what holds the value: the device where there is one, otherwise -1. fd may be NULL,
 * then as VMCISock_GetAFValue(). -1 on failure, with *fd -1. */
int VMCISock_GetAFValueFd(int *fd);

/* Gives back what VMCISock_GetAFValueFd() took. -1 is allowed. */
void VMCISock_ReleaseAFValueFd(int fd);

/* The CID of this machine: VMADDR_CID_HOST on a host. VMADDR_CID_ANY on failure. */
unsigned VMCISock_GetLocalCID(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
