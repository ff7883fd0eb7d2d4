/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hybrid:GLOB:PORT, for VMMs that offer their guests' vsock as Unix sockets: Firecracker, Cloud Hypervisor,
 * vhost-device-vsock. hybrid_impl.h has the picture.
 *
 * One epoll holds the sockets of all VMs, inotify and a timer, and is what the caller polls. Level-triggered,
 * it moves whoever it told of to the end of its list, so VMs take turns. Streams are taken in eagerly: a VMM
 * connects from the thread that serves all of its guest's devices, and may wait there when a backlog is full.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmci/endpoint.h"
#include "vmci/hybrid_impl.h"

#define RETRY_SECONDS 1

static int hybrid_parse(struct vmci_endpoint *endpoint, const char *text, const struct vmci_err *err)
{
    const char *colon = strrchr(text, ':');
    struct vmci_glob glob;
    int rc;

    if (!colon)
        return vmci_fail(err, -EINVAL, "\"%s\": expected hybrid:GLOB:PORT", text);
    if ((size_t)(colon - text) >= sizeof(endpoint->path))
        return vmci_fail(err, -EINVAL, "path of %zu bytes: expected at most %zu", (size_t)(colon - text),
                         sizeof(endpoint->path) - 1);
    memcpy(endpoint->path, text, (size_t)(colon - text));
    rc = vmci_glob_compile(&glob, endpoint->path, err);
    return rc < 0 ? rc : vmci_parse_port(colon + 1, &endpoint->port, err);
}

static int hybrid_can_listen(const struct vmci_endpoint *endpoint, const struct vmci_err *err)
{
    (void)endpoint;
    (void)err;
    return 0;
}

static int hybrid_can_connect(const struct vmci_endpoint *endpoint, const struct vmci_err *err)
{
    const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    struct vmci_glob glob;
    int rc = vmci_glob_compile(&glob, endpoint->path, err);

    if (rc < 0)
        return rc;
    if (glob.first_wild < glob.depth)
        return vmci_fail(err, -EINVAL,
                         "hybrid:%s can only be listened on: to connect, name one path without wildcards",
                         endpoint->path);
    if (strlen(endpoint->path) > max)
        return vmci_fail(err, -EINVAL, "path of %zu bytes: a Unix socket's has at most %zu",
                         strlen(endpoint->path), max);
    return 0;
}

