/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of sockets on the fabric share: being one machine after another. */
#ifndef VMCI_TEST_VSOCKET_H
#define VMCI_TEST_VSOCKET_H

#include "scratch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmci/socket.h"

/* From now on, new sockets are this machine's, in that fabric. Those that are bound stay what they are. */
static inline void become(const char *fabric, unsigned cid)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%u", cid);
    assert_int_equal(setenv("VMCI_FABRIC", fabric, 1), 0);
    assert_int_equal(setenv("VMCI_CID", text, 1), 0);
}

static inline struct sockaddr_vm vaddress(unsigned cid, unsigned port)
{
    return (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
}

static inline int vopen(int type)
{
    const int fd = vmci_socket_open(type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return fd;
}

static inline int vbind(int fd, unsigned cid, unsigned port)
{
    const struct sockaddr_vm address = vaddress(cid, port);

    return vmci_socket_bind(fd, (const struct sockaddr *)&address, sizeof(address));
}

static inline int vconnect(int fd, unsigned cid, unsigned port)
{
    const struct sockaddr_vm address = vaddress(cid, port);

    return vmci_socket_connect(fd, (const struct sockaddr *)&address, sizeof(address));
}

static inline struct sockaddr_vm vname(int fd)
{
    struct sockaddr_vm address = {0};
    socklen_t length = sizeof(address);

    assert_int_equal(vmci_socket_name(fd, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(length, sizeof(address));
    assert_int_equal(address.svm_family, AF_VSOCK);
    return address;
}

static inline struct sockaddr_vm vpeer(int fd)
{
    struct sockaddr_vm address = {0};
    socklen_t length = sizeof(address);

    assert_int_equal(vmci_socket_peer(fd, (struct sockaddr *)&address, &length), 0);
    return address;
}

/* A listener of the machine that we are; port VMADDR_PORT_ANY will do. */
static inline int vlisten(int type, unsigned port)
{
    const int fd = vopen(type);

    assert_int_equal(vbind(fd, VMADDR_CID_ANY, port), 0);
    assert_int_equal(vmci_socket_listen(fd, 16), 0);
    return fd;
}

/* The next peer's socket, or -errno. */
static inline int vaccept(int fd)
{
    return vmci_socket_accept(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static inline uint64_t vsize(int fd, int name)
{
    uint64_t size = 0;
    socklen_t length = sizeof(size);

    assert_int_equal(vmci_socket_get_option(fd, AF_VSOCK, name, &size, &length), 0);
    return size;
}

static inline void vset_size(int fd, int name, uint64_t size)
{
    assert_int_equal(vmci_socket_set_option(fd, AF_VSOCK, name, &size, sizeof(size)), 0);
}

static inline ssize_t vsend(int fd, const struct sockaddr_vm *to, const char *text)
{
    struct iovec part = {.iov_base = (void *)text, .iov_len = strlen(text)};
    const struct msghdr message = {
        .msg_name = (void *)to, .msg_namelen = to ? sizeof(*to) : 0, .msg_iov = &part, .msg_iovlen = 1};

    return vmci_socket_sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* Into text, with a NUL; from may be NULL. */
static inline ssize_t vreceive(int fd, struct sockaddr_vm *from, char text[TEXT_SIZE], int flags)
{
    struct iovec part = {.iov_base = text, .iov_len = TEXT_SIZE - 1};
    struct msghdr message = {
        .msg_name = from, .msg_namelen = from ? sizeof(*from) : 0, .msg_iov = &part, .msg_iovlen = 1};
    const ssize_t length = vmci_socket_recvmsg(fd, &message, flags);

    text[length < 0 ? 0 : length] = '\0';
    return length;
}

#endif
