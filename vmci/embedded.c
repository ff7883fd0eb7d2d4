/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embedded:CID:PORT, streams over the fabric of Unix sockets (fabric.h says how it knows who is who).
 *
 * Connecting: bind a random port in our own folder, connect to the listener's name, remove ours again: the
 * address stays with the socket, so the acceptor can still read it. Both ends then check the other: the
 * acceptor that the peer may be the CID it is bound as, the connecting side that whoever listens may be the
 * CID it asked for. Errors are those of the kernel's vsock: a Unix socket without a listener refuses, a vsock
 * resets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmci/credentials.h"
#include "vmci/endpoint.h"
#include "vmci/fabric.h"
#include "vmci/transport_impl.h"

#define REFUSAL_SIZE 256

struct embedded_listener {
    struct vmci_listener base;
    struct vmci_fabric fabric;
    struct vmci_folder folder; /* our own CID's */
    struct vmci_fabric_port bound;
    uint32_t cid; /* ours */
};

static int embedded_parse(struct vmci_endpoint *endpoint, const char *text, const struct vmci_err *err)
{
    if (!strchr(text, ':'))
        return vmci_parse_port(text, &endpoint->port, err);
    return vmci_parse_address(endpoint, text, "embedded:CID:PORT, or embedded:PORT to listen", err);
}

static int embedded_can_listen(const struct vmci_endpoint *endpoint, const struct vmci_err *err)
{
    (void)endpoint;
    (void)err;
    return 0;
}

static int embedded_can_connect(const struct vmci_endpoint *endpoint, const struct vmci_err *err)
{
    if (endpoint->cid == VMCI_CID_ANY)
        return vmci_fail(err, -EINVAL,
                         "embedded:%u can only be listened on: to connect, name a CID (the host is %u)",
                         endpoint->port, VMCI_CID_HOST);
    return 0;
}

static int embedded_socket(const struct vmci_settings *settings, const struct vmci_err *err)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return vmci_fail_errno(err, -errno, "socket");
    vmci_unix_set_buffers(fd, settings->buffer_bytes);
    return fd;
}

/* Binds and listens in l->folder; l->base.fd is set on success. */
static int embedded_open_port(struct embedded_listener *l, const struct vmci_settings *settings,
                              uint32_t port, const struct vmci_err *err)
{
    const int fd = embedded_socket(settings, err);
    int rc;

    if (fd < 0)
        return fd;
    rc = vmci_fabric_bind(&l->folder, fd, port, VMCI_FABRIC_LISTENER_MODE, &l->bound, err);
    if (rc < 0)
        goto fail;
    if (listen(fd, vmci_backlog(settings)) < 0) {
        rc = vmci_fail_errno(err, -errno, "listen");
        goto fail_bound;
    }
    l->base.fd = fd;
    return 0;
fail_bound:
    vmci_fabric_unbind(&l->folder, &l->bound);
fail:
    (void)close(fd);
    return rc;
}

/* Finds out who we are and opens our folder in the fabric. On success both descriptors are open. */
static int embedded_join(const struct vmci_settings *settings, struct vmci_fabric *fabric,
                         struct vmci_folder *folder, uint32_t *cid, const struct vmci_err *err)
{
    int rc = vmci_fabric_local_cid(settings->local_cid, cid, err);

    if (rc < 0)
        return rc;
    rc = vmci_fabric_open(fabric, settings->fabric, err);
    if (rc < 0)
        return rc;
    rc = vmci_fabric_enter(fabric, *cid, SOCK_STREAM, folder, err);
    if (rc < 0)
        vmci_fabric_close(fabric);
    return rc;
}

static void embedded_leave(struct vmci_fabric *fabric, struct vmci_folder *folder)
{
    (void)close(folder->fd);
    vmci_fabric_close(fabric);
}

static int embedded_listen(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                           struct vmci_listener **listener, const struct vmci_err *err)
{
    struct embedded_listener *l = malloc(sizeof(*l));
    int rc;

    if (!l)
        return vmci_fail_errno(err, -ENOMEM, "listen");
    vmci_listener_init(&l->base, &vmci_embedded, settings);
    rc = embedded_join(settings, &l->fabric, &l->folder, &l->cid, err);
    if (rc < 0)
        goto fail;
    if (endpoint->cid != VMCI_CID_ANY && endpoint->cid != l->cid && endpoint->cid != VMCI_CID_LOCAL)
        rc = vmci_fail(err, -EADDRNOTAVAIL, "embedded:%u:%u is not ours to listen on: we are CID %u",
                       endpoint->cid, endpoint->port, l->cid);
    if (rc == 0)
        rc = embedded_open_port(l, settings, endpoint->port, err);
    if (rc < 0)
        goto fail_joined;
    *listener = &l->base;
    return 0;
fail_joined:
    embedded_leave(&l->fabric, &l->folder);
fail:
    free(l);
    return rc;
}

