/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: the name is looked up, its first address accepts, its descriptor is handed over.
 *
 *   STARTING ──► RESOLVING ──► CONNECTING ──► ENDED ──► freed
 *       └──(number, Unix)──────────▲
 *
 * net_dial_cancel and the deadline lead to ENDED from each of them.
 *
 * What can go wrong: the lookup fails (the end); an address fails (it is noted, and the next one begins); one
 * is silent (the next one begins beside it); all have failed, or the time is up (the end).
 */
#include "service/net_impl.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum state { STARTING, RESOLVING, CONNECTING, ENDED };

/* One address in the race. */
struct runner {
    struct net_dialer *dialer;
    struct sockaddr_storage address;
    int fd; /* the connecting socket; -1: not begun, failed, or handed over */
    uv_poll_t poll;
};

struct net_dialer {
    uv_loop_t *loop;
    enum state state;
    uv_timer_t pace;           /* takes us out of net_dial's caller, then ends head starts */
    uv_timer_t deadline;       /* of it all */
    unsigned handles_open;     /* freed when none is */
    struct net_lookup *lookup; /* RESOLVING */
    struct net_address address;
    struct runner runners[NET_DIALER_ADDRESSES];
    unsigned count, begun, running; /* runners: all, those that were begun with, those with a socket */
    uint64_t timeout_ms;
    int error;                                  /* of the latest failure */
    char failures[4 * (2 * NET_NAME_MAX + 64)]; /* what each address said, as far as it fits */
    void (*late)(void *ctx);                    /* to be called once */
    net_dialed_fn dialed;
    void *ctx;
};

/* --- The end --- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct net_dialer *dialer = handle->data;

    if (--dialer->handles_open == 0)
        free(dialer);
}

/* Takes the socket out of the race. The poll lets go of it at once, but its memory is in use for longer. */
static int take_socket(struct runner *runner)
{
    int fd = runner->fd;

    runner->fd = -1;
    runner->dialer->running--;
    uv_close((uv_handle_t *)&runner->poll, on_handle_closed);
    return fd;
}

static void end(struct net_dialer *dialer)
{
    dialer->state = ENDED;
    if (dialer->lookup != NULL)
        net_lookup_cancel(dialer->lookup);
    for (unsigned i = 0; i < dialer->begun; i++)
        if (dialer->runners[i].fd >= 0)
            close(take_socket(&dialer->runners[i]));
    uv_close((uv_handle_t *)&dialer->pace, on_handle_closed);
    uv_close((uv_handle_t *)&dialer->deadline, on_handle_closed);
}

/* "broker.example:5672 ([2001:db8::1]:5672)"; what says nothing new is left out. `runner` may be NULL. */
static void describe(const struct net_dialer *dialer, const struct runner *runner, char *text, size_t size)
{
    char name[NET_NAME_MAX], number[NET_NAME_MAX] = "";

    net_address_name(&dialer->address, name, sizeof(name));
    if (runner != NULL)
        net_sockaddr_name((const struct sockaddr *)&runner->address, number, sizeof(number));
    bool differs = number[0] != '\0' && strcmp(number, name) != 0;
    snprintf(text, size, "%s%s%s%s", name, differs ? " (" : "", differs ? number : "", differs ? ")" : "");
}

static void note_failure(struct net_dialer *dialer, const struct runner *runner, int error)
{
    const size_t used = strlen(dialer->failures);
    char text[2 * NET_NAME_MAX];

    dialer->error = error;
    describe(dialer, runner, text, sizeof(text));
    snprintf(dialer->failures + used, sizeof(dialer->failures) - used, "%s%s: %s", used > 0 ? "; " : "", text,
             uv_strerror(error));
}

static void lose(struct net_dialer *dialer)
{
    end(dialer);
    dialer->dialed(dialer->ctx, dialer->error, dialer->failures);
}

static void win(struct net_dialer *dialer, const struct runner *runner, int fd)
{
    char text[2 * NET_NAME_MAX];

    describe(dialer, runner, text, sizeof(text));
    end(dialer);
    dialer->dialed(dialer->ctx, fd, text);
}

/* --- The race --- */

static void on_writable(uv_poll_t *poll, int status, int events);

/* Waits for the socket. 0 or an error code. */
static int await(struct runner *runner, int fd)
{
    struct net_dialer *dialer = runner->dialer;
    int error = uv_poll_init(dialer->loop, &runner->poll, fd);

    if (error != 0) {
        close(fd);
        return error;
    }
    runner->poll.data = dialer;
    runner->fd = fd;
    dialer->handles_open++;
    dialer->running++;
    uv_poll_start(&runner->poll, UV_WRITABLE, on_writable);
    return 0;
}

/* A head start, so that each one after this has as much of the time. */
static uint64_t head_start_ms(const struct net_dialer *dialer)
{
    const uint64_t share_ms = uv_timer_get_due_in(&dialer->deadline) / (dialer->count - dialer->begun + 1);

    return share_ms < NET_HEAD_START_MS ? share_ms : NET_HEAD_START_MS;
}

static void on_pace(uv_timer_t *timer);

static void tell_late(struct net_dialer *dialer)
{
    void (*late)(void *ctx) = dialer->late;

    dialer->late = NULL;
    if (late != NULL)
        late(dialer->ctx);
}

