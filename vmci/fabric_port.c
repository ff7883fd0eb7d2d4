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
#include "vmci/limits.h"

/* Four thousand million ports: two misses in a row are already bad luck. */
#define EPHEMERAL_TRIES 24

/* Five digits of 64: as long as "stream" is, so that a name with a proposal is not longer than one without.
 */
#define PROPOSAL_DIGITS 5
#define PROPOSAL_LENGTH (sizeof(".stream") - 1)
static const char digits64[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

static const char *type_suffix(int socket_type)
{
    return socket_type == SOCK_DGRAM ? ".dgram" : ".stream";
}

/* ".b" and the digits. */
static void proposal_suffix(uint32_t proposal, char suffix[PROPOSAL_LENGTH + 1])
{
    memcpy(suffix, ".b", 2);
    for (size_t i = 0; i < PROPOSAL_DIGITS; i++)
        suffix[2 + i] = digits64[proposal >> (6 * (PROPOSAL_DIGITS - 1 - i)) & 63];
    suffix[PROPOSAL_LENGTH] = '\0';
}

/* The proposal in a suffix of that length; 0 when it is none. */
static uint32_t suffix_proposal(const char *suffix)
{
    uint32_t proposal = 0;

    if (memcmp(suffix, ".b", 2) != 0)
        return 0;
    for (size_t i = 0; i < PROPOSAL_DIGITS; i++) {
        const char *digit = memchr(digits64, suffix[2 + i], sizeof(digits64) - 1);

        if (!digit)
            return 0;
        proposal = proposal << 6 | (uint32_t)(digit - digits64);
    }
    return proposal;
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

/* Cuts what tells the type from the name's end. */
static bool cut_suffix(const char *path, size_t *end, int socket_type)
{
    const char *suffix = type_suffix(socket_type);
    const size_t length = strlen(suffix);

    if (*end <= length)
        return false;
    if (memcmp(path + *end - length, suffix, length) != 0 &&
        (socket_type == SOCK_DGRAM || suffix_proposal(path + *end - length) == 0))
        return false;
    *end -= length;
    return true;
}

uint32_t vmci_fabric_parse_proposal(const struct sockaddr_un *address, socklen_t length)
{
    const size_t end = path_length(address, length);

    return end < PROPOSAL_LENGTH ? 0 : suffix_proposal(address->sun_path + end - PROPOSAL_LENGTH);
}

bool vmci_fabric_parse_peer(const struct sockaddr_un *address, socklen_t length, int socket_type,
                            uint32_t *cid, uint32_t *port)
{
    const char *path = address->sun_path;
    size_t end = path_length(address, length);
    const char *slash;

    if (!cut_suffix(path, &end, socket_type))
        return false;
    slash = memrchr(path, '/', end);
    if (!slash || !vmci_parse_number(slash + 1, (size_t)(path + end - slash - 1), port))
        return false;
    end = (size_t)(slash - path);
    slash = memrchr(path, '/', end);
    return slash && vmci_parse_number(slash + 1, (size_t)(path + end - slash - 1), cid);
}

/* The name of a port as it was or will be bound. */
static void bound_name(const struct vmci_folder *folder, const struct vmci_fabric_port *bound,
                       char name[VMCI_FABRIC_NAME_SIZE])
{
    char suffix[PROPOSAL_LENGTH + 1];

    vmci_fabric_port_name(folder, bound->port, name);
    if (bound->proposal == 0)
        return;
    proposal_suffix(bound->proposal, suffix);
    (void)snprintf(name, VMCI_FABRIC_NAME_SIZE, "%u%s", bound->port, suffix);
}

static int bind_port(const struct vmci_folder *folder, int fd, mode_t mode, struct vmci_fabric_port *bound,
                     const struct vmci_err *err)
{
    char name[VMCI_FABRIC_NAME_SIZE];
    int rc;

    bound_name(folder, bound, name);
    rc = vmci_folder_bind(folder, fd, name, mode, &bound->held);
    if (rc == -EADDRINUSE)
        return vmci_fail(err, rc, "port %u is in use: %s/%s", bound->port, folder->path, name);
    return rc < 0 ? vmci_fail(err, rc, "%s/%s: %s", folder->path, name, strerror(-rc)) : 0;
}

int vmci_fabric_bind(const struct vmci_folder *folder, int fd, uint32_t port, mode_t mode,
                     struct vmci_fabric_port *bound, const struct vmci_err *err)
{
    int rc;

    *bound = (struct vmci_fabric_port){.port = port};
    if (port < VMCI_PORT_FIRST && !vmci_may_bind_reserved())
        return vmci_fail(err, -EACCES, "port %u is below %u, which needs CAP_NET_BIND_SERVICE", port,
                         VMCI_PORT_FIRST);
    rc = bind_port(folder, fd, mode, bound, err);
    if (rc == 0 && folder->socket_type != SOCK_DGRAM)
        vmci_limits_retract(folder, port);
    return rc;
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
        int rc;

        bound->port = random_port();
        rc = bind_port(folder, fd, mode, bound, err);
        if (rc != -EADDRINUSE)
            return rc;
    }
    return vmci_fail(err, -EADDRNOTAVAIL, "no free port found in %s", folder->path);
}

void vmci_fabric_unbind(const struct vmci_folder *folder, const struct vmci_fabric_port *bound)
{
    char name[VMCI_FABRIC_NAME_SIZE];

    bound_name(folder, bound, name);
    vmci_folder_unbind(folder, name, &bound->held);
}
