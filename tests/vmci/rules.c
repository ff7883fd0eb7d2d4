/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmci-rules embedded|kernel: the rules of stream sockets that a program on one machine can see, with what
 * each transport makes of them. `embedded` runs on a fabric as the host; `kernel` on mainline Linux with the
 * module vsock_loopback, in a virtual machine: it talks to CID 1 only. One line per rule; exit code 1 if one
 * does not hold.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "vmci_sockets.h"

static int af;
static bool on_kernel;

static struct sockaddr_vm address_of(unsigned cid, unsigned port)
{
    struct sockaddr_vm address = {0};

    address.svm_family = (sa_family_t)af;
    address.svm_cid = cid;
    address.svm_port = port;
    return address;
}

static int stream(void)
{
    const int fd = socket(af, SOCK_STREAM, 0);

    if (fd < 0) {
        perror("vmci-rules: socket");
        exit(2);
    }
    return fd;
}

/* Closes fd, and gives errno of a call that has returned rc; 0 when it went well. */
static int ended(int fd, int rc)
{
    const int error = rc < 0 ? errno : 0;

    (void)close(fd);
    return error;
}

static int bind_to(int fd, unsigned cid, unsigned port)
{
    const struct sockaddr_vm address = address_of(cid, port);

    return bind(fd, (const struct sockaddr *)&address, sizeof(address));
}

static int connect_to(int fd, unsigned cid, unsigned port)
{
    const struct sockaddr_vm address = address_of(cid, port);

    return connect(fd, (const struct sockaddr *)&address, sizeof(address));
}

static struct sockaddr_vm name_of(int fd)
{
    struct sockaddr_vm address = {0};
    socklen_t length = sizeof(address);

    (void)getsockname(fd, (struct sockaddr *)&address, &length);
    return address;
}

static uint64_t size_of(int fd, int option)
{
    uint64_t size = 0;
    socklen_t length = sizeof(size);

    return getsockopt(fd, af, option, &size, &length) < 0 ? UINT64_MAX : size;
}

static void set_size(int fd, int option, uint64_t size)
{
    (void)setsockopt(fd, af, option, &size, sizeof(size));
}

/*
 * The rules. Each gives true when it holds.
 */

static bool family_is_af_vsock(void)
{
    return af == AF_VSOCK;
}

static bool version_is_1_0_2_or_none(void)
{
    const unsigned version = VMCISock_Version();

    return version == VMCI_SOCKETS_MAKE_VERSION(((unsigned[]){1, 0, 2})) ||
           (on_kernel &&
            version == VMCI_SOCKETS_INVALID_VERSION); /* a kernel may keep its modules' versions to itself */
}

static bool unknown_types_and_protocols_fail(void)
{
    return socket(af, SOCK_RAW, 0) == -1 && errno == ESOCKTNOSUPPORT && socket(af, SOCK_STREAM, 1) == -1 &&
           errno == EPROTONOSUPPORT;
}

static bool any_cid_is_replaced_but_by_the_kernel(void)
{
    const int fd = stream();
    const int rc = bind_to(fd, VMADDR_CID_ANY, VMADDR_PORT_ANY);
    const unsigned cid = name_of(fd).svm_cid;

    return ended(fd, rc) == 0 && cid == (on_kernel ? VMADDR_CID_ANY : VMADDR_CID_HOST);
}

static bool any_port_is_from_1024(void)
{
    const int fd = stream();
    const int rc = bind_to(fd, VMADDR_CID_ANY, VMADDR_PORT_ANY);
    const unsigned port = name_of(fd).svm_port;

    return ended(fd, rc) == 0 && port >= 1024 && port != VMADDR_PORT_ANY;
}

static bool foreign_cid_is_not_available(void)
{
    const int fd = stream();

    return ended(fd, bind_to(fd, 77, 5000)) == EADDRNOTAVAIL;
}

static bool port_in_use_is_refused(void)
{
    const int fd = stream();
    const int other = stream();
    const int rc = bind_to(fd, VMADDR_CID_ANY, 5000);
    const int error = ended(other, bind_to(other, VMADDR_CID_ANY, 5000));

    return ended(fd, rc) == 0 && error == EADDRINUSE;
}

static bool second_bind_is_invalid(void)
{
    const int fd = stream();

    return bind_to(fd, VMADDR_CID_ANY, 5000) == 0 && ended(fd, bind_to(fd, VMADDR_CID_ANY, 5001)) == EINVAL;
}

static bool unbound_listen_is_invalid(void)
{
    const int fd = stream();

    return ended(fd, listen(fd, 1)) == EINVAL;
}

