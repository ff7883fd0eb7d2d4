/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of families, types and names. */
#include <string.h>
#include <sys/syscall.h>

#include <linux/capability.h>

#include "rules.h"

static bool family_is_af_vsock(void)
{
    return af == AF_VSOCK;
}

/* A kernel may keep its modules' versions to itself. */
static bool version_is_1_0_2_or_none(void)
{
    const unsigned version = VMCISock_Version();

    return version == VMCI_SOCKETS_MAKE_VERSION(((unsigned[]){1, 0, 2})) ||
           (on_kernel && version == VMCI_SOCKETS_INVALID_VERSION);
}

static bool unknown_types_and_protocols_fail(void)
{
    return failed(socket(af, SOCK_RAW, 0), ESOCKTNOSUPPORT) &&
           failed(socket(af, SOCK_STREAM, 1), EPROTONOSUPPORT);
}

static bool there_are_no_pairs(void)
{
    int fds[2];

    return failed(socketpair(af, SOCK_STREAM, 0, fds), EOPNOTSUPP);
}

static bool a_socket_says_what_it_is(void)
{
    int type = -1;
    int domain = -1;
    socklen_t length = sizeof(int);
    const int fd = stream();
    const int rc = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) |
                   getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);

    return ended(fd, rc) == 0 && type == SOCK_STREAM && domain == af;
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

static bool cid_1_is_ours(void)
{
    const int fd = stream();

    return ended(fd, bind_to(fd, VMADDR_CID_LOCAL, VMADDR_PORT_ANY)) == 0;
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

static bool addresses_of_another_kind_are_invalid(void)
{
    const struct sockaddr_vm ours = address_of(VMADDR_CID_ANY, 5000);
    const struct sockaddr_vm other = {.svm_family = AF_INET, .svm_cid = VMADDR_CID_ANY, .svm_port = 5000};
    const int fd = stream();
    const bool holds = failed(bind(fd, (const struct sockaddr *)&ours, sizeof(ours) - 1), EINVAL) &&
                       failed(bind(fd, (const struct sockaddr *)&other, sizeof(other)), EINVAL);

    (void)close(fd);
    return holds;
}

/* With CAP_NET_BIND_SERVICE in effect, or without. False when it can't be so. */
static bool with_privilege(bool privileged)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    data[0].effective &= ~(1U << CAP_NET_BIND_SERVICE);
    if (privileged)
        data[0].effective |= data[0].permitted & (1U << CAP_NET_BIND_SERVICE);
    return syscall(SYS_capset, &header, data) == 0;
}

static bool reserved(int type)
{
    const int fd = open_socket(type);
    const bool holds = with_privilege(false) && failed(bind_to(fd, VMADDR_CID_ANY, 1023), EACCES);

    (void)with_privilege(true);
    return ended(fd, bind_to(fd, VMADDR_CID_ANY, 1024)) == 0 && holds;
}

static bool ports_below_1024_are_reserved(void)
{
    return reserved(SOCK_STREAM);
}

const struct rule name_rules[] = {
    RULE(family_is_af_vsock),
    RULE(version_is_1_0_2_or_none),
    RULE(unknown_types_and_protocols_fail),
    RULE(there_are_no_pairs),
    RULE(a_socket_says_what_it_is),
    RULE(any_cid_is_replaced_but_by_the_kernel),
    RULE(any_port_is_from_1024),
    RULE(cid_1_is_ours),
    RULE(foreign_cid_is_not_available),
    RULE(port_in_use_is_refused),
    RULE(second_bind_is_invalid),
    RULE(addresses_of_another_kind_are_invalid),
    RULE(ports_below_1024_are_reserved),
    RULES_END,
};
