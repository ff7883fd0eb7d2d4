/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the host to a hybrid VM: connect to the VMM's socket, ask for the port, wait for its answer.
 *
 *   us ── "CONNECT 5672\n", in one write ──► VMM
 *      ◄── "OK 1073741824\n", any number ──         then it is a stream to the guest
 *      ◄── closed ───────────────────────           nobody listens there, or no guest yet
 *
 * The answer is read byte by byte, as what the guest sends may follow in the same breath; and nothing is sent
 * before it has come. There is no deadline here: the caller has one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmci/endpoint.h"
#include "vmci/hybrid_impl.h"

struct hybrid_connector {
    struct vmci_connector base;
    uint32_t port;
    enum { ASKING, LISTENING_FOR_OK } phase;
    size_t length;                          /* of what has come */
    char answer[sizeof("OK 4294967295\n")]; /* so far, always with a NUL */
};

static int vmm_fail(const char *path, int error, const struct vmci_err *err)
{
    switch (error) {
    case ENOENT:
    case ECONNREFUSED: return vmci_fail(err, -ENODEV, "%s: no VMM there (%s)", path, strerror(error));
    case EAGAIN: return vmci_fail(err, -ECONNRESET, "%s: the VMM's backlog is full", path);
    default: return vmci_fail(err, -error, "%s: %s", path, strerror(error));
    }
}

static int vmm_dial(const char *path, const struct vmci_settings *settings, const struct vmci_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return vmci_fail_errno(err, -errno, "socket");
    vmci_unix_set_buffers(fd, settings->buffer_bytes);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    rc = vmm_fail(path, errno, err);
    (void)close(fd);
    return rc;
}

int hybrid_connect(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                   struct vmci_connector **connector, const struct vmci_err *err)
{
    struct hybrid_connector *c = calloc(1, sizeof(*c));
    int fd;

    if (!c)
        return vmci_fail_errno(err, -ENOMEM, "connect");
    fd = vmm_dial(endpoint->path, settings, err);
    if (fd < 0) {
        free(c);
        return fd;
    }
    vmci_connector_init(&c->base, &vmci_hybrid, fd);
    c->port = endpoint->port;
    c->phase = ASKING;
    *connector = &c->base;
    return 0;
}

/* 0 when it is out. A line this short goes into an empty socket at once or not at all. */
static int ask(struct hybrid_connector *c, const struct vmci_err *err)
{
    char line[sizeof("CONNECT 4294967295\n")];
    const int length = snprintf(line, sizeof(line), "CONNECT %u\n", c->port);
    const ssize_t sent = send(c->base.fd, line, (size_t)length, MSG_NOSIGNAL);

    if (sent == length)
        return 0;
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
        c->base.events = POLLOUT;
        return -EAGAIN;
    }
    if (sent < 0 && errno != EPIPE)
        return vmci_fail_errno(err, -errno, "asking the VMM");
    return vmci_fail(err, -ECONNRESET, "the VMM closed before it was asked for port %u", c->port);
}

/* "OK <number>\n", all there. */
static bool is_ok(const struct hybrid_connector *c)
{
    const size_t digits = strspn(c->answer + 3, "0123456789");

    return memcmp(c->answer, "OK ", 3) == 0 && digits > 0 && digits == c->length - 4;
}

/* One more byte of the answer. 1: there may be more; 0: this is it; -EAGAIN and errors. */
static int hear(struct hybrid_connector *c, const struct vmci_err *err)
{
    const ssize_t got = recv(c->base.fd, c->answer + c->length, 1, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    if (got < 0 && errno != ECONNRESET)
        return vmci_fail_errno(err, -errno, "the VMM's answer");
    if (got <= 0)
        return vmci_fail(err, -ECONNRESET, "the VMM closed the stream to port %u: nobody listens there",
                         c->port);
    if (c->answer[c->length++] == '\n')
        return is_ok(c) ? 0 : vmci_fail(err, -EPROTO, "the VMM's answer is not \"OK <number>\"");
    if (c->length == sizeof(c->answer) - 1)
        return vmci_fail(err, -EPROTO, "the VMM's answer is longer than \"OK <number>\"");
    return 1;
}

int hybrid_step(struct vmci_connector *connector, const struct vmci_err *err)
{
    struct hybrid_connector *c = (struct hybrid_connector *)connector;
    int rc = 1;

    if (c->phase == ASKING) {
        rc = ask(c, err);
        if (rc < 0)
            return rc;
        c->phase = LISTENING_FOR_OK;
        c->base.events = POLLIN;
        rc = 1;
    }
    while (rc > 0)
        rc = hear(c, err);
    return rc;
}
