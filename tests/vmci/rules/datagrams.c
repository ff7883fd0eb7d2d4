/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of datagrams. The kernel has them over VMware's VMCI: its host side, mainline's vmw_vmci and
 * vmw_vsock_vmci_transport, carries those from CID 2 to CID 2 without a hypervisor of VMware's.
 */
#include <poll.h>
#include <string.h>

#include "rules.h"

#define PORT         6000
#define NOBODYS_PORT 6009
#define PATIENCE_MS  20000
#define LONGEST      69608U /* 17 pages without VMCI's header */

static bool there_are_none(void)
{
    const int fd = socket(af, SOCK_DGRAM, 0);
    const int error = fd < 0 ? errno : ended(fd, bind_to(fd, VMADDR_CID_ANY, VMADDR_PORT_ANY));

    return error == ENODEV;
}

const struct rule absent_datagram_rules[] = {
    RULE(there_are_none),
    RULES_END,
};

/* One that receives at PORT, and one that has no name yet. */
struct pair {
    int receiver;
    int sender;
};

static bool open_pair(struct pair *pair)
{
    pair->receiver = open_socket(SOCK_DGRAM);
    pair->sender = open_socket(SOCK_DGRAM);
    return bind_to(pair->receiver, VMADDR_CID_ANY, PORT) == 0;
}

static bool close_pair(const struct pair *pair, bool holds)
{
    (void)close(pair->sender);
    (void)close(pair->receiver);
    return holds;
}

static ssize_t send_to(int fd, const void *bytes, size_t size, unsigned cid, unsigned port)
{
    const struct sockaddr_vm to = address_of(cid, port);

    return sendto(fd, bytes, size, 0, (const struct sockaddr *)&to, sizeof(to));
}

/* Waits for one; its size, or -1. The kernel delivers a little later. */
static ssize_t receive(int fd, void *bytes, size_t room, struct sockaddr_vm *from)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    socklen_t length = sizeof(*from);

    if (poll(&item, 1, PATIENCE_MS) != 1)
        return -1;
    return recvfrom(fd, bytes, room, MSG_DONTWAIT, (struct sockaddr *)from, &length);
}

static bool there_and_back(void)
{
    char text[8];
    struct sockaddr_vm from = {0};
    struct pair pair;
    bool holds = open_pair(&pair) && send_to(pair.sender, "word", 4, VMADDR_CID_HOST, PORT) == 4;

    holds = holds && receive(pair.receiver, text, sizeof(text), &from) == 4 &&
            from.svm_cid == VMADDR_CID_HOST && from.svm_port == name_of(pair.sender).svm_port &&
            from.svm_port >= 1024;
    holds = holds && send_to(pair.receiver, text, 2, from.svm_cid, from.svm_port) == 2 &&
            receive(pair.sender, text, sizeof(text), &from) == 2 && from.svm_cid == VMADDR_CID_HOST &&
            from.svm_port == PORT;
    return close_pair(&pair, holds);
}

static bool connect_sets_the_address(void)
{
    char text[8];
    struct sockaddr_vm peer = {0};
    socklen_t length = sizeof(peer);
    struct pair pair;
    bool holds = open_pair(&pair) && failed(send(pair.sender, "x", 1, 0), EINVAL) &&
                 failed(getpeername(pair.sender, (struct sockaddr *)&peer, &length), ENOTCONN) &&
                 connect_to(pair.sender, VMADDR_CID_HOST, PORT) == 0;

    holds = holds && send(pair.sender, "word", 4, 0) == 4 && write(pair.sender, "word", 4) == 4 &&
            receive(pair.receiver, text, sizeof(text), &peer) == 4 &&
            receive(pair.receiver, text, sizeof(text), &peer) == 4;
    holds = holds && getpeername(pair.sender, (struct sockaddr *)&peer, &length) == 0 &&
            peer.svm_cid == VMADDR_CID_HOST && peer.svm_port == PORT;
    return close_pair(&pair, holds);
}

static bool unspecified_undoes_connect(void)
{
    const struct sockaddr_vm none = {.svm_family = AF_UNSPEC};
    struct pair pair;
    const bool holds = open_pair(&pair) && connect_to(pair.sender, VMADDR_CID_HOST, PORT) == 0 &&
                       connect(pair.sender, (const struct sockaddr *)&none, sizeof(none)) == 0;

    return close_pair(&pair, holds && failed(send(pair.sender, "x", 1, 0), EINVAL));
}

