/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG          4096
#define SOURCE_ADDRESSES 16

void bench_fail(int errnum, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* One write, and no exit handlers: other threads may be failing too. */
    if (errnum == EAGAIN)
        dprintf(STDERR_FILENO, "%s: %s: nothing for %d s\n", program_invocation_short_name, text,
                BENCH_STALL_SECONDS);
    else if (errnum != 0)
        dprintf(STDERR_FILENO, "%s: %s: %s\n", program_invocation_short_name, text, strerror(errnum));
    else
        dprintf(STDERR_FILENO, "%s: %s\n", program_invocation_short_name, text);
    _exit(1);
}

uint64_t bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

double bench_cpu_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

double bench_number(const char *what, const char *text, double min, double max)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(value >= min && value <= max))
        bench_fail(0, "%s: '%s' is not a number from %g to %g", what, text, min, max);
    return value;
}

struct sockaddr_in bench_address(const char *text)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    const char *colon = strrchr(text, ':');
    char host[INET_ADDRSTRLEN];

    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        bench_fail(0, "'%s' is not an address like 127.0.0.1:5672", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (inet_pton(AF_INET, host, &addr.sin_addr) != 1)
        bench_fail(0, "'%s' is not an IPv4 address", host);
    addr.sin_port = htons((uint16_t)bench_number("port", colon + 1, 0, UINT16_MAX));
    return addr;
}

int bench_listen(struct sockaddr_in *addr)
{
    socklen_t len = sizeof(*addr);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        bench_fail(errno, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)addr, sizeof(*addr)) < 0)
        bench_fail(errno, "bind to port %u", ntohs(addr->sin_port));
    if (listen(fd, BACKLOG) < 0 || getsockname(fd, (struct sockaddr *)addr, &len) < 0)
        bench_fail(errno, "listen");
    return fd;
}

/* Binds FD to one of several loopback addresses; the port is left to connect(), which may reuse it per peer.
 */
static void spread_source(int fd, unsigned source)
{
    struct sockaddr_in from = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source % SOURCE_ADDRESSES),
    };
    int on = 1;

    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
        bench_fail(errno, "bind to a loopback address");
}

int bench_connect(const struct sockaddr_in *to, unsigned source)
{
    struct timeval stall = {.tv_sec = BENCH_STALL_SECONDS};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        bench_fail(errno, "socket");
    if (ntohl(to->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)
        spread_source(fd, source);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof(stall));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof(stall));
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
        bench_fail(errno, "connect to port %u", ntohs(to->sin_port));
    return fd;
}

void bench_send_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            bench_fail(errno, "send");
        at += n;
        len -= (size_t)n;
    }
}

void bench_recv_all(int fd, void *data, size_t len)
{
    char *at = data;

    while (len > 0) {
        ssize_t n = recv(fd, at, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            bench_fail(errno, "receive");
        if (n == 0)
            bench_fail(0, "receive: the far end closed");
        at += n;
        len -= (size_t)n;
    }
}

void bench_allow_descriptors(unsigned needed)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        bench_fail(errno, "getrlimit");
    if (limit.rlim_max < needed)
        bench_fail(0, "%u descriptors needed, the hard limit is %lu", needed, (unsigned long)limit.rlim_max);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        bench_fail(errno, "setrlimit");
}
