/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of VMCI sockets on the fabric: datagrams above all.
 *
 * A datagram comes from a socket whose name is …/CID/PORT.dgram, and the kernel says with each one what user
 * sent it (SCM_CREDENTIALS). As with streams, the name alone proves nothing; the user must own the CID's
 * folder, or be root.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "vmci/endpoint.h"
#include "vmci/socket_impl.h"

#define NS_PER_MS 1000000L

union credentials_buffer {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
};

static size_t message_length(const struct msghdr *message)
{
    size_t sum = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++)
        if (__builtin_add_overflow(sum, message->msg_iov[i].iov_len, &sum))
            return SIZE_MAX;
    return sum;
}

/* Whom the message is for: its address, or who the socket is connected to. 0 or -EINVAL. */
static int destination(const struct vmci_memo *memo, const struct msghdr *message, struct sockaddr_vm *to)
{
    if (message->msg_name && vmci_address_read(message->msg_name, message->msg_namelen, to) == 0)
        return to->svm_port == VMADDR_PORT_ANY ? -EINVAL : 0;
    if (memo->state != VMCI_SOCKET_CONNECTED)
        return -EINVAL;
    to->svm_cid = memo->peer_cid;
    to->svm_port = memo->peer_port;
    return 0;
}

/* What sendmsg() to a Unix socket says, in the words of VMCI's datagrams. */
static int undelivered(const struct vmci_fabric *fabric, uint32_t cid, uint32_t port, int error,
                       const struct vmci_err *err)
{
    switch (error) {
    case ENOENT:
        if (cid != VMCI_CID_HOST && !vmci_fabric_has(fabric, cid))
            return vmci_fail(err, -EINVAL, "CID %u: no such VM", cid);
        /* fall through */
    case ECONNREFUSED:
    case ECONNRESET:
    case EPROTOTYPE: return vmci_fail(err, -EHOSTUNREACH, "nobody receives datagrams at %u:%u", cid, port);
    case EAGAIN: return vmci_fail(err, -ENOBUFS, "the queue of %u:%u is full", cid, port);
    default: return vmci_fail(err, -error, "datagram to %u:%u: %s", cid, port, strerror(error));
    }
}

/* How long may we wait for room? */
static int patience_ms(int fd, int flags)
{
    const int status = fcntl(fd, F_GETFL);

    return flags & MSG_DONTWAIT || status < 0 || status & O_NONBLOCK ? 0 : VMCI_SEND_WAIT_MS;
}

/* The kernel can't wait for us: it would do so without end, for a receiver that may mean harm. */
static ssize_t send_patiently(int fd, const struct msghdr *message, int flags)
{
    const struct timespec pause = {.tv_nsec = NS_PER_MS};
    int left_ms = patience_ms(fd, flags);

    for (;;) {
        const ssize_t sent = sendmsg(fd, message, flags | MSG_DONTWAIT);

        if (sent >= 0 || errno != EAGAIN || left_ms-- == 0)
            return sent < 0 ? -errno : sent;
        (void)nanosleep(&pause, NULL);
    }
}

/* Was the name made by whom the folder belongs to? In a folder that others may write to, anybody could
 * receive. */
static int check_receiver(const struct vmci_fabric *fabric, const struct sockaddr_un *address, uint32_t cid,
                          const struct vmci_err *err)
{
    struct stat st;

    if (lstat(address->sun_path, &st) < 0)
        return -errno;
    return vmci_fabric_vouch_uid(fabric, cid, st.st_uid, err);
}

static ssize_t send_to(int fd, const struct vmci_fabric *fabric, const struct msghdr *message,
                       const struct sockaddr_vm *to, int flags, const struct vmci_err *err)
{
    char name[VMCI_FABRIC_NAME_SIZE];
    struct vmci_folder there;
    struct sockaddr_un address;
    struct msghdr copy = *message;
    ssize_t rc;

    vmci_fabric_point(fabric, to->svm_cid, SOCK_DGRAM, &there);
    vmci_fabric_port_name(&there, to->svm_port, name);
    rc = vmci_folder_address(&there, name, &address);
    if (rc == 0)
        rc = check_receiver(fabric, &address, to->svm_cid, err);
    if (rc == 0) {
        copy.msg_name = &address;
        copy.msg_namelen = sizeof(address);
        copy.msg_control = NULL;
        copy.msg_controllen = 0;
        rc = send_patiently(fd, &copy, flags);
    }
    return rc < 0 ? undelivered(fabric, to->svm_cid, to->svm_port, (int)-rc, err) : rc;
}

/* A socket that has no port yet gets one, as somebody may want to answer. */
static int bind_to_send(int fd, struct vmci_memo *memo, const struct vmci_err *err)
{
    struct vmci_site site;
    int rc;

    if (memo->state != VMCI_SOCKET_NEW)
        return 0;
    rc = vmci_site_enter(&site, fd, memo, err);
    if (rc < 0)
        return rc;
    rc = vmci_socket_bind_any(fd, memo, &site, err);
    vmci_site_leave(&site);
    return rc;
}

