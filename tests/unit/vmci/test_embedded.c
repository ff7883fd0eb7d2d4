/* SPDX-License-Identifier: Apache-2.0 */
/* Streams over the embedded fabric, by one user: who is told to whom, and the errors of the kernel's vsock.
 */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

static char err[TEXT_SIZE];
static struct scratch_reports reports;

static struct vmci_settings settings_of(const char *fabric, uint32_t cid)
{
    return (struct vmci_settings){
        .fabric = fabric, .local_cid = cid, .report = scratch_report, .arg = &reports};
}

static int setup(void **state)
{
    memset(&reports, 0, sizeof(reports));
    return scratch_setup(state);
}

static struct vmci_listener *listen_as(const char *fabric, uint32_t cid, uint32_t port)
{
    const struct vmci_settings settings = settings_of(fabric, cid);
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:%u", port);
    struct vmci_listener *listener;

    if (vmci_listen(&endpoint, &settings, &listener, err, sizeof(err)) < 0)
        fail_msg("listen: %s", err);
    return listener;
}

/* The stream's descriptor, or -errno. */
static int connect_as(const char *fabric, uint32_t cid, uint32_t to_cid, uint32_t port)
{
    const struct vmci_settings settings = settings_of(fabric, cid);
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:%u:%u", to_cid, port);
    struct vmci_connector *connector;
    int rc = vmci_connect(&endpoint, &settings, &connector, err, sizeof(err));

    if (rc < 0)
        return rc;
    rc = vmci_connector_step(connector, err, sizeof(err));
    if (rc == 0)
        rc = vmci_connector_take(connector);
    vmci_connector_close(connector);
    return rc;
}

static void test_both_learn_who_is_there(void **state)
{
    struct vmci_listener *listener = listen_as(*state, 2, 5672);
    struct vmci_peer peer;
    int client;
    int server;

    assert_int_equal(vmci_accept(listener, &peer), -EAGAIN);
    assert_false(scratch_readable(vmci_listener_fd(listener), 0));
    client = connect_as(*state, 101, 2, 5672);
    assert_true(client >= 0);
    assert_true(scratch_readable(vmci_listener_fd(listener), 0));
    server = vmci_accept(listener, &peer);
    assert_true(server >= 0);
    assert_int_equal(peer.cid, 101);
    assert_in_range(peer.port, 1024, 4294967294U);
    assert_string_equal(peer.name, "");
    scratch_assert_stream(client, server);
    assert_int_equal(vmci_accept(listener, &peer), -EAGAIN);

    vmci_listener_close(listener);
    scratch_assert_stream(client, server); /* accepted streams live on */
    (void)close(client);
    (void)close(server);
}

static void test_descriptors_are_nonblocking_and_not_inherited(void **state)
{
    struct vmci_listener *listener = listen_as(*state, 2, 5672);
    struct vmci_peer peer;
    int fds[3] = {vmci_listener_fd(listener), connect_as(*state, 101, 2, 5672)};

    fds[2] = vmci_accept(listener, &peer);
    for (int i = 0; i < 3; i++) {
        assert_true(fds[i] >= 0);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    (void)close(fds[1]);
    (void)close(fds[2]);
    vmci_listener_close(listener);
}

static void test_nothing_is_left_in_the_folders(void **state)
{
    struct vmci_listener *listener = listen_as(*state, 2, 5672);
    const int client = connect_as(*state, 101, 2, 5672);

    assert_true(client >= 0);
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 0);
    assert_int_equal(scratch_count(scratch_path(*state, "2")), 1);
    assert_int_equal(connect_as(*state, 101, 2, 5673), -ECONNRESET);
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 0);
    vmci_listener_close(listener);
    assert_int_equal(scratch_count(scratch_path(*state, "2")), 0);
    (void)close(client);
}

