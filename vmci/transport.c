/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/transport.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmci/transport_impl.h"

#define REPORT_SIZE 512

int vmci_listen(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                struct vmci_listener **listener, char *err, size_t err_size)
{
    const struct vmci_err error = {err, err_size};
    int rc;

    *listener = NULL;
    rc = endpoint->transport->can_listen(endpoint, &error);
    if (rc < 0)
        return rc;
    return endpoint->transport->listen(endpoint, settings, listener, &error);
}

int vmci_listener_fd(const struct vmci_listener *listener)
{
    return listener->fd;
}

int vmci_accept(struct vmci_listener *listener, struct vmci_peer *peer)
{
    return listener->transport->accept(listener, peer);
}

uint64_t vmci_listener_refused(const struct vmci_listener *listener)
{
    return listener->refused;
}

void vmci_listener_close(struct vmci_listener *listener)
{
    if (!listener)
        return;
    if (listener->transport->close)
        listener->transport->close(listener);
    (void)close(listener->fd);
    free(listener);
}

int vmci_connect(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                 struct vmci_connector **connector, char *err, size_t err_size)
{
    const struct vmci_err error = {err, err_size};
    int rc;

    *connector = NULL;
    rc = endpoint->transport->can_connect(endpoint, &error);
    if (rc < 0)
        return rc;
    return endpoint->transport->connect(endpoint, settings, connector, &error);
}

int vmci_connector_fd(const struct vmci_connector *connector)
{
    return connector->fd;
}

short vmci_connector_events(const struct vmci_connector *connector)
{
    return connector->events;
}

int vmci_connector_step(struct vmci_connector *connector, char *err, size_t err_size)
{
    const struct vmci_err error = {err, err_size};
    int rc;

    if (connector->state == VMCI_CONNECTED)
        return 0;
    if (connector->state == VMCI_FAILED)
        return vmci_fail(&error, -ENOTCONN, "connecting has failed before");
    rc = connector->transport->step(connector, &error);
    if (rc == 0)
        connector->state = VMCI_CONNECTED;
    else if (rc != -EAGAIN)
        connector->state = VMCI_FAILED;
    return rc;
}

int vmci_connector_take(struct vmci_connector *connector)
{
    const int fd = connector->fd;

    if (connector->state != VMCI_CONNECTED || fd < 0)
        return -ENOTCONN;
    connector->fd = -1;
    return fd;
}

void vmci_connector_close(struct vmci_connector *connector)
{
    if (!connector)
        return;
    if (connector->fd >= 0)
        (void)close(connector->fd);
    free(connector);
}

void vmci_listener_init(struct vmci_listener *listener, const struct vmci_transport *transport,
                        const struct vmci_settings *settings)
{
    *listener = (struct vmci_listener){.transport = transport,
                                       .fd = -1,
                                       .buffer_bytes = settings->buffer_bytes,
                                       .report = settings->report,
                                       .arg = settings->arg};
}

void vmci_listener_report(const struct vmci_listener *listener, enum vmci_report what, const char *format,
                          ...)
{
    char text[REPORT_SIZE];
    va_list args;

    if (!listener->report)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    listener->report(listener->arg, what, text);
}

void vmci_listener_refuse(struct vmci_listener *listener, int fd, const char *text)
{
    (void)close(fd);
    listener->refused++;
    vmci_listener_report(listener, VMCI_REPORT_REFUSED, "%s", text);
}

void vmci_connector_init(struct vmci_connector *connector, const struct vmci_transport *transport, int fd)
{
    *connector = (struct vmci_connector){
        .transport = transport, .fd = fd, .events = POLLOUT, .state = VMCI_CONNECTING};
}

int vmci_backlog(const struct vmci_settings *settings)
{
    return settings->backlog > 0 ? settings->backlog : INT_MAX;
}

void vmci_unix_set_buffers(int fd, uint32_t bytes)
{
    const int size = bytes > INT_MAX / 2 ? INT_MAX / 2 : (int)bytes;

    if (size == 0)
        return;
    /* Both are cut to the system's limit, and neither can fail for another reason that matters. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

int vmci_socket_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return -errno;
    return -error;
}

bool vmci_accept_is_transient(int error)
{
    return error == EINTR || error == ECONNABORTED || error == ECONNRESET || error == EPROTO ||
           error == ETIMEDOUT;
}
