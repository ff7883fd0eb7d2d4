/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where to listen or connect to, as a text:
 *
 *   vsock:CID:PORT  embedded:CID:PORT  hybrid:PATH:PORT     VMCI, see transport.h
 *   tcp:HOST:PORT   udp:HOST:PORT      HOST may be in brackets; to listen, empty or * for all addresses
 *   unix:PATH                          a stream, or with -u a datagram socket
 */
#ifndef VMCI_NC_PLACE_H
#define VMCI_NC_PLACE_H

#include <netdb.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmci/error.h"
#include "vmci/transport.h"

enum nc_use { NC_LISTEN, NC_CONNECT };

/* Big enough for the longest: hybrid:GLOB:PORT. */
#define NC_TEXT_SIZE 320
/* For "peer CID 101 port 4294967294", "[address]:port", a path. */
#define NC_NAME_SIZE 320

/* Must not be moved: the addresses may point into it. */
struct nc_place {
    char text[NC_TEXT_SIZE];
    int type;                   /* SOCK_STREAM, SOCK_DGRAM */
    struct vmci_endpoint vmci;  /* vmci.transport is NULL for all others */
    struct addrinfo *addresses; /* of the others: in the order to try them */
    struct addrinfo local;      /* of unix: the only one */
    struct sockaddr_un path;
};

/* Reads the text for that type of socket and that use, and asks the resolver, which may take a while. 0, or
 * -EINVAL with the reason; on success the place is to be freed. */
int nc_place_parse(struct nc_place *place, const char *text, int type, enum nc_use use,
                   const struct vmci_err *err);
void nc_place_free(struct nc_place *place);

/* Is it a VMCI place of the embedded fabric, of the kernel? */
bool nc_place_is_embedded(const struct nc_place *place);
bool nc_place_is_kernel(const struct nc_place *place);

/* An address for humans: CID and port, host and port, or the path. */
void nc_address_name(const struct sockaddr_storage *address, socklen_t length, char name[NC_NAME_SIZE]);

/* With -v, before the first socket: transport, family, local CID and version of a VMCI place; nothing for
 * others. */
void nc_place_note(const struct nc_place *place);

#endif
