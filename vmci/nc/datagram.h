/* SPDX-License-Identifier: Apache-2.0 */
/* Datagram sockets, whoever carries them: the fabric, the kernel's VMCI, UDP, Unix sockets. */
#ifndef VMCI_NC_DATAGRAM_H
#define VMCI_NC_DATAGRAM_H

#include "vmci/nc/place.h"
#include "vmci/socket.h"

/* No receiver here has to cut: VMCI's limit is the highest. */
#define NC_DATAGRAM_MAX VMCI_DATAGRAM_MAX

struct nc_address {
    struct sockaddr_storage storage;
    socklen_t length;
};

struct nc_datagram {
    int fd;                                                    /* does not block */
    struct nc_address peer;                                    /* of a connected one */
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* to be removed in the end; or "" */
};

/* A socket bound to the place. 0 or -errno with the reason, and then there is nothing to close. */
int nc_datagram_listen(struct nc_datagram *dgram, const struct nc_place *place, const struct vmci_err *err);

/* A socket with a name of its own, so that answers find it, which sends to the place and takes datagrams from
 * there only. */
int nc_datagram_connect(struct nc_datagram *dgram, const struct nc_place *place, const struct vmci_err *err);

void nc_datagram_close(struct nc_datagram *dgram);

/* To an address, or NULL when connected. 0 or -errno. */
int nc_datagram_send(const struct nc_datagram *dgram, const void *bytes, size_t count,
                     const struct nc_address *to);

/* The length, or -errno: -EAGAIN when there is nothing. A stranger's datagram at a connected socket is
 * dropped on the way. */
ssize_t nc_datagram_receive(const struct nc_datagram *dgram, void *bytes, size_t size,
                            struct nc_address *from);

bool nc_address_equal(const struct nc_address *one, const struct nc_address *other);

#endif
