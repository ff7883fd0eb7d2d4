/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain-calls: a plain Linux program on <linux/vm_sockets.h>, to be run with the preload library as the host.
 * Goes through the calls by which a socket can be used or handed on, one scenario per argument:
 *
 *   plain-calls handover     accept4, epoll, dup2, fork, SCM_RIGHTS
 *   plain-calls copies       dup, dup3, F_DUPFD, closefrom
 *   plain-calls waiting      poll, ppoll, select, pselect
 *   plain-calls datagrams    every way to send and to receive one
 *   plain-calls exec         a connected socket into another program
 *   plain-calls named FD     the other program: says whose socket that descriptor is
 *   plain-calls cid          asks the device who we are
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "plain-calls: line %d: %s: %s\n", __LINE__, #condition, strerror(errno));        \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static struct sockaddr_vm address_of(unsigned cid, unsigned port)
{
    return (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
}

/* Bound to any port; *at says to which. */
static int bound(int type, struct sockaddr_vm *at)
{
    const int fd = socket(AF_VSOCK, type, 0);
    socklen_t length = sizeof(*at);

    *at = address_of(VMADDR_CID_ANY, VMADDR_PORT_ANY);
    CHECK(fd >= 0);
    CHECK(bind(fd, (struct sockaddr *)at, sizeof(*at)) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)at, &length) == 0);
    CHECK(length == sizeof(*at) && at->svm_cid == VMADDR_CID_HOST && at->svm_port >= 1024);
    return fd;
}

static int connected(const struct sockaddr_vm *to)
{
    const int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK(connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0);
    return fd;
}

