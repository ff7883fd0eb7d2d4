/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/nc/dial.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmci/transport_impl.h"

static struct vmci_err reason_of(struct nc_dial *dial)
{
    return (struct vmci_err){dial->reason, sizeof(dial->reason)};
}

void nc_dial_cancel(struct nc_dial *dial)
{
    nc_watch_stop(&dial->watch);
    vmci_connector_close(dial->connector);
    dial->connector = NULL;
    if (dial->fd >= 0)
        (void)close(dial->fd);
    dial->fd = -1;
}

static void finish(struct nc_dial *dial, int fd)
{
    nc_dial_cancel(dial);
    dial->done(dial, fd);
}

static void poll_for(struct nc_dial *dial, int fd, short events)
{
    dial->watch.fd = fd;
    dial->watch.events = events;
    dial->watch.deadline_ms = dial->deadline_ms;
}

static void step_vmci(struct nc_dial *dial)
{
    const int rc = vmci_connector_step(dial->connector, dial->reason, sizeof(dial->reason));

    if (rc == -EAGAIN)
        poll_for(dial, vmci_connector_fd(dial->connector), vmci_connector_events(dial->connector));
    else
        finish(dial, rc < 0 ? rc : vmci_connector_take(dial->connector));
}

static void start_vmci(struct nc_dial *dial)
{
    const struct vmci_settings settings = {0};
    const int rc =
        vmci_connect(&dial->place->vmci, &settings, &dial->connector, dial->reason, sizeof(dial->reason));

    dial->state = NC_DIAL_VMCI;
    if (rc < 0)
        finish(dial, rc);
    else
        step_vmci(dial);
}

/* This address is none: on to the next one, or the end. */
static void fail_plain(struct nc_dial *dial, int rc)
{
    const struct vmci_err err = reason_of(dial);

    if (dial->fd >= 0)
        (void)close(dial->fd);
    dial->fd = -1;
    (void)vmci_fail(&err, rc, "%s: %s", dial->place->text, strerror(-rc));
    if (!dial->address) {
        finish(dial, rc);
        return;
    }
    dial->state = NC_DIAL_NEXT;
    dial->watch.fd = -1;
    dial->watch.deadline_ms = 0;
}

static void finish_plain(struct nc_dial *dial)
{
    const int fd = dial->fd;

    dial->fd = -1;
    finish(dial, fd);
}

static void start_plain(struct nc_dial *dial)
{
    const struct addrinfo *address = dial->address;

    dial->address = address->ai_next;
    dial->state = NC_DIAL_PLAIN;
    dial->fd = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dial->fd < 0)
        fail_plain(dial, -errno);
    else if (connect(dial->fd, address->ai_addr, address->ai_addrlen) == 0)
        finish_plain(dial);
    else if (errno == EINPROGRESS)
        poll_for(dial, dial->fd, POLLOUT);
    else
        fail_plain(dial, errno == EAGAIN ? -ECONNREFUSED : -errno); /* a Unix listener's backlog is full */
}

static void step_plain(struct nc_dial *dial)
{
    const int rc = vmci_socket_error(dial->fd);

    if (rc < 0)
        fail_plain(dial, rc);
    else
        finish_plain(dial);
}

static void time_out(struct nc_dial *dial)
{
    const struct vmci_err err = reason_of(dial);

    finish(dial, vmci_fail(&err, -ETIMEDOUT, "%s: no connection in the time allowed", dial->place->text));
}

static void ready(struct nc_watch *watch, short revents)
{
    struct nc_dial *dial = (struct nc_dial *)watch;

    if (dial->state == NC_DIAL_NEXT && dial->place->vmci.transport)
        start_vmci(dial);
    else if (dial->state == NC_DIAL_NEXT)
        start_plain(dial);
    else if (revents == 0)
        time_out(dial);
    else if (dial->state == NC_DIAL_VMCI)
        step_vmci(dial);
    else
        step_plain(dial);
}

void nc_dial_start(struct nc_loop *loop, struct nc_dial *dial, const struct nc_place *place, unsigned seconds)
{
    dial->watch = (struct nc_watch){.fd = -1, .deadline_ms = 0, .ready = ready};
    dial->place = place;
    dial->state = NC_DIAL_NEXT;
    dial->connector = NULL;
    dial->address = place->addresses;
    dial->fd = -1;
    dial->deadline_ms = nc_deadline_ms(seconds);
    dial->reason[0] = '\0';
    nc_watch_start(loop, &dial->watch);
}
