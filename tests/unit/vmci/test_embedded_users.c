/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nobody can be a CID whose folder is another user's: with real users, so as root only.
 *
 * The fabric: 2 is root's, 101 is NOBODY's, 102 is DAEMON's. We listen as the host; a child of another user
 * tries.
 */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmci/credentials.h"

#define CANNOT_TRY 125 /* what the test needs is not allowed on this machine */

static char err[TEXT_SIZE];

struct fabric {
    char *path;
    struct vmci_listener *listener; /* of the host, port 5672 */
    struct scratch_reports reports;
};

static int setup(void **state)
{
    struct fabric *fabric = calloc(1, sizeof(*fabric));
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:5672");
    struct vmci_settings settings = {.local_cid = 2, .report = scratch_report};
    void *path;

    if (!fabric || scratch_setup(&path) < 0)
        return -1;
    fabric->path = path;
    *state = fabric;
    if (geteuid() != 0)
        return 0;
    scratch_mkdir(scratch_path(path, "101"), 0711, NOBODY);
    scratch_mkdir(scratch_path(path, "102"), 0711, DAEMON);
    settings.fabric = path;
    settings.arg = &fabric->reports;
    return vmci_listen(&endpoint, &settings, &fabric->listener, err, sizeof(err));
}

static int teardown(void **state)
{
    struct fabric *fabric = *state;
    void *path = fabric->path;

    vmci_listener_close(fabric->listener);
    free(fabric);
    return scratch_teardown(&path);
}

static void needs_root(void)
{
    if (geteuid() == 0)
        return;
    print_message("needs root: several users\n");
    skip();
}

static void assert_refused(struct fabric *fabric, const char *says)
{
    struct vmci_peer peer;

    assert_int_equal(vmci_accept(fabric->listener, &peer), -EAGAIN);
    assert_int_equal(vmci_listener_refused(fabric->listener), 1);
    if (!strstr(fabric->reports.text[VMCI_REPORT_REFUSED], says))
        fail_msg("\"%s\" does not say \"%s\"", fabric->reports.text[VMCI_REPORT_REFUSED], says);
}

static void assert_accepted(struct fabric *fabric, uint32_t cid)
{
    struct vmci_peer peer;

    assert_int_equal(close(vmci_accept(fabric->listener, &peer)), 0);
    assert_int_equal(peer.cid, cid);
    assert_int_equal(vmci_listener_refused(fabric->listener), 0);
}

/* Through the front door. */
static int connect_as(const char *fabric, uint32_t cid, uint32_t to_cid, uint32_t port)
{
    const struct vmci_settings settings = {.fabric = fabric, .local_cid = cid};
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:%u:%u", to_cid, port);
    struct vmci_connector *connector;
    int rc = vmci_connect(&endpoint, &settings, &connector, err, sizeof(err));

    if (rc == 0)
        rc = vmci_connector_step(connector, err, sizeof(err));
    vmci_connector_close(connector);
    return -rc;
}

static int connect_as_101(void *arg)
{
    return connect_as(((struct fabric *)arg)->path, 101, 2, 5672);
}

static int connect_as_102(void *arg)
{
    return connect_as(((struct fabric *)arg)->path, 102, 2, 5672);
}

static int connect_as_host(void *arg)
{
    return connect_as(((struct fabric *)arg)->path, 2, 2, 5672);
}

static int connect_as_103(void *arg)
{
    return connect_as(((struct fabric *)arg)->path, 103, 2, 5672);
}

static void test_owner_is_the_cid(void **state)
{
    needs_root();
    assert_int_equal(scratch_in_child(NOBODY, connect_as_101, *state), 0);
    assert_accepted(*state, 101);
    assert_int_equal(scratch_in_child(DAEMON, connect_as_102, *state), 0);
    assert_accepted(*state, 102);
}

static void test_root_may_be_anybody(void **state)
{
    needs_root();
    assert_int_equal(scratch_in_child(0, connect_as_101, *state), 0);
    assert_accepted(*state, 101);
}

static void test_others_are_told_so_when_connecting(void **state)
{
    struct vmci_peer peer;

    needs_root();
    assert_int_equal(scratch_in_child(NOBODY, connect_as_102, *state), EADDRNOTAVAIL);
    assert_int_equal(scratch_in_child(DAEMON, connect_as_101, *state), EADDRNOTAVAIL);
    assert_int_equal(scratch_in_child(NOBODY, connect_as_host, *state), EADDRNOTAVAIL);
    assert_int_equal(scratch_in_child(NOBODY, connect_as_103, *state),
                     EADDRNOTAVAIL); /* no folder, can't make it */
    assert_int_equal(vmci_accept(((struct fabric *)*state)->listener, &peer), -EAGAIN);
}

