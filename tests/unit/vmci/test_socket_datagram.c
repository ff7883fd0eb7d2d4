/* SPDX-License-Identifier: Apache-2.0 */
/* Datagram sockets on the fabric: the guide's chapter 4, with the errors of VMCI's datagrams. */
#include "vsocket.h"

#include <fcntl.h>
#include <sys/un.h>

/* A receiver of the host at port 6000. */
static int receiver(const char *fabric)
{
    int fd;

    become(fabric, 2);
    fd = vopen(SOCK_DGRAM);
    assert_int_equal(vbind(fd, VMADDR_CID_ANY, 6000), 0);
    return fd;
}

static void test_there_and_back(void **state)
{
    const struct sockaddr_vm to = vaddress(2, 6000);
    struct sockaddr_vm from = {0};
    char text[TEXT_SIZE];
    const int server = receiver(*state);
    int client;

    become(*state, 101);
    client = vopen(SOCK_DGRAM);
    assert_int_equal(vsend(client, &to, "hello"), 5);
    assert_int_equal(vname(client).svm_cid, 101); /* has got a port, as somebody may want to answer */
    assert_in_range(vname(client).svm_port, 1024, UINT32_MAX - 1);
    assert_true(scratch_readable(server, 0));
    assert_int_equal(vreceive(server, &from, text, 0), 5);
    assert_string_equal(text, "hello");
    assert_int_equal(from.svm_cid, 101);
    assert_int_equal(from.svm_port, vname(client).svm_port);
    assert_int_equal(vsend(server, &from, "to you"), 6);
    assert_int_equal(vreceive(client, &from, text, 0), 6);
    assert_int_equal(from.svm_cid, 2);
    assert_int_equal(from.svm_port, 6000);
    assert_int_equal(vreceive(client, &from, text, 0), -EAGAIN);
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vmci_socket_close(server), 0);
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 0);
    assert_int_equal(scratch_count(scratch_path(*state, "2")), 0);
}

static void test_connected(void **state)
{
    const struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
    struct sockaddr_vm from;
    char text[TEXT_SIZE];
    int server = receiver(*state);
    int client;

    become(*state, 101);
    client = vopen(SOCK_DGRAM);
    assert_int_equal(vsend(client, NULL, "x"), -EINVAL);
    assert_int_equal(vconnect(client, 2, 6000), 0);
    assert_int_equal(vpeer(client).svm_port, 6000);
    assert_int_equal(vsend(client, NULL, "one"), 3);
    assert_int_equal(vreceive(server, &from, text, 0), 3);
    assert_int_equal(vmci_socket_close(server), 0);
    assert_int_equal(vsend(client, NULL, "none"), -EHOSTUNREACH);
    server = receiver(*state); /* another one in its place */
    assert_int_equal(vsend(client, NULL, "two"), 3);
    assert_int_equal(vreceive(server, &from, text, 0), 3);
    assert_int_equal(vmci_socket_connect(client, &unspecified, sizeof(unspecified)), 0);
    assert_int_equal(vsend(client, NULL, "x"), -EINVAL);
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vmci_socket_close(server), 0);
}

/* As VMCI's: connect() says where send() goes to, not who may send to us. */
static void test_connected_still_hears_others(void **state)
{
    char text[TEXT_SIZE];
    const int server = receiver(*state);
    int other;

    assert_int_equal(vconnect(server, 101, 7000), 0);
    other = vopen(SOCK_DGRAM);
    assert_int_equal(
        vsend(other, &(struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = 2, .svm_port = 6000}, "x"), 1);
    assert_int_equal(vreceive(server, NULL, text, 0), 1);
    assert_int_equal(vmci_socket_close(other), 0);
    assert_int_equal(vmci_socket_close(server), 0);
}

static void test_nobody_there(void **state)
{
    const struct sockaddr_vm nobody = vaddress(2, 6001);
    const struct sockaddr_vm no_vm = vaddress(103, 6000);
    const struct sockaddr_vm guest = vaddress(102, 6000);
    const struct sockaddr_vm no_port = vaddress(2, VMADDR_PORT_ANY);
    const int server = receiver(*state);
    int client = vopen(SOCK_DGRAM);

    assert_int_equal(vsend(client, &nobody, "x"), -EHOSTUNREACH);
    assert_int_equal(vsend(client, &no_vm, "x"), -EINVAL);
    assert_int_equal(vsend(client, &no_port, "x"), -EINVAL);
    assert_int_equal(vmci_socket_close(client), 0);
    become(*state, 101);
    client = vopen(SOCK_DGRAM);
    assert_int_equal(vsend(client, &guest, "x"), -EPERM);
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vmci_socket_close(server), 0);
}