static bool default_sizes(void)
{
    const int fd = stream();
    const bool holds = size_of(fd, SO_VMCI_BUFFER_SIZE) == (on_kernel ? 262144 : 65536) &&
                       size_of(fd, SO_VMCI_BUFFER_MIN_SIZE) == 128 &&
                       size_of(fd, SO_VMCI_BUFFER_MAX_SIZE) == 262144;

    (void)close(fd);
    return holds;
}

static bool sizes_are_clamped(void)
{
    const int fd = stream();
    bool holds;

    set_size(fd, SO_VMCI_BUFFER_SIZE, 1 << 20);
    holds = size_of(fd, SO_VMCI_BUFFER_SIZE) == 262144;
    set_size(fd, SO_VMCI_BUFFER_MAX_SIZE, 1 << 20);
    set_size(fd, SO_VMCI_BUFFER_SIZE, 1 << 20);
    holds = holds && size_of(fd, SO_VMCI_BUFFER_SIZE) == 1 << 20;
    set_size(fd, SO_VMCI_BUFFER_SIZE, 1);
    holds = holds && size_of(fd, SO_VMCI_BUFFER_SIZE) == 128;
    (void)close(fd);
    return holds;
}

static bool sizes_are_64_bits(void)
{
    const uint32_t size = 4096;
    const int fd = stream();

    return ended(fd, setsockopt(fd, af, SO_VMCI_BUFFER_SIZE, &size, sizeof(size))) == EINVAL;
}

static bool timeout_is_2_s(void)
{
    struct timeval timeout = {0};
    socklen_t length = sizeof(timeout);
    const int fd = stream();
    const int rc = getsockopt(fd, af, SO_VMCI_CONNECT_TIMEOUT, &timeout, &length);

    return ended(fd, rc) == 0 && timeout.tv_sec == 2 && timeout.tv_usec == 0;
}

static bool senseless_timeouts_are_out_of_range(void)
{
    const struct timeval timeout = {.tv_sec = 1, .tv_usec = 1000000};
    const int fd = stream();

    return ended(fd, setsockopt(fd, af, SO_VMCI_CONNECT_TIMEOUT, &timeout, sizeof(timeout))) == ERANGE;
}

static bool unknown_options_fail(void)
{
    int value;
    socklen_t length = sizeof(value);
    const int fd = stream();

    return ended(fd, getsockopt(fd, af, 99, &value, &length)) == ENOPROTOOPT;
}

static bool trusted_is_the_fabrics(void)
{
    int value;
    socklen_t length = sizeof(value);
    const int fd = stream();

    return ended(fd, getsockopt(fd, af, SO_VMCI_TRUSTED, &value, &length)) == (on_kernel ? ENOPROTOOPT : 0);
}

static bool nobody_there_is_a_reset(void)
{
    const int fd = stream();

    return ended(fd, connect_to(fd, VMADDR_CID_LOCAL, 5009)) == ECONNRESET;
}

static bool no_peer_before_connect(void)
{
    struct sockaddr_vm peer;
    socklen_t length = sizeof(peer);
    const int fd = stream();

    return ended(fd, getpeername(fd, (struct sockaddr *)&peer, &length)) == ENOTCONN;
}

static bool nothing_to_shut_down_before_connect(void)
{
    const int fd = stream();

    return ended(fd, shutdown(fd, SHUT_WR)) == ENOTCONN;
}

/* Both ends of a connection to ourselves, by accept(). */
struct ends {
    int listener;
    int client;
    int server;
    struct sockaddr_vm from;
};

static bool open_ends(struct ends *ends)
{
    socklen_t length = sizeof(ends->from);

    ends->listener = stream();
    ends->client = stream();
    ends->server = -1;
    if (bind_to(ends->listener, VMADDR_CID_ANY, 5001) < 0 || listen(ends->listener, 2) < 0 ||
        connect_to(ends->client, VMADDR_CID_LOCAL, 5001) < 0)
        return false;
    ends->server = accept(ends->listener, (struct sockaddr *)&ends->from, &length);
    return ends->server >= 0;
}

static bool close_ends(const struct ends *ends, bool holds)
{
    if (ends->server >= 0)
        (void)close(ends->server);
    (void)close(ends->client);
    (void)close(ends->listener);
    return holds;
}

static bool accept_tells_who_came(void)
{
    struct ends ends;
    const bool open = open_ends(&ends);
    struct sockaddr_vm peer = {0};
    socklen_t length = sizeof(peer);

    (void)getpeername(ends.server, (struct sockaddr *)&peer, &length);
    return close_ends(&ends, open && ends.from.svm_port == name_of(ends.client).svm_port &&
                                 peer.svm_port == ends.from.svm_port &&
                                 name_of(ends.server).svm_port == 5001 &&
                                 ends.from.svm_cid == (on_kernel ? VMADDR_CID_LOCAL : VMADDR_CID_HOST));
}

