/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of several users, as root only: who does not own a CID's folder can't be that CID, nor get at what
 * is sent to it. The fabric: 2 is root's, 101 is NOBODY's, 102 is DAEMON's. The tests are root, as the host.
 */
#include "vsocket.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

struct world {
    char *path;
    int stream; /* the host listens at 5000 */
    int dgram;  /* and receives at 6000 */
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    void *path;

    if (!world || scratch_setup(&path) < 0)
        return -1;
    world->path = path;
    *state = world;
    if (geteuid() != 0)
        return 0;
    scratch_mkdir(scratch_path(path, "101"), 0711, NOBODY);
    scratch_mkdir(scratch_path(path, "102"), 0711, DAEMON);
    become(path, 2);
    world->stream = vlisten(SOCK_STREAM, 5000);
    world->dgram = vopen(SOCK_DGRAM);
    return vbind(world->dgram, VMADDR_CID_ANY, 6000);
}

static int teardown(void **state)
{
    struct world *world = *state;
    void *path = world->path;

    if (geteuid() == 0) {
        (void)vmci_socket_close(world->stream);
        (void)vmci_socket_close(world->dgram);
    }
    free(world);
    return scratch_teardown(&path);
}

static void needs_root(void)
{
    if (geteuid() == 0)
        return;
    print_message("needs root: several users\n");
    skip();
}

/* The following run as another user, who says to be a CID. */

static int try_connect(void *arg)
{
    const struct sockaddr_vm to = vaddress(2, 5000);
    const int fd = vmci_socket_open(SOCK_STREAM, 0);

    (void)arg;
    return fd < 0 ? 125 : -vmci_socket_connect(fd, (const struct sockaddr *)&to, sizeof(to));
}

static int try_send(void *arg)
{
    const struct sockaddr_vm to = vaddress(2, 6000);
    const int fd = vmci_socket_open(SOCK_DGRAM, 0);
    const ssize_t rc = fd < 0 ? -125 : vsend(fd, &to, "hello");

    (void)arg;
    return rc < 0 ? (int)-rc : 0;
}

static int try_bind(void *arg)
{
    const struct sockaddr_vm at = vaddress(VMADDR_CID_ANY, 7000);

    (void)arg;
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
        const int fd = vmci_socket_open(type, 0);
        const int rc = fd < 0 ? -125 : vmci_socket_bind(fd, (const struct sockaddr *)&at, sizeof(at));

        if (rc != -EADDRNOTAVAIL)
            return -rc;
    }
    return EADDRNOTAVAIL;
}

static void test_the_owner_is_the_cid(void **state)
{
    struct world *world = *state;
    struct sockaddr_vm from;
    char text[TEXT_SIZE];
    int server;

    needs_root();
    become(world->path, 102);
    assert_int_equal(scratch_in_child(DAEMON, try_connect, NULL), 0);
    server = vaccept(world->stream);
    assert_int_equal(vpeer(server).svm_cid, 102);
    assert_int_equal(vmci_socket_close(server), 0);
    assert_int_equal(scratch_in_child(DAEMON, try_send, NULL), 0);
    assert_int_equal(vreceive(world->dgram, &from, text, 0), 5);
    assert_int_equal(from.svm_cid, 102);
}

static void test_another_user_is_told_no(void **state)
{
    struct world *world = *state;
    char text[TEXT_SIZE];

    needs_root();
    become(world->path, 102);
    assert_int_equal(scratch_in_child(NOBODY, try_connect, NULL), EADDRNOTAVAIL);
    assert_int_equal(scratch_in_child(NOBODY, try_send, NULL), EADDRNOTAVAIL);
    assert_int_equal(scratch_in_child(NOBODY, try_bind, NULL), EADDRNOTAVAIL);
    assert_int_equal(vaccept(world->stream), -EAGAIN);
    assert_int_equal(vreceive(world->dgram, NULL, text, 0), -EAGAIN);
}

/* A Unix socket bound to name sends one datagram, or connects. 0 or an errno. */
static int forge(int type, const char *name, const char *to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, type, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return errno;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", to);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return errno;
    return type == SOCK_DGRAM && send(fd, "forged", 6, 0) != 6 ? errno : 0;
}

/* Of names that look right: in the other's folder, in a folder of one's own that is called 102. */
static int forge_both_ways(void *arg)
{
    const char *path = ((struct world *)arg)->path;

    if (forge(SOCK_DGRAM, scratch_path(path, "102/9.dgram"), scratch_path(path, "2/6000.dgram")) != EACCES ||
        forge(SOCK_STREAM, scratch_path(path, "102/9.stream"), scratch_path(path, "2/5000.stream")) != EACCES)
        return 1;
    if (mkdir(scratch_path(path, "101/102"), 0755) < 0)
        return 2;
    return forge(SOCK_DGRAM, scratch_path(path, "101/102/9.dgram"), scratch_path(path, "2/6000.dgram")) +
           forge(SOCK_STREAM, scratch_path(path, "101/102/9.stream"), scratch_path(path, "2/5000.stream"));
}