static void test_streams_have_other_ports(void **state)
{
    const int server = receiver(*state);
    const int listener = vlisten(SOCK_STREAM, 6000);

    assert_int_equal(vmci_socket_listen(server, 1), -EOPNOTSUPP);
    assert_int_equal(vaccept(server), -EOPNOTSUPP);
    assert_int_equal(vmci_socket_close(server), 0);
    assert_int_equal(vmci_socket_close(listener), 0);
}

static ssize_t send_bytes(int fd, const void *bytes, size_t size)
{
    const struct sockaddr_vm to = vaddress(2, 6000);
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    const struct msghdr message = {
        .msg_name = (void *)&to, .msg_namelen = sizeof(to), .msg_iov = &part, .msg_iovlen = 1};

    return vmci_socket_sendmsg(fd, &message, 0);
}

static void test_sizes(void **state)
{
    static char bytes[VMCI_DATAGRAM_MAX + 1];
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    const int server = receiver(*state);
    const int client = vopen(SOCK_DGRAM);

    assert_int_equal(send_bytes(client, bytes, sizeof(bytes)), -EMSGSIZE);
    assert_int_equal(send_bytes(client, bytes, VMCI_DATAGRAM_MAX), VMCI_DATAGRAM_MAX);
    assert_int_equal(vmci_socket_recvmsg(server, &message, 0), VMCI_DATAGRAM_MAX);
    assert_int_equal(send_bytes(client, bytes, 0), 0);
    assert_int_equal(vmci_socket_recvmsg(server, &message, 0), 0);
    assert_int_equal(send_bytes(client, bytes, 100), 100);
    part.iov_len = 10;
    assert_int_equal(vmci_socket_recvmsg(server, &message, MSG_PEEK | MSG_TRUNC), 100);
    assert_int_equal(vmci_socket_recvmsg(server, &message, 0), 10);
    assert_true(message.msg_flags & MSG_TRUNC);
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vmci_socket_close(server), 0);
}

static void test_full_queue_does_not_hold_the_sender(void **state)
{
    const struct sockaddr_vm to = vaddress(2, 6000);
    const int server = receiver(*state);
    const int client = vopen(SOCK_DGRAM);
    char text[TEXT_SIZE];
    ssize_t rc = 1;

    for (int i = 0; i < 100000 && rc == 1; i++)
        rc = vsend(client, &to, "x");
    assert_int_equal(rc, -ENOBUFS);
    assert_int_equal(fcntl(client, F_SETFL, 0), 0);
    assert_int_equal(vsend(client, &to, "x"), -ENOBUFS); /* a blocking socket: after a while */
    assert_int_equal(vreceive(server, NULL, text, 0), 1);
    assert_int_equal(vsend(client, &to, "x"), 1);
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vmci_socket_close(server), 0);
}

/* By hand, from a name of our own choice, to the host's 6000. */
static int send_from(const char *fabric, const char *name, const char *text)
{
    const int fd = name ? scratch_unix_socket(name, SOCK_DGRAM) : socket(AF_UNIX, SOCK_DGRAM, 0);

    scratch_connect(fd, scratch_path(fabric, "2/6000.dgram"));
    return send(fd, text, strlen(text), 0) == (ssize_t)strlen(text) ? fd : -1;
}