static bool a_connected_one_hears_others(void)
{
    char text[8];
    struct sockaddr_vm from;
    struct pair pair;
    const int other = open_socket(SOCK_DGRAM);
    bool holds = open_pair(&pair) && connect_to(pair.sender, VMADDR_CID_HOST, PORT) == 0;

    holds = holds && send_to(other, "x", 1, VMADDR_CID_HOST, name_of(pair.sender).svm_port) == 1 &&
            receive(pair.sender, text, sizeof(text), &from) == 1 && from.svm_port == name_of(other).svm_port;
    (void)close(other);
    return close_pair(&pair, holds);
}

static bool nobody_there_is_unreachable(void)
{
    const int fd = open_socket(SOCK_DGRAM);

    return ended(fd, send_to(fd, "x", 1, VMADDR_CID_HOST, NOBODYS_PORT)) == EHOSTUNREACH;
}

static bool no_such_machine_is_invalid(void)
{
    const int fd = open_socket(SOCK_DGRAM);

    return ended(fd, send_to(fd, "x", 1, 77, NOBODYS_PORT)) == EINVAL;
}

static bool sizes(void)
{
    static char block[LONGEST + 1];
    static char got[LONGEST + 1];
    struct sockaddr_vm from;
    struct pair pair;
    bool holds = open_pair(&pair) && send_to(pair.sender, "", 0, VMADDR_CID_HOST, PORT) == 0 &&
                 receive(pair.receiver, got, sizeof(got), &from) == 0;

    memset(block, 'x', sizeof(block));
    holds = holds && send_to(pair.sender, block, LONGEST, VMADDR_CID_HOST, PORT) == LONGEST &&
            receive(pair.receiver, got, sizeof(got), &from) == LONGEST && memcmp(block, got, LONGEST) == 0;
    return close_pair(
        &pair, holds && failed(send_to(pair.sender, block, LONGEST + 1, VMADDR_CID_HOST, PORT), EMSGSIZE));
}

static bool what_has_no_room_is_lost(void)
{
    char text[2];
    struct iovec part = {text, sizeof(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct pollfd item = {.events = POLLIN};
    struct pair pair;
    bool holds = open_pair(&pair) && send_to(pair.sender, "word", 4, VMADDR_CID_HOST, PORT) == 4;

    item.fd = pair.receiver;
    holds = holds && poll(&item, 1, PATIENCE_MS) == 1 && recvmsg(pair.receiver, &message, 0) == 2 &&
            message.msg_flags == MSG_TRUNC;
    return close_pair(&pair, holds && failed(recv(pair.receiver, text, 2, MSG_DONTWAIT), EAGAIN));
}

static bool streams_have_other_ports(void)
{
    struct pair pair;
    const bool open = open_pair(&pair);
    const int fd = stream();
    const int error = ended(fd, bind_to(fd, VMADDR_CID_ANY, PORT));

    return close_pair(&pair, open && error == 0);
}

static bool a_port_in_use_is_refused(void)
{
    struct pair pair;
    const bool open = open_pair(&pair);

    return close_pair(&pair, open && failed(bind_to(pair.sender, VMADDR_CID_ANY, PORT), EADDRINUSE) &&
                                 failed(bind_to(pair.receiver, VMADDR_CID_ANY, PORT + 1), EINVAL));
}

static bool they_have_no_options(void)
{
    uint64_t size = 65536;
    socklen_t length = sizeof(size);
    const int fd = open_socket(SOCK_DGRAM);
    const bool holds = failed(setsockopt(fd, af, SO_VMCI_BUFFER_SIZE, &size, sizeof(size)), EOPNOTSUPP) &&
                       failed(getsockopt(fd, af, SO_VMCI_BUFFER_SIZE, &size, &length), EOPNOTSUPP);

    (void)close(fd);
    return holds;
}

static bool they_do_not_listen(void)
{
    struct pair pair;
    const bool holds = open_pair(&pair) && failed(listen(pair.receiver, 1), EOPNOTSUPP) &&
                       failed(accept(pair.receiver, NULL, NULL), EOPNOTSUPP);

    return close_pair(&pair, holds);
}

const struct rule datagram_rules[] = {
    RULE(there_and_back),
    RULE(connect_sets_the_address),
    RULE(unspecified_undoes_connect),
    RULE(a_connected_one_hears_others),
    RULE(nobody_there_is_unreachable),
    RULE(no_such_machine_is_invalid),
    RULE(sizes),
    RULE(what_has_no_room_is_lost),
    RULE(streams_have_other_ports),
    RULE(a_port_in_use_is_refused),
    RULE(they_have_no_options),
    RULE(they_do_not_listen),
    RULES_END,
};