static void test_ephemeral_ports_differ(void **state)
{
    enum { STREAMS = 64 };
    struct vmci_listener *listener = listen_as(*state, 2, 5672);
    uint32_t ports[STREAMS];
    int clients[STREAMS];

    for (int i = 0; i < STREAMS; i++) {
        struct vmci_peer peer;

        clients[i] = connect_as(*state, 101, 2, 5672);
        assert_true(clients[i] >= 0);
        assert_int_equal(close(vmci_accept(listener, &peer)), 0);
        ports[i] = peer.port;
        assert_true(ports[i] >= 1024);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(ports[i], ports[j]);
    }
    for (int i = 0; i < STREAMS; i++)
        (void)close(clients[i]);
    vmci_listener_close(listener);
}

static void test_host_to_guest_and_to_itself(void **state)
{
    struct vmci_listener *guest = listen_as(*state, 101, 7007);
    struct vmci_listener *host = listen_as(*state, 2, 5672);
    struct vmci_peer peer;
    const int clients[] = {connect_as(*state, 2, 101, 7007), connect_as(*state, 101, 101, 7007),
                           connect_as(*state, 101, 1, 7007), connect_as(*state, 2, 2, 5672)};

    for (int i = 0; i < 4; i++)
        assert_true(clients[i] >= 0);
    assert_int_equal(close(vmci_accept(guest, &peer)), 0);
    assert_int_equal(peer.cid, 2);
    assert_int_equal(close(vmci_accept(guest, &peer)), 0);
    assert_int_equal(peer.cid, 101);
    assert_int_equal(close(vmci_accept(guest, &peer)), 0);
    assert_int_equal(peer.cid, 101); /* CID 1 is who one is */
    assert_int_equal(close(vmci_accept(host, &peer)), 0);
    assert_int_equal(peer.cid, 2);
    for (int i = 0; i < 4; i++)
        (void)close(clients[i]);
    vmci_listener_close(guest);
    vmci_listener_close(host);
}

static void test_guest_to_guest_is_refused_when_connecting(void **state)
{
    struct vmci_listener *guest = listen_as(*state, 102, 7000);
    struct vmci_peer peer;

    assert_int_equal(connect_as(*state, 101, 102, 7000), -ENETUNREACH);
    assert_non_null(strstr(err, "guests only talk to the host"));
    assert_int_equal(connect_as(*state, 101, 0, 7000), -ENETUNREACH);
    assert_int_equal(connect_as(*state, 2, 0, 7000), -ENETUNREACH);
    assert_int_equal(vmci_accept(guest, &peer), -EAGAIN);
    assert_int_equal(vmci_listener_refused(guest), 0);
    vmci_listener_close(guest);
}

/* A guest that does not ask itself, but connects by hand. */
static int connect_by_hand(const char *name, const char *listener)
{
    const int fd = scratch_unix_socket(name, SOCK_STREAM);

    scratch_connect(fd, listener);
    return fd;
}

static void test_guest_to_guest_is_refused_when_accepting(void **state)
{
    struct vmci_listener *guest = listen_as(*state, 102, 7000);
    struct vmci_peer peer;
    int client;

    scratch_mkdir(scratch_path(*state, "101"), 0711, geteuid());
    client =
        connect_by_hand(scratch_path(*state, "101/2000.stream"), scratch_path(*state, "102/7000.stream"));
    assert_int_equal(vmci_accept(guest, &peer), -EAGAIN);
    assert_int_equal(vmci_listener_refused(guest), 1);
    assert_int_equal(reports.count[VMCI_REPORT_REFUSED], 1);
    assert_string_equal(reports.text[VMCI_REPORT_REFUSED],
                        "CID 101 can't reach CID 102: guests only talk to the host");
    assert_true(scratch_ended(client));
    (void)close(client);
    vmci_listener_close(guest);
}

