/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard input and output with datagrams: each read is one datagram, what comes is written as it is.
 *
 * When listening, the peer is who sent last with -k, and who sent first without; strangers are then not
 * heard, and input waits until there is a peer. Datagrams have no end: it is over after -w seconds without
 * any, with -N when standard input ends, else by a signal.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "vmci/nc/datagram.h"
#include "vmci/nc/dial.h"
#include "vmci/nc/modes.h"
#include "vmci/nc/say.h"

#define INPUT_MAX 16384U /* fits everywhere in one datagram */
#define TURN_MAX  64     /* datagrams, before others have theirs */

struct talk {
    struct nc_watch input;
    struct nc_watch network;
    struct nc_watch idle;
    struct nc_loop *loop;
    const struct nc_settings *settings;
    struct nc_datagram dgram;
    enum { TALK_CONNECTED, TALK_AWAITING_PEER, TALK_HAS_PEER } state;
    struct nc_address peer; /* in TALK_HAS_PEER */
};

static unsigned char bytes[NC_DATAGRAM_MAX];

static void touch(struct talk *talk)
{
    talk->idle.deadline_ms = nc_deadline_ms(talk->settings->wait_s);
}

/* A datagram that finds nobody is no end by itself, but worth a word. */
static void send_out(struct talk *talk, size_t count)
{
    const int rc =
        nc_datagram_send(&talk->dgram, bytes, count, talk->state == TALK_CONNECTED ? NULL : &talk->peer);

    if (rc < 0)
        nc_error("datagram of %zu bytes not sent: %s", count, strerror(-rc));
}

static void input_ready(struct nc_watch *watch, short revents)
{
    struct talk *talk = (struct talk *)((char *)watch - offsetof(struct talk, input));
    const ssize_t count = read(STDIN_FILENO, bytes, INPUT_MAX);

    (void)revents;
    if (count > 0) {
        touch(talk);
        send_out(talk, (size_t)count);
        return;
    }
    if (count < 0)
        nc_error("standard input: %s", strerror(errno));
    watch->events = 0;
    if (talk->settings->half_close || count < 0)
        nc_loop_stop(talk->loop, count < 0 ? -EIO : 0);
}

/* False: a stranger. */
static bool meet(struct talk *talk, const struct nc_address *from)
{
    char name[NC_NAME_SIZE];

    if (talk->state == TALK_CONNECTED)
        return true;
    if (talk->state == TALK_HAS_PEER && nc_address_equal(&talk->peer, from))
        return true;
    if (talk->state == TALK_HAS_PEER && !talk->settings->keep_listening)
        return false;
    nc_address_name(&from->storage, from->length, name);
    nc_note("datagrams from %s", name);
    talk->peer = *from;
    talk->state = TALK_HAS_PEER;
    talk->input.events = POLLIN;
    return true;
}

static int write_all(const unsigned char *from, size_t count)
{
    while (count > 0) {
        const ssize_t written = write(STDOUT_FILENO, from, count);

        if (written < 0)
            return -errno;
        from += written;
        count -= (size_t)written;
    }
    return 0;
}

static void network_ready(struct nc_watch *watch, short revents)
{
    struct talk *talk = (struct talk *)((char *)watch - offsetof(struct talk, network));

    (void)revents;
    for (int i = 0; i < TURN_MAX; i++) {
        struct nc_address from;
        const ssize_t count = nc_datagram_receive(&talk->dgram, bytes, sizeof(bytes), &from);
        int rc;

        if (count == -EAGAIN)
            return;
        if (count < 0) {
            nc_error("%s", strerror((int)-count)); /* such as ECONNREFUSED: nobody received what we sent */
            return;
        }
        touch(talk);
        rc = meet(talk, &from) ? write_all(bytes, (size_t)count) : 0;
        if (rc < 0) {
            nc_error("standard output: %s", strerror(-rc));
            nc_loop_stop(talk->loop, rc);
            return;
        }
    }
}

static void idle(struct nc_watch *watch, short revents)
{
    (void)revents;
    nc_loop_stop(watch->loop, 0);
}

static int run(struct talk *talk)
{
    int rc;

    talk->input = (struct nc_watch){.fd = STDIN_FILENO,
                                    .events = talk->state == TALK_CONNECTED ? POLLIN : 0,
                                    .deadline_ms = NC_NEVER,
                                    .ready = input_ready};
    talk->network = (struct nc_watch){
        .fd = talk->dgram.fd, .events = POLLIN, .deadline_ms = NC_NEVER, .ready = network_ready};
    talk->idle = (struct nc_watch){.fd = -1, .ready = idle};
    touch(talk);
    nc_watch_start(talk->loop, &talk->input);
    nc_watch_start(talk->loop, &talk->network);
    nc_watch_start(talk->loop, &talk->idle);
    rc = nc_loop_run(talk->loop);
    nc_watch_stop(&talk->input);
    nc_watch_stop(&talk->network);
    nc_watch_stop(&talk->idle);
    nc_datagram_close(&talk->dgram);
    return rc;
}

int nc_talk_datagram_connect(struct nc_loop *loop, const struct nc_place *to,
                             const struct nc_settings *settings)
{
    char text[NC_REASON_SIZE];
    const struct vmci_err err = {text, sizeof(text)};
    struct talk talk = {.loop = loop, .settings = settings, .state = TALK_CONNECTED};
    const int rc = nc_datagram_connect(&talk.dgram, to, &err);

    if (rc < 0) {
        nc_error("%s", text);
        return rc;
    }
    nc_note("sending to %s", to->text);
    return run(&talk);
}

int nc_talk_datagram_listen(struct nc_loop *loop, const struct nc_place *at,
                            const struct nc_settings *settings)
{
    char text[NC_REASON_SIZE];
    const struct vmci_err err = {text, sizeof(text)};
    struct talk talk = {.loop = loop, .settings = settings, .state = TALK_AWAITING_PEER};
    const int rc = nc_datagram_listen(&talk.dgram, at, &err);

    if (rc < 0) {
        nc_error("%s", text);
        return rc;
    }
    nc_note("receiving at %s", at->text);
    return run(&talk);
}
