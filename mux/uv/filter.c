/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/uv/filter.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static int fd_of(const struct mux_uv_filter *filter)
{
    return ((const struct mux_uv_socket *)filter)->fd;
}

static ssize_t socket_read(struct mux_uv_filter *filter, void *buffer, size_t size)
{
    ssize_t n;

    do
        n = read(fd_of(filter), buffer, size);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t socket_writev(struct mux_uv_filter *filter, const struct iovec *iov, int count)
{
    ssize_t n;

    do
        n = writev(fd_of(filter), iov, count);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int socket_shutdown(struct mux_uv_filter *filter)
{
    return shutdown(fd_of(filter), SHUT_WR) < 0 ? -errno : 0;
}

static void socket_destroy(struct mux_uv_filter *filter)
{
    (void)filter; /* embedded, and the descriptor is its owner's */
}

static const struct mux_uv_filter_ops socket_ops = {
    .read = socket_read,
    .writev = socket_writev,
    .shutdown = socket_shutdown,
    .destroy = socket_destroy,
};

void mux_uv_socket_init(struct mux_uv_socket *socket, int fd)
{
    *socket = (struct mux_uv_socket){.filter = {.ops = &socket_ops}, .fd = fd};
}