static void wait_for(pid_t pid)
{
    int status;

    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void send_descriptor(int through, int fd)
{
    char byte = 'x';
    struct iovec part = {&byte, 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    CHECK(sendmsg(through, &message, 0) == 1);
}

static int receive_descriptor(int through)
{
    char byte;
    struct iovec part = {&byte, 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    int fd;

    CHECK(recvmsg(through, &message, 0) == 1);
    memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
    return fd;
}

/* In another process: the descriptor that came is a VMCI socket with its names, and echoes. */
static void echo_what_is_handed(int through)
{
    const int fd = receive_descriptor(through);
    struct sockaddr_vm peer;
    socklen_t length = sizeof(peer);
    int family;
    socklen_t family_length = sizeof(family);
    char buffer[16];
    ssize_t got;

    CHECK(getpeername(fd, (struct sockaddr *)&peer, &length) == 0);
    CHECK(peer.svm_family == AF_VSOCK && peer.svm_cid == VMADDR_CID_HOST);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &family_length) == 0 && family == AF_VSOCK);
    got = read(fd, buffer, sizeof(buffer));
    CHECK(got > 0 && write(fd, buffer, (size_t)got) == got);
    exit(0);
}

static int accept_by_epoll(int listener, struct sockaddr_vm *peer)
{
    struct epoll_event event = {.events = EPOLLIN};
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    socklen_t length = sizeof(*peer);
    int fd;

    CHECK(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
    CHECK(epoll_wait(epoll, &event, 1, 5000) == 1);
    fd = accept4(listener, (struct sockaddr *)peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(fd >= 0 && length == sizeof(*peer));
    CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    CHECK(fcntl(fd, F_SETFL, 0) == 0);
    CHECK(close(epoll) == 0);
    return fd;
}

static void handover(void)
{
    struct sockaddr_vm at, peer;
    const int listener = bound(SOCK_STREAM, &at);
    char buffer[16] = "";
    int pair[2], fd;
    pid_t echo, client;

    CHECK(listen(listener, 4) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    if ((echo = fork()) == 0)
        echo_what_is_handed(pair[1]);
    if ((client = fork()) == 0) {
        fd = connected(&at);
        CHECK(dup2(fd, STDIN_FILENO) == STDIN_FILENO && close(fd) == 0);
        CHECK(send(STDIN_FILENO, "round trip", 10, 0) == 10);
        CHECK(recv(STDIN_FILENO, buffer, sizeof(buffer), MSG_WAITALL) == 10);
        CHECK(memcmp(buffer, "round trip", 10) == 0);
        exit(0);
    }
    fd = accept_by_epoll(listener, &peer);
    CHECK(peer.svm_cid == VMADDR_CID_HOST);
    send_descriptor(pair[0], fd);
    CHECK(close(fd) == 0);
    wait_for(echo);
    wait_for(client);
    CHECK(close(listener) == 0);
    CHECK(connect(socket(AF_VSOCK, SOCK_STREAM, 0), (struct sockaddr *)&at, sizeof(at)) == -1 &&
          errno == ECONNRESET);
}

/* Each copy is the socket, until the last one is closed; by whatever call that is, its port is free then. */
static void copies(void)
{
    struct sockaddr_vm at, name;
    socklen_t length = sizeof(name);
    const int listener = bound(SOCK_STREAM, &at);
    const int all[] = {dup(listener), dup3(listener, 100, O_CLOEXEC), fcntl(listener, F_DUPFD_CLOEXEC, 101)};
    int again;

    CHECK(listen(listener, 4) == 0 && close(listener) == 0);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const int client = connected(&at);
        const int server = accept(all[i], NULL, NULL);

        CHECK(server >= 0 && getsockname(all[i], (struct sockaddr *)&name, &length) == 0);
        CHECK(name.svm_port == at.svm_port);
        CHECK(close(server) == 0 && close(client) == 0);
    }
    closefrom(STDERR_FILENO + 1);
    CHECK((again = socket(AF_VSOCK, SOCK_STREAM, 0)) >= 0);
    CHECK(connect(again, (struct sockaddr *)&at, sizeof(at)) == -1 && errno == ECONNRESET);
    CHECK(close(again) == 0 && (again = socket(AF_VSOCK, SOCK_STREAM, 0)) >= 0);
    CHECK(bind(again, (struct sockaddr *)&at, sizeof(at)) == 0);
}

/* Is it ready to be read, by each of the calls? All of them agree. */
static void check_ready(int fd, int ready)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    const struct timespec no_time = {0};
    struct timeval none = {0};
    fd_set set;

    CHECK(poll(&item, 1, 0) == ready);
    CHECK(ppoll(&item, 1, &no_time, NULL) == ready);
    FD_ZERO(&set);
    FD_SET(fd, &set);
    CHECK(select(fd + 1, &set, NULL, NULL, &none) == ready && !!FD_ISSET(fd, &set) == ready);
    FD_SET(fd, &set);
    CHECK(pselect(fd + 1, &set, NULL, NULL, &no_time, NULL) == ready && !!FD_ISSET(fd, &set) == ready);
}

static void waiting(void)
{
    struct sockaddr_vm at, receives_at;
    const int listener = bound(SOCK_STREAM, &at);
    const int receiver = bound(SOCK_DGRAM, &receives_at);
    int client, server;

    CHECK(listen(listener, 4) == 0);
    check_ready(listener, 0);
    client = connected(&at);
    check_ready(listener, 1);
    CHECK((server = accept(listener, NULL, NULL)) >= 0);
    check_ready(server, 0);
    CHECK(send(client, "x", 1, 0) == 1);
    check_ready(server, 1);
    check_ready(receiver, 0);
    CHECK(sendto(receiver, "x", 1, 0, (struct sockaddr *)&receives_at, sizeof(receives_at)) == 1);
    check_ready(receiver, 1);
}

static void send_each_way(int fd, const struct sockaddr_vm *to)
{
    struct iovec parts[2] = {{"by", 2}, {" parts", 6}};
    struct mmsghdr many[2] = {{{.msg_iov = parts, .msg_iovlen = 1}, 0},
                              {{.msg_iov = parts, .msg_iovlen = 2}, 0}};
    const struct msghdr message = {
        .msg_name = (void *)to, .msg_namelen = sizeof(*to), .msg_iov = parts, .msg_iovlen = 2};

    CHECK(sendto(fd, "to", 2, 0, (const struct sockaddr *)to, sizeof(*to)) == 2);
    CHECK(sendmsg(fd, &message, 0) == 8);
    CHECK(send(fd, "x", 1, 0) == -1 && errno == EINVAL);
    CHECK(connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0);
    CHECK(send(fd, "sent", 4, 0) == 4);
    CHECK(write(fd, "wrote", 5) == 5);
    CHECK(writev(fd, parts, 2) == 8);
    CHECK(sendmmsg(fd, many, 2, 0) == 2 && many[1].msg_len == 8);
}

static void receive_each_way(int fd, unsigned cid)
{
    char buffer[16], tail[16];
    struct iovec parts[2] = {{buffer, 2}, {tail, sizeof(tail)}};
    struct sockaddr_vm from = {0};
    socklen_t length = sizeof(from);
    struct msghdr message = {
        .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = parts, .msg_iovlen = 2};
    struct mmsghdr many[2] = {{{.msg_iov = parts, .msg_iovlen = 2}, 0},
                              {{.msg_iov = parts, .msg_iovlen = 2}, 0}};
    /* Of a length that the compiler does not know, so that the checked functions are called. */
    const size_t size = (size_t)getpid() > 0 ? sizeof(buffer) : 0;

    CHECK(recvfrom(fd, buffer, size, 0, (struct sockaddr *)&from, &length) == 2);
    CHECK(from.svm_cid == cid && from.svm_port >= 1024 && length == sizeof(from));
    from.svm_cid = 0;
    CHECK(recvmsg(fd, &message, 0) == 8 && from.svm_cid == cid && memcmp(tail, " parts", 6) == 0);
    CHECK(recv(fd, buffer, size, MSG_PEEK) == 4 && recv(fd, buffer, size, 0) == 4);
    CHECK(read(fd, buffer, size) == 5 && memcmp(buffer, "wrote", 5) == 0);
    CHECK(readv(fd, parts, 2) == 8);
    CHECK(recvmmsg(fd, many, 2, 0, NULL) == 2 && many[0].msg_len == 2 && many[1].msg_len == 8);
}

static void datagrams(void)
{
    struct sockaddr_vm at;
    const int receiver = bound(SOCK_DGRAM, &at);
    const int sender = socket(AF_VSOCK, SOCK_DGRAM, 0);

    CHECK(sender >= 0);
    send_each_way(sender, &at);
    receive_each_way(receiver, at.svm_cid);
    CHECK(close(receiver) == 0);
    CHECK(send(sender, "x", 1, 0) == -1 && errno == EHOSTUNREACH);
}

static void say_name(const char *text)
{
    const int fd = atoi(text);
    struct sockaddr_vm self, peer;
    socklen_t length = sizeof(self);
    uint64_t size = 0;
    socklen_t size_length = sizeof(size);

    CHECK(getsockname(fd, (struct sockaddr *)&self, &length) == 0);
    CHECK(getpeername(fd, (struct sockaddr *)&peer, &length) == 0);
    CHECK(getsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size, &size_length) == 0);
    printf("%u to %u:%u with %lu bytes\n", self.svm_cid, peer.svm_cid, peer.svm_port, (unsigned long)size);
}

static void exec_with_socket(const char *self)
{
    struct sockaddr_vm at;
    const int listener = bound(SOCK_STREAM, &at);
    const uint64_t size = 32768;
    const int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    char text[16];

    CHECK(listen(listener, 1) == 0);
    CHECK(setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size, sizeof(size)) == 0);
    CHECK(connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
    snprintf(text, sizeof(text), "%d", fd);
    execl(self, self, "named", text, NULL);
    perror(self);
    exit(1);
}

static void say_local_cid(void)
{
    unsigned cid = 0;
    const int fd = open("/dev/vsock", O_RDONLY);

    CHECK(fd >= 0);
    CHECK(ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) == 0);
    CHECK(ioctl(fd, 1976, &cid) == -1); /* as mainline: the family is no question */
    printf("%u\n", cid);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "handover") == 0)
        handover();
    else if (argc == 2 && strcmp(argv[1], "copies") == 0)
        copies();
    else if (argc == 2 && strcmp(argv[1], "waiting") == 0)
        waiting();
    else if (argc == 2 && strcmp(argv[1], "datagrams") == 0)
        datagrams();
    else if (argc == 2 && strcmp(argv[1], "exec") == 0)
        exec_with_socket(argv[0]);
    else if (argc == 2 && strcmp(argv[1], "cid") == 0)
        say_local_cid();
    else if (argc == 3 && strcmp(argv[1], "named") == 0)
        say_name(argv[2]);
    else
        return 2;
    return 0;
}