/* Begins with the next address, unless none is left. It may be the end. */
static void begin_next(struct net_dialer *dialer)
{
    while (dialer->begun < dialer->count) {
        struct runner *runner = &dialer->runners[dialer->begun++];
        int fd;
        int outcome = net_connect((const struct sockaddr *)&runner->address, &fd);
        if (outcome == 0) {
            win(dialer, runner, fd);
            return;
        }
        if (outcome == -EINPROGRESS)
            outcome = await(runner, fd);
        if (outcome == 0) {
            uv_timer_start(&dialer->pace, on_pace, head_start_ms(dialer), 0);
            return;
        }
        note_failure(dialer, runner, outcome);
    }
    if (dialer->running == 0)
        lose(dialer);
    else
        tell_late(dialer);
}

/* A connect has come to an end. */
static void settle(struct runner *runner, int outcome)
{
    struct net_dialer *dialer = runner->dialer;
    int fd = take_socket(runner);

    if (outcome == 0) {
        win(dialer, runner, fd);
        return;
    }
    close(fd);
    note_failure(dialer, runner, outcome);
    begin_next(dialer);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct runner *runner = (struct runner *)((char *)poll - offsetof(struct runner, poll));
    int outcome = net_connect_outcome(runner->fd); /* libuv has but UV_EBADF for every error of a socket */

    (void)events;
    settle(runner, outcome == 0 ? status : outcome);
}

/* The latest has had its head start. After a pause of the whole machine timers come before news. */
static void on_pace(uv_timer_t *timer)
{
    struct net_dialer *dialer = timer->data;

    for (unsigned i = 0; i < dialer->begun; i++) {
        struct runner *runner = &dialer->runners[i];
        int outcome = runner->fd >= 0 ? net_connect_outcome(runner->fd) : -EINPROGRESS;
        if (outcome != -EINPROGRESS) {
            settle(runner, outcome);
            return;
        }
    }
    if (dialer->state == RESOLVING)
        tell_late(dialer);
    else
        begin_next(dialer);
}

static void on_deadline(uv_timer_t *timer)
{
    struct net_dialer *dialer = timer->data;

    for (unsigned i = 0; i < dialer->begun; i++) {
        struct runner *runner = &dialer->runners[i];
        int outcome = runner->fd >= 0 ? net_connect_outcome(runner->fd) : -ECANCELED;
        if (outcome == 0) {
            win(dialer, runner, take_socket(runner));
            return;
        }
        if (runner->fd >= 0)
            note_failure(dialer, runner, outcome == -EINPROGRESS ? -ETIMEDOUT : outcome);
    }
    if (dialer->running == 0)
        note_failure(dialer, NULL, -ETIMEDOUT); /* the lookup takes too long */
    dialer->error = -ETIMEDOUT;
    lose(dialer);
}

/* --- From a name to the race --- */

static void take_addresses(struct net_dialer *dialer, const struct sockaddr_storage *found, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        dialer->runners[i] = (struct runner){.dialer = dialer, .address = found[i], .fd = -1};
    dialer->count = count;
}

static void on_found(void *ctx, int status, const struct sockaddr_storage *found, unsigned count)
{
    struct net_dialer *dialer = ctx;

    dialer->lookup = NULL;
    if (status < 0) {
        note_failure(dialer, NULL, status);
        lose(dialer);
        return;
    }
    take_addresses(dialer, found, count);
    dialer->state = CONNECTING;
    begin_next(dialer);
}

static void resolve(struct net_dialer *dialer)
{
    int error = net_lookup_start(&dialer->lookup, dialer->loop, &dialer->address, on_found, dialer);

    if (error != 0) {
        note_failure(dialer, NULL, error);
        lose(dialer);
        return;
    }
    dialer->state = RESOLVING;
    uv_timer_start(&dialer->pace, on_pace, NET_HEAD_START_MS, 0);
}

static void on_start(uv_timer_t *timer)
{
    struct net_dialer *dialer = timer->data;

    uv_timer_start(&dialer->deadline, on_deadline, dialer->timeout_ms, 0);
    if (dialer->count == 0) {
        resolve(dialer);
        return;
    }
    dialer->state = CONNECTING;
    begin_next(dialer);
}

/* --- From outside --- */

int net_dial_found(struct net_dialer **dialer, uv_loop_t *loop, const struct net_address *address,
                   const struct sockaddr_storage *found, unsigned count, uint64_t timeout_ms,
                   net_dialed_fn dialed, void *ctx)
{
    struct net_dialer *made = calloc(1, sizeof(*made));

    if (made == NULL)
        return -ENOMEM;
    made->loop = loop;
    made->address = *address;
    made->timeout_ms = timeout_ms;
    made->dialed = dialed;
    made->ctx = ctx;
    take_addresses(made, found, count);
    uv_timer_init(loop, &made->pace);
    uv_timer_init(loop, &made->deadline);
    made->pace.data = made->deadline.data = made;
    made->handles_open = 2;
    uv_timer_start(&made->pace, on_start, 0, 0);
    *dialer = made;
    return 0;
}

int net_dial(struct net_dialer **dialer, uv_loop_t *loop, const struct net_address *address,
             uint64_t timeout_ms, net_dialed_fn dialed, void *ctx)
{
    struct sockaddr_storage found[NET_DIALER_ADDRESSES] = {0};
    const unsigned count = net_address_numbers(address, found);

    return net_dial_found(dialer, loop, address, found, count, timeout_ms, dialed, ctx);
}

void net_dial_when_late(struct net_dialer *dialer, void (*late)(void *ctx))
{
    dialer->late = late;
}

void net_dial_cancel(struct net_dialer *dialer)
{
    assert(dialer->state != ENDED);
    end(dialer);
}
