/* SPDX-License-Identifier: Apache-2.0 */
/* VMCI sockets on the fabric: made, bound, asked for their names, closed. */
#include "vmci/socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "vmci/credentials.h"
#include "vmci/endpoint.h"
#include "vmci/socket_impl.h"

#define TIDY_LOOKS 4 /* more than one for each name that is made, so that the dead get fewer */
#define TYPE_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

bool vmci_socket_fabric_wanted(void)
{
    const char *transport = getenv("VMCI_TRANSPORT");
    const char *cid = getenv("VMCI_CID");

    /* Whoever mistypes it gets the harmless one. */
    if (transport && transport[0] != '\0')
        return strcmp(transport, "kernel") != 0;
    return cid && cid[0] != '\0';
}

int vmci_explain(const char *call, int rc, const struct vmci_err *err)
{
    const char *debug = getenv("VMCI_DEBUG");

    if (rc < 0 && debug && debug[0] != '\0' && err->text[0] != '\0')
        (void)dprintf(STDERR_FILENO, "vmci: %s: %s\n", call, err->text);
    return rc;
}

int vmci_address_read(const struct sockaddr *address, socklen_t length, struct sockaddr_vm *read)
{
    if (!address || length < sizeof(*read))
        return -EFAULT;
    memcpy(read, address, sizeof(*read));
    return read->svm_family == AF_VSOCK ? 0 : -EAFNOSUPPORT;
}

void vmci_address_write(uint32_t cid, uint32_t port, struct sockaddr *address, socklen_t *length)
{
    const struct sockaddr_vm written = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};

    if (!address || !length)
        return;
    memcpy(address, &written, MIN(*length, sizeof(written)));
    *length = sizeof(written);
}

/* The environment's fabric, and who it says we are. */
static int enter_environment(struct vmci_site *site, const struct vmci_err *err)
{
    const int rc = vmci_fabric_local_cid(0, &site->cid, err);

    return rc < 0 ? rc : vmci_fabric_open(&site->fabric, NULL, err);
}

int vmci_site_enter(struct vmci_site *site, int fd, const struct vmci_memo *memo, const struct vmci_err *err)
{
    int rc;

    site->cid = memo->cid;
    if (memo->state == VMCI_SOCKET_NEW)
        rc = enter_environment(site, err);
    else
        rc = vmci_fabric_of(&site->fabric, fd, err);
    if (rc < 0)
        return rc;
    rc = vmci_fabric_enter(&site->fabric, site->cid, (int)memo->type, &site->folder, err);
    if (rc < 0)
        vmci_fabric_close(&site->fabric);
    return rc;
}

void vmci_site_leave(struct vmci_site *site)
{
    (void)close(site->folder.fd);
    vmci_fabric_close(&site->fabric);
}

static bool type_is_known(int type)
{
    return type == SOCK_STREAM || type == SOCK_SEQPACKET || type == SOCK_DGRAM;
}

int vmci_socket_open(int type, int protocol)
{
    const int one = 1;
    struct vmci_memo memo;
    int rc;
    int fd;

    if (protocol != 0 && protocol != PF_VSOCK)
        return -EPROTONOSUPPORT;
    if (!type_is_known(type & ~TYPE_FLAGS))
        return -ESOCKTNOSUPPORT;
    fd = socket(AF_UNIX, type, 0);
    if (fd < 0)
        return -errno;
    vmci_memo_init(&memo, type & ~TYPE_FLAGS);
    if (vmci_may_be_trusted())
        memo.flags |= VMCI_MEMO_TRUSTED;
    rc = vmci_memo_write(fd, &memo);
    /* The kernel then tells the sender's user with each datagram. */
    if (rc == 0 && memo.type == SOCK_DGRAM && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0)
        rc = -errno;
    if (rc == 0)
        return fd;
    (void)close(fd);
    return rc;
}

bool vmci_socket_is(int fd)
{
    return vmci_socket_type(fd) >= 0;
}

int vmci_socket_type(int fd)
{
    struct vmci_memo memo;
    const int rc = vmci_memo_read(fd, &memo);

    return rc < 0 ? rc : (int)memo.type;
}

bool vmci_socket_needs_us(int fd)
{
    struct vmci_memo memo;

    return vmci_memo_read(fd, &memo) == 0 && (memo.type == SOCK_DGRAM || memo.state != VMCI_SOCKET_CONNECTED);
}

