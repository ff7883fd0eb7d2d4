/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net_impl.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 *   STARTING ──► RESOLVING ──► CONNECTING ──► SETTLING ──► ENDED ──► freed
 *       └──(numeric, Unix)─────────▲   └─(at once)──│───────▲
 *                                  └──next address──┘
 * net_dial_cancel leads to ENDED from each of them; so does an error when no address is left.
 */
enum state {
    STARTING,   /* the timer is to take us out of net_dial's caller */
    RESOLVING,  /* the lookup runs on a thread; the timer guards the deadline */
    CONNECTING, /* the poll waits for the socket; the timer guards this address's share of the time */
    SETTLING,   /* the poll closes, for an outcome that is known: another address or the end */
    ENDED,      /* handles close */
};

/* A lookup can't be stopped once it runs, so it has memory of its own and outlives a dialer that ends. */
struct lookup {
    uv_getaddrinfo_t request;
    struct net_dialer *dialer; /* NULL: nobody waits any more */
};

struct net_dialer {
    uv_loop_t *loop;
    enum state state;
    uv_timer_t timer;
    uv_poll_t poll;
    unsigned handles_open; /* freed when none is */
    struct lookup *lookup; /* while resolving */
    struct net_address address;
    struct sockaddr_storage found[NET_DIALER_ADDRESSES];
    unsigned found_count;
    unsigned next; /* the one to try next; next - 1 is being tried */
    uint64_t timeout_ms;
    uint64_t deadline_ms; /* on the loop's clock */
    int fd;               /* the connecting socket, or -1 */
    int outcome;          /* of the latest address: 0 or an error code */
    net_dialed_fn dialed;
    void *ctx;
};

static void try_next(struct net_dialer *dialer);

/* --- The end --- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct net_dialer *dialer = handle->data;

    if (--dialer->handles_open == 0)
        free(dialer);
}

static void close_handles(struct net_dialer *dialer)
{
    dialer->state = ENDED;
    uv_close((uv_handle_t *)&dialer->timer, on_handle_closed);
}

/* "broker.example:5672 ([2001:db8::1]:5672): connection refused"; the part that says nothing new is left out.
 */
static void describe(const struct net_dialer *dialer, int outcome, char *text, size_t size)
{
    char name[NET_NAME_MAX], tried[NET_NAME_MAX] = "";

    net_address_name(&dialer->address, name, sizeof(name));
    if (dialer->next > 0)
        net_sockaddr_name((const struct sockaddr *)&dialer->found[dialer->next - 1], tried, sizeof(tried));
    bool differs = tried[0] != '\0' && strcmp(tried, name) != 0;
    snprintf(text, size, "%s%s%s%s%s%s", name, differs ? " (" : "", differs ? tried : "", differs ? ")" : "",
             outcome < 0 ? ": " : "", outcome < 0 ? uv_strerror(outcome) : "");
}

static void finish(struct net_dialer *dialer, int outcome)
{
    char text[2 * NET_NAME_MAX + 128];
    int fd = outcome < 0 ? outcome : dialer->fd;

    describe(dialer, outcome, text, sizeof(text));
    dialer->fd = -1;
    close_handles(dialer);
    dialer->dialed(dialer->ctx, fd, text);
}

/* --- Connecting --- */

/* Linux may connect a socket to itself when the port is free and in the range of ephemeral ports: nobody is
 * there. */
static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage local = {0}, peer = {0};
    socklen_t local_length = sizeof(local), peer_length = sizeof(peer);

    return getsockname(fd, (struct sockaddr *)&local, &local_length) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0 && local.ss_family != AF_UNIX &&
           local_length == peer_length && memcmp(&local, &peer, local_length) == 0;
}

/* How the connect of the socket went: 0 or -errno. */
static int socket_outcome(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    return error == 0 && is_connected_to_itself(fd) ? -ECONNREFUSED : -error;
}