static void test_forged_names_are_found_out(void **state)
{
    struct world *world = *state;
    char text[TEXT_SIZE];

    needs_root();
    assert_int_equal(scratch_in_child(NOBODY, forge_both_ways, world), 0);
    assert_true(scratch_readable(world->dgram, 0)); /* it has come, and is dropped */
    assert_int_equal(vreceive(world->dgram, NULL, text, 0), -EAGAIN);
    assert_true(scratch_readable(world->stream, 0));
    assert_int_equal(vaccept(world->stream), -EAGAIN);
}

/* As NOBODY: to take the port of 102 away, to listen in its place, to see what is in its folder. 0 if all
 * fails. */
static int try_to_listen_in(void *arg)
{
    const char *path = ((struct world *)arg)->path;

    if (unlink(scratch_path(path, "102/7000.dgram")) == 0 ||
        unlink(scratch_path(path, "102/7000.stream")) == 0)
        return 1;
    if (rename(scratch_path(path, "102"), scratch_path(path, "103")) == 0)
        return 2;
    if (open(scratch_path(path, "102"), O_RDONLY | O_DIRECTORY) >= 0)
        return 3;
    return forge(SOCK_DGRAM, scratch_path(path, "102/7000.dgram"), scratch_path(path, "2/6000.dgram")) ==
                   EADDRINUSE
               ? 0
               : 4;
}

static void test_traffic_of_another_is_out_of_reach(void **state)
{
    const struct sockaddr_vm to = vaddress(102, 7000);
    struct world *world = *state;
    char text[TEXT_SIZE];
    int guest_stream;
    int guest;

    needs_root();
    become(world->path, 102);
    guest = vopen(SOCK_DGRAM);
    assert_int_equal(vbind(guest, VMADDR_CID_ANY, 7000), 0);
    guest_stream = vlisten(SOCK_STREAM, 7000);
    assert_int_equal(scratch_in_child(NOBODY, try_to_listen_in, world), 0);
    assert_int_equal(vsend(world->dgram, &to, "for 102"), 7);
    assert_int_equal(vreceive(guest, NULL, text, 0), 7);
    assert_int_equal(vmci_socket_close(guest), 0);
    assert_int_equal(vmci_socket_close(guest_stream), 0);
}

