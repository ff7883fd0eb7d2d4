/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/credentials.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

static bool is_effective(int capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

bool vmci_may_bind_reserved(void)
{
    return is_effective(CAP_NET_BIND_SERVICE);
}

bool vmci_may_be_trusted(void)
{
    return is_effective(CAP_NET_ADMIN);
}

/* Does every uid have a number here? True outside of user namespaces. */
static bool all_uids_are_mapped(void)
{
    uint32_t inside = 1;
    uint32_t outside = 1;
    uint32_t count = 0;
    FILE *file = fopen("/proc/self/uid_map", "re");

    if (!file)
        return false;
    if (fscanf(file, "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &count) != 3)
        count = 0;
    (void)fclose(file);
    return inside == 0 && count == UINT32_MAX;
}

uid_t vmci_ambiguous_uid(void)
{
    uid_t uid = 65534;
    FILE *file;

    if (all_uids_are_mapped())
        return (uid_t)-1;
    file = fopen("/proc/sys/fs/overflowuid", "re");
    if (!file)
        return uid;
    if (fscanf(file, "%u", &uid) != 1)
        uid = 65534;
    (void)fclose(file);
    return uid;
}

int vmci_peer_uid(int fd, uid_t *uid)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return -errno;
    *uid = peer.uid;
    return 0;
}