static void drop_socket(struct net_dialer *dialer)
{
    if (dialer->fd >= 0)
        close(dialer->fd);
    dialer->fd = -1;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct net_dialer *dialer = handle->data;

    if (dialer->state != SETTLING) { /* cancelled meanwhile */
        on_handle_closed(handle);
        return;
    }
    dialer->handles_open--;
    if (dialer->outcome != 0) {
        drop_socket(dialer);
        try_next(dialer);
    } else {
        finish(dialer, 0);
    }
}

/* The descriptor can't be passed on or closed before the poll has let go of it. */
static void settle(struct net_dialer *dialer, int outcome)
{
    dialer->state = SETTLING;
    dialer->outcome = outcome;
    uv_timer_stop(&dialer->timer);
    uv_close((uv_handle_t *)&dialer->poll, on_poll_closed);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct net_dialer *dialer = poll->data;
    int outcome = socket_outcome(dialer->fd); /* libuv has but UV_EBADF for every error of a socket */

    (void)events;
    settle(dialer, outcome == 0 && status < 0 ? status : outcome);
}

static void on_share_used(uv_timer_t *timer)
{
    settle(timer->data, -ETIMEDOUT);
}

/* Waits for the socket. 0 or an error code. */
static int await_connect(struct net_dialer *dialer, uint64_t limit_ms)
{
    int error = uv_poll_init(dialer->loop, &dialer->poll, dialer->fd);

    if (error != 0)
        return error;
    dialer->poll.data = dialer;
    dialer->handles_open++;
    dialer->state = CONNECTING;
    uv_poll_start(&dialer->poll, UV_WRITABLE, on_writable);
    uv_timer_start(&dialer->timer, on_share_used, limit_ms, 0);
    return 0;
}

/* Begins with one address. 1: the poll goes on; 0: connected; else an error code. */
static int try_address(struct net_dialer *dialer, const struct sockaddr *address, uint64_t limit_ms)
{
    dialer->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dialer->fd < 0)
        return -errno;
    net_set_nodelay(dialer->fd);
    if (connect(dialer->fd, address, net_sockaddr_length(address)) == 0)
        return socket_outcome(dialer->fd);
    if (errno != EINPROGRESS)
        return -errno;
    int error = await_connect(dialer, limit_ms);
    return error != 0 ? error : 1;
}

/* What the next address may take, so that each one after it has as much. */
static uint64_t share_ms(const struct net_dialer *dialer)
{
    uint64_t now_ms = uv_now(dialer->loop);

    return dialer->deadline_ms > now_ms
               ? (dialer->deadline_ms - now_ms) / (dialer->found_count - dialer->next)
               : 0;
}

static void try_next(struct net_dialer *dialer)
{
    while (dialer->next < dialer->found_count) {
        uint64_t limit_ms = share_ms(dialer);
        const struct sockaddr *address = (const struct sockaddr *)&dialer->found[dialer->next++];
        int outcome = try_address(dialer, address, limit_ms);
        if (outcome > 0)
            return;
        dialer->outcome = outcome;
        if (outcome == 0)
            break;
        drop_socket(dialer);
    }
    finish(dialer, dialer->outcome);
}

/* --- Resolving --- */

static void take_addresses(struct net_dialer *dialer, const struct addrinfo *info)
{
    for (; info != NULL && dialer->found_count < NET_DIALER_ADDRESSES; info = info->ai_next)
        memcpy(&dialer->found[dialer->found_count++], info->ai_addr, info->ai_addrlen);
}

static void end_lookup(struct net_dialer *dialer)
{
    if (dialer->lookup == NULL)
        return;
    dialer->lookup->dialer = NULL;
    (void)uv_cancel((uv_req_t *)&dialer->lookup->request); /* it may run already: then it ends unheard */
    dialer->lookup = NULL;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = (struct lookup *)request;
    struct net_dialer *dialer = lookup->dialer;

    free(lookup);
    if (dialer != NULL) {
        dialer->lookup = NULL;
        uv_timer_stop(&dialer->timer);
        take_addresses(dialer, found);
        if (status == 0)
            try_next(dialer);
        else
            finish(dialer, status);
    }
    uv_freeaddrinfo(found);
}