static ssize_t send_datagram(int fd, struct vmci_memo *memo, const struct msghdr *message, int flags,
                             const struct vmci_err *err)
{
    struct vmci_fabric fabric;
    struct sockaddr_vm to;
    ssize_t rc = bind_to_send(fd, memo, err);

    if (rc == 0)
        rc = destination(memo, message, &to);
    if (rc < 0)
        return rc;
    if (to.svm_cid == VMADDR_CID_ANY || to.svm_cid == VMADDR_CID_LOCAL)
        to.svm_cid = memo->cid;
    if (!vmci_fabric_allows(memo->cid, to.svm_cid))
        return vmci_fail(err, -EPERM, "CID %u can't reach CID %u: guests only talk to the host", memo->cid,
                         to.svm_cid);
    if (message_length(message) > VMCI_DATAGRAM_MAX)
        return -EMSGSIZE;
    rc = vmci_fabric_of(&fabric, fd, err);
    if (rc < 0)
        return rc;
    if (vmci_fabric_trusts(&fabric, memo->cid, to.svm_cid, memo->flags & VMCI_MEMO_TRUSTED))
        rc = send_to(fd, &fabric, message, &to, flags, err);
    else
        rc = vmci_fail(err, -EPERM, "CID %u is isolated, and the socket is not trusted", to.svm_cid);
    vmci_fabric_close(&fabric);
    return rc;
}

ssize_t vmci_socket_sendmsg(int fd, const struct msghdr *message, int flags)
{
    const struct vmci_err err = VMCI_TEXT;
    struct msghdr copy = *message;
    struct vmci_memo memo;
    ssize_t rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    if (flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (memo.type == SOCK_DGRAM) {
        rc = send_datagram(fd, &memo, message, flags, &err);
        (void)vmci_explain("send", (int)(rc < 0 ? rc : 0), &err);
        return rc;
    }
    copy.msg_control = NULL; /* nothing but bytes crosses over to another machine */
    copy.msg_controllen = 0;
    rc = sendmsg(fd, &copy, flags);
    return rc < 0 ? -errno : rc;
}

/* The sender's user as the kernel has noted it; false when it has not. */
static bool sender_uid(struct msghdr *message, uid_t *uid)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        struct ucred credentials;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
            continue;
        memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
        *uid = credentials.uid;
        return true;
    }
    return false;
}

/* Is the sender who its name says, and may it talk to us? 0 and its address; -EACCES, -EPERM. */
static int judge(int fd, const struct vmci_memo *memo, struct msghdr *message, uint32_t *cid, uint32_t *port,
                 const struct vmci_err *err)
{
    struct vmci_fabric fabric;
    uid_t uid;
    int rc;

    if (!sender_uid(message, &uid) ||
        !vmci_fabric_parse_peer(message->msg_name, message->msg_namelen, SOCK_DGRAM, cid, port))
        return vmci_fail(err, -EACCES, "a sender without CID: its socket is not bound in the fabric");
    if (!vmci_fabric_allows(memo->cid, *cid))
        return vmci_fail(err, -EPERM, "from CID %u: guests only talk to the host", *cid);
    rc = vmci_fabric_of(&fabric, fd, err);
    if (rc < 0)
        return rc;
    rc = vmci_fabric_vouch_uid(&fabric, *cid, uid, err);
    if (rc == 0 && !vmci_fabric_trusts(&fabric, memo->cid, *cid, memo->flags & VMCI_MEMO_TRUSTED))
        rc = vmci_fail(err, -EPERM, "CID %u is isolated, and the socket is not trusted", *cid);
    vmci_fabric_close(&fabric);
    return rc;
}

/* Whoever only peeked has left it in the queue. */
static void discard(int fd, int flags)
{
    char byte;

    if (flags & MSG_PEEK)
        (void)recv(fd, &byte, sizeof(byte), MSG_DONTWAIT);
}

static void finish(struct msghdr *message, const struct msghdr *got, uint32_t cid, uint32_t port)
{
    if (message->msg_name)
        vmci_address_write(cid, port, message->msg_name, &message->msg_namelen);
    message->msg_controllen = 0;
    message->msg_flags = got->msg_flags & ~(MSG_CTRUNC | MSG_CMSG_CLOEXEC);
}

static ssize_t receive_datagram(int fd, const struct vmci_memo *memo, struct msghdr *message, int flags)
{
    const struct vmci_err err = VMCI_TEXT;

    for (;;) {
        union credentials_buffer credentials;
        struct sockaddr_un from;
        struct msghdr got = {.msg_name = &from,
                             .msg_namelen = sizeof(from),
                             .msg_iov = message->msg_iov,
                             .msg_iovlen = message->msg_iovlen,
                             .msg_control = &credentials,
                             .msg_controllen = sizeof(credentials)};
        uint32_t cid;
        uint32_t port;
        const ssize_t length = recvmsg(fd, &got, flags | MSG_CMSG_CLOEXEC);
        int rc;

        if (length < 0)
            return -errno;
        rc = judge(fd, memo, &got, &cid, &port, &err);
        if (rc == 0) {
            finish(message, &got, cid, port);
            return length;
        }
        discard(fd, flags);
        (void)vmci_explain("datagram dropped", rc, &err);
    }
}

ssize_t vmci_socket_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct msghdr got = {.msg_iov = message->msg_iov, .msg_iovlen = message->msg_iovlen};
    struct vmci_memo memo;
    ssize_t rc = vmci_memo_read(fd, &memo);

    if (rc < 0)
        return rc;
    if (flags & (MSG_OOB | MSG_ERRQUEUE))
        return -EOPNOTSUPP;
    if (memo.type == SOCK_DGRAM)
        return receive_datagram(fd, &memo, message, flags);
    if (memo.state != VMCI_SOCKET_CONNECTED)
        return -ENOTCONN; /* a Unix socket has another word for it */
    /* No room for control messages: descriptors that a peer sends along are closed by the kernel. */
    rc = recvmsg(fd, &got, flags);
    if (rc < 0)
        return -errno;
    message->msg_namelen = 0;
    message->msg_controllen = 0;
    message->msg_flags = got.msg_flags & ~MSG_CTRUNC;
    return rc;
}