static void test_peers_without_cid_are_refused(void **state)
{
    struct vmci_listener *listener = listen_as(*state, 2, 5672);
    const char *there = scratch_path(*state, "2/5672.stream");
    struct vmci_peer peer;
    int clients[4];
    int good;

    scratch_mkdir(scratch_path(*state, "101"), 0711, geteuid());
    clients[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    scratch_connect(clients[0], there);
    clients[1] = connect_by_hand(scratch_path(*state, "5.stream"), there);
    clients[2] = connect_by_hand(scratch_path(*state, "101/5"), there);
    clients[3] = connect_by_hand(scratch_path(*state, "101/5.dgram"), there);
    good = connect_as(*state, 101, 2, 5672);
    assert_true(good >= 0);

    assert_int_equal(close(vmci_accept(listener, &peer)), 0); /* they do not keep others from coming in */
    assert_int_equal(peer.cid, 101);
    assert_int_equal(vmci_listener_refused(listener), 4);
    assert_non_null(strstr(reports.text[VMCI_REPORT_REFUSED], "without CID"));
    for (int i = 0; i < 4; i++) {
        assert_true(scratch_ended(clients[i]));
        (void)close(clients[i]);
    }
    (void)close(good);
    vmci_listener_close(listener);
}

static void test_many_refusals_take_turns(void **state)
{
    enum { STRANGERS = 100 };
    struct vmci_listener *listener = listen_as(*state, 2, 5672);
    int clients[STRANGERS];
    struct vmci_peer peer;

    for (int i = 0; i < STRANGERS; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        scratch_connect(clients[i], scratch_path(*state, "2/5672.stream"));
    }
    assert_int_equal(vmci_accept(listener, &peer), -EAGAIN);
    assert_in_range(vmci_listener_refused(listener), 1, STRANGERS - 1);
    assert_true(scratch_readable(vmci_listener_fd(listener), 0));
    while (scratch_readable(vmci_listener_fd(listener), 0))
        assert_int_equal(vmci_accept(listener, &peer), -EAGAIN);
    assert_int_equal(vmci_listener_refused(listener), STRANGERS);
    for (int i = 0; i < STRANGERS; i++)
        (void)close(clients[i]);
    vmci_listener_close(listener);
}

static void test_nobody_listens(void **state)
{
    assert_int_equal(connect_as(*state, 101, 2, 5672), -ECONNRESET); /* not even a folder of the host */
    vmci_listener_close(listen_as(*state, 2, 5672));
    assert_int_equal(connect_as(*state, 101, 2, 5672), -ECONNRESET);
    assert_string_equal(err, "embedded:2:5672: nobody listens there");
    (void)close(scratch_unix_listener(scratch_path(*state, "2/5672.stream"))); /* it died */
    assert_int_equal(connect_as(*state, 101, 2, 5672), -ECONNRESET);
    assert_int_equal(connect_as(*state, 2, 101, 5672), -ECONNRESET);
    assert_int_equal(connect_as(*state, 2, 102, 5672), -ENODEV);
    assert_string_equal(err, "embedded:102:5672: no such VM");
}

static void test_listener_that_only_is_bound(void **state)
{
    int fd;

    scratch_mkdir(scratch_path(*state, "2"), 0711, geteuid());
    fd = scratch_unix_socket(scratch_path(*state, "2/5672.stream"), SOCK_STREAM);
    assert_int_equal(connect_as(*state, 101, 2, 5672), -ECONNRESET);
    (void)close(fd);
    assert_int_equal(unlink(scratch_path(*state, "2/5672.stream")), 0);
    fd = scratch_unix_socket(scratch_path(*state, "2/5672.stream"), SOCK_SEQPACKET);
    assert_int_equal(connect_as(*state, 101, 2, 5672), -ECONNRESET);
    (void)close(fd);
}

static void test_full_backlog_resets(void **state)
{
    struct vmci_settings settings = settings_of(*state, 2);
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:5672");
    struct vmci_listener *listener;
    struct vmci_peer peer;
    int clients[2];

    settings.backlog = 1; /* Linux takes one more than that */
    assert_int_equal(vmci_listen(&endpoint, &settings, &listener, err, sizeof(err)), 0);
    clients[0] = connect_as(*state, 101, 2, 5672);
    clients[1] = connect_as(*state, 101, 2, 5672);
    assert_true(clients[0] >= 0 && clients[1] >= 0);
    assert_int_equal(connect_as(*state, 101, 2, 5672), -ECONNRESET);
    assert_non_null(strstr(err, "backlog is full"));
    assert_int_equal(close(vmci_accept(listener, &peer)), 0);
    (void)close(clients[0]);
    clients[0] = connect_as(*state, 101, 2, 5672);
    assert_true(clients[0] >= 0);
    (void)close(clients[0]);
    (void)close(clients[1]);
    vmci_listener_close(listener);
}

static void test_port_in_use(void **state)
{
    struct vmci_listener *listener = listen_as(*state, 2, 5672);
    const struct vmci_settings settings = settings_of(*state, 2);
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:5672");
    struct vmci_listener *second = listener;

    assert_int_equal(vmci_listen(&endpoint, &settings, &second, err, sizeof(err)), -EADDRINUSE);
    assert_null(second);
    assert_non_null(strstr(err, "port 5672 is in use"));
    assert_int_equal(scratch_count(scratch_path(*state, "2")), 1);
    vmci_listener_close(listener);
    vmci_listener_close(listen_as(*state, 2, 5672));
    vmci_listener_close(NULL);
}

static void test_listener_after_a_crash(void **state)
{
    struct vmci_listener *listener;
    struct vmci_peer peer;
    int client;

    scratch_mkdir(scratch_path(*state, "2"), 0711, geteuid());
    (void)close(scratch_unix_listener(scratch_path(*state, "2/5672.stream")));
    listener = listen_as(*state, 2, 5672);
    client = connect_as(*state, 101, 2, 5672);
    assert_true(client >= 0);
    assert_int_equal(close(vmci_accept(listener, &peer)), 0);
    (void)close(client);
    vmci_listener_close(listener);
}

static void test_listening_by_cid(void **state)
{
    const struct vmci_settings settings = settings_of(*state, 101);
    const char *const ours[] = {"embedded:101:7000", "embedded:any:7000", "embedded:1:7000"};
    struct vmci_listener *listener;
    struct vmci_endpoint endpoint;

    for (int i = 0; i < 3; i++) {
        endpoint = scratch_endpoint("%s", ours[i]);
        assert_int_equal(vmci_listen(&endpoint, &settings, &listener, err, sizeof(err)), 0);
        vmci_listener_close(listener);
    }
    endpoint = scratch_endpoint("embedded:2:7000");
    assert_int_equal(vmci_listen(&endpoint, &settings, &listener, err, sizeof(err)), -EADDRNOTAVAIL);
    assert_null(listener);
    assert_string_equal(err, "embedded:2:7000 is not ours to listen on: we are CID 101");
}

/* Sets or clears the effective capability, which must be permitted to be set. */
static int set_bind_capability(bool effective)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, data) < 0)
        return -1;
    data[0].effective &= ~(uint32_t)CAP_TO_MASK(CAP_NET_BIND_SERVICE);
    if (effective)
        data[0].effective |= CAP_TO_MASK(CAP_NET_BIND_SERVICE);
    return (int)syscall(SYS_capset, &header, data);
}