static int hybrid_poll_for(struct hybrid *h, int fd, void *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = source}};

    return epoll_ctl(h->base.fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Everything that has to be closed again, -1 where it could not be opened. */
static int hybrid_open(struct hybrid *h)
{
    int rc;

    h->base.fd = epoll_create1(EPOLL_CLOEXEC);
    h->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    h->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    h->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (h->base.fd < 0 || h->inotify < 0 || h->timer < 0 || h->spare < 0)
        return errno ? -errno : -EMFILE;
    rc = hybrid_poll_for(h, h->inotify, &h->inotify);
    return rc < 0 ? rc : hybrid_poll_for(h, h->timer, &h->timer);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

/* base.fd stays open: its owner is vmci_listener_close(). */
static void hybrid_close(struct vmci_listener *listener)
{
    struct hybrid *h = (struct hybrid *)listener;

    h->base.report = NULL;
    hybrid_tree_deinit(h);
    close_if_open(h->spare);
    close_if_open(h->timer);
    close_if_open(h->inotify);
}

/* While something is in trouble all is looked at every second: not every cause of trouble has an event at its
 * end. */
static void hybrid_arm(struct hybrid *h)
{
    const struct itimerspec once = {.it_value = {.tv_sec = h->retry ? RETRY_SECONDS : 0}};

    (void)timerfd_settime(h->timer, 0, &once, NULL);
}

static int hybrid_listen(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                         struct vmci_listener **listener, const struct vmci_err *err)
{
    struct hybrid *h = calloc(1, sizeof(*h));
    int rc;

    if (!h)
        return vmci_fail_errno(err, -ENOMEM, "listen");
    vmci_listener_init(&h->base, &vmci_hybrid, settings);
    h->port = endpoint->port;
    h->backlog = vmci_backlog(settings);
    h->cid_of = settings->cid_of;
    TAILQ_INIT(&h->dirs);
    TAILQ_INIT(&h->vms);
    rc = vmci_glob_compile(&h->glob, endpoint->path, err);
    if (rc < 0) {
        free(h);
        return rc;
    }
    rc = hybrid_open(h);
    if (rc == 0)
        rc = hybrid_tree_init(h);
    if (rc < 0) {
        hybrid_close(&h->base);
        close_if_open(h->base.fd);
        free(h);
        return vmci_fail_errno(err, rc, "listen for hybrid VMs");
    }
    hybrid_arm(h);
    *listener = &h->base;
    return 0;
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

/* Takes in one stream with the descriptor kept for that, and closes it: the guest sees a reset and can try
 * again, which is better than a VMM that stands still. False when there was nothing to give up. */
static bool hybrid_shed(struct hybrid *h, const struct hybrid_vm *vm)
{
    int fd;

    if (h->spare < 0)
        return false;
    (void)close(h->spare);
    fd = accept4(vm->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        (void)close(fd);
        h->base.refused++;
    }
    h->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

static void hybrid_fill_peer(const struct hybrid *h, const struct hybrid_vm *vm, struct vmci_peer *peer)
{
    *peer = (struct vmci_peer){.cid = hybrid_vm_cid(h, vm), .port = VMCI_PORT_ANY};
    memcpy(peer->name, vm->name, strlen(vm->name) + 1);
}

/* A stream of this VM, -EAGAIN when there is none, or what keeps us from taking it. */
static int hybrid_accept_one(struct hybrid *h, const struct hybrid_vm *vm, struct vmci_peer *peer)
{
    const int fd = accept4(vm->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return vmci_accept_is_transient(errno) ? -EAGAIN : -errno;
    vmci_unix_set_buffers(fd, h->base.buffer_bytes);
    hybrid_fill_peer(h, vm, peer);
    return fd;
}

/* The timer's or inotify's turn. */
static void hybrid_look(struct hybrid *h, const void *source)
{
    uint64_t expirations;

    if (source == &h->inotify)
        hybrid_tree_events(h);
    else if (read(h->timer, &expirations, sizeof(expirations)) > 0)
        hybrid_tree_rescan(h);
    hybrid_arm(h);
}

/* Sheds what can't be taken for want of descriptors; *shed counts. */
static int hybrid_accept_next(struct hybrid *h, struct vmci_peer *peer, int *shed)
{
    int nothing = -EAGAIN;

    for (int turn = 0; turn < VMCI_ACCEPT_TURN; turn++) {
        struct epoll_event event;
        int rc;

        /* One at a time: what it points to may be gone after the next look at the folders. */
        if (epoll_wait(h->base.fd, &event, 1, 0) <= 0)
            break;
        if (event.data.ptr == &h->inotify || event.data.ptr == &h->timer) {
            hybrid_look(h, event.data.ptr);
            continue;
        }
        rc = hybrid_accept_one(h, event.data.ptr, peer);
        if (rc == -EAGAIN)
            continue;
        if (!is_shortage(-rc) || !hybrid_shed(h, event.data.ptr))
            return rc;
        nothing = rc;
        (*shed)++;
    }
    return nothing;
}

static int hybrid_accept(struct vmci_listener *listener, struct vmci_peer *peer)
{
    struct hybrid *h = (struct hybrid *)listener;
    int shed = 0;
    const int rc = hybrid_accept_next(h, peer, &shed);

    if (shed > 0)
        vmci_listener_report(&h->base, VMCI_REPORT_REFUSED,
                             "closed %d streams of hybrid VMs: no descriptors left", shed);
    return rc;
}

const struct vmci_transport vmci_hybrid = {
    .scheme = "hybrid",
    .parse = hybrid_parse,
    .can_listen = hybrid_can_listen,
    .can_connect = hybrid_can_connect,
    .listen = hybrid_listen,
    .accept = hybrid_accept,
    .close = hybrid_close,
    .connect = hybrid_connect,
    .step = hybrid_step,
};
