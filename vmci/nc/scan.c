/* SPDX-License-Identifier: Apache-2.0 */
/* Ports, one after the other: who takes a connection? It is closed again at once. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmci/endpoint.h"
#include "vmci/nc/dial.h"
#include "vmci/nc/modes.h"
#include "vmci/nc/say.h"

#define SCAN_WAIT_S 2U /* as long as the kernel waits for a vsock */

struct ports {
    char base[NC_TEXT_SIZE]; /* with the colon; the whole text when there are no ports in it */
    uint32_t first;          /* 0: no ports */
    uint32_t last;
};

/* SCHEME:…:FIRST-LAST into its parts. 0 or -EINVAL. */
static int parse_ports(struct ports *ports, const char *text)
{
    const char *colon = strrchr(text, ':');
    const char *dash = colon ? strchr(colon, '-') : NULL;

    *ports = (struct ports){0};
    if (strlen(text) >= sizeof(ports->base))
        return -EINVAL;
    if (!dash || strncmp(text, "unix:", 5) == 0) {
        memcpy(ports->base, text, strlen(text) + 1);
        return 0;
    }
    memcpy(ports->base, text, (size_t)(colon + 1 - text));
    if (!vmci_parse_number(colon + 1, (size_t)(dash - colon - 1), &ports->first) ||
        !vmci_parse_number(dash + 1, strlen(dash + 1), &ports->last))
        return -EINVAL;
    return ports->first == 0 || ports->first > ports->last ? -EINVAL : 0;
}

struct probe {
    struct nc_dial dial;
    struct nc_loop *loop;
};

static void done(struct nc_dial *dial, int fd)
{
    if (fd >= 0)
        (void)close(fd);
    nc_loop_stop(((struct probe *)dial)->loop, fd < 0 ? fd : 0);
}

/* 0: open; -EINTR: a signal; -EINVAL: no place to connect to; other -errno: not open. */
static int probe(struct nc_loop *loop, const char *text, unsigned wait_s)
{
    struct probe probe = {.dial.done = done, .loop = loop};
    const struct vmci_err err = {probe.dial.reason, sizeof(probe.dial.reason)};
    struct nc_place place;
    int rc = nc_place_parse(&place, text, SOCK_STREAM, NC_CONNECT, &err);

    if (rc < 0) {
        nc_error("%s", probe.dial.reason);
        return rc;
    }
    nc_dial_start(loop, &probe.dial, &place, wait_s);
    rc = nc_loop_run(loop);
    nc_dial_cancel(&probe.dial);
    nc_place_free(&place);
    if (rc == 0)
        (void)printf("%s open\n", text);
    else
        nc_note("%s", probe.dial.reason);
    return rc;
}

int nc_scan(struct nc_loop *loop, const char *text, const struct nc_settings *settings)
{
    const unsigned wait_s = settings->wait_s ? settings->wait_s : SCAN_WAIT_S;
    int result = -ECONNREFUSED;
    struct ports ports;
    int rc = parse_ports(&ports, text);

    if (rc < 0) {
        nc_error("\"%s\": expected an endpoint with a port, or with FIRST-LAST in its place", text);
        return rc;
    }
    if (ports.first == 0)
        return probe(loop, ports.base, wait_s);
    for (uint64_t port = ports.first; port <= ports.last; port++) {
        char one[NC_TEXT_SIZE + sizeof("4294967294")];

        (void)snprintf(one, sizeof(one), "%s%u", ports.base, (unsigned)port);
        rc = probe(loop, one, wait_s);
        if (rc == -EINTR || rc == -EINVAL)
            return rc;
        if (rc == 0)
            result = 0;
    }
    return result;
}