struct reserved {
    const char *fabric;
    uint32_t cid;
    uint32_t port;
};

static int listen_and_close(const struct reserved *r)
{
    const struct vmci_settings settings = {.fabric = r->fabric, .local_cid = r->cid};
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:%u", r->port);
    struct vmci_listener *listener;
    const int rc = vmci_listen(&endpoint, &settings, &listener, err, sizeof(err));

    vmci_listener_close(listener);
    return -rc;
}

static int listen_without_capability(void *arg)
{
    return set_bind_capability(false) < 0 ? 125 : listen_and_close(arg);
}

static int listen_with_capability(void *arg)
{
    return set_bind_capability(true) < 0 ? 125 : listen_and_close(arg);
}

/* Nobody, but with the capability: root is not what counts. */
static int listen_as_nobody_with_capability(void *arg)
{
    if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setuid(NOBODY) < 0)
        return 125;
    return listen_with_capability(arg);
}

static int listen_as_is(void *arg)
{
    return listen_and_close(arg);
}

static void test_reserved_ports_need_the_capability(void **state)
{
    struct reserved r = {*state, 2, 1023};

    assert_int_equal(scratch_in_child(0, listen_without_capability, &r), EACCES);
    r.port = 1024;
    assert_int_equal(scratch_in_child(0, listen_without_capability, &r), 0);
    r.port = 1;
    assert_int_equal(scratch_in_child(0, listen_without_capability, &r), EACCES);
}

