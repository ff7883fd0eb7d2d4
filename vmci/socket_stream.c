/* SPDX-License-Identifier: Apache-2.0 */
/* VMCI stream and seqpacket sockets on the fabric: listen, accept, connect. Their bytes are the kernel's
 * business. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/param.h>
#include <unistd.h>

#include "vmci/endpoint.h"
#include "vmci/socket_impl.h"

/* What was agreed upon, as far as the system allows. Flow control of Unix sockets is the sender's buffer
 * alone. */
static void set_buffer(int fd, uint64_t bytes)
{
    const int size = (int)MIN(bytes, INT_MAX / 2);

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int vmci_socket_listen(int fd, int backlog)
{
    const struct vmci_err err = VMCI_TEXT;
    struct vmci_memo memo;
    struct vmci_site site;
    int rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    if (memo.type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (memo.state != VMCI_SOCKET_BOUND && memo.state != VMCI_SOCKET_LISTENING)
        return -EINVAL;
    rc = vmci_site_enter(&site, fd, &memo, &err);
    if (rc < 0)
        return vmci_explain("listen", rc, &err);
    rc = vmci_limits_publish(&site.folder, memo.port, &memo.limits);
    vmci_site_leave(&site);
    if (rc < 0)
        return rc;
    memo.state = VMCI_SOCKET_LISTENING;
    rc = vmci_memo_write(fd, &memo);
    if (rc == 0 && listen(fd, backlog) < 0)
        rc = -errno;
    return rc;
}

/* What the client of an accepted stream wants: told in its name, or in its note. */
static uint32_t proposal_of(const struct vmci_fabric *fabric, const struct vmci_memo *stream,
                            const struct sockaddr_un *address, socklen_t length)
{
    const uint32_t told = vmci_fabric_parse_proposal(address, length);
    struct vmci_limits limits;

    if (told != 0)
        return told;
    vmci_limits_look_up(fabric, stream->peer_cid, stream->peer_port, &limits);
    return vmci_limits_proposal(&limits);
}

/* Makes the accepted fd a socket of ours. 0; -EACCES, -ENETUNREACH: the peer may not connect; -ENOMEM … */
static int admit(int listener, const struct vmci_memo *memo, int fd, const struct sockaddr_un *address,
                 socklen_t length, struct vmci_memo *stream, const struct vmci_err *err)
{
    struct vmci_fabric fabric;
    int rc = vmci_fabric_of(&fabric, listener, err);

    if (rc < 0)
        return rc;
    *stream = *memo;
    stream->state = VMCI_SOCKET_CONNECTED;
    stream->flags &= ~VMCI_MEMO_NAMED; /* the name is the listener's */
    rc = vmci_fabric_admit(&fabric, memo->cid, memo->flags & VMCI_MEMO_TRUSTED, fd, address, length,
                           &stream->peer_cid, &stream->peer_port, err);
    if (rc == 0) {
        stream->limits.size =
            vmci_limits_answer(&memo->limits, proposal_of(&fabric, stream, address, length));
        set_buffer(fd, stream->limits.size);
        rc = vmci_memo_write(fd, stream);
    }
    vmci_fabric_close(&fabric);
    return rc;
}

int vmci_socket_accept(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    const struct vmci_err err = VMCI_TEXT;
    struct vmci_memo memo;
    int rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    if (memo.type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (memo.state != VMCI_SOCKET_LISTENING)
        return -EINVAL;
    for (;;) {
        struct vmci_memo stream;
        struct sockaddr_un from;
        socklen_t from_length = sizeof(from);
        const int accepted = accept4(fd, (struct sockaddr *)&from, &from_length, flags);

        if (accepted < 0)
            return -errno;
        rc = admit(fd, &memo, accepted, &from, from_length, &stream, &err);
        if (rc == 0) {
            vmci_address_write(stream.peer_cid, stream.peer_port, address, length);
            return accepted;
        }
        (void)close(accepted);
        if (rc != -EACCES && rc != -ENETUNREACH)
            return rc;
        (void)vmci_explain("accept: refused", rc, &err);
    }
}

/* Connects without waiting, whatever the descriptor says: a full backlog is a refusal here. */
static int reach_at_once(const struct vmci_fabric *fabric, int fd, uint32_t cid, uint32_t port,
                         const struct vmci_err *err)
{
    const int flags = fcntl(fd, F_GETFL);
    int rc;

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    rc = vmci_fabric_reach(fabric, fd, cid, port, err);
    (void)fcntl(fd, F_SETFL, flags);
    /* Somebody listens there who may not: what is written must not get to him. */
    if (rc == -EACCES)
        (void)shutdown(fd, SHUT_RDWR);
    return rc;
}

/* A new socket takes a name while it connects, so that the other side learns who we are. */
static int reach_unbound(int fd, struct vmci_memo *memo, struct vmci_site *site, uint32_t cid, uint32_t port,
                         const struct vmci_err *err)
{
    const uint32_t proposal = vmci_limits_proposal(&memo->limits);
    const bool is_default = memo->limits.size == VMCI_LIMITS_DEFAULT.size;
    struct vmci_fabric_port bound = {.proposal = is_default ? 0 : proposal};
    int rc = vmci_fabric_bind_ephemeral(&site->folder, fd, VMCI_FABRIC_CLIENT_MODE, &bound, err);

    if (rc < 0)
        return rc;
    memo->state = VMCI_SOCKET_BOUND;
    memo->cid = site->cid;
    memo->port = bound.port;
    rc = reach_at_once(&site->fabric, fd, cid, port, err);
    vmci_fabric_unbind(&site->folder, &bound);
    return rc;
}

static int reach(int fd, struct vmci_memo *memo, struct vmci_site *site, uint32_t cid, uint32_t port,
                 const struct vmci_err *err)
{
    int rc;

    if (memo->state == VMCI_SOCKET_NEW)
        return reach_unbound(fd, memo, site, cid, port, err);
    rc = memo->flags & VMCI_MEMO_NAMED ? vmci_limits_publish(&site->folder, memo->port, &memo->limits) : 0;
    return rc < 0 ? rc : reach_at_once(&site->fabric, fd, cid, port, err);
}

/* Finds the way to the peer, agrees upon a buffer size, connects; the memo then says all of that. */
static int connect_within(int fd, struct vmci_memo *memo, struct vmci_site *site,
                          const struct sockaddr_vm *to, const struct vmci_err *err)
{
    const uint32_t cid = to->svm_cid == VMADDR_CID_LOCAL ? site->cid : to->svm_cid;
    struct vmci_limits theirs;
    uint64_t answer;
    int rc;

    if (!vmci_fabric_allows(site->cid, cid))
        return vmci_fail(err, -ENETUNREACH, "CID %u can't reach CID %u: guests only talk to the host",
                         site->cid, cid);
    if (!vmci_fabric_trusts(&site->fabric, site->cid, cid, memo->flags & VMCI_MEMO_TRUSTED))
        return vmci_fail(err, -ENETUNREACH, "CID %u is isolated, and the socket is not trusted", cid);
    vmci_limits_look_up(&site->fabric, cid, to->svm_port, &theirs);
    answer = vmci_limits_answer(&theirs, vmci_limits_proposal(&memo->limits));
    if (!vmci_limits_takes(&memo->limits, answer))
        return vmci_fail(err, -EINVAL, "the server's buffers of %llu bytes are out of our range",
                         (unsigned long long)answer);
    rc = reach(fd, memo, site, cid, to->svm_port, err);
    if (rc < 0)
        return rc;
    set_buffer(fd, answer);
    memo->limits.size = answer;
    memo->state = VMCI_SOCKET_CONNECTED;
    memo->peer_cid = to->svm_cid;
    memo->peer_port = to->svm_port;
    return 0;
}

static int connect_stream(int fd, struct vmci_memo *memo, const struct sockaddr_vm *to)
{
    const struct vmci_err err = VMCI_TEXT;
    struct vmci_site site;
    int written;
    int rc;

    if (memo->state == VMCI_SOCKET_CONNECTED)
        return -EISCONN;
    if (memo->state == VMCI_SOCKET_LISTENING)
        return -EINVAL;
    rc = vmci_site_enter(&site, fd, memo, &err);
    if (rc < 0)
        return vmci_explain("connect", rc, &err);
    rc = connect_within(fd, memo, &site, to, &err);
    vmci_site_leave(&site);
    /* Also after a failure: the Unix socket has its name now, and can't get another. */
    written = vmci_memo_write(fd, memo);
    return vmci_explain("connect", rc < 0 ? rc : written, &err);
}

/* A datagram socket is only told whom send() means. It is found anew each time, as others may come in its
 * place. */
static int connect_datagram(int fd, struct vmci_memo *memo, const struct sockaddr_vm *to)
{
    const struct vmci_err err = VMCI_TEXT;
    struct vmci_site site;
    int rc;

    if (memo->state == VMCI_SOCKET_NEW) {
        rc = vmci_site_enter(&site, fd, memo, &err);
        if (rc == 0) {
            rc = vmci_socket_bind_any(fd, memo, &site, &err);
            vmci_site_leave(&site);
        }
        if (rc < 0)
            return vmci_explain("connect", rc, &err);
    }
    memo->state = VMCI_SOCKET_CONNECTED;
    memo->peer_cid = to->svm_cid;
    memo->peer_port = to->svm_port;
    return vmci_memo_write(fd, memo);
}

static int disconnect_datagram(int fd, struct vmci_memo *memo)
{
    if (memo->state == VMCI_SOCKET_CONNECTED)
        memo->state = VMCI_SOCKET_BOUND;
    memo->peer_cid = VMCI_CID_ANY;
    memo->peer_port = VMCI_PORT_ANY;
    return vmci_memo_write(fd, memo);
}

int vmci_socket_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    struct sockaddr_vm to;
    struct vmci_memo memo;
    int rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    if (memo.type == SOCK_DGRAM && address && length >= sizeof(sa_family_t) &&
        address->sa_family == AF_UNSPEC)
        return disconnect_datagram(fd, &memo);
    rc = vmci_address_read(address, length, &to);
    if (rc < 0)
        return -EINVAL;
    return memo.type == SOCK_DGRAM ? connect_datagram(fd, &memo, &to) : connect_stream(fd, &memo, &to);
}
