/* SPDX-License-Identifier: Apache-2.0 */
/* Stream and seqpacket sockets on the fabric: the guide's chapter 3, with the errors of the kernel's vsock.
 */
#include "vsocket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <linux/capability.h>

static void test_any_cid_and_any_port(void **state)
{
    int fd;

    become(*state, 101);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(vname(fd).svm_cid, VMADDR_CID_ANY);
    assert_int_equal(vname(fd).svm_port, VMADDR_PORT_ANY);
    assert_int_equal(vbind(fd, VMADDR_CID_ANY, VMADDR_PORT_ANY), 0);
    assert_int_equal(vname(fd).svm_cid, 101);
    assert_in_range(vname(fd).svm_port, 1024, UINT32_MAX - 1);
    assert_int_equal(vmci_socket_close(fd), 0);
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 0);
}

static void test_bind_refuses(void **state)
{
    struct sockaddr_vm address = vaddress(VMADDR_CID_ANY, 5000);
    int fd;
    int other;

    become(*state, 101);
    fd = vopen(SOCK_STREAM);
    other = vopen(SOCK_STREAM);
    assert_int_equal(vmci_socket_bind(fd, (struct sockaddr *)&address, sizeof(address) - 1), -EINVAL);
    address.svm_family = AF_INET;
    assert_int_equal(vmci_socket_bind(fd, (struct sockaddr *)&address, sizeof(address)), -EINVAL);
    assert_int_equal(vbind(fd, 102, 5000), -EADDRNOTAVAIL);
    assert_int_equal(vbind(fd, VMADDR_CID_HYPERVISOR, 5000), -EADDRNOTAVAIL);
    assert_int_equal(vbind(fd, VMADDR_CID_LOCAL, 5000), 0);
    assert_int_equal(vbind(fd, VMADDR_CID_ANY, 5001), -EINVAL);
    assert_int_equal(vbind(other, 101, 5000), -EADDRINUSE);
    assert_int_equal(vmci_socket_close(fd), 0);
    assert_int_equal(vbind(other, 101, 5000), 0);
    assert_int_equal(vmci_socket_close(other), 0);
}

/* In a child that has given the capability up. */
static int bind_reserved_without_capability(void *arg)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    const struct sockaddr_vm address = vaddress(VMADDR_CID_ANY, 1023);
    const int fd = vmci_socket_open(SOCK_STREAM, 0);

    (void)arg;
    if (syscall(SYS_capset, &header, data) < 0)
        return 125;
    return -vmci_socket_bind(fd, (const struct sockaddr *)&address, sizeof(address));
}

static void test_reserved_ports(void **state)
{
    become(*state, 101);
    assert_int_equal(scratch_in_child(0, bind_reserved_without_capability, NULL), EACCES);
}

static void test_names_of_both_ends(void **state)
{
    struct sockaddr_vm from = {0};
    socklen_t length = sizeof(from);
    int listener;
    int client;
    int server;

    become(*state, 2);
    listener = vlisten(SOCK_STREAM, 5000);
    become(*state, 101);
    client = vopen(SOCK_STREAM);
    assert_int_equal(vmci_socket_peer(client, (struct sockaddr *)&from, &length), -ENOTCONN);
    assert_int_equal(vconnect(client, 2, 5000), 0);
    server = vmci_socket_accept(listener, (struct sockaddr *)&from, &length, 0);
    assert_true(vmci_socket_is(server));
    assert_int_equal(from.svm_cid, 101);
    assert_int_equal(from.svm_port, vname(client).svm_port);
    assert_int_equal(vpeer(server).svm_port, vname(client).svm_port);
    assert_int_equal(vname(server).svm_cid, 2);
    assert_int_equal(vname(server).svm_port, 5000);
    assert_int_equal(vpeer(client).svm_cid, 2);
    assert_int_equal(vpeer(client).svm_port, 5000);
    scratch_assert_stream(client, server);
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 0);
    assert_int_equal(vmci_socket_close(server), 0);
    assert_true(scratch_exists(scratch_path(*state, "2/5000.stream"))); /* the listener's, not the stream's */
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vmci_socket_close(listener), 0);
    assert_int_equal(scratch_count(scratch_path(*state, "2")), 0);
}