/* An operator's mistake: 102 may be written to by all. What NOBODY binds there gets nothing. */
static void test_false_receivers_are_found_out(void **state)
{
    const struct sockaddr_vm to = vaddress(102, 7000);
    struct world *world = *state;
    int fd;
    int client;
    char byte;

    needs_root();
    assert_int_equal(chmod(scratch_path(world->path, "102"), 0777), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    fd = scratch_unix_socket(scratch_path(world->path, "102/7000.dgram"), SOCK_DGRAM);
    assert_int_equal(close(scratch_unix_listener(scratch_path(world->path, "102/7001.stream"))), 0);
    assert_int_equal(unlink(scratch_path(world->path, "102/7001.stream")), 0);
    client = scratch_unix_listener(scratch_path(world->path, "102/7001.stream"));
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(vsend(world->dgram, &to, "secret"), -EACCES);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    (void)close(fd);
    become(world->path, 2);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(vconnect(fd, 102, 7001), -EACCES);
    assert_int_equal(send(fd, "secret", 6, MSG_NOSIGNAL), -1);
    assert_int_equal(vmci_socket_close(fd), 0);
    (void)close(client);
}

/* As DAEMON, who owns 2 from now on and has no capability: to reach 101, which is isolated, and 103, who is
 * DAEMON too. Says by bits what worked. */
static int reach_both(void *arg)
{
    const struct sockaddr_vm at = vaddress(VMADDR_CID_ANY, 6001);
    const struct sockaddr_vm isolated = vaddress(101, 6000);
    const struct sockaddr_vm own = vaddress(103, 6000);
    int worked = 0;
    int fd = vmci_socket_open(SOCK_DGRAM, 0);

    (void)arg;
    if (fd < 0 || vmci_socket_bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
        return 125;
    worked |= vsend(fd, &isolated, "x") == -EPERM ? 0 : 1;
    worked |= vsend(fd, &own, "x") == 1 ? 2 : 0;
    fd = vmci_socket_open(SOCK_STREAM, 0);
    worked |=
        vmci_socket_connect(fd, (const struct sockaddr *)&isolated, sizeof(isolated)) == -ENETUNREACH ? 0 : 4;
    worked |= vmci_socket_connect(fd, (const struct sockaddr *)&own, sizeof(own)) == 0 ? 8 : 0;
    return worked;
}

static void isolated_guest(const struct world *world, uint32_t cid, uid_t owner, int fds[2])
{
    if (!scratch_exists(scratch_path(world->path, "%u", cid)))
        scratch_mkdir(scratch_path(world->path, "%u", cid), 0711, owner);
    assert_int_equal(chmod(scratch_path(world->path, "%u", cid), 01711), 0);
    become(world->path, cid);
    fds[0] = vopen(SOCK_DGRAM);
    assert_int_equal(vbind(fds[0], VMADDR_CID_ANY, 6000), 0);
    fds[1] = vlisten(SOCK_STREAM, 6000);
}

static void test_isolated_guests_talk_to_trusted_sockets(void **state)
{
    const struct sockaddr_vm to = vaddress(101, 6000);
    struct world *world = *state;
    char text[TEXT_SIZE];
    int guests[2][2];
    int fd;

    needs_root();
    isolated_guest(world, 101, NOBODY, guests[0]);
    isolated_guest(world, 103, DAEMON, guests[1]);
    assert_int_equal(vsend(world->dgram, &to, "trusted"), 7); /* we have CAP_NET_ADMIN */
    assert_int_equal(vreceive(guests[0][0], NULL, text, 0), 7);
    assert_int_equal(chown(scratch_path(world->path, "2"), DAEMON, DAEMON), 0);
    become(world->path, 2);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(vconnect(fd, 101, 6000), 0);
    assert_int_equal(vmci_socket_close(fd), 0);
    assert_int_equal(scratch_in_child(DAEMON, reach_both, NULL), 2 | 8);
    assert_int_equal(vreceive(guests[0][0], NULL, text, 0), -EAGAIN);
    for (int i = 0; i < 4; i++)
        assert_int_equal(vmci_socket_close(guests[i / 2][i % 2]), 0);
}

/* As DAEMON, who is the host: an isolated guest's stream and datagram come in, and are turned away. */
static int receive_from_isolated(void *arg)
{
    char text[TEXT_SIZE];
    const int listener = *(int *)arg;
    const int receiver = ((int *)arg)[1];

    if (vaccept(listener) != -EAGAIN)
        return 1;
    return vreceive(receiver, NULL, text, MSG_DONTWAIT) == -EAGAIN ? 0 : 2;
}

/* As root again, in the guest's place: connects and sends to the host's 5001. */
static int call_as_101(void)
{
    const struct sockaddr_vm to = vaddress(2, 5001);

    if (seteuid(0) < 0 || setenv("VMCI_CID", "101", 1) < 0)
        return 121;
    if (vmci_socket_connect(vmci_socket_open(SOCK_STREAM, 0), (const struct sockaddr *)&to, sizeof(to)) < 0)
        return 120;
    return vsend(vmci_socket_open(SOCK_DGRAM, 0), &to, "x") == 1 ? 0 : 119;
}

static int in_process(int (*fn)(void))
{
    const pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(fn());
    return pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) ? 122 : WEXITSTATUS(status);
}

static int host_without_capability(void *arg)
{
    const struct sockaddr_vm at = vaddress(VMADDR_CID_ANY, 5001);
    int fds[2];
    int rc;

    (void)arg;
    if (setegid(DAEMON) < 0 || seteuid(DAEMON) < 0) /* the effective capabilities go with it */
        return 125;
    fds[0] = vmci_socket_open(SOCK_STREAM | SOCK_NONBLOCK, 0);
    fds[1] = vmci_socket_open(SOCK_DGRAM, 0);
    for (int i = 0; i < 2; i++)
        if (vmci_socket_bind(fds[i], (const struct sockaddr *)&at, sizeof(at)) < 0)
            return 124;
    if (vmci_socket_listen(fds[0], 4) < 0)
        return 123;
    rc = in_process(call_as_101);
    return rc != 0 ? rc : receive_from_isolated(fds);
}

static void test_isolated_guests_are_not_heard_by_others(void **state)
{
    struct world *world = *state;

    needs_root();
    assert_int_equal(chmod(scratch_path(world->path, "101"), 01711), 0);
    assert_int_equal(chown(scratch_path(world->path, "2"), DAEMON, DAEMON), 0);
    become(world->path, 2);
    assert_int_equal(scratch_in_child(0, host_without_capability, world), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_owner_is_the_cid),
        TEST(test_another_user_is_told_no),
        TEST(test_forged_names_are_found_out),
        TEST(test_traffic_of_another_is_out_of_reach),
        TEST(test_false_receivers_are_found_out),
        TEST(test_isolated_guests_talk_to_trusted_sockets),
        TEST(test_isolated_guests_are_not_heard_by_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
