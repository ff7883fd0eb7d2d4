/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/nc/listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmci/nc/say.h"
#include "vmci/transport_impl.h"

#define PAUSE_MS 100U /* without descriptors, before the next try */

/* Asked with a socket of a type that nobody expects there: whoever has the name is not disturbed. */
static bool is_abandoned(const struct sockaddr_un *address)
{
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool abandoned;

    if (fd < 0)
        return false;
    abandoned = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return abandoned;
}

int nc_bind_path(int fd, const struct sockaddr_un *address)
{
    const struct sockaddr *plain = (const struct sockaddr *)address;

    if (bind(fd, plain, sizeof(*address)) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    if (!is_abandoned(address))
        return -EADDRINUSE;
    if (unlink(address->sun_path) < 0)
        return -errno;
    return bind(fd, plain, sizeof(*address)) < 0 ? -errno : 0;
}

static int listen_plain(struct nc_listener *listener, const struct nc_place *place,
                        const struct addrinfo *address)
{
    const struct vmci_settings settings = {0};
    const int one = 1;
    int rc = 0;
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->ai_family == AF_UNIX)
        rc = nc_bind_path(fd, &place->path);
    else if (bind(fd, address->ai_addr, address->ai_addrlen) < 0)
        rc = -errno;
    if (rc == 0 && listen(fd, vmci_backlog(&settings)) < 0)
        rc = -errno;
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    listener->fd = fd;
    if (address->ai_family == AF_UNIX)
        memcpy(listener->path, place->path.sun_path, sizeof(listener->path));
    return 0;
}

static int open_plain(struct nc_listener *listener, const struct nc_place *place, const struct vmci_err *err)
{
    int rc = -EADDRNOTAVAIL;

    for (const struct addrinfo *address = place->addresses; address && rc < 0; address = address->ai_next)
        rc = listen_plain(listener, place, address);
    return rc < 0 ? vmci_fail(err, rc, "listen on %s: %s", place->text, strerror(-rc)) : 0;
}

static void report(void *arg, enum vmci_report what, const char *text)
{
    (void)arg;
    if (what == VMCI_REPORT_TROUBLE)
        nc_error("%s", text);
    else
        nc_note("%s", text);
}

static int open_vmci(struct nc_listener *listener, const struct nc_place *place, const struct vmci_err *err)
{
    const struct vmci_settings settings = {.report = report};
    const int rc = vmci_listen(&place->vmci, &settings, &listener->vmci, err->text, err->size);

    if (rc == 0)
        listener->fd = vmci_listener_fd(listener->vmci);
    return rc;
}

static int take_vmci(struct nc_listener *listener, char peer[NC_NAME_SIZE])
{
    struct vmci_peer who;
    const int fd = vmci_accept(listener->vmci, &who);
    char cid[sizeof("CID 4294967295")] = "no CID";

    if (fd < 0)
        return fd;
    if (who.cid != VMCI_CID_ANY)
        (void)snprintf(cid, sizeof(cid), "CID %u", who.cid);
    if (who.name[0] != '\0')
        (void)snprintf(peer, NC_NAME_SIZE, "VM %s (%s)", who.name, cid);
    else
        (void)snprintf(peer, NC_NAME_SIZE, "%s port %u", cid, who.port);
    return fd;
}

static int take_plain(struct nc_listener *listener, char peer[NC_NAME_SIZE])
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    const int fd = accept4(listener->fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return vmci_accept_is_transient(errno) ? -EAGAIN : -errno;
    nc_address_name(&address, length, peer);
    return fd;
}

/* One at a time: the callee may want no more than that. */
static void ready(struct nc_watch *watch, short revents)
{
    struct nc_listener *listener = (struct nc_listener *)watch;
    char peer[NC_NAME_SIZE];
    int fd;

    watch->events = POLLIN;
    if (revents == 0)
        return;
    fd = listener->vmci ? take_vmci(listener, peer) : take_plain(listener, peer);
    if (fd >= 0) {
        nc_note("connection from %s", peer);
        listener->accepted(listener, fd, peer);
    } else if (fd != -EAGAIN) {
        nc_error("accept: %s", strerror(-fd));
        watch->events = 0;
        watch->deadline_ms = nc_now_ms() + PAUSE_MS;
    }
}

int nc_listener_open(struct nc_loop *loop, struct nc_listener *listener, const struct nc_place *place,
                     const struct vmci_err *err)
{
    int rc;

    listener->vmci = NULL;
    listener->path[0] = '\0';
    rc = place->vmci.transport ? open_vmci(listener, place, err) : open_plain(listener, place, err);
    if (rc < 0)
        return rc;
    listener->watch =
        (struct nc_watch){.fd = listener->fd, .events = POLLIN, .deadline_ms = NC_NEVER, .ready = ready};
    nc_watch_start(loop, &listener->watch);
    nc_note("listening on %s", place->text);
    return 0;
}

void nc_listener_pause(struct nc_listener *listener)
{
    listener->watch.events = 0;
    listener->watch.deadline_ms = NC_NEVER;
}

void nc_listener_resume(struct nc_listener *listener)
{
    listener->watch.events = POLLIN;
}

void nc_listener_close(struct nc_listener *listener)
{
    if (listener->fd < 0)
        return;
    nc_watch_stop(&listener->watch);
    if (listener->vmci)
        vmci_listener_close(listener->vmci);
    else
        (void)close(listener->fd);
    if (listener->path[0] != '\0')
        (void)unlink(listener->path);
    listener->fd = -1;
}