/* The socket has got this port, and its name. */
static int note_bound(int fd, struct vmci_memo *memo, const struct vmci_site *site, uint32_t port)
{
    memo->state = VMCI_SOCKET_BOUND;
    memo->flags |= VMCI_MEMO_NAMED;
    memo->cid = site->cid;
    memo->port = port;
    return vmci_memo_write(fd, memo);
}

int vmci_socket_bind_any(int fd, struct vmci_memo *memo, struct vmci_site *site, const struct vmci_err *err)
{
    struct vmci_fabric_port bound = {0};
    int rc;

    /* One port of so many is not bound anew: nobody else would ever clear up after a process that was killed.
     */
    vmci_folder_tidy(&site->folder, memo->type == SOCK_DGRAM ? ".dgram" : ".stream", TIDY_LOOKS);
    rc = vmci_fabric_bind_ephemeral(&site->folder, fd, VMCI_FABRIC_LISTENER_MODE, &bound, err);
    return rc < 0 ? rc : note_bound(fd, memo, site, bound.port);
}

static int bind_within(int fd, struct vmci_memo *memo, struct vmci_site *site,
                       const struct sockaddr_vm *wanted, const struct vmci_err *err)
{
    struct vmci_fabric_port bound;
    int rc;

    if (wanted->svm_cid != VMADDR_CID_ANY && wanted->svm_cid != VMADDR_CID_LOCAL &&
        wanted->svm_cid != site->cid)
        return vmci_fail(err, -EADDRNOTAVAIL, "CID %u is not ours: we are CID %u", wanted->svm_cid,
                         site->cid);
    if (wanted->svm_port == VMADDR_PORT_ANY)
        return vmci_socket_bind_any(fd, memo, site, err);
    rc = vmci_fabric_bind(&site->folder, fd, wanted->svm_port, VMCI_FABRIC_LISTENER_MODE, &bound, err);
    return rc < 0 ? rc : note_bound(fd, memo, site, bound.port);
}

int vmci_socket_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    const struct vmci_err err = VMCI_TEXT;
    struct sockaddr_vm wanted;
    struct vmci_memo memo;
    struct vmci_site site;
    int rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    if (vmci_address_read(address, length, &wanted) < 0 || memo.state != VMCI_SOCKET_NEW)
        return -EINVAL;
    rc = vmci_site_enter(&site, fd, &memo, &err);
    if (rc == 0) {
        rc = bind_within(fd, &memo, &site, &wanted, &err);
        vmci_site_leave(&site);
    }
    return vmci_explain("bind", rc, &err);
}

int vmci_socket_name(int fd, struct sockaddr *address, socklen_t *length)
{
    struct vmci_memo memo;
    const int rc = vmci_memo_read(fd, &memo);

    if (rc == 0)
        vmci_address_write(memo.cid, memo.port, address, length);
    return rc;
}

int vmci_socket_peer(int fd, struct sockaddr *address, socklen_t *length)
{
    struct vmci_memo memo;
    const int rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    if (memo.state != VMCI_SOCKET_CONNECTED)
        return -ENOTCONN;
    vmci_address_write(memo.peer_cid, memo.peer_port, address, length);
    return 0;
}

int vmci_socket_shutdown(int fd, int how)
{
    struct vmci_memo memo;
    const int rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return -EINVAL;
    if (memo.state != VMCI_SOCKET_CONNECTED)
        return -ENOTCONN;
    return shutdown(fd, how) < 0 ? -errno : 0;
}

/* After the last copy is closed, nobody is to find the name. */
static void sweep(const struct vmci_site *site, const struct vmci_memo *memo)
{
    char name[VMCI_FABRIC_NAME_SIZE];

    vmci_fabric_port_name(&site->folder, memo->port, name);
    if (vmci_folder_sweep(&site->folder, name) == 0 && memo->type != SOCK_DGRAM)
        vmci_limits_retract(&site->folder, memo->port);
}

int vmci_socket_close(int fd)
{
    const struct vmci_err none = {NULL, 0};
    struct vmci_memo memo;
    struct vmci_site site;
    bool entered;
    int rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    entered = (memo.flags & VMCI_MEMO_NAMED) && vmci_site_enter(&site, fd, &memo, &none) == 0;
    rc = close(fd) < 0 ? -errno : 0;
    if (entered) {
        sweep(&site, &memo);
        vmci_site_leave(&site);
    }
    return rc;
}
