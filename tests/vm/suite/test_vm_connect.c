/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel transport: who is told to whom, addresses, privileges, and every errno that transport.h
 * promises. */
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static const struct vmci_settings settings;

static struct sockaddr_vm name_of(int fd)
{
    struct sockaddr_vm address = {0};
    socklen_t length = sizeof(address);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    return address;
}

static void test_both_learn_who_is_there(void **state)
{
    struct vmci_listener *listener = inside_listen("vsock:any:5672");
    struct vmci_peer peer;
    int client;
    int server;

    (void)state;
    assert_int_equal(vmci_accept(listener, &peer), -EAGAIN);
    assert_false(scratch_readable(vmci_listener_fd(listener), 0));
    client = inside_connect("vsock:1:5672", &settings);
    assert_true(client >= 0);
    server = inside_accept(listener, &peer);
    assert_int_equal(peer.cid, VMADDR_CID_LOCAL);
    assert_int_equal(peer.port, name_of(client).svm_port);
    assert_in_range(peer.port, 1024, 4294967294U);
    assert_string_equal(peer.name, "");
    assert_int_equal(name_of(server).svm_port, 5672);
    inside_send(client, "ping", 4);
    inside_send(server, "pong", 4);
    assert_true(scratch_readable(server, PATIENCE_MS) && scratch_readable(client, PATIENCE_MS));
    assert_int_equal(vmci_accept(listener, &peer), -EAGAIN);
    assert_int_equal(vmci_listener_refused(listener), 0);
    vmci_listener_close(listener);
    (void)close(client);
    (void)close(server);
}