/* By hand: a socket bound to `name`, connected to the host's listener. 0 or an errno. */
static int forge(const char *name, const char *listener)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return errno;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", listener);
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
}

static int forge_in_foreign_folder(void *arg)
{
    const char *path = ((struct fabric *)arg)->path;

    return forge(scratch_path(path, "102/2000.stream"), scratch_path(path, "2/5672.stream"));
}

static int forge_elsewhere(void *arg)
{
    const char *path = ((struct fabric *)arg)->path;

    if (mkdir(scratch_path(path, "101/102"), 0755) < 0)
        return errno;
    return forge(scratch_path(path, "101/102/2000.stream"), scratch_path(path, "2/5672.stream"));
}

static int forge_by_relative_name(void *arg)
{
    const char *path = ((struct fabric *)arg)->path;

    if (chdir(scratch_path(path, "101")) < 0 || mkdir("x", 0755) < 0 || mkdir("x/102", 0755) < 0)
        return errno;
    return forge("./x/../x/102/2000.stream", scratch_path(path, "2/5672.stream"));
}

static void test_foreign_folder_can_not_be_bound_in(void **state)
{
    needs_root();
    assert_int_equal(scratch_in_child(NOBODY, forge_in_foreign_folder, *state), EACCES);
}

static void test_name_from_elsewhere_is_refused(void **state)
{
    needs_root();
    assert_int_equal(scratch_in_child(NOBODY, forge_elsewhere, *state), 0);
    assert_refused(*state, "the peer says CID 102, which is uid 1's, but it is uid 65534");
}

static void test_relative_name_is_refused(void **state)
{
    needs_root();
    assert_int_equal(scratch_in_child(NOBODY, forge_by_relative_name, *state), 0);
    assert_refused(*state, "the peer says CID 102");
}

static int write_file(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const ssize_t written = fd < 0 ? -1 : write(fd, text, strlen(text));

    if (fd >= 0)
        (void)close(fd);
    return written == (ssize_t)strlen(text) ? 0 : -1;
}

