/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "rules.h"

#define PORT 5001

int open_socket(int type)
{
    const int fd = socket(af, type, 0);

    if (fd < 0) {
        perror("vmci-rules: socket");
        exit(2);
    }
    return fd;
}

int stream(void)
{
    return open_socket(SOCK_STREAM);
}

int ended(int fd, long rc)
{
    const int error = rc < 0 ? errno : 0;

    (void)close(fd);
    return error;
}

struct sockaddr_vm address_of(unsigned cid, unsigned port)
{
    struct sockaddr_vm address = {0};

    address.svm_family = (sa_family_t)af;
    address.svm_cid = cid;
    address.svm_port = port;
    return address;
}

int bind_to(int fd, unsigned cid, unsigned port)
{
    const struct sockaddr_vm address = address_of(cid, port);

    return bind(fd, (const struct sockaddr *)&address, sizeof(address));
}

int connect_to(int fd, unsigned cid, unsigned port)
{
    const struct sockaddr_vm address = address_of(cid, port);

    return connect(fd, (const struct sockaddr *)&address, sizeof(address));
}

struct sockaddr_vm name_of(int fd)
{
    struct sockaddr_vm address = {0};
    socklen_t length = sizeof(address);

    (void)getsockname(fd, (struct sockaddr *)&address, &length);
    return address;
}

bool open_ends(struct ends *ends, int type)
{
    socklen_t length = sizeof(ends->from);

    ends->listener = open_socket(type);
    ends->client = open_socket(type);
    ends->server = -1;
    if (bind_to(ends->listener, VMADDR_CID_ANY, PORT) < 0 || listen(ends->listener, 2) < 0 ||
        connect_to(ends->client, VMADDR_CID_LOCAL, PORT) < 0)
        return false;
    ends->server = accept(ends->listener, (struct sockaddr *)&ends->from, &length);
    return ends->server >= 0;
}

bool close_ends(const struct ends *ends, bool holds)
{
    if (ends->server >= 0)
        (void)close(ends->server);
    (void)close(ends->client);
    (void)close(ends->listener);
    return holds;
}