static void test_senders_without_a_name_are_dropped(void **state)
{
    struct sockaddr_vm from;
    char text[TEXT_SIZE];
    const int server = receiver(*state);
    int fds[3];

    fds[0] = send_from(*state, NULL, "nameless");
    fds[1] = send_from(*state, scratch_path(*state, "elsewhere.dgram"), "elsewhere");
    scratch_mkdir(scratch_path(*state, "101"), 0711, geteuid());
    fds[2] = send_from(*state, scratch_path(*state, "101/7.dgram"), "right");
    for (int i = 0; i < 3; i++)
        assert_true(fds[i] >= 0);
    assert_int_equal(vreceive(server, &from, text, MSG_PEEK), 5); /* also a look drops the others */
    assert_int_equal(vreceive(server, &from, text, 0), 5);
    assert_string_equal(text, "right");
    assert_int_equal(from.svm_cid, 101);
    assert_int_equal(vreceive(server, &from, text, 0), -EAGAIN);
    for (int i = 0; i < 3; i++)
        (void)close(fds[i]);
    assert_int_equal(vmci_socket_close(server), 0);
}

static void test_guests_are_not_heard_by_guests(void **state)
{
    char text[TEXT_SIZE];
    int guest;
    int fd;

    become(*state, 102);
    guest = vopen(SOCK_DGRAM);
    assert_int_equal(vbind(guest, VMADDR_CID_ANY, 6000), 0);
    scratch_mkdir(scratch_path(*state, "101"), 0711, geteuid());
    fd = scratch_unix_socket(scratch_path(*state, "101/7.dgram"), SOCK_DGRAM);
    scratch_connect(fd, scratch_path(*state, "102/6000.dgram"));
    assert_int_equal(send(fd, "x", 1, 0), 1);
    assert_int_equal(vreceive(guest, NULL, text, 0), -EAGAIN);
    (void)close(fd);
    assert_int_equal(vmci_socket_close(guest), 0);
}

/* Descriptors don't cross over. */
static void test_control_messages_are_dropped(void **state)
{
    const struct sockaddr_vm to = vaddress(2, 6000);
    char control[CMSG_SPACE(sizeof(int))] = "";
    char received[128];
    char byte = 'x';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_name = (void *)&to,
                             .msg_namelen = sizeof(to),
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    const int server = receiver(*state);
    const int client = vopen(SOCK_DGRAM);

    *header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &server, sizeof(server));
    assert_int_equal(vmci_socket_sendmsg(client, &message, 0), 1);
    message = (struct msghdr){
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = received, .msg_controllen = sizeof(received)};
    assert_int_equal(vmci_socket_recvmsg(server, &message, 0), 1);
    assert_int_equal(message.msg_controllen, 0);
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vmci_socket_close(server), 0);
}

/* Names of the dead go, a few with each new socket; those of the living stay. */
static void test_what_the_killed_leave_is_cleared_up(void **state)
{
    enum { DEAD = 20, ALIVE = 5 };
    int alive[ALIVE];

    become(*state, 101);
    scratch_mkdir(scratch_path(*state, "101"), 0711, geteuid());
    for (int i = 0; i < DEAD; i++)
        (void)close(scratch_unix_socket(scratch_path(*state, "101/%d.dgram", 2000 + i), SOCK_DGRAM));
    for (int i = 0; i < ALIVE; i++) {
        alive[i] = vopen(SOCK_DGRAM);
        assert_int_equal(vbind(alive[i], VMADDR_CID_ANY, 3000 + (unsigned)i), 0);
    }
    assert_int_equal(scratch_count(scratch_path(*state, "101")), DEAD + ALIVE);
    for (int i = 0; i < 1000 && scratch_count(scratch_path(*state, "101")) > ALIVE; i++) {
        const int fd = vopen(SOCK_DGRAM);

        assert_int_equal(vbind(fd, VMADDR_CID_ANY, VMADDR_PORT_ANY), 0);
        assert_int_equal(vmci_socket_close(fd), 0);
    }
    for (int i = 0; i < ALIVE; i++) {
        assert_true(scratch_exists(scratch_path(*state, "101/%d.dgram", 3000 + i)));
        assert_int_equal(vmci_socket_close(alive[i]), 0);
    }
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_there_and_back),
        TEST(test_connected),
        TEST(test_connected_still_hears_others),
        TEST(test_nobody_there),
        TEST(test_streams_have_other_ports),
        TEST(test_sizes),
        TEST(test_full_queue_does_not_hold_the_sender),
        TEST(test_senders_without_a_name_are_dropped),
        TEST(test_guests_are_not_heard_by_guests),
        TEST(test_control_messages_are_dropped),
        TEST(test_what_the_killed_leave_is_cleared_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