static bool second_connect_fails(void)
{
    struct ends ends;
    const bool open = open_ends(&ends);

    return close_ends(&ends,
                      open && connect_to(ends.client, VMADDR_CID_LOCAL, 5001) == -1 && errno == EISCONN);
}

static bool listener_cannot_connect(void)
{
    struct ends ends;
    const bool open = open_ends(&ends);

    return close_ends(&ends,
                      open && connect_to(ends.listener, VMADDR_CID_LOCAL, 5001) == -1 && errno == EINVAL);
}

static bool half_close(void)
{
    char text[8];
    struct ends ends;
    bool holds =
        open_ends(&ends) && send(ends.client, "bye", 3, 0) == 3 && shutdown(ends.client, SHUT_WR) == 0;

    holds = holds && recv(ends.server, text, sizeof(text), MSG_WAITALL) == 3 &&
            send(ends.server, "you too", 7, 0) == 7 && recv(ends.client, text, 7, MSG_WAITALL) == 7;
    holds = holds && send(ends.client, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE;
    return close_ends(&ends, holds);
}

static bool poll_tells(void)
{
    struct ends ends;
    bool holds = open_ends(&ends);
    struct pollfd item = {.fd = ends.server, .events = POLLIN | POLLOUT};

    holds = holds && poll(&item, 1, 1000) == 1 && item.revents == POLLOUT;
    holds = holds && send(ends.client, "x", 1, 0) == 1;
    item.events = POLLIN;
    return close_ends(&ends, holds && poll(&item, 1, 1000) == 1 && item.revents == POLLIN);
}

static bool out_of_band_is_not_supported(void)
{
    struct ends ends;
    const bool open = open_ends(&ends);

    return close_ends(&ends, open && send(ends.client, "x", 1, MSG_OOB) == -1 && errno == EOPNOTSUPP);
}

static bool recvfrom_names_nobody(void)
{
    char byte;
    struct sockaddr_vm from;
    socklen_t length = sizeof(from);
    struct ends ends;
    const bool holds = open_ends(&ends) && send(ends.client, "x", 1, 0) == 1 &&
                       recvfrom(ends.server, &byte, 1, 0, (struct sockaddr *)&from, &length) == 1;

    return close_ends(&ends, holds && length == 0);
}

/* An ENODEV of socket() or of its first use; on the fabric they work. */
static bool datagrams_are_vmcis(void)
{
    const int fd = socket(af, SOCK_DGRAM, 0);
    const int error = fd < 0 ? errno : ended(fd, bind_to(fd, VMADDR_CID_ANY, VMADDR_PORT_ANY));

    return error == (on_kernel ? ENODEV : 0);
}

#define RULE(name)                                                                                           \
    {                                                                                                        \
#name, name                                                                                          \
    }

static const struct rule {
    const char *name;
    bool (*holds)(void);
} rules[] = {
    RULE(family_is_af_vsock),
    RULE(version_is_1_0_2_or_none),
    RULE(unknown_types_and_protocols_fail),
    RULE(any_cid_is_replaced_but_by_the_kernel),
    RULE(any_port_is_from_1024),
    RULE(foreign_cid_is_not_available),
    RULE(port_in_use_is_refused),
    RULE(second_bind_is_invalid),
    RULE(unbound_listen_is_invalid),
    RULE(default_sizes),
    RULE(sizes_are_clamped),
    RULE(sizes_are_64_bits),
    RULE(timeout_is_2_s),
    RULE(senseless_timeouts_are_out_of_range),
    RULE(unknown_options_fail),
    RULE(trusted_is_the_fabrics),
    RULE(nobody_there_is_a_reset),
    RULE(no_peer_before_connect),
    RULE(nothing_to_shut_down_before_connect),
    RULE(accept_tells_who_came),
    RULE(second_connect_fails),
    RULE(listener_cannot_connect),
    RULE(half_close),
    RULE(poll_tells),
    RULE(out_of_band_is_not_supported),
    RULE(recvfrom_names_nobody),
    RULE(datagrams_are_vmcis),
};

/* Says no when the name and the environment disagree: nobody is to reach a kernel by mistake. */
static bool is_meant(const char *transport)
{
    const char *chosen = getenv("VMCI_TRANSPORT");

    return chosen && strcmp(chosen, transport) == 0;
}

int main(int argc, char **argv)
{
    int broken = 0;

    if (argc != 2 || !is_meant(argv[1])) {
        fprintf(stderr, "usage: VMCI_TRANSPORT=TRANSPORT vmci-rules TRANSPORT\n");
        return 2;
    }
    on_kernel = strcmp(argv[1], "kernel") == 0;
    af = VMCISock_GetAFValue();
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const bool holds = rules[i].holds();

        printf("%s %s\n", holds ? "ok    " : "BROKEN", rules[i].name);
        broken += !holds;
    }
    return broken > 0;
}