static void test_descriptors_are_nonblocking_and_not_inherited(void **state)
{
    struct vmci_listener *listener = inside_listen("vsock:any:5672");
    int fds[3] = {vmci_listener_fd(listener), inside_connect("vsock:1:5672", &settings), -1};

    (void)state;
    fds[2] = inside_accept(listener, NULL);
    for (int i = 0; i < 3; i++) {
        assert_true(fds[i] >= 0);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    (void)close(fds[1]);
    (void)close(fds[2]);
    vmci_listener_close(listener);
}

static void test_streams_live_on_without_their_listener(void **state)
{
    struct inside_pair pair = inside_pair(5672, &settings);
    char word[4];

    (void)state;
    inside_send(pair.client, "ping", 4);
    assert_int_equal(inside_recv(pair.server, word, 4), 4);
    assert_memory_equal(word, "ping", 4);
    assert_int_equal(inside_connect("vsock:1:5672", &settings), -ECONNRESET);
    inside_pair_close(&pair);
}

static void test_nobody_listens(void **state)
{
    (void)state;
    assert_int_equal(inside_connect("vsock:1:5673", &settings), -ECONNRESET);
    assert_non_null(strstr(inside_err, "nobody listens there"));
}

/* This machine has only the loopback, so other guests are out of reach. */
static void test_no_way_to_another_guest(void **state)
{
    (void)state;
    assert_int_equal(inside_connect("vsock:3:5672", &settings), -ENODEV);
}

/* Where no hypervisor is, a machine is its own host: CID 2 leads back to it, and the peer is CID 1. */
static void test_without_a_hypervisor_the_host_is_this_machine(void **state)
{
    struct vmci_listener *listener = inside_listen("vsock:any:5672");
    const int client = inside_connect("vsock:2:5672", &settings);
    struct vmci_peer peer;

    (void)state;
    assert_true(client >= 0);
    (void)close(inside_accept(listener, &peer));
    assert_int_equal(peer.cid, VMADDR_CID_LOCAL);
    (void)close(client);
    vmci_listener_close(listener);
}

static void test_to_connect_a_cid_is_needed(void **state)
{
    (void)state;
    assert_int_equal(inside_connect("vsock:any:5672", &settings), -EINVAL);
    assert_non_null(strstr(inside_err, "name a CID"));
}

static void test_listen_on_the_own_cid(void **state)
{
    struct vmci_listener *listener = inside_listen("vsock:1:5672");
    const int client = inside_connect("vsock:1:5672", &settings);

    (void)state;
    assert_true(client >= 0);
    (void)close(inside_accept(listener, NULL));
    (void)close(client);
    vmci_listener_close(listener);
}

static void test_listen_on_a_foreign_cid(void **state)
{
    struct vmci_listener *listener;

    (void)state;
    assert_int_equal(inside_try_listen("vsock:77:5672", &settings, &listener), -EADDRNOTAVAIL);
    assert_null(listener);
    assert_non_null(strstr(inside_err, "not a CID of this machine"));
}

static void test_a_port_has_one_listener(void **state)
{
    struct vmci_listener *first = inside_listen("vsock:any:5672");
    struct vmci_listener *second;

    (void)state;
    assert_int_equal(inside_try_listen("vsock:any:5672", &settings, &second), -EADDRINUSE);
    assert_int_equal(inside_try_listen("vsock:1:5672", &settings, &second), -EADDRINUSE);
    vmci_listener_close(first);
    vmci_listener_close(inside_listen("vsock:1:5672")); /* free again at once */
}

/* 0, or the errno of listening on a reserved port. */
static int listen_on_reserved_port(void *arg)
{
    struct vmci_listener *listener;
    const int rc = inside_try_listen("vsock:any:1023", &settings, &listener);

    (void)arg;
    vmci_listener_close(listener);
    return -rc;
}

/* The same for the first port that is not reserved. */
static int listen_on_free_port(void *arg)
{
    struct vmci_listener *listener;
    const int rc = inside_try_listen("vsock:any:1024", &settings, &listener);

    (void)arg;
    vmci_listener_close(listener);
    return -rc;
}

static void test_ports_below_1024_need_the_privilege(void **state)
{
    (void)state;
    assert_int_equal(scratch_in_child(0, listen_on_reserved_port, NULL), 0);
    assert_int_equal(scratch_in_child(NOBODY, listen_on_reserved_port, NULL), EACCES);
    assert_int_equal(scratch_in_child(NOBODY, listen_on_free_port, NULL), 0);
}

/* As for a service on a reserved port: only to listen there is a privilege. */
static void test_anybody_may_connect_to_a_reserved_port(void **state)
{
    struct vmci_listener *listener = inside_listen("vsock:any:1023");
    const int client = inside_connect("vsock:1:1023", &settings);

    (void)state;
    assert_true(client >= 0);
    assert_in_range(name_of(client).svm_port, 1024, 4294967294U);
    (void)close(inside_accept(listener, NULL));
    (void)close(client);
    vmci_listener_close(listener);
}

/* A listener's queue holds one more than its backlog, as on other sockets. */
static void test_a_full_backlog_resets(void **state)
{
    enum { BACKLOG = 4 };
    const struct vmci_settings narrow = {.backlog = BACKLOG};
    struct vmci_listener *listener;
    int clients[BACKLOG + 1];
    int again;

    (void)state;
    assert_int_equal(inside_try_listen("vsock:any:5672", &narrow, &listener), 0);
    for (int i = 0; i <= BACKLOG; i++) {
        clients[i] = inside_connect("vsock:1:5672", &settings);
        assert_true(clients[i] >= 0);
    }
    assert_int_equal(inside_connect("vsock:1:5672", &settings), -ECONNRESET);
    (void)close(inside_accept(listener, NULL)); /* now there is room */
    again = inside_connect("vsock:1:5672", &settings);
    assert_true(again >= 0);
    (void)close(again);
    for (int i = 0; i <= BACKLOG; i++)
        (void)close(clients[i]);
    vmci_listener_close(listener);
}

/* The stream waits until there are descriptors again. */
static void test_out_of_descriptors(void **state)
{
    struct vmci_listener *listener = inside_listen("vsock:any:5672");
    const int client = inside_connect("vsock:1:5672", &settings);
    struct vmci_peer peer;
    struct rlimit before;
    struct rlimit none;

    (void)state;
    assert_true(client >= 0);
    assert_true(scratch_readable(vmci_listener_fd(listener), PATIENCE_MS));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(vmci_accept(listener, &peer), -EMFILE);
    assert_int_equal(inside_connect("vsock:1:5672", &settings), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    (void)close(inside_accept(listener, &peer));
    assert_int_equal(peer.cid, VMADDR_CID_LOCAL);
    (void)close(client);
    vmci_listener_close(listener);
}

static void test_giving_up_while_connecting(void **state)
{
    const struct vmci_endpoint endpoint = scratch_endpoint("vsock:1:5672");
    struct vmci_listener *listener = inside_listen("vsock:any:5672");
    struct vmci_connector *connector;
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (rlim_t i = 0; i < limit.rlim_cur + 10; i++) { /* more than there are descriptors: none may leak */
        assert_int_equal(vmci_connect(&endpoint, &settings, &connector, NULL, 0), 0);
        vmci_connector_close(connector);
    }
    vmci_listener_close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_learn_who_is_there),
        cmocka_unit_test(test_descriptors_are_nonblocking_and_not_inherited),
        cmocka_unit_test(test_streams_live_on_without_their_listener),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_no_way_to_another_guest),
        cmocka_unit_test(test_without_a_hypervisor_the_host_is_this_machine),
        cmocka_unit_test(test_to_connect_a_cid_is_needed),
        cmocka_unit_test(test_listen_on_the_own_cid),
        cmocka_unit_test(test_listen_on_a_foreign_cid),
        cmocka_unit_test(test_a_port_has_one_listener),
        cmocka_unit_test(test_ports_below_1024_need_the_privilege),
        cmocka_unit_test(test_anybody_may_connect_to_a_reserved_port),
        cmocka_unit_test(test_a_full_backlog_resets),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_giving_up_while_connecting),
    };

    inside_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