static void on_lookup_timeout(uv_timer_t *timer)
{
    struct net_dialer *dialer = timer->data;

    end_lookup(dialer);
    finish(dialer, -ETIMEDOUT);
}

/* Looks a name up on libuv's thread pool. 0 or an error code. */
static int start_lookup(struct net_dialer *dialer, const char *port, const struct addrinfo *hints)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));

    if (lookup == NULL)
        return -ENOMEM;
    int error =
        uv_getaddrinfo(dialer->loop, &lookup->request, on_resolved, dialer->address.host, port, hints);
    if (error != 0) {
        free(lookup);
        return error;
    }
    lookup->dialer = dialer;
    dialer->lookup = lookup;
    dialer->state = RESOLVING;
    uv_timer_start(&dialer->timer, on_lookup_timeout, dialer->timeout_ms, 0);
    return 0;
}

static void resolve(struct net_dialer *dialer)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char port[8];

    snprintf(port, sizeof(port), "%u", dialer->address.port);
    if (getaddrinfo(dialer->address.host, port, &hints, &found) == 0) { /* a number: no thread needed */
        take_addresses(dialer, found);
        freeaddrinfo(found);
        try_next(dialer);
        return;
    }
    hints.ai_flags = AI_NUMERICSERV;
    int error = start_lookup(dialer, port, &hints);
    if (error != 0)
        finish(dialer, error);
}

static void on_start(uv_timer_t *timer)
{
    struct net_dialer *dialer = timer->data;

    dialer->deadline_ms = uv_now(dialer->loop) + dialer->timeout_ms;
    if (dialer->found_count > 0)
        try_next(dialer);
    else
        resolve(dialer);
}

/* --- From outside --- */

static struct net_dialer *create(uv_loop_t *loop, uint64_t timeout_ms, net_dialed_fn dialed, void *ctx)
{
    struct net_dialer *dialer = calloc(1, sizeof(*dialer));

    if (dialer == NULL)
        return NULL;
    dialer->loop = loop;
    dialer->timeout_ms = timeout_ms;
    dialer->fd = -1;
    dialer->outcome = UV_EAI_NODATA; /* unless there is an address to try */
    dialer->dialed = dialed;
    dialer->ctx = ctx;
    uv_timer_init(loop, &dialer->timer);
    dialer->timer.data = dialer;
    dialer->handles_open = 1;
    uv_timer_start(&dialer->timer, on_start, 0, 0);
    return dialer;
}

int net_dial(struct net_dialer **dialer, uv_loop_t *loop, const struct net_address *address,
             uint64_t timeout_ms, net_dialed_fn dialed, void *ctx)
{
    struct net_dialer *made = create(loop, timeout_ms, dialed, ctx);

    if (made == NULL)
        return -ENOMEM;
    made->address = *address;
    if (address->kind == NET_UNIX) {
        net_unix_sockaddr(address, (struct sockaddr_un *)&made->found[0]);
        made->found_count = 1;
    }
    *dialer = made;
    return 0;
}

int net_dial_found(struct net_dialer **dialer, uv_loop_t *loop, const struct net_address *address,
                   const struct sockaddr_storage *found, unsigned count, uint64_t timeout_ms,
                   net_dialed_fn dialed, void *ctx)
{
    int error = net_dial(dialer, loop, address, timeout_ms, dialed, ctx);

    assert(count > 0 && count <= NET_DIALER_ADDRESSES);
    if (error != 0)
        return error;
    memcpy((*dialer)->found, found, count * sizeof(*found));
    (*dialer)->found_count = count;
    return 0;
}

void net_dial_cancel(struct net_dialer *dialer)
{
    assert(dialer->state != ENDED);
    end_lookup(dialer);
    if (dialer->state == CONNECTING)
        uv_close((uv_handle_t *)&dialer->poll, on_handle_closed);
    close_handles(dialer);
    drop_socket(dialer);
}
