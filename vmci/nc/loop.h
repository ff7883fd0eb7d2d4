/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread, one poll(): what vmci-nc waits for. Not epoll, which refuses the regular files that standard
 * input and output often are.
 *
 * A watch lives inside its owner. Its callback may stop any watch, free its owner, and start new ones, which
 * then count from the next turn on.
 */
#ifndef VMCI_NC_LOOP_H
#define VMCI_NC_LOOP_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define NC_NEVER UINT64_MAX

struct nc_loop;

struct nc_watch {
    int fd;               /* -1: only the deadline counts */
    short events;         /* POLLIN, POLLOUT; 0: fd is left alone, even when it is broken */
    uint64_t deadline_ms; /* by nc_now_ms(); NC_NEVER */
    /* Level-triggered; revents is 0 when the deadline has passed, which is then NC_NEVER. */
    void (*ready)(struct nc_watch *watch, short revents);

    struct nc_loop *loop; /* NULL: stopped */
    size_t slot;          /* in the loop's arrays, for one turn */
    TAILQ_ENTRY(nc_watch) entry;
};

struct nc_loop {
    TAILQ_HEAD(nc_watches, nc_watch) watches;
    struct pollfd *polled;
    struct nc_watch **owners; /* of polled[i]; NULL when it was stopped in this turn */
    size_t room;
    int result; /* of nc_loop_run() */
    enum { NC_LOOP_RUNNING, NC_LOOP_STOPPING } state;
};

void nc_loop_init(struct nc_loop *loop);
void nc_loop_deinit(struct nc_loop *loop);

/* Runs until nc_loop_stop(), and returns its result; or until SIGINT or SIGTERM, then -EINTR. -errno when
 * poll() fails. May be run again. */
int nc_loop_run(struct nc_loop *loop);
void nc_loop_stop(struct nc_loop *loop, int result);

/* fd, events, deadline_ms and ready are set. */
void nc_watch_start(struct nc_loop *loop, struct nc_watch *watch);

/* Idempotent; also for a watch that is all zero. Closes nothing. */
void nc_watch_stop(struct nc_watch *watch);

/* A clock that only goes forward. */
uint64_t nc_now_ms(void);

/* So many seconds from now; NC_NEVER for 0. */
uint64_t nc_deadline_ms(unsigned seconds);

#endif
