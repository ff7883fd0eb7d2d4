/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock:CID:PORT, the kernel's AF_VSOCK: virtio and vhost, VMware's VMCI, Hyper-V, and loopback (CID 1).
 *
 * The host's CID is 2 nearly everywhere, but 3 for the parent of an AWS Nitro enclave: it is simply what the
 * endpoint says. A peer's CID is set by the hypervisor; a guest can't choose it. To listen, `any` is better
 * than the own CID, which may change when a VM is restored or migrated.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "vmci/endpoint.h"
#include "vmci/transport_impl.h"

static int kernel_parse(struct vmci_endpoint *endpoint, const char *text, const struct vmci_err *err)
{
    return vmci_parse_address(endpoint, text, "vsock:CID:PORT, or vsock:any:PORT to listen", err);
}

static int kernel_can_listen(const struct vmci_endpoint *endpoint, const struct vmci_err *err)
{
    (void)endpoint;
    (void)err;
    return 0;
}

static int kernel_can_connect(const struct vmci_endpoint *endpoint, const struct vmci_err *err)
{
    if (endpoint->cid == VMCI_CID_ANY)
        return vmci_fail(err, -EINVAL,
                         "vsock:any:%u can only be listened on: to connect, name a CID (the host is %u)",
                         endpoint->port, VMCI_CID_HOST);
    return 0;
}

static const char *kernel_hint(int rc)
{
    switch (rc) {
    case -EAFNOSUPPORT: return " (the kernel has no AF_VSOCK: load the module vsock)";
    case -ENODEV: return " (no vsock transport on this machine, or no such VM)";
    case -ECONNRESET: return " (nobody listens there)";
    case -EACCES: return " (a port below 1024 needs CAP_NET_BIND_SERVICE)";
    case -EADDRNOTAVAIL: return " (not a CID of this machine)";
    default: return "";
    }
}

static int kernel_fail(const struct vmci_endpoint *endpoint, const struct vmci_err *err, int rc,
                       const char *what)
{
    if (endpoint->cid == VMCI_CID_ANY)
        return vmci_fail(err, rc, "%s vsock:any:%u: %s%s", what, endpoint->port, strerror(-rc),
                         kernel_hint(rc));
    return vmci_fail(err, rc, "%s vsock:%u:%u: %s%s", what, endpoint->cid, endpoint->port, strerror(-rc),
                     kernel_hint(rc));
}

/* Negotiated when a connection is made, so it has to be set before connect and listen. The size is silently
 * cut to the maximum, which is therefore raised first, and never lowered: a peer may propose more than our
 * own size. */
static int kernel_set_buffers(int fd, uint32_t bytes)
{
    const uint64_t size = bytes;
    uint64_t max = 0;
    socklen_t length = sizeof(max);

    if (size == 0)
        return 0;
    if (getsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &max, &length) < 0)
        return -errno;
    if (size > max && setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &size, sizeof(size)) < 0)
        return -errno;
    return setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size, sizeof(size)) < 0 ? -errno : 0;
}

static int kernel_socket(const struct vmci_settings *settings)
{
    const int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return -errno;
    rc = kernel_set_buffers(fd, settings->buffer_bytes);
    if (rc == 0)
        return fd;
    (void)close(fd);
    return rc;
}

static struct sockaddr_vm kernel_address(const struct vmci_endpoint *endpoint)
{
    return (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = endpoint->cid, .svm_port = endpoint->port};
}

static int kernel_listen(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                         struct vmci_listener **listener, const struct vmci_err *err)
{
    const struct sockaddr_vm address = kernel_address(endpoint);
    struct vmci_listener *made;
    int rc;
    const int fd = kernel_socket(settings);

    if (fd < 0)
        return kernel_fail(endpoint, err, fd, "open");
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, vmci_backlog(settings)) < 0) {
        rc = kernel_fail(endpoint, err, -errno, "listen on");
        goto fail;
    }
    made = malloc(sizeof(*made));
    if (!made) {
        rc = kernel_fail(endpoint, err, -ENOMEM, "listen on");
        goto fail;
    }
    vmci_listener_init(made, &vmci_kernel, settings);
    made->fd = fd;
    *listener = made;
    return 0;
fail:
    (void)close(fd);
    return rc;
}

static int kernel_accept(struct vmci_listener *listener, struct vmci_peer *peer)
{
    for (int turn = 0; turn < VMCI_ACCEPT_TURN; turn++) {
        struct sockaddr_vm address = {0};
        socklen_t length = sizeof(address);
        const int fd =
            accept4(listener->fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            *peer = (struct vmci_peer){.cid = address.svm_cid, .port = address.svm_port};
            return fd;
        }
        if (!vmci_accept_is_transient(errno))
            return -errno;
    }
    return -EAGAIN;
}

static int kernel_connect(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                          struct vmci_connector **connector, const struct vmci_err *err)
{
    const struct sockaddr_vm address = kernel_address(endpoint);
    struct vmci_connector *made;
    int rc;
    const int fd = kernel_socket(settings);

    if (fd < 0)
        return kernel_fail(endpoint, err, fd, "open");
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS) {
        rc = kernel_fail(endpoint, err, -errno, "connect to");
        goto fail;
    }
    made = malloc(sizeof(*made));
    if (!made) {
        rc = kernel_fail(endpoint, err, -ENOMEM, "connect to");
        goto fail;
    }
    vmci_connector_init(made, &vmci_kernel, fd);
    *connector = made;
    return 0;
fail:
    (void)close(fd);
    return rc;
}

/* SO_ERROR is also 0 while nothing has happened yet; only a connected socket knows its peer. */
static int kernel_step(struct vmci_connector *connector, const struct vmci_err *err)
{
    struct sockaddr_vm address;
    socklen_t length = sizeof(address);
    const int rc = vmci_socket_error(connector->fd);

    if (rc < 0)
        return vmci_fail(err, rc, "%s%s", strerror(-rc), kernel_hint(rc));
    if (getpeername(connector->fd, (struct sockaddr *)&address, &length) == 0)
        return 0;
    return errno == ENOTCONN ? -EAGAIN : vmci_fail_errno(err, -errno, "peer's address");
}

const struct vmci_transport vmci_kernel = {
    .scheme = "vsock",
    .parse = kernel_parse,
    .can_listen = kernel_can_listen,
    .can_connect = kernel_can_connect,
    .listen = kernel_listen,
    .accept = kernel_accept,
    .connect = kernel_connect,
    .step = kernel_step,
};
