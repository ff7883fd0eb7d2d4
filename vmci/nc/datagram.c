/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/nc/datagram.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmci/fabric.h"
#include "vmci/nc/listener.h"
#include "vmci/vmci_sockets.h"

static int plain_or_errno(int rc)
{
    return rc < 0 ? -errno : rc;
}

static ssize_t plain_size(ssize_t rc)
{
    return rc < 0 ? -errno : rc;
}

/* By the place: the fabric's own functions, or the kernel's. */
static int bind_vm(int fd, const struct nc_place *place, const struct sockaddr_vm *address)
{
    const struct sockaddr *plain = (const struct sockaddr *)address;

    return nc_place_is_embedded(place) ? vmci_socket_bind(fd, plain, sizeof(*address))
                                       : plain_or_errno(bind(fd, plain, sizeof(*address)));
}

static int connect_vm(int fd, const struct nc_place *place, const struct sockaddr_vm *address)
{
    const struct sockaddr *plain = (const struct sockaddr *)address;

    return nc_place_is_embedded(place) ? vmci_socket_connect(fd, plain, sizeof(*address))
                                       : plain_or_errno(connect(fd, plain, sizeof(*address)));
}

static int open_vm(struct nc_datagram *dgram, const struct nc_place *place, sa_family_t family)
{
    const int type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

    dgram->fd =
        nc_place_is_embedded(place) ? vmci_socket_open(type, 0) : plain_or_errno(socket(family, type, 0));
    return dgram->fd < 0 ? dgram->fd : 0;
}

