/* SPDX-License-Identifier: Apache-2.0 */
/* Streams between two CIDs of the fabric: who may connect, and how one gets there. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "vmci/endpoint.h"
#include "vmci/fabric.h"

int vmci_fabric_admit(const struct vmci_fabric *fabric, uint32_t self, bool trusted, int fd,
                      const struct sockaddr_un *address, socklen_t length, uint32_t *cid, uint32_t *port,
                      const struct vmci_err *err)
{
    int rc;

    if (!vmci_fabric_parse_peer(address, length, SOCK_STREAM, cid, port))
        return vmci_fail(err, -EACCES, "a peer without CID: its socket is not bound in the fabric");
    rc = vmci_fabric_vouch(fabric, *cid, fd, err);
    if (rc < 0)
        return rc;
    if (!vmci_fabric_allows(self, *cid))
        return vmci_fail(err, -ENETUNREACH, "CID %u can't reach CID %u: guests only talk to the host", *cid,
                         self);
    if (!vmci_fabric_trusts(fabric, self, *cid, trusted))
        return vmci_fail(err, -EACCES, "CID %u is isolated, and we are not trusted: expected CAP_NET_ADMIN",
                         *cid);
    return 0;
}

/* What connect() of a Unix socket says, in the words of the kernel's vsock. */
static int refused(const struct vmci_fabric *fabric, uint32_t cid, uint32_t port, int error,
                   const struct vmci_err *err)
{
    switch (error) {
    case ENOENT:
        if (cid != VMCI_CID_HOST && !vmci_fabric_has(fabric, cid))
            return vmci_fail(err, -ENODEV, "embedded:%u:%u: no such VM", cid, port);
        /* fall through */
    case ECONNREFUSED:
    case EPROTOTYPE: return vmci_fail(err, -ECONNRESET, "embedded:%u:%u: nobody listens there", cid, port);
    case EAGAIN:
        return vmci_fail(err, -ECONNRESET, "embedded:%u:%u: the listener's backlog is full", cid, port);
    default: return vmci_fail(err, -error, "embedded:%u:%u: %s", cid, port, strerror(error));
    }
}

int vmci_fabric_reach(const struct vmci_fabric *fabric, int fd, uint32_t cid, uint32_t port,
                      const struct vmci_err *err)
{
    char name[VMCI_FABRIC_NAME_SIZE];
    struct vmci_folder there;
    struct sockaddr_un address;
    int rc;

    vmci_fabric_point(fabric, cid, SOCK_STREAM, &there);
    vmci_fabric_port_name(&there, port, name);
    rc = vmci_folder_address(&there, name, &address);
    if (rc < 0)
        return vmci_fail_errno(err, rc, there.path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return refused(fabric, cid, port, errno, err);
    return vmci_fabric_vouch(fabric, cid, fd, err);
}
