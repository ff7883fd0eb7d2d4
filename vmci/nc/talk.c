/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard input and output joined with one stream at a time.
 *
 * Without -N it is over when the network's side ends; the end of standard input is kept from the peer. With
 * -N each direction has its own end, and it is over after both; standard output ends with the first
 * connection, but with -k, when there are more to come.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmci/nc/dial.h"
#include "vmci/nc/listener.h"
#include "vmci/nc/modes.h"
#include "vmci/nc/say.h"
#include "vmci/nc/session.h"

struct talk {
    struct nc_loop *loop;
    const struct nc_settings *settings;
    struct nc_listener *listener; /* NULL when connecting */
    struct nc_session session;
};

static void closed(struct nc_session *session, int rc)
{
    struct talk *talk = (struct talk *)((char *)session - offsetof(struct talk, session));

    if (rc < 0)
        nc_error("connection ended: %s", strerror(-rc));
    else
        nc_note("connection closed");
    if (talk->listener && talk->settings->keep_listening)
        nc_listener_resume(talk->listener);
    else
        nc_loop_stop(talk->loop, rc);
}

static void join(struct talk *talk, int fd)
{
    const struct nc_end here = {.in = STDIN_FILENO, .out = STDOUT_FILENO, .kind = NC_END_STDIO};
    const struct nc_end there = {.in = fd, .out = fd, .kind = NC_END_SOCKET};
    const enum nc_at_end after_peer = talk->settings->keep_listening ? NC_END_KEEP : NC_END_PASS;

    talk->session.closed = closed;
    talk->session.idle_seconds = talk->settings->wait_s;
    if (talk->settings->half_close)
        nc_session_start(talk->loop, &talk->session, here, NC_END_PASS, there, after_peer);
    else
        nc_session_start(talk->loop, &talk->session, here, NC_END_KEEP, there, NC_END_ALL);
}

struct dialled {
    struct nc_dial dial;
    struct talk *talk;
};

static void connected(struct nc_dial *dial, int fd)
{
    struct talk *talk = ((struct dialled *)dial)->talk;

    if (fd < 0) {
        nc_error("%s", dial->reason);
        nc_loop_stop(talk->loop, fd);
        return;
    }
    nc_note("connected to %s", dial->place->text);
    join(talk, fd);
}

static struct talk *create(struct nc_loop *loop, const struct nc_settings *settings)
{
    struct talk *talk = calloc(1, sizeof(*talk));

    if (!talk) {
        nc_error("%s", strerror(ENOMEM));
        return NULL;
    }
    talk->loop = loop;
    talk->settings = settings;
    return talk;
}

int nc_talk_connect(struct nc_loop *loop, const struct nc_place *to, const struct nc_settings *settings)
{
    struct talk *talk = create(loop, settings);
    struct dialled dialled = {.dial.done = connected, .talk = talk};
    int rc;

    if (!talk)
        return -ENOMEM;
    nc_dial_start(loop, &dialled.dial, to, settings->wait_s ? settings->wait_s : NC_CONNECT_S);
    rc = nc_loop_run(loop);
    nc_dial_cancel(&dialled.dial);
    free(talk);
    return rc;
}

struct listening {
    struct nc_listener listener;
    struct talk *talk;
};

/* The next one waits until this one has ended; without -k there is no next one. */
static void accepted(struct nc_listener *listener, int fd, const char *peer)
{
    struct talk *talk = ((struct listening *)listener)->talk;

    (void)peer;
    if (talk->settings->keep_listening)
        nc_listener_pause(listener);
    else
        nc_listener_close(listener);
    join(talk, fd);
}

int nc_talk_listen(struct nc_loop *loop, const struct nc_place *at, const struct nc_settings *settings)
{
    char text[NC_REASON_SIZE];
    const struct vmci_err err = {text, sizeof(text)};
    struct talk *talk = create(loop, settings);
    struct listening listening = {.listener.accepted = accepted, .talk = talk};
    int rc;

    if (!talk)
        return -ENOMEM;
    talk->listener = &listening.listener;
    rc = nc_listener_open(loop, &listening.listener, at, &err);
    if (rc < 0) {
        nc_error("%s", text);
    } else {
        rc = nc_loop_run(loop);
        nc_listener_close(&listening.listener);
    }
    free(talk);
    return rc;
}
