/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of a socket's options. */
#include <netinet/in.h>

#include "rules.h"

static uint64_t size_of(int fd, int option)
{
    uint64_t size = 0;
    socklen_t length = sizeof(size);

    return getsockopt(fd, af, option, &size, &length) < 0 ? UINT64_MAX : size;
}

/* Sets one size, and gives what SO_VMCI_BUFFER_SIZE is then. */
static uint64_t size_after(int fd, int option, uint64_t size)
{
    (void)setsockopt(fd, af, option, &size, sizeof(size));
    return size_of(fd, SO_VMCI_BUFFER_SIZE);
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
    const bool holds = size_after(fd, SO_VMCI_BUFFER_SIZE, 1 << 20) == 262144 &&
                       size_after(fd, SO_VMCI_BUFFER_MAX_SIZE, 1 << 20) == 262144 &&
                       size_after(fd, SO_VMCI_BUFFER_SIZE, 1 << 20) == 1 << 20 &&
                       size_after(fd, SO_VMCI_BUFFER_MAX_SIZE, 65536) == 65536 &&
                       size_after(fd, SO_VMCI_BUFFER_SIZE, 1) == 128 &&
                       size_after(fd, SO_VMCI_BUFFER_MIN_SIZE, 4096) == 4096;

    (void)close(fd);
    return holds;
}

static bool sizes_are_64_bits(void)
{
    uint32_t size = 4096;
    socklen_t length = sizeof(size);
    const int fd = stream();
    const bool holds = failed(setsockopt(fd, af, SO_VMCI_BUFFER_SIZE, &size, sizeof(size)), EINVAL) &&
                       failed(getsockopt(fd, af, SO_VMCI_BUFFER_SIZE, &size, &length), EINVAL);

    (void)close(fd);
    return holds;
}

/* 0 us, or what getsockopt() says. */
static long timeout_us(int fd)
{
    struct timeval timeout = {0};
    socklen_t length = sizeof(timeout);

    return getsockopt(fd, af, SO_VMCI_CONNECT_TIMEOUT, &timeout, &length) < 0
               ? 0
               : timeout.tv_sec * 1000000L + timeout.tv_usec;
}

static int set_timeout(int fd, struct timeval timeout)
{
    return setsockopt(fd, af, SO_VMCI_CONNECT_TIMEOUT, &timeout, sizeof(timeout));
}

static bool timeout_is_2_s(void)
{
    const int fd = stream();
    const long first = timeout_us(fd);
    const int set = set_timeout(fd, (struct timeval){.tv_sec = 5, .tv_usec = 500000});
    const long second = timeout_us(fd);
    const int unset = set_timeout(fd, (struct timeval){0});
    const long third = timeout_us(fd);

    return ended(fd, set | unset) == 0 && first == 2000000 && second == 5500000 && third == 2000000;
}

static bool senseless_timeouts_are_out_of_range(void)
{
    const int fd = stream();
    const bool holds = failed(set_timeout(fd, (struct timeval){.tv_sec = 1, .tv_usec = 1000000}), ERANGE) &&
                       failed(set_timeout(fd, (struct timeval){.tv_sec = -1}), ERANGE);

    (void)close(fd);
    return holds;
}

static int ask(int fd, int level, int option)
{
    int value;
    socklen_t length = sizeof(value);

    return getsockopt(fd, level, option, &value, &length);
}

static bool unknown_options_fail(void)
{
    const int one = 1;
    const int fd = stream();
    const bool holds = failed(ask(fd, af, 99), ENOPROTOOPT) && failed(ask(fd, IPPROTO_TCP, 1), ENOPROTOOPT) &&
                       failed(setsockopt(fd, af, 99, &one, sizeof(one)), ENOPROTOOPT) &&
                       failed(setsockopt(fd, IPPROTO_TCP, 1, &one, sizeof(one)), ENOPROTOOPT);

    (void)close(fd);
    return holds;
}

static bool trusted_is_the_fabrics(void)
{
    const int fd = stream();

    return ended(fd, ask(fd, af, SO_VMCI_TRUSTED)) == (on_kernel ? ENOPROTOOPT : 0);
}

static bool the_peers_vm_is_the_fabrics(void)
{
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_STREAM);
    const int rc = ask(ends.server, af, SO_VMCI_PEER_HOST_VM_ID);

    return close_ends(&ends, open && (on_kernel ? failed(rc, ENOPROTOOPT) : rc == 0));
}

static bool receiving_gives_up_in_time(void)
{
    const struct timeval soon = {.tv_usec = 10000};
    char byte;
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_STREAM);
    const int rc = setsockopt(ends.server, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));

    return close_ends(&ends, open && rc == 0 && failed(recv(ends.server, &byte, 1, 0), EAGAIN));
}

const struct rule option_rules[] = {
    RULE(default_sizes),
    RULE(sizes_are_clamped),
    RULE(sizes_are_64_bits),
    RULE(timeout_is_2_s),
    RULE(senseless_timeouts_are_out_of_range),
    RULE(unknown_options_fail),
    RULE(trusted_is_the_fabrics),
    RULE(the_peers_vm_is_the_fabrics),
    RULE(receiving_gives_up_in_time),
    RULES_END,
};