static void test_short_room_for_an_address(void **state)
{
    struct sockaddr_vm address = {0};
    socklen_t length = offsetof(struct sockaddr_vm, svm_cid);
    int fd;

    become(*state, 101);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(vbind(fd, VMADDR_CID_ANY, 5000), 0);
    assert_int_equal(vmci_socket_name(fd, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(length, sizeof(address));
    assert_int_equal(address.svm_port, 5000);
    assert_int_equal(address.svm_cid, 0);
    assert_int_equal(vmci_socket_close(fd), 0);
}

static void test_connect_refuses(void **state)
{
    const struct sockaddr_vm address = vaddress(2, 5000);
    int listener;
    int fd;

    become(*state, 2);
    listener = vlisten(SOCK_STREAM, 5000);
    become(*state, 101);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(vmci_socket_connect(fd, (const struct sockaddr *)&address, 4), -EINVAL);
    assert_int_equal(vconnect(fd, 2, 5001), -ECONNRESET);
    assert_int_equal(vconnect(fd, 102, 5000), -ENETUNREACH);
    assert_int_equal(vconnect(fd, VMADDR_CID_HYPERVISOR, 5000), -ENETUNREACH);
    assert_int_equal(vconnect(fd, VMADDR_CID_ANY, 5000), -ENETUNREACH);
    assert_int_equal(vconnect(fd, 2, 5000), 0); /* after all these failures */
    assert_int_equal(vconnect(fd, 2, 5000), -EISCONN);
    assert_int_equal(vmci_socket_listen(fd, 1), -EINVAL);
    assert_int_equal(vconnect(listener, 2, 5000), -EINVAL);
    assert_int_equal(vmci_socket_close(fd), 0);
    become(*state, 2);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(vconnect(fd, 103, 5000), -ENODEV);
    assert_int_equal(vmci_socket_close(fd), 0);
    assert_int_equal(vmci_socket_close(listener), 0);
}

static void test_who_we_are_must_be_known(void **state)
{
    int fd;

    become(*state, 101);
    assert_int_equal(unsetenv("VMCI_CID"), 0);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(vbind(fd, VMADDR_CID_ANY, 5000), -EADDRNOTAVAIL);
    assert_int_equal(vconnect(fd, 2, 5000), -EADDRNOTAVAIL);
    assert_int_equal(vmci_socket_close(fd), 0);
}

static void test_calls_in_the_wrong_state(void **state)
{
    char byte;
    int fd;

    become(*state, 101);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(vmci_socket_listen(fd, 1), -EINVAL); /* not bound */
    assert_int_equal(vaccept(fd), -EINVAL);
    assert_int_equal(vmci_socket_shutdown(fd, SHUT_WR), -ENOTCONN);
    assert_int_equal(vmci_socket_shutdown(fd, 7), -EINVAL);
    assert_int_equal(vsend(fd, NULL, "x"), -ENOTCONN);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(vmci_socket_close(fd), 0);
    assert_int_equal(vmci_socket_close(fd), -ENOTSOCK);
    assert_int_equal(vmci_socket_open(SOCK_RAW, 0), -ESOCKTNOSUPPORT);
    assert_int_equal(vmci_socket_open(SOCK_STREAM, 1), -EPROTONOSUPPORT);
}

static void test_half_close_and_reset(void **state)
{
    char byte;
    int listener;
    int client;
    int server;

    become(*state, 2);
    listener = vlisten(SOCK_STREAM, VMADDR_PORT_ANY);
    client = vopen(SOCK_STREAM);
    assert_int_equal(vconnect(client, VMADDR_CID_LOCAL, vname(listener).svm_port), 0);
    server = vaccept(listener);
    assert_int_equal(send(client, "bye", 3, MSG_NOSIGNAL), 3);
    assert_int_equal(vmci_socket_shutdown(client, SHUT_WR), 0);
    assert_int_equal(vsend(client, NULL, "x"), -EPIPE);
    assert_int_equal(recv(server, (char[4]){0}, 4, MSG_DONTWAIT), 3);
    assert_int_equal(recv(server, &byte, 1, MSG_DONTWAIT), 0);
    assert_int_equal(send(server, "answer", 6, MSG_NOSIGNAL), 6); /* the other way is still open */
    assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 1);
    assert_int_equal(vmci_socket_close(client), 0); /* "nswer" was not read: a reset */
    assert_int_equal(recv(server, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(vmci_socket_close(server), 0);
    assert_int_equal(vmci_socket_close(listener), 0);
}

static void test_full_backlog_is_a_reset_at_once(void **state)
{
    int listener;
    int fds[3];

    become(*state, 2);
    listener = vopen(SOCK_STREAM);
    assert_int_equal(vbind(listener, VMADDR_CID_ANY, 5000), 0);
    assert_int_equal(vmci_socket_listen(listener, 1), 0);
    for (int i = 0; i < 3; i++) {
        fds[i] = vmci_socket_open(SOCK_STREAM | SOCK_CLOEXEC, 0); /* blocks, but not for that */
        assert_int_equal(vconnect(fds[i], 2, 5000), i < 2 ? 0 : -ECONNRESET);
        assert_false(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(vmci_socket_close(fds[i]), 0);
    assert_int_equal(vmci_socket_close(listener), 0);
}

static void test_readiness(void **state)
{
    struct pollfd item = {.events = POLLIN | POLLOUT};
    int listener;
    int client;
    int server;

    become(*state, 2);
    listener = vlisten(SOCK_STREAM, 5000);
    assert_false(scratch_readable(listener, 0));
    client = vopen(SOCK_STREAM);
    assert_int_equal(vconnect(client, 2, 5000), 0);
    assert_true(scratch_readable(listener, 0));
    server = vaccept(listener);
    assert_int_equal(vaccept(listener), -EAGAIN);
    item.fd = server;
    assert_int_equal(poll(&item, 1, 0), 1);
    assert_int_equal(item.revents, POLLOUT);
    assert_int_equal(send(client, "x", 1, 0), 1);
    assert_int_equal(poll(&item, 1, 0), 1);
    assert_int_equal(item.revents, POLLIN | POLLOUT);
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(poll(&item, 1, 0), 1);
    assert_true(item.revents & POLLHUP);
    assert_int_equal(vmci_socket_close(server), 0);
    assert_int_equal(vmci_socket_close(listener), 0);
}

static void test_copies_keep_the_name(void **state)
{
    int listener;
    int copy;
    int client;

    become(*state, 2);
    listener = vlisten(SOCK_STREAM, 5000);
    copy = dup(listener);
    assert_int_equal(vmci_socket_close(listener), 0);
    client = vopen(SOCK_STREAM);
    assert_int_equal(vconnect(client, 2, 5000), 0);
    assert_int_equal(vmci_socket_close(vaccept(copy)), 0);
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vmci_socket_close(copy), 0);
    assert_false(scratch_exists(scratch_path(*state, "2/5000.stream")));
}

/* Bound to 5000, then to be connected from there. */
static void test_client_with_a_port_of_its_own(void **state)
{
    int listener;
    int client;
    int server;

    become(*state, 2);
    listener = vlisten(SOCK_STREAM, 5000);
    become(*state, 101);
    client = vopen(SOCK_STREAM);
    assert_int_equal(vbind(client, VMADDR_CID_ANY, 4000), 0);
    vset_size(client, SO_VMCI_BUFFER_SIZE, 20000);
    assert_int_equal(vconnect(client, 2, 5000), 0);
    server = vaccept(listener);
    assert_int_equal(vpeer(server).svm_cid, 101);
    assert_int_equal(vpeer(server).svm_port, 4000);
    assert_int_equal(vsize(server, SO_VMCI_BUFFER_SIZE), 20000);
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vmci_socket_close(server), 0);
    assert_int_equal(vmci_socket_close(listener), 0);
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 0);
}

static void test_seqpacket(void **state)
{
    char text[TEXT_SIZE];
    int listener;
    int client;
    int server;
    int wrong;

    become(*state, 2);
    listener = vlisten(SOCK_SEQPACKET, 5000);
    wrong = vopen(SOCK_STREAM);
    assert_int_equal(vconnect(wrong, 2, 5000), -ECONNRESET); /* one space of ports, two kinds of sockets */
    assert_int_equal(vmci_socket_close(wrong), 0);
    become(*state, 101);
    client = vopen(SOCK_SEQPACKET);
    assert_int_equal(vconnect(client, 2, 5000), 0);
    server = vaccept(listener);
    assert_int_equal(vmci_socket_type(server), SOCK_SEQPACKET);
    assert_int_equal(vsend(client, NULL, "one"), 3);
    assert_int_equal(vsend(client, NULL, "three"), 5);
    assert_int_equal(vreceive(server, NULL, text, 0), 3);
    assert_int_equal(vreceive(server, NULL, text, 0), 5);
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vreceive(server, NULL, text, 0), 0);
    assert_int_equal(vmci_socket_close(server), 0);
    assert_int_equal(vmci_socket_close(listener), 0);
}

static void test_messages_of_a_stream(void **state)
{
    const struct sockaddr_vm to = vaddress(2, 5000);
    struct sockaddr_vm from = vaddress(7, 7);
    char text[TEXT_SIZE];
    struct iovec part = {.iov_base = text, .iov_len = 2};
    struct msghdr message = {
        .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1};
    int listener;
    int client;
    int server;

    become(*state, 2);
    listener = vlisten(SOCK_STREAM, 5000);
    client = vopen(SOCK_STREAM);
    assert_int_equal(vsend(client, &to, "x"), -EOPNOTSUPP);
    assert_int_equal(vconnect(client, 2, 5000), 0);
    server = vaccept(listener);
    assert_int_equal(vsend(client, &to, "x"), -EISCONN);
    assert_int_equal(vsend(client, NULL, "hi"), 2);
    assert_int_equal(vmci_socket_recvmsg(server, &message, MSG_OOB), -EOPNOTSUPP);
    assert_int_equal(vmci_socket_sendmsg(server, &message, MSG_OOB), -EOPNOTSUPP);
    assert_int_equal(vmci_socket_recvmsg(server, &message, 0), 2);
    assert_int_equal(message.msg_namelen, 0); /* as vsock: who that is, getpeername() tells */
    assert_int_equal(vmci_socket_close(client), 0);
    assert_int_equal(vmci_socket_close(server), 0);
    assert_int_equal(vmci_socket_close(listener), 0);
}

/* The project's daemons and programs with sockets are on one fabric. */
static void test_meets_the_transport(void **state)
{
    const struct vmci_settings settings = {.fabric = *state, .local_cid = 2};
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:5672");
    struct vmci_listener *listener;
    struct vmci_peer peer;
    int client;
    int server;

    assert_int_equal(vmci_listen(&endpoint, &settings, &listener, NULL, 0), 0);
    become(*state, 101);
    client = vopen(SOCK_STREAM);
    vset_size(client, SO_VMCI_BUFFER_SIZE, 32768); /* told in the name, which the transport reads as well */
    assert_int_equal(vconnect(client, 2, 5672), 0);
    server = vmci_accept(listener, &peer);
    assert_true(server >= 0);
    assert_int_equal(peer.cid, 101);
    assert_int_equal(peer.port, vname(client).svm_port);
    scratch_assert_stream(client, server);
    (void)close(server);
    assert_int_equal(vmci_socket_close(client), 0);
    vmci_listener_close(listener);
}

/* A listener at any port that was killed: the next ones clear up. */
static void test_what_the_killed_leave_is_cleared_up(void **state)
{
    int fd;

    become(*state, 101);
    fd = vlisten(SOCK_STREAM, VMADDR_PORT_ANY);
    (void)close(fd); /* not by vmci_socket_close(): as the kernel does it for the killed */
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 1);
    fd = vlisten(SOCK_STREAM, VMADDR_PORT_ANY);
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 1);
    assert_int_equal(vmci_socket_close(fd), 0);
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_any_cid_and_any_port),
        TEST(test_bind_refuses),
        TEST(test_reserved_ports),
        TEST(test_names_of_both_ends),
        TEST(test_short_room_for_an_address),
        TEST(test_connect_refuses),
        TEST(test_who_we_are_must_be_known),
        TEST(test_calls_in_the_wrong_state),
        TEST(test_half_close_and_reset),
        TEST(test_full_backlog_is_a_reset_at_once),
        TEST(test_readiness),
        TEST(test_copies_keep_the_name),
        TEST(test_client_with_a_port_of_its_own),
        TEST(test_seqpacket),
        TEST(test_messages_of_a_stream),
        TEST(test_meets_the_transport),
        TEST(test_what_the_killed_leave_is_cleared_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
