/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/nc/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/param.h>
#include <time.h>

#define MS_PER_S   1000U
#define NS_PER_MS  1000000U
#define FIRST_ROOM 16U

static volatile sig_atomic_t signalled;

static void note_signal(int number)
{
    signalled = number;
}

uint64_t nc_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)now.tv_nsec / NS_PER_MS;
}

uint64_t nc_deadline_ms(unsigned seconds)
{
    return seconds == 0 ? NC_NEVER : nc_now_ms() + (uint64_t)seconds * MS_PER_S;
}

/* The signals come in while we poll, and at no other time: nothing else has to expect them. */
void nc_loop_init(struct nc_loop *loop)
{
    const struct sigaction noted = {.sa_handler = note_signal};
    sigset_t ending;

    *loop = (struct nc_loop){0};
    TAILQ_INIT(&loop->watches);
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGINT);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ending, NULL);
    (void)sigaction(SIGINT, &noted, NULL);
    (void)sigaction(SIGTERM, &noted, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

void nc_loop_deinit(struct nc_loop *loop)
{
    free(loop->polled);
    free(loop->owners);
}

void nc_watch_start(struct nc_loop *loop, struct nc_watch *watch)
{
    watch->loop = loop;
    watch->slot = SIZE_MAX;
    TAILQ_INSERT_TAIL(&loop->watches, watch, entry);
}

void nc_watch_stop(struct nc_watch *watch)
{
    struct nc_loop *loop = watch->loop;

    if (!loop)
        return;
    TAILQ_REMOVE(&loop->watches, watch, entry);
    if (watch->slot != SIZE_MAX)
        loop->owners[watch->slot] = NULL;
    watch->loop = NULL;
}

static int grow(struct nc_loop *loop)
{
    const size_t room = loop->room == 0 ? FIRST_ROOM : 2 * loop->room;
    struct pollfd *polled = reallocarray(loop->polled, room, sizeof(*polled));
    struct nc_watch **owners;

    if (!polled)
        return -ENOMEM;
    loop->polled = polled;
    owners = reallocarray(loop->owners, room, sizeof(struct nc_watch *));
    if (!owners)
        return -ENOMEM;
    loop->owners = owners;
    loop->room = room;
    return 0;
}

/* Fills the arrays; *deadline_ms is the first of all. The number of watches, or -ENOMEM. */
static ssize_t collect(struct nc_loop *loop, uint64_t *deadline_ms)
{
    struct nc_watch *watch;
    size_t count = 0;

    *deadline_ms = NC_NEVER;
    TAILQ_FOREACH (watch, &loop->watches, entry) {
        if (count == loop->room && grow(loop) < 0)
            return -ENOMEM;
        loop->polled[count].fd = watch->events == 0 ? -1 : watch->fd;
        loop->polled[count].events = watch->events;
        loop->polled[count].revents = 0;
        loop->owners[count] = watch;
        watch->slot = count++;
        *deadline_ms = MIN(*deadline_ms, watch->deadline_ms);
    }
    return (ssize_t)count;
}

static int wait_until(struct nc_loop *loop, size_t count, uint64_t deadline_ms)
{
    const uint64_t now_ms = nc_now_ms();
    const uint64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    const struct timespec left = {.tv_sec = (time_t)(left_ms / MS_PER_S),
                                  .tv_nsec = (long)(left_ms % MS_PER_S * NS_PER_MS)};
    sigset_t none;

    (void)sigemptyset(&none);
    if (ppoll(loop->polled, count, deadline_ms == NC_NEVER ? NULL : &left, &none) < 0)
        return -errno;
    return 0;
}

/* Calls whoever has something; a watch that was stopped by another one has no owner any more. */
static void dispatch(struct nc_loop *loop, size_t count)
{
    const uint64_t now_ms = nc_now_ms();

    for (size_t i = 0; i < count && loop->state == NC_LOOP_RUNNING; i++) {
        struct nc_watch *watch = loop->owners[i];

        if (!watch)
            continue;
        if (loop->polled[i].revents != 0) {
            watch->ready(watch, loop->polled[i].revents);
        } else if (watch->deadline_ms <= now_ms) {
            watch->deadline_ms = NC_NEVER;
            watch->ready(watch, 0);
        }
    }
}

/* After a turn no slot counts, as arrays may move. */
static void forget_slots(struct nc_loop *loop)
{
    struct nc_watch *watch;

    TAILQ_FOREACH (watch, &loop->watches, entry)
        watch->slot = SIZE_MAX;
}

static int turn(struct nc_loop *loop)
{
    uint64_t deadline_ms;
    const ssize_t count = collect(loop, &deadline_ms);
    int rc;

    if (count < 0)
        return (int)count;
    rc = wait_until(loop, (size_t)count, deadline_ms);
    if (rc == 0)
        dispatch(loop, (size_t)count);
    forget_slots(loop);
    return rc;
}

int nc_loop_run(struct nc_loop *loop)
{
    int rc = 0;

    loop->state = NC_LOOP_RUNNING;
    while (loop->state == NC_LOOP_RUNNING) {
        rc = turn(loop);
        if (rc == -EINTR && !signalled)
            continue;
        if (rc < 0)
            return rc;
    }
    return loop->result;
}

void nc_loop_stop(struct nc_loop *loop, int result)
{
    loop->state = NC_LOOP_STOPPING;
    loop->result = result;
}
