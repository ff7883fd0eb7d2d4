/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of the embedded fabric: their names, and binding to them. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "vmci/credentials.h"
#include "vmci/endpoint.h"
#include "vmci/fabric.h"

/* Four thousand million ports: two misses in a row are already bad luck. */
#define EPHEMERAL_TRIES 24

static const char *type_suffix(int socket_type)
{
    return socket_type == SOCK_DGRAM ? ".dgram" : ".stream";
}

void vmci_fabric_port_name(const struct vmci_folder *folder, uint32_t port, char name[VMCI_FABRIC_NAME_SIZE])
{
    (void)snprintf(name, VMCI_FABRIC_NAME_SIZE, "%u%s", port, type_suffix(folder->socket_type));
}

/* Length of the path in an address, which need not end with a NUL; 0 for unnamed and abstract sockets. */
static size_t path_length(const struct sockaddr_un *address, socklen_t length)
{
    const size_t offset = offsetof(struct sockaddr_un, sun_path);

    if (length <= offset || length > sizeof(*address))
        return 0;
    return strnlen(address->sun_path, length - offset);
}

bool vmci_fabric_parse_peer(const struct sockaddr_un *address, socklen_t length, int socket_type,
                            uint32_t *cid, uint32_t *port)
{
    const char *path = address->sun_path;
    const char *suffix = type_suffix(socket_type);
    size_t end = path_length(address, length);
    const char *slash;

    if (end <= strlen(suffix) || memcmp(path + end - strlen(suffix), suffix, strlen(suffix)) != 0)
        return false;
    end -= strlen(suffix);
    slash = memrchr(path, '/', end);
    if (!slash || !vmci_parse_number(slash + 1, (size_t)(path + end - slash - 1), port))
        return false;
    end = (size_t)(slash - path);
    slash = memrchr(path, '/', end);
    return slash && vmci_parse_number(slash + 1, (size_t)(path + end - slash - 1), cid);
}

int vmci_fabric_bind(const struct vmci_folder *folder, int fd, uint32_t port, mode_t mode,
                     struct vmci_fabric_port *bound, const struct vmci_err *err)
{
    char name[VMCI_FABRIC_NAME_SIZE];
    int rc;

    if (port < VMCI_PORT_FIRST && !vmci_may_bind_reserved())
        return vmci_fail(err, -EACCES, "port %u is below %u, which needs CAP_NET_BIND_SERVICE", port,
                         VMCI_PORT_FIRST);
    vmci_fabric_port_name(folder, port, name);
    rc = vmci_folder_bind(folder, fd, name, mode, &bound->held);
    bound->port = port;
    if (rc == -EADDRINUSE)
        return vmci_fail(err, rc, "port %u is in use: %s/%s", port, folder->path, name);
    return rc < 0 ? vmci_fail(err, rc, "%s/%s: %s", folder->path, name, strerror(-rc)) : 0;
}

/* Need not be secret, only different each time; so early in a boot that the pool is empty, the clock will do.
 */
static uint32_t random_port(void)
{
    uint32_t value;
    struct timespec now;

    if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != (ssize_t)sizeof(value)) {
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        value = (uint32_t)now.tv_nsec * 2654435761U ^ (uint32_t)getpid();
    }
    return VMCI_PORT_FIRST + value % (VMCI_LAST_NUMBER - VMCI_PORT_FIRST + 1);
}

int vmci_fabric_bind_ephemeral(const struct vmci_folder *folder, int fd, mode_t mode,
                               struct vmci_fabric_port *bound, const struct vmci_err *err)
{
    for (int i = 0; i < EPHEMERAL_TRIES; i++) {
        const int rc = vmci_fabric_bind(folder, fd, random_port(), mode, bound, err);

        if (rc != -EADDRINUSE)
            return rc;
    }
    return vmci_fail(err, -EADDRNOTAVAIL, "no free port found in %s", folder->path);
}

void vmci_fabric_unbind(const struct vmci_folder *folder, const struct vmci_fabric_port *bound)
{
    char name[VMCI_FABRIC_NAME_SIZE];

    vmci_fabric_port_name(folder, bound->port, name);
    vmci_folder_unbind(folder, name, &bound->held);
}
