/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How bytes get from a stream to its socket: a stack of filters, the bottom one being the socket itself. A
 * filter that transforms bytes, as TLS does, stands on top and reads and writes by the one below.
 */
#ifndef MUX_UV_FILTER_H
#define MUX_UV_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct mux_uv_filter;

/*
 * Duties of an implementer: never block; return -EAGAIN when the socket is not ready, and then be called
 * again when it is readable (after read) or writable (after writev); take part of a writev when it can't take
 * all; free itself in destroy.
 */
struct mux_uv_filter_ops {
    /* Bytes read, 0 at the end of the stream, or -errno. */
    ssize_t (*read)(struct mux_uv_filter *filter, void *buffer, size_t size);

    /* Bytes taken, or -errno. */
    ssize_t (*writev)(struct mux_uv_filter *filter, const struct iovec *iov, int count);

    /* No more will be written. 0 or -errno. */
    int (*shutdown)(struct mux_uv_filter *filter);

    void (*destroy)(struct mux_uv_filter *filter);

    /* The rest is for filters that have work of their own, such as a handshake. NULL: this one has none. */

    /* What socket events to wait for, of UV_READABLE and UV_WRITABLE, when the stream itself waits for
     * `wanted`. */
    int (*events)(struct mux_uv_filter *filter, int wanted);

    /* Something has happened to the socket: go on with that work. 0, or -errno: the stream has failed. */
    int (*advance)(struct mux_uv_filter *filter);

    /* Whether read may give bytes although the socket is not readable. */
    bool (*pending)(const struct mux_uv_filter *filter);

    /* What the last error that it returned was about; NULL: no more than the errno says. */
    const char *(*reason)(const struct mux_uv_filter *filter);
};

struct mux_uv_filter {
    const struct mux_uv_filter_ops *ops;
    struct mux_uv_filter *below; /* owned; NULL at the bottom */
};

/* The bottom: reads and writes the descriptor, which stays the caller's. Embedded by the caller. */
struct mux_uv_socket {
    struct mux_uv_filter filter;
    int fd;
};

void mux_uv_socket_init(struct mux_uv_socket *socket, int fd);

#endif
