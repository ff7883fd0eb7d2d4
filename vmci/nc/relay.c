/* SPDX-License-Identifier: Apache-2.0 */
/* Streams from one place to another, as many as come: VMCI to TCP, a Unix socket to VMCI, and so on. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmci/nc/dial.h"
#include "vmci/nc/listener.h"
#include "vmci/nc/modes.h"
#include "vmci/nc/say.h"
#include "vmci/nc/session.h"

struct relay {
    struct nc_listener listener;
    struct nc_loop *loop;
    const struct nc_place *to;
    const struct nc_settings *settings;
    LIST_HEAD(, pair) pairs;
};

/* One stream that has come, with its own to the target. */
struct pair {
    struct relay *relay;
    LIST_ENTRY(pair) entry;
    enum { PAIR_DIALLING, PAIR_JOINED } state;
    int fd; /* what has come; the session's when joined */
    struct nc_dial dial;
    struct nc_session session;
    char peer[NC_NAME_SIZE];
};

static void destroy(struct pair *pair)
{
    LIST_REMOVE(pair, entry);
    free(pair);
}

static void closed(struct nc_session *session, int rc)
{
    struct pair *pair = (struct pair *)((char *)session - offsetof(struct pair, session));

    nc_note("connection from %s closed%s%s", pair->peer, rc < 0 ? ": " : "", rc < 0 ? strerror(-rc) : "");
    destroy(pair);
}

static void connected(struct nc_dial *dial, int fd)
{
    struct pair *pair = (struct pair *)((char *)dial - offsetof(struct pair, dial));
    const struct nc_end left = {.in = pair->fd, .out = pair->fd, .kind = NC_END_SOCKET};
    const struct nc_end right = {.in = fd, .out = fd, .kind = NC_END_SOCKET};

    if (fd < 0) {
        nc_error("connection from %s: %s", pair->peer, dial->reason);
        (void)close(pair->fd);
        destroy(pair);
        return;
    }
    pair->state = PAIR_JOINED;
    pair->session.closed = closed;
    pair->session.idle_seconds = pair->relay->settings->wait_s;
    nc_session_start(pair->relay->loop, &pair->session, left, NC_END_PASS, right, NC_END_PASS);
}

static void accepted(struct nc_listener *listener, int fd, const char *peer)
{
    struct relay *relay = (struct relay *)listener;
    const unsigned wait_s = relay->settings->wait_s;
    struct pair *pair = malloc(sizeof(*pair));

    if (!pair) {
        nc_error("connection from %s: %s", peer, strerror(ENOMEM));
        (void)close(fd);
        return;
    }
    pair->relay = relay;
    pair->state = PAIR_DIALLING;
    pair->fd = fd;
    pair->dial.done = connected;
    memcpy(pair->peer, peer, strnlen(peer, sizeof(pair->peer) - 1) + 1);
    LIST_INSERT_HEAD(&relay->pairs, pair, entry);
    nc_dial_start(relay->loop, &pair->dial, relay->to, wait_s ? wait_s : NC_CONNECT_S);
}

static void cancel(struct pair *pair)
{
    if (pair->state == PAIR_JOINED) {
        nc_session_cancel(&pair->session);
    } else {
        nc_dial_cancel(&pair->dial);
        (void)close(pair->fd);
    }
    destroy(pair);
}

int nc_relay(struct nc_loop *loop, const struct nc_place *at, const struct nc_place *to,
             const struct nc_settings *settings)
{
    char text[NC_REASON_SIZE];
    const struct vmci_err err = {text, sizeof(text)};
    struct relay relay = {.listener.accepted = accepted, .loop = loop, .to = to, .settings = settings};
    struct pair *pair;
    int rc;

    LIST_INIT(&relay.pairs);
    rc = nc_listener_open(loop, &relay.listener, at, &err);
    if (rc < 0) {
        nc_error("%s", text);
        return rc;
    }
    rc = nc_loop_run(loop);
    nc_listener_close(&relay.listener);
    while ((pair = LIST_FIRST(&relay.pairs)))
        cancel(pair);
    return rc;
}
