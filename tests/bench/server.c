/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-server: the far end of every measured path.
 *
 *   bench-server echo|sink|source ADDRESS:PORT
 *
 *   echo    sends back what it receives
 *   sink    reads; answers one byte for each BENCH_ACK_BYTES
 *   source  writes for as long as the client reads
 *
 * Prints "listening=ADDRESS:PORT" (port 0 lets the kernel choose), serves until it is killed. One thread,
 * epoll.
 */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS           256
#define BLOCKS_PER_EVENT 4 /* of one connection, before the next has its turn */
#define ACKS_PER_SEND    64

struct connection {
    int fd;
    uint32_t events;   /* what epoll watches for */
    uint64_t received; /* bytes read by a sink */
    uint64_t acked;    /* of them, in whole BENCH_ACK_BYTES */
    char *unsent;      /* echo: allocated while the client doesn't read what it sent */
    size_t unsent_len;
};

/* Serves CONN after an event; 0, or -1 when the connection is over. */
typedef int serve_fn(struct connection *conn);

struct mode {
    const char *name;
    serve_fn *serve;
    uint32_t events; /* to watch from the start */
};

static char block[BENCH_BLOCK_BYTES];
static int epoll_fd;

static void watch(struct connection *conn, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};

    if (conn->events == events)
        return;
    if (epoll_ctl(epoll_fd, conn->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, conn->fd, &event) < 0)
        bench_fail(errno, "epoll_ctl");
    conn->events = events;
}

/* Bytes sent, 0 when the socket is full, -1 when the connection is over. */
static ssize_t try_send(int fd, const void *data, size_t len)
{
    ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

    return n < 0 && errno == EAGAIN ? 0 : n;
}

/* Sends LEN bytes; what doesn't fit is kept, and reading stops until it is gone. */
static int echo_send(struct connection *conn, const char *data, size_t len)
{
    ssize_t n = try_send(conn->fd, data, len);
    char *rest;

    if (n < 0)
        return -1;
    if ((size_t)n == len)
        return 0;
    len -= (size_t)n;
    rest = malloc(len);
    if (rest == NULL)
        return -1;
    memcpy(rest, data + n, len);
    conn->unsent = rest;
    conn->unsent_len = len;
    watch(conn, EPOLLOUT);
    return 0;
}

static int echo_serve(struct connection *conn)
{
    ssize_t n;

    if (conn->unsent != NULL) {
        char *data = conn->unsent;
        int result;

        conn->unsent = NULL;
        watch(conn, EPOLLIN);
        result = echo_send(conn, data, conn->unsent_len);
        free(data);
        return result;
    }
    n = recv(conn->fd, block, sizeof(block), 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    return n <= 0 ? -1 : echo_send(conn, block, (size_t)n);
}

static int sink_serve(struct connection *conn)
{
    static const char acks[ACKS_PER_SEND];

    for (int i = 0; i < BLOCKS_PER_EVENT; i++) {
        ssize_t n = recv(conn->fd, block, sizeof(block), 0);

        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            return -1;
        conn->received += (uint64_t)n;
    }
    while (conn->acked < conn->received / BENCH_ACK_BYTES) {
        uint64_t due = conn->received / BENCH_ACK_BYTES - conn->acked;
        ssize_t n = try_send(conn->fd, acks, due < ACKS_PER_SEND ? (size_t)due : ACKS_PER_SEND);

        if (n <= 0)
            return n < 0 ? -1 : 0;
        conn->acked += (uint64_t)n;
    }
    return 0;
}

static int source_serve(struct connection *conn)
{
    for (int i = 0; i < BLOCKS_PER_EVENT; i++) {
        ssize_t n = try_send(conn->fd, block, sizeof(block));

        if (n <= 0)
            return n < 0 ? -1 : 0;
    }
    return 0;
}

static const struct mode modes[] = {
    {"echo", echo_serve, EPOLLIN},
    {"sink", sink_serve, EPOLLIN},
    {"source", source_serve, EPOLLOUT},
};

static const struct mode *find_mode(const char *name)
{
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    }
    bench_fail(0, "'%s' is neither echo, sink nor source", name);
}

static void accept_all(int listener, const struct mode *mode)
{
    for (;;) {
        int on = 1;
        struct connection *conn;
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
            return;
        if (fd < 0)
            bench_fail(errno, "accept");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        conn = calloc(1, sizeof(*conn));
        if (conn == NULL)
            bench_fail(errno, "connection");
        conn->fd = fd;
        watch(conn, mode->events);
    }
}

static void destroy(struct connection *conn)
{
    close(conn->fd);
    free(conn->unsent);
    free(conn);
}

static void serve_forever(int listener, const struct mode *mode)
{
    struct epoll_event events[EVENTS];
    struct epoll_event accepting = {.events = EPOLLIN, .data.ptr = NULL};

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &accepting) < 0)
        bench_fail(errno, "epoll_ctl");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        if (n < 0 && errno != EINTR)
            bench_fail(errno, "epoll_wait");
        for (int i = 0; i < n; i++) {
            struct connection *conn = events[i].data.ptr;

            if (conn == NULL)
                accept_all(listener, mode);
            else if (mode->serve(conn) < 0)
                destroy(conn);
        }
    }
}

int main(int argc, char **argv)
{
    const struct mode *mode;
    struct sockaddr_in addr;
    char host[INET_ADDRSTRLEN];
    int listener;

    if (argc != 3)
        bench_fail(0, "usage: %s echo|sink|source ADDRESS:PORT", argv[0]);
    mode = find_mode(argv[1]);
    addr = bench_address(argv[2]);
    bench_allow_descriptors(64);
    listener = bench_listen(&addr);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        bench_fail(errno, "epoll_create1");
    inet_ntop(AF_INET, &addr.sin_addr, host, sizeof(host));
    printf("listening=%s:%u\n", host, ntohs(addr.sin_port));
    fflush(stdout);
    serve_forever(listener, mode);
}