static int open_plain(struct nc_datagram *dgram, const struct addrinfo *address)
{
    dgram->fd = socket(address->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return dgram->fd < 0 ? -errno : 0;
}

static int listen_vm(struct nc_datagram *dgram, const struct nc_place *place)
{
    const int family = nc_place_is_embedded(place) ? AF_VSOCK : VMCISock_GetAFValue();
    const struct sockaddr_vm address = {
        .svm_family = (sa_family_t)family, .svm_cid = place->vmci.cid, .svm_port = place->vmci.port};
    int rc = open_vm(dgram, place, address.svm_family);

    if (rc < 0)
        return rc;
    rc = bind_vm(dgram->fd, place, &address);
    if (rc < 0)
        nc_datagram_close(dgram);
    return rc;
}

static int listen_plain(struct nc_datagram *dgram, const struct nc_place *place,
                        const struct addrinfo *address)
{
    int rc = open_plain(dgram, address);

    if (rc < 0)
        return rc;
    rc = address->ai_family == AF_UNIX
             ? nc_bind_path(dgram->fd, &place->path)
             : plain_or_errno(bind(dgram->fd, address->ai_addr, address->ai_addrlen));
    if (rc < 0)
        nc_datagram_close(dgram);
    else if (address->ai_family == AF_UNIX)
        memcpy(dgram->path, place->path.sun_path, sizeof(dgram->path));
    return rc;
}

int nc_datagram_listen(struct nc_datagram *dgram, const struct nc_place *place, const struct vmci_err *err)
{
    int rc = -EADDRNOTAVAIL;

    *dgram = (struct nc_datagram){.fd = -1};
    if (place->vmci.transport)
        rc = listen_vm(dgram, place);
    for (const struct addrinfo *address = place->addresses; address && rc < 0; address = address->ai_next)
        rc = listen_plain(dgram, place, address);
    return rc < 0 ? vmci_fail(err, rc, "listen on %s: %s", place->text, strerror(-rc)) : 0;
}

/* Who answers: on the fabric, CID 1 does so by its real CID. */
static void note_peer(struct nc_datagram *dgram, const struct nc_place *place, struct sockaddr_vm address)
{
    const struct vmci_err none = {NULL, 0};

    if (nc_place_is_embedded(place) && address.svm_cid == VMADDR_CID_LOCAL)
        (void)vmci_fabric_local_cid(0, &address.svm_cid, &none);
    memcpy(&dgram->peer.storage, &address, sizeof(address));
    dgram->peer.length = sizeof(address);
}

static int connect_to_vm(struct nc_datagram *dgram, const struct nc_place *place)
{
    const int family = nc_place_is_embedded(place) ? AF_VSOCK : VMCISock_GetAFValue();
    const struct sockaddr_vm address = {
        .svm_family = (sa_family_t)family, .svm_cid = place->vmci.cid, .svm_port = place->vmci.port};
    int rc = open_vm(dgram, place, address.svm_family);

    if (rc < 0)
        return rc;
    rc = connect_vm(dgram->fd, place, &address);
    if (rc < 0) {
        nc_datagram_close(dgram);
        return rc;
    }
    note_peer(dgram, place, address);
    return 0;
}

/* A Unix socket has no name until it takes one; the kernel picks an abstract one when asked with the family
 * alone. */
static int name_unix(int fd)
{
    const struct sockaddr_un any = {.sun_family = AF_UNIX};

    return plain_or_errno(bind(fd, (const struct sockaddr *)&any, offsetof(struct sockaddr_un, sun_path)));
}

static int connect_plain(struct nc_datagram *dgram, const struct addrinfo *address)
{
    int rc = open_plain(dgram, address);

    if (rc < 0)
        return rc;
    if (address->ai_family == AF_UNIX)
        rc = name_unix(dgram->fd);
    if (rc == 0)
        rc = plain_or_errno(connect(dgram->fd, address->ai_addr, address->ai_addrlen));
    if (rc < 0)
        nc_datagram_close(dgram);
    return rc;
}

int nc_datagram_connect(struct nc_datagram *dgram, const struct nc_place *place, const struct vmci_err *err)
{
    int rc = -EADDRNOTAVAIL;

    *dgram = (struct nc_datagram){.fd = -1};
    if (place->vmci.transport)
        rc = connect_to_vm(dgram, place);
    for (const struct addrinfo *address = place->addresses; address && rc < 0; address = address->ai_next)
        rc = connect_plain(dgram, address);
    return rc < 0 ? vmci_fail(err, rc, "%s: %s", place->text, strerror(-rc)) : 0;
}

void nc_datagram_close(struct nc_datagram *dgram)
{
    if (dgram->fd < 0)
        return;
    if (vmci_socket_is(dgram->fd))
        (void)vmci_socket_close(dgram->fd);
    else
        (void)close(dgram->fd);
    if (dgram->path[0] != '\0')
        (void)unlink(dgram->path);
    dgram->fd = -1;
}

int nc_datagram_send(const struct nc_datagram *dgram, const void *bytes, size_t count,
                     const struct nc_address *to)
{
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = count};
    struct sockaddr_storage address;
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;

    if (to) {
        address = to->storage;
        message.msg_name = &address;
        message.msg_namelen = to->length;
    }
    if (vmci_socket_is(dgram->fd))
        sent = vmci_socket_sendmsg(dgram->fd, &message, MSG_NOSIGNAL);
    else
        sent = plain_size(sendmsg(dgram->fd, &message, MSG_NOSIGNAL));
    return sent < 0 ? (int)sent : 0;
}

/* UDP's and Unix sockets are kept from strangers by the kernel, VMCI's are not. */
static bool is_stranger(const struct nc_datagram *dgram, const struct nc_address *from)
{
    return dgram->peer.length > 0 && !nc_address_equal(&dgram->peer, from);
}

ssize_t nc_datagram_receive(const struct nc_datagram *dgram, void *bytes, size_t size,
                            struct nc_address *from)
{
    struct iovec iov = {.iov_base = bytes, .iov_len = size};

    for (;;) {
        struct msghdr message = {.msg_name = &from->storage,
                                 .msg_namelen = sizeof(from->storage),
                                 .msg_iov = &iov,
                                 .msg_iovlen = 1};
        ssize_t count;

        memset(&from->storage, 0, sizeof(from->storage));
        if (vmci_socket_is(dgram->fd))
            count = vmci_socket_recvmsg(dgram->fd, &message, 0);
        else
            count = plain_size(recvmsg(dgram->fd, &message, 0));
        if (count < 0)
            return count;
        from->length = message.msg_namelen;
        if (!is_stranger(dgram, from))
            return count;
    }
}

bool nc_address_equal(const struct nc_address *one, const struct nc_address *other)
{
    if (one->length != other->length)
        return false;
    return memcmp(&one->storage, &other->storage, one->length) == 0;
}
