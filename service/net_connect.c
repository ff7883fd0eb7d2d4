/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net_impl.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Linux may connect a socket to itself when the port is free and in the range of ephemeral ports: nobody is
 * there. */
static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage local = {0}, peer = {0};
    socklen_t local_length = sizeof(local), peer_length = sizeof(peer);

    return getsockname(fd, (struct sockaddr *)&local, &local_length) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0 && local.ss_family != AF_UNIX &&
           local_length == peer_length && memcmp(&local, &peer, local_length) == 0;
}

int net_connect_outcome(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t length = sizeof(error);

    if (poll(&ready, 1, 0) == 0)
        return -EINPROGRESS;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    return error == 0 && is_connected_to_itself(fd) ? -ECONNREFUSED : -error;
}

int net_connect(const struct sockaddr *address, int *fd)
{
    *fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return -errno;
    net_set_nodelay(*fd);
    int outcome =
        connect(*fd, address, net_sockaddr_length(address)) == 0 ? net_connect_outcome(*fd) : -errno;
    if (outcome != 0 && outcome != -EINPROGRESS) {
        close(*fd);
        *fd = -1;
    }
    return outcome;
}
