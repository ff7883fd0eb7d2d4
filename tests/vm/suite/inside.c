/* SPDX-License-Identifier: Apache-2.0 */
#include "inside.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* On the kernel's command line: see vmlib/machine.py. */
#define MARK "amqpvsock.testmachine"

char inside_err[TEXT_SIZE];

void inside_require(void)
{
    char line[4096] = "";
    FILE *file = fopen("/proc/cmdline", "r");
    const char *got = file ? fgets(line, sizeof(line), file) : NULL;

    if (file)
        (void)fclose(file);
    if (got && strstr(line, MARK))
        return;
    (void)fprintf(stderr, "this test uses AF_VSOCK and runs in the machine of tests/vm/run only\n");
    exit(2);
}

int inside_try_listen(const char *text, const struct vmci_settings *settings, struct vmci_listener **listener)
{
    const struct vmci_endpoint endpoint = scratch_endpoint("%s", text);

    return vmci_listen(&endpoint, settings, listener, inside_err, sizeof(inside_err));
}

struct vmci_listener *inside_listen(const char *format, ...)
{
    const struct vmci_settings settings = {0};
    struct vmci_listener *listener;
    char text[TEXT_SIZE];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (inside_try_listen(text, &settings, &listener) < 0)
        fail_msg("%s: %s", text, inside_err);
    return listener;
}

static void wait_for(int fd, short events)
{
    struct pollfd item = {.fd = fd, .events = events};

    assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
}

int inside_connect(const char *text, const struct vmci_settings *settings)
{
    const struct vmci_endpoint endpoint = scratch_endpoint("%s", text);
    struct vmci_connector *connector;
    int rc = vmci_connect(&endpoint, settings, &connector, inside_err, sizeof(inside_err));

    if (rc < 0)
        return rc;
    while ((rc = vmci_connector_step(connector, inside_err, sizeof(inside_err))) == -EAGAIN)
        wait_for(vmci_connector_fd(connector), vmci_connector_events(connector));
    if (rc == 0)
        rc = vmci_connector_take(connector);
    vmci_connector_close(connector);
    return rc;
}

int inside_accept(struct vmci_listener *listener, struct vmci_peer *peer)
{
    struct vmci_peer unwanted;
    int fd;

    wait_for(vmci_listener_fd(listener), POLLIN);
    fd = vmci_accept(listener, peer ? peer : &unwanted);
    assert_true(fd >= 0);
    return fd;
}

struct inside_pair inside_pair(uint32_t port, const struct vmci_settings *settings)
{
    char text[TEXT_SIZE];
    struct vmci_listener *listener;
    struct inside_pair pair;

    (void)snprintf(text, sizeof(text), "vsock:any:%u", port);
    if (inside_try_listen(text, settings, &listener) < 0)
        fail_msg("%s: %s", text, inside_err);
    (void)snprintf(text, sizeof(text), "vsock:1:%u", port);
    pair.client = inside_connect(text, settings);
    if (pair.client < 0)
        fail_msg("%s: %s", text, inside_err);
    pair.server = inside_accept(listener, NULL);
    vmci_listener_close(listener);
    return pair;
}

void inside_pair_close(struct inside_pair *pair)
{
    (void)close(pair->client);
    (void)close(pair->server);
}

void inside_send(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t sent = send(fd, (const char *)data + done, size - done, MSG_NOSIGNAL);

        if (sent < 0) {
            assert_int_equal(errno, EAGAIN);
            wait_for(fd, POLLOUT);
            continue;
        }
        done += (size_t)sent;
    }
}

size_t inside_recv(int fd, void *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        const ssize_t got = recv(fd, (char *)data + done, size - done, 0);

        if (got == 0)
            break;
        if (got < 0) {
            assert_int_equal(errno, EAGAIN);
            wait_for(fd, POLLIN);
            continue;
        }
        done += (size_t)got;
    }
    return done;
}