static void test_reserved_ports_by_user(void **state)
{
    struct reserved r = {*state, 101, 1023};

    if (geteuid() != 0) {
        print_message("needs root: several users\n");
        skip();
    }
    scratch_mkdir(scratch_path(*state, "101"), 0711, NOBODY);
    r.cid = 2;
    assert_int_equal(scratch_in_child(0, listen_with_capability, &r), 0);
    r.cid = 101;
    assert_int_equal(scratch_in_child(0, listen_as_nobody_with_capability, &r), 0);
    assert_int_equal(scratch_in_child(NOBODY, listen_as_is, &r), EACCES);
    r.port = 1024;
    assert_int_equal(scratch_in_child(NOBODY, listen_as_is, &r), 0);
}

static void test_connector_goes_one_way(void **state)
{
    struct vmci_listener *listener = listen_as(*state, 2, 5672);
    const struct vmci_settings settings = settings_of(*state, 101);
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:2:5672");
    struct vmci_connector *connector;
    int fd;

    assert_int_equal(vmci_connect(&endpoint, &settings, &connector, err, sizeof(err)), 0);
    assert_int_equal(vmci_connector_take(connector), -ENOTCONN); /* not before step said so */
    fd = vmci_connector_fd(connector);
    assert_true(fd >= 0);
    assert_int_equal(vmci_connector_step(connector, err, sizeof(err)), 0);
    assert_int_equal(vmci_connector_step(connector, err, sizeof(err)), 0);
    assert_int_equal(vmci_connector_take(connector), fd);
    assert_int_equal(vmci_connector_take(connector), -ENOTCONN); /* once only */
    vmci_connector_close(connector);
    assert_int_equal(close(fd), 0); /* it was still open */

    assert_int_equal(vmci_connect(&endpoint, &settings, &connector, err, sizeof(err)), 0);
    fd = vmci_connector_fd(connector);
    vmci_connector_close(connector);
    assert_int_equal(close(fd), -1); /* not taken, so closed */
    vmci_connector_close(NULL);
    vmci_listener_close(listener);
}

static int sndbuf(int fd)
{
    int size = 0;
    socklen_t length = sizeof(size);

    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length), 0);
    return size;
}

static void test_buffers(void **state)
{
    struct vmci_settings settings = settings_of(*state, 2);
    const struct vmci_endpoint here = scratch_endpoint("embedded:5672");
    const struct vmci_endpoint there = scratch_endpoint("embedded:2:5672");
    struct vmci_listener *listener;
    struct vmci_connector *connector;
    struct vmci_peer peer;
    int server;

    settings.buffer_bytes = 16384;
    assert_int_equal(vmci_listen(&here, &settings, &listener, err, sizeof(err)), 0);
    assert_int_equal(vmci_connect(&there, &settings, &connector, err, sizeof(err)), 0);
    server = vmci_accept(listener, &peer);
    assert_int_equal(sndbuf(server), 2 * 16384); /* the kernel doubles it, for its own needs */
    assert_int_equal(sndbuf(vmci_connector_fd(connector)), 2 * 16384);
    (void)close(server);
    vmci_connector_close(connector);
    vmci_listener_close(listener);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_both_learn_who_is_there),
        TEST(test_descriptors_are_nonblocking_and_not_inherited),
        TEST(test_nothing_is_left_in_the_folders),
        TEST(test_ephemeral_ports_differ),
        TEST(test_host_to_guest_and_to_itself),
        TEST(test_guest_to_guest_is_refused_when_connecting),
        TEST(test_guest_to_guest_is_refused_when_accepting),
        TEST(test_peers_without_cid_are_refused),
        TEST(test_many_refusals_take_turns),
        TEST(test_nobody_listens),
        TEST(test_listener_that_only_is_bound),
        TEST(test_full_backlog_resets),
        TEST(test_port_in_use),
        TEST(test_listener_after_a_crash),
        TEST(test_listening_by_cid),
        TEST(test_reserved_ports_need_the_capability),
        TEST(test_reserved_ports_by_user),
        TEST(test_connector_goes_one_way),
        TEST(test_buffers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