static void embedded_close(struct vmci_listener *listener)
{
    struct embedded_listener *l = (struct embedded_listener *)listener;

    vmci_fabric_unbind(&l->folder, &l->bound);
    embedded_leave(&l->fabric, &l->folder);
}

static int embedded_accept(struct vmci_listener *listener, struct vmci_peer *peer)
{
    struct embedded_listener *l = (struct embedded_listener *)listener;
    char text[REFUSAL_SIZE];
    const struct vmci_err err = {text, sizeof(text)};

    for (int turn = 0; turn < VMCI_ACCEPT_TURN; turn++) {
        struct sockaddr_un address;
        socklen_t length = sizeof(address);
        const int fd =
            accept4(l->base.fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && !vmci_accept_is_transient(errno))
            return -errno;
        if (fd < 0)
            continue;
        *peer = (struct vmci_peer){0};
        if (vmci_fabric_admit(&l->fabric, l->cid, vmci_may_be_trusted(), fd, &address, length, &peer->cid,
                              &peer->port, &err) == 0) {
            vmci_unix_set_buffers(fd, l->base.buffer_bytes);
            return fd;
        }
        vmci_listener_refuse(&l->base, fd, text);
    }
    return -EAGAIN;
}

static int embedded_dial(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                         const struct vmci_err *err)
{
    struct vmci_fabric fabric;
    struct vmci_folder folder;
    struct vmci_fabric_port bound = {0};
    uint32_t self;
    uint32_t cid = endpoint->cid;
    int fd = -1;
    int rc = embedded_join(settings, &fabric, &folder, &self, err);

    if (rc < 0)
        return rc;
    if (cid == VMCI_CID_LOCAL)
        cid = self;
    if (!vmci_fabric_allows(self, cid)) {
        rc = vmci_fail(err, -ENETUNREACH, "CID %u can't reach CID %u: guests only talk to the host", self,
                       cid);
        goto leave;
    }
    if (!vmci_fabric_trusts(&fabric, self, cid, vmci_may_be_trusted())) {
        rc = vmci_fail(err, -ENETUNREACH,
                       "CID %u is isolated, and we are not trusted: expected CAP_NET_ADMIN", cid);
        goto leave;
    }
    rc = fd = embedded_socket(settings, err);
    if (rc < 0)
        goto leave;
    rc = vmci_fabric_bind_ephemeral(&folder, fd, VMCI_FABRIC_CLIENT_MODE, &bound, err);
    if (rc < 0)
        goto leave;
    rc = vmci_fabric_reach(&fabric, fd, cid, endpoint->port, err);
    vmci_fabric_unbind(&folder, &bound);
leave:
    embedded_leave(&fabric, &folder);
    if (rc < 0 && fd >= 0)
        (void)close(fd);
    return rc < 0 ? rc : fd;
}

static int embedded_connect(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                            struct vmci_connector **connector, const struct vmci_err *err)
{
    struct vmci_connector *made = malloc(sizeof(*made));
    int fd;

    if (!made)
        return vmci_fail_errno(err, -ENOMEM, "connect");
    fd = embedded_dial(endpoint, settings, err);
    if (fd < 0) {
        free(made);
        return fd;
    }
    vmci_connector_init(made, &vmci_embedded, fd);
    *connector = made;
    return 0;
}

/* A Unix socket is connected at once or not at all. */
static int embedded_step(struct vmci_connector *connector, const struct vmci_err *err)
{
    (void)connector;
    (void)err;
    return 0;
}

const struct vmci_transport vmci_embedded = {
    .scheme = "embedded",
    .parse = embedded_parse,
    .can_listen = embedded_can_listen,
    .can_connect = embedded_can_connect,
    .listen = embedded_listen,
    .accept = embedded_accept,
    .close = embedded_close,
    .connect = embedded_connect,
    .step = embedded_step,
};
