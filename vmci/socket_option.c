/* SPDX-License-Identifier: Apache-2.0 */
/* Options of VMCI sockets on the fabric. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/param.h>

#include "vmci/endpoint.h"
#include "vmci/socket_impl.h"

#define US_PER_S 1000000U

#define CONNECT_TIMEOUT_NEW 8 /* as SO_VMCI_CONNECT_TIMEOUT, with 64 bits on every machine */

struct timeout64 {
    int64_t s;
    int64_t us;
};

static int set_size(struct vmci_limits *limits, void (*set)(struct vmci_limits *, uint64_t),
                    const void *value, socklen_t length)
{
    uint64_t size;

    if (!value || length < sizeof(size))
        return -EINVAL;
    memcpy(&size, value, sizeof(size));
    set(limits, size);
    return 0;
}

/* None is the default one, as in the kernel. */
static int set_timeout(struct vmci_memo *memo, int64_t s, int64_t us)
{
    struct vmci_memo fresh;

    if (s < 0 || us < 0 || us >= US_PER_S || s > INT32_MAX)
        return -ERANGE;
    vmci_memo_init(&fresh, 0);
    memo->timeout_us = s == 0 && us == 0 ? fresh.timeout_us : (uint64_t)s * US_PER_S + (uint64_t)us;
    return 0;
}

static int read_timeout(struct vmci_memo *memo, int name, const void *value, socklen_t length)
{
    struct timeout64 wide;
    struct timeval native;

    if (name == CONNECT_TIMEOUT_NEW) {
        if (!value || length < sizeof(wide))
            return -EINVAL;
        memcpy(&wide, value, sizeof(wide));
        return set_timeout(memo, wide.s, wide.us);
    }
    if (!value || length < sizeof(native))
        return -EINVAL;
    memcpy(&native, value, sizeof(native));
    return set_timeout(memo, native.tv_sec, native.tv_usec);
}

static int set_own(struct vmci_memo *memo, int name, const void *value, socklen_t length)
{
    switch (name) {
    case SO_VMCI_BUFFER_SIZE: return set_size(&memo->limits, vmci_limits_set_size, value, length);
    case SO_VMCI_BUFFER_MIN_SIZE: return set_size(&memo->limits, vmci_limits_set_min, value, length);
    case SO_VMCI_BUFFER_MAX_SIZE: return set_size(&memo->limits, vmci_limits_set_max, value, length);
    case SO_VMCI_CONNECT_TIMEOUT:
    case CONNECT_TIMEOUT_NEW: return read_timeout(memo, name, value, length);
    default: return -ENOPROTOOPT;
    }
}

/* The memo is kept by one of these, and the senders of datagrams are known by another. */
static bool is_ours_alone(int name)
{
    return name == SO_ATTACH_FILTER || name == SO_DETACH_FILTER || name == SO_LOCK_FILTER ||
           name == SO_ATTACH_BPF || name == SO_PASSCRED;
}

int vmci_socket_set_option(int fd, int level, int name, const void *value, socklen_t length)
{
    struct vmci_memo memo;
    int rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    if (level == SOL_SOCKET && is_ours_alone(name))
        return -EOPNOTSUPP;
    if (level == SOL_SOCKET)
        return setsockopt(fd, level, name, value, length) < 0 ? -errno : 0;
    if (memo.type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (level != AF_VSOCK)
        return -ENOPROTOOPT;
    rc = set_own(&memo, name, value, length);
    return rc < 0 ? rc : vmci_memo_write(fd, &memo);
}

/* A value of exactly that size, into what must have room for it. */
static int give(const void *from, size_t size, void *value, socklen_t *length)
{
    if (*length < size)
        return -EINVAL;
    memcpy(value, from, size);
    *length = (socklen_t)size;
    return 0;
}

static int give_int(int number, void *value, socklen_t *length)
{
    return give(&number, sizeof(number), value, length);
}

/* The host is told which machine is at the other end; there is no other number for it here than its CID. */
static int give_peer_vm(const struct vmci_memo *memo, void *value, socklen_t *length)
{
    if (memo->cid != VMCI_CID_HOST || memo->state != VMCI_SOCKET_CONNECTED)
        return -ENOPROTOOPT;
    return give_int((int)memo->peer_cid, value, length);
}

static int give_timeout(const struct vmci_memo *memo, int name, void *value, socklen_t *length)
{
    const struct timeout64 wide = {.s = (int64_t)(memo->timeout_us / US_PER_S),
                                   .us = (int64_t)(memo->timeout_us % US_PER_S)};
    const struct timeval native = {.tv_sec = wide.s, .tv_usec = wide.us};

    return name == CONNECT_TIMEOUT_NEW ? give(&wide, sizeof(wide), value, length)
                                       : give(&native, sizeof(native), value, length);
}

static int get_own(const struct vmci_memo *memo, int name, void *value, socklen_t *length)
{
    switch (name) {
    case SO_VMCI_BUFFER_SIZE: return give(&memo->limits.size, sizeof(uint64_t), value, length);
    case SO_VMCI_BUFFER_MIN_SIZE: return give(&memo->limits.min, sizeof(uint64_t), value, length);
    case SO_VMCI_BUFFER_MAX_SIZE: return give(&memo->limits.max, sizeof(uint64_t), value, length);
    case SO_VMCI_PEER_HOST_VM_ID: return give_peer_vm(memo, value, length);
    case SO_VMCI_TRUSTED: return give_int(memo->flags & VMCI_MEMO_TRUSTED ? 1 : 0, value, length);
    case SO_VMCI_CONNECT_TIMEOUT:
    case CONNECT_TIMEOUT_NEW: return give_timeout(memo, name, value, length);
    default: return -ENOPROTOOPT;
    }
}

/* What a Unix socket would say of itself, and a vsock differently. */
static int get_general(int fd, int name, void *value, socklen_t *length)
{
    const int answer = name == SO_DOMAIN ? AF_VSOCK : 0;

    if (is_ours_alone(name))
        return -EOPNOTSUPP;
    if (name != SO_DOMAIN && name != SO_PROTOCOL)
        return getsockopt(fd, SOL_SOCKET, name, value, length) < 0 ? -errno : 0;
    *length = (socklen_t)MIN(*length, sizeof(answer));
    memcpy(value, &answer, *length);
    return 0;
}

int vmci_socket_get_option(int fd, int level, int name, void *value, socklen_t *length)
{
    struct vmci_memo memo;
    const int rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    if (!value || !length)
        return -EFAULT;
    if (level == SOL_SOCKET)
        return get_general(fd, name, value, length);
    if (memo.type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    return level == AF_VSOCK ? get_own(&memo, name, value, length) : -ENOPROTOOPT;
}
