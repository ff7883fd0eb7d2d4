/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of listening and connecting. */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include "rules.h"

#define NOBODYS_PORT 5009
#define PATIENCE_MS  20000

static bool unbound_listen_is_invalid(void)
{
    const int fd = stream();

    return ended(fd, listen(fd, 1)) == EINVAL;
}

static bool accept_without_listen_is_invalid(void)
{
    const int fd = stream();

    return ended(fd, accept(fd, NULL, NULL)) == EINVAL;
}

static bool nobody_there_is_a_reset(void)
{
    const int fd = stream();

    return ended(fd, connect_to(fd, VMADDR_CID_LOCAL, NOBODYS_PORT)) == ECONNRESET;
}

static bool no_such_machine(void)
{
    const int fd = stream();

    return ended(fd, connect_to(fd, 77, NOBODYS_PORT)) == ENODEV;
}

/* VMware's hypervisor has services of its own at CID 0; others have none. */
static bool no_hypervisors_services(void)
{
    const int fd = stream();

    return ended(fd, connect_to(fd, VMADDR_CID_HYPERVISOR, NOBODYS_PORT)) ==
           (on_kernel ? ENODEV : ENETUNREACH);
}

/* Bound, and not listening. */
static bool who_does_not_listen_resets(void)
{
    const int bound = stream();
    const int fd = stream();
    const int rc = bind_to(bound, VMADDR_CID_ANY, 5002);
    const int error = ended(fd, connect_to(fd, VMADDR_CID_LOCAL, 5002));

    return ended(bound, rc) == 0 && error == ECONNRESET;
}

static bool nothing_without_a_peer(void)
{
    char byte;
    struct sockaddr_vm peer;
    socklen_t length = sizeof(peer);
    const int fd = stream();
    const bool holds = failed(getpeername(fd, (struct sockaddr *)&peer, &length), ENOTCONN) &&
                       failed(shutdown(fd, SHUT_WR), ENOTCONN) && failed(recv(fd, &byte, 1, 0), ENOTCONN) &&
                       failed(send(fd, "x", 1, MSG_NOSIGNAL), ENOTCONN) &&
                       failed(read(fd, &byte, 1), ENOTCONN) && failed(write(fd, "x", 1), ENOTCONN);

    (void)close(fd);
    return holds;
}

static bool accept_tells_who_came(void)
{
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_STREAM);
    struct sockaddr_vm peer = {0};
    socklen_t length = sizeof(peer);

    (void)getpeername(ends.server, (struct sockaddr *)&peer, &length);
    return close_ends(&ends, open && ends.from.svm_port == name_of(ends.client).svm_port &&
                                 peer.svm_port == ends.from.svm_port &&
                                 name_of(ends.server).svm_port == name_of(ends.listener).svm_port &&
                                 ends.from.svm_cid == (on_kernel ? VMADDR_CID_LOCAL : VMADDR_CID_HOST));
}

static bool a_client_may_choose_its_port(void)
{
    struct sockaddr_vm from = {0};
    socklen_t length = sizeof(from);
    const int listener = stream();
    const int client = stream();
    int server = -1;

    if (bind_to(listener, VMADDR_CID_ANY, 5003) == 0 && listen(listener, 1) == 0 &&
        bind_to(client, VMADDR_CID_ANY, 5004) == 0 && connect_to(client, VMADDR_CID_LOCAL, 5003) == 0)
        server = accept(listener, (struct sockaddr *)&from, &length);
    return close_ends(&(struct ends){.listener = listener, .client = client, .server = server},
                      server >= 0 && from.svm_port == 5004);
}

static bool second_connect_fails(void)
{
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_STREAM);

    return close_ends(&ends, open && failed(connect_to(ends.client, VMADDR_CID_LOCAL, 5001), EISCONN));
}

static bool listener_cannot_connect(void)
{
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_STREAM);

    return close_ends(&ends, open && failed(connect_to(ends.listener, VMADDR_CID_LOCAL, 5001), EINVAL));
}

/* What became of a connect() that was not waited for: errno, 0 when it went well. */
static int outcome(int fd, int rc)
{
    struct pollfd item = {.fd = fd, .events = POLLOUT};
    int error = rc < 0 ? errno : 0;
    socklen_t length = sizeof(error);

    if (error != EINPROGRESS)
        return error;
    if (poll(&item, 1, PATIENCE_MS) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return ETIMEDOUT;
    return error;
}

/* The kernel says EINPROGRESS first, the fabric knows at once. */
static bool connect_without_waiting(void)
{
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_STREAM);
    const int fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK);
    const int other = open_socket(SOCK_STREAM | SOCK_NONBLOCK);
    const int there = outcome(fd, connect_to(fd, VMADDR_CID_LOCAL, 5001));
    const int nowhere = outcome(other, connect_to(other, VMADDR_CID_LOCAL, NOBODYS_PORT));

    (void)close(fd);
    (void)close(other);
    return close_ends(&ends, open && there == 0 && nowhere == ECONNRESET);
}

static bool accept_without_waiting(void)
{
    const int fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK);
    const int rc = bind_to(fd, VMADDR_CID_ANY, 5005) | listen(fd, 1);
    const bool holds = failed(accept(fd, NULL, NULL), EAGAIN);

    return ended(fd, rc) == 0 && holds;
}

static bool epoll_tells_of_clients(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct ends ends;
    bool holds = open_ends(&ends, SOCK_STREAM);
    const int epoll = epoll_create1(0);
    const int fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK);

    holds = holds && epoll_ctl(epoll, EPOLL_CTL_ADD, ends.listener, &event) == 0 &&
            epoll_wait(epoll, &event, 1, 0) == 0;
    (void)connect_to(fd, VMADDR_CID_LOCAL, 5001);
    holds = holds && epoll_wait(epoll, &event, 1, PATIENCE_MS) == 1 && event.events == EPOLLIN;
    (void)close(fd);
    (void)close(epoll);
    return close_ends(&ends, holds);
}

static bool accept4_sets_flags(void)
{
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_STREAM);
    const int client = stream();
    const int rc = connect_to(client, VMADDR_CID_LOCAL, 5001);
    const int fd = rc == 0 ? accept4(ends.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
    const bool holds = fd >= 0 && fcntl(fd, F_GETFL) & O_NONBLOCK && fcntl(fd, F_GETFD) & FD_CLOEXEC;

    (void)close(fd);
    (void)close(client);
    return close_ends(&ends, open && holds);
}

const struct rule connect_rules[] = {
    RULE(unbound_listen_is_invalid),    RULE(accept_without_listen_is_invalid),
    RULE(nobody_there_is_a_reset),      RULE(no_such_machine),
    RULE(no_hypervisors_services),      RULE(who_does_not_listen_resets),
    RULE(nothing_without_a_peer),       RULE(accept_tells_who_came),
    RULE(a_client_may_choose_its_port), RULE(second_connect_fails),
    RULE(listener_cannot_connect),      RULE(connect_without_waiting),
    RULE(accept_without_waiting),       RULE(epoll_tells_of_clients),
    RULE(accept4_sets_flags),           RULES_END,
};