/* Root in a user namespace of its own, and free to mount. */
static int become_root_of_a_namespace(void)
{
    char uids[32];
    char gids[32];

    (void)snprintf(uids, sizeof(uids), "0 %u 1", geteuid());
    (void)snprintf(gids, sizeof(gids), "0 %u 1", getegid());
    if (prctl(PR_SET_DUMPABLE, 1) < 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return -1;
    if (write_file("/proc/self/setgroups", "deny") < 0 || write_file("/proc/self/uid_map", uids) < 0 ||
        write_file("/proc/self/gid_map", gids) < 0)
        return -1;
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* A fabric of its own over the real one: names are true to the letter, the user is called root. */
static int forge_by_mount(void *arg)
{
    const char *path = ((struct fabric *)arg)->path;
    const int real = open(scratch_path(path, "2"), O_PATH | O_DIRECTORY);
    char listener[64];

    if (real < 0 || become_root_of_a_namespace() < 0 || mount("tmpfs", path, "tmpfs", 0, "mode=755") < 0)
        return CANNOT_TRY;
    if (mkdir(scratch_path(path, "102"), 0711) < 0)
        return errno;
    (void)snprintf(listener, sizeof(listener), "/proc/self/fd/%d/5672.stream", real);
    return forge(scratch_path(path, "102/2000.stream"), listener);
}

static void test_fabric_of_ones_own_is_refused(void **state)
{
    int rc;

    needs_root();
    rc = scratch_in_child(NOBODY, forge_by_mount, *state);
    if (rc == CANNOT_TRY) {
        print_message("users may not make namespaces here\n");
        skip();
    }
    assert_int_equal(rc, 0);
    assert_refused(*state, "the peer says CID 102, which is uid 1's, but it is uid 65534");
}

static int forge_by_link(void *arg)
{
    const char *path = ((struct fabric *)arg)->path;

    if (symlink("101", scratch_path(path, "103")) < 0)
        return errno;
    return forge(scratch_path(path, "103/2000.stream"), scratch_path(path, "2/5672.stream"));
}

static void test_link_to_ones_own_folder_is_refused(void **state)
{
    struct fabric *fabric = *state;

    needs_root();
    assert_int_equal(chmod(fabric->path, 01777), 0); /* where everybody may make a link */
    assert_int_equal(scratch_in_child(NOBODY, forge_by_link, fabric), 0);
    assert_refused(fabric, "the peer says CID 103, which has no folder");
}

static int forge_without_folder(void *arg)
{
    const char *path = ((struct fabric *)arg)->path;

    if (mkdir(scratch_path(path, "101/104"), 0755) < 0)
        return errno;
    return forge(scratch_path(path, "101/104/2000.stream"), scratch_path(path, "2/5672.stream"));
}

static void test_cid_without_folder_is_refused(void **state)
{
    needs_root();
    assert_int_equal(scratch_in_child(NOBODY, forge_without_folder, *state), 0);
    assert_refused(*state, "the peer says CID 104, which has no folder");
}

/* In a user namespace where nobody has a number, all users look the same: also the owner of every folder. */
static int listen_where_all_users_look_the_same(void *arg)
{
    struct fabric *fabric = arg;
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:5673");
    struct vmci_settings settings = {.fabric = fabric->path, .local_cid = 2};
    struct vmci_listener *listener;
    struct vmci_peer peer;

    if (vmci_ambiguous_uid() != (uid_t)-1)
        return 1;
    if (unshare(CLONE_NEWUSER) < 0)
        return CANNOT_TRY;
    if (vmci_ambiguous_uid() != NOBODY)
        return 2;
    settings.report = scratch_report;
    settings.arg = &fabric->reports;
    if (vmci_listen(&endpoint, &settings, &listener, err, sizeof(err)) < 0)
        return 3;
    if (forge(scratch_path(fabric->path, "2/2000.stream"), scratch_path(fabric->path, "2/5673.stream")) != 0)
        return 4;
    if (vmci_accept(listener, &peer) != -EAGAIN || vmci_listener_refused(listener) != 1)
        return 5;
    return strstr(fabric->reports.text[VMCI_REPORT_REFUSED], "no number in our user namespace") ? 0 : 6;
}

static void test_users_without_number_are_refused(void **state)
{
    int rc;

    needs_root();
    rc = scratch_in_child(0, listen_where_all_users_look_the_same, *state);
    if (rc == CANNOT_TRY)
        skip();
    assert_int_equal(rc, 0);
}

static void test_false_host_is_found_out(void **state)
{
    struct fabric *fabric = *state;
    int fd;

    needs_root();
    assert_int_equal(chmod(scratch_path(fabric->path, "2"), 0777), 0); /* an operator's mistake */
    assert_int_equal(seteuid(NOBODY), 0);
    fd = scratch_unix_listener(scratch_path(fabric->path, "2/5674.stream"));
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(connect_as(fabric->path, 101, 2, 5674), EACCES);
    assert_non_null(strstr(err, "the peer says CID 2, which is uid 0's, but it is uid 65534"));
    (void)close(fd);
}

static int guest_to_guest_by_hand(void *arg)
{
    const char *path = ((struct fabric *)arg)->path;

    return forge(scratch_path(path, "102/2000.stream"), scratch_path(path, "101/7000.stream"));
}

static void test_guests_do_not_reach_each_other(void **state)
{
    struct fabric *fabric = *state;
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:7000");
    struct vmci_settings settings = {.fabric = fabric->path, .local_cid = 101, .report = scratch_report};

    needs_root();
    vmci_listener_close(fabric->listener);
    settings.arg = &fabric->reports;
    assert_int_equal(vmci_listen(&endpoint, &settings, &fabric->listener, err, sizeof(err)), 0);
    assert_int_equal(scratch_in_child(DAEMON, guest_to_guest_by_hand, fabric), 0);
    assert_refused(fabric, "CID 102 can't reach CID 101");
}

/* Listens as guest 101 at port 7000 and dies of it. */
static int listen_and_die(void *arg)
{
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:7000");
    const struct vmci_settings settings = {.fabric = ((struct fabric *)arg)->path, .local_cid = 101};
    struct vmci_listener *listener;

    return -vmci_listen(&endpoint, &settings, &listener, err, sizeof(err));
}

static void test_what_root_leaves_is_the_owners(void **state)
{
    struct fabric *fabric = *state;
    struct stat st;

    needs_root();
    assert_int_equal(scratch_in_child(0, listen_and_die, fabric), 0);
    assert_int_equal(stat(scratch_path(fabric->path, "101/7000.stream"), &st), 0);
    assert_int_equal(st.st_uid, NOBODY);
    assert_int_equal(scratch_in_child(NOBODY, listen_and_die, fabric), 0);
    assert_int_equal(scratch_in_child(0, listen_and_die, fabric), 0);
    assert_int_equal(scratch_in_child(DAEMON, listen_and_die, fabric), EADDRNOTAVAIL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_owner_is_the_cid),
        TEST(test_root_may_be_anybody),
        TEST(test_others_are_told_so_when_connecting),
        TEST(test_foreign_folder_can_not_be_bound_in),
        TEST(test_name_from_elsewhere_is_refused),
        TEST(test_relative_name_is_refused),
        TEST(test_fabric_of_ones_own_is_refused),
        TEST(test_link_to_ones_own_folder_is_refused),
        TEST(test_cid_without_folder_is_refused),
        TEST(test_users_without_number_are_refused),
        TEST(test_false_host_is_found_out),
        TEST(test_guests_do_not_reach_each_other),
        TEST(test_what_root_leaves_is_the_owners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
