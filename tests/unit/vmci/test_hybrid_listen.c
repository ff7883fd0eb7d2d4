/* SPDX-License-Identifier: Apache-2.0 */
/* Listening for hybrid VMs that are there, appear, vanish, move; with VMMs of our own. */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char err[TEXT_SIZE];

struct host {
    char *folder; /* with vms/ in it */
    struct vmci_settings settings;
    struct vmci_listener *listener;
    struct scratch_reports reports;
};

static int setup(void **state)
{
    struct host *host = calloc(1, sizeof(*host));
    void *folder;

    if (!host || scratch_setup(&folder) < 0)
        return -1;
    host->folder = folder;
    host->settings = (struct vmci_settings){.report = scratch_report, .arg = &host->reports};
    scratch_mkdir(scratch_path(folder, "vms"), 0755, geteuid());
    *state = host;
    return 0;
}

static int teardown(void **state)
{
    struct host *host = *state;
    void *folder = host->folder;

    vmci_listener_close(host->listener);
    free(host);
    return scratch_teardown(&folder);
}

static const char *in(const struct host *host, const char *name)
{
    return scratch_path(host->folder, "%s", name);
}

static void listen_to(struct host *host, const char *glob)
{
    const struct vmci_endpoint endpoint = scratch_endpoint("hybrid:%s/%s:5672", host->folder, glob);

    if (vmci_listen(&endpoint, &host->settings, &host->listener, err, sizeof(err)) < 0)
        fail_msg("listen: %s", err);
}

/* Lets the listener see what happened to the folders; nobody has connected. */
static void look(struct host *host)
{
    struct vmci_peer peer;

    while (scratch_readable(vmci_listener_fd(host->listener), 0))
        assert_int_equal(vmci_accept(host->listener, &peer), -EAGAIN);
}

/* A VMM starts: folder and socket. Returns what keeps the socket alive. */
static int start_vm(const struct host *host, const char *folder)
{
    scratch_mkdir(in(host, folder), 0755, geteuid());
    return scratch_unix_listener(scratch_path(host->folder, "%s/v.sock", folder));
}

static int guest_connects(const struct host *host, const char *port_file)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    scratch_connect(fd, in(host, port_file));
    return fd;
}

/* A stream through that socket comes out with that name and CID. */
static void assert_served(struct host *host, const char *port_file, const char *name, uint32_t cid)
{
    const int guest = guest_connects(host, port_file);
    struct vmci_peer peer;
    int fd;

    assert_true(scratch_readable(vmci_listener_fd(host->listener), 0));
    fd = vmci_accept(host->listener, &peer);
    assert_true(fd >= 0);
    assert_string_equal(peer.name, name);
    assert_int_equal(peer.cid, cid);
    assert_int_equal(peer.port, VMCI_PORT_ANY);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    scratch_assert_stream(guest, fd);
    (void)close(fd);
    (void)close(guest);
}

static void test_vm_that_is_there(void **state)
{
    struct host *host = *state;
    const int vmm = start_vm(host, "vms/101");
    struct stat st;

    listen_to(host, "vms/*/v.sock");
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_APPEARED], 1);
    assert_non_null(strstr(host->reports.text[VMCI_REPORT_VM_APPEARED], "VM 101, CID 101: "));
    assert_non_null(strstr(host->reports.text[VMCI_REPORT_VM_APPEARED], "/vms/101/v.sock_5672: listening"));
    assert_int_equal(lstat(in(host, "vms/101/v.sock_5672"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    look(host);
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_APPEARED], 1);

    vmci_listener_close(host->listener);
    host->listener = NULL;
    assert_false(scratch_exists(in(host, "vms/101/v.sock_5672")));
    assert_true(scratch_exists(in(host, "vms/101/v.sock")));
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_VANISHED], 0);
    (void)close(vmm);
}

static void test_vm_that_appears_and_vanishes(void **state)
{
    struct host *host = *state;
    int vmm;

    listen_to(host, "vms/*/v.sock");
    scratch_mkdir(in(host, "vms/web"), 0755, geteuid());
    look(host);
    assert_int_equal(scratch_count(in(host, "vms/web")), 0); /* a folder is not yet a VM */
    vmm = scratch_unix_listener(in(host, "vms/web/v.sock"));
    look(host);
    assert_served(host, "vms/web/v.sock_5672", "web", VMCI_CID_ANY);

    (void)close(vmm);
    look(host);
    assert_served(host, "vms/web/v.sock_5672", "web",
                  VMCI_CID_ANY); /* the socket's file counts, not its end */
    assert_int_equal(unlink(in(host, "vms/web/v.sock")), 0);
    look(host);
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_VANISHED], 1);
    assert_int_equal(scratch_count(in(host, "vms/web")), 0);
    vmm = scratch_unix_listener(in(host, "vms/web/v.sock"));
    look(host);
    assert_served(host, "vms/web/v.sock_5672", "web", VMCI_CID_ANY);
    (void)close(vmm);
}

static void test_folder_and_socket_at_once(void **state)
{
    struct host *host = *state;
    int vmms[2];

    listen_to(host, "vms/*/v.sock");
    vmms[0] = start_vm(host, "vms/101");
    vmms[1] = start_vm(host, "vms/102");
    look(host);
    assert_served(host, "vms/102/v.sock_5672", "102", 102);
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_APPEARED], 2);
    (void)close(vmms[0]);
    (void)close(vmms[1]);
}

static void test_parent_folders_that_come_late(void **state)
{
    struct host *host = *state;
    int vmm;

    listen_to(host, "a/b/vms/*/v.sock");
    scratch_mkdir(in(host, "a"), 0755, geteuid());
    look(host);
    scratch_mkdir(in(host, "a/b"), 0755, geteuid());
    scratch_mkdir(in(host, "a/b/vms"), 0755, geteuid());
    look(host);
    vmm = start_vm(host, "a/b/vms/101");
    look(host);
    assert_served(host, "a/b/vms/101/v.sock_5672", "101", 101);
    (void)close(vmm);
}

static void test_parent_folder_moves_away_and_back(void **state)
{
    struct host *host = *state;
    const int vmm = start_vm(host, "vms/101");

    listen_to(host, "vms/*/v.sock");
    assert_int_equal(rename(in(host, "vms"), in(host, "other")), 0);
    look(host);
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_VANISHED], 1);
    assert_false(scratch_exists(in(host, "other/101/v.sock_5672")));
    assert_int_equal(rename(in(host, "other"), in(host, "vms")), 0);
    look(host);
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    (void)close(vmm);
}

static void test_parent_folder_is_replaced_between_two_looks(void **state)
{
    struct host *host = *state;
    const int old = start_vm(host, "vms/101");
    int young;

    listen_to(host, "vms/*/v.sock");
    assert_int_equal(rename(in(host, "vms"), in(host, "other")), 0);
    scratch_mkdir(in(host, "vms"), 0755, geteuid());
    young = start_vm(host, "vms/102");
    look(host);
    assert_false(scratch_exists(in(host, "other/101/v.sock_5672")));
    assert_served(host, "vms/102/v.sock_5672", "102", 102);
    (void)close(old);
    (void)close(young);
}

static void test_vm_folder_is_renamed(void **state)
{
    struct host *host = *state;
    const int vmm = start_vm(host, "vms/101");

    listen_to(host, "vms/*/v.sock");
    assert_int_equal(rename(in(host, "vms/101"), in(host, "vms/102")), 0);
    look(host);
    assert_served(host, "vms/102/v.sock_5672", "102", 102);
    assert_int_equal(scratch_count(in(host, "vms/102")), 2);
    (void)close(vmm);
}

static void test_vmm_restarts_between_two_looks(void **state)
{
    struct host *host = *state;
    int vmm = start_vm(host, "vms/101");

    listen_to(host, "vms/*/v.sock");
    (void)close(vmm);
    assert_int_equal(unlink(in(host, "vms/101/v.sock")), 0);
    vmm = scratch_unix_listener(in(host, "vms/101/v.sock"));
    look(host);
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    (void)close(vmm);
}

static void test_our_socket_is_made_again_when_removed(void **state)
{
    struct host *host = *state;
    const int vmm = start_vm(host, "vms/101");

    listen_to(host, "vms/*/v.sock");
    assert_int_equal(unlink(in(host, "vms/101/v.sock_5672")), 0);
    look(host);
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    (void)close(vmm);
}

static void test_wildcard_in_the_last_component(void **state)
{
    struct host *host = *state;
    int vmms[2];

    listen_to(host, "vms/vm-*.sock*");
    vmms[0] = scratch_unix_listener(in(host, "vms/vm-101.sock"));
    vmms[1] = scratch_unix_listener(in(host, "vms/vm-a.sock"));
    look(host);
    look(host);
    assert_int_equal(scratch_count(in(host, "vms")), 4); /* no socket for a socket of ours */
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_APPEARED], 2);
    (void)close(vmms[0]);
    (void)close(vmms[1]);
}

static void test_names_from_several_wildcards(void **state)
{
    struct host *host = *state;
    int vmm;

    scratch_mkdir(in(host, "vms/fc-1.4"), 0755, geteuid());
    scratch_mkdir(in(host, "vms/fc-1.4/vm7"), 0755, geteuid());
    vmm = start_vm(host, "vms/fc-1.4/vm7/root");
    listen_to(host, "vms/fc-*/*/root/v.sock");
    assert_served(host, "vms/fc-1.4/vm7/root/v.sock_5672", "1.4/vm7", VMCI_CID_ANY);
    (void)close(vmm);
}

static void test_one_vm_by_name(void **state)
{
    struct host *host = *state;
    int vmm;

    listen_to(host, "vms/101/v.sock");
    vmm = start_vm(host, "vms/101");
    look(host);
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    (void)close(vmm);
}

static uint32_t cid_of(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "web") == 0 ? 1001 : VMCI_CID_ANY;
}

static void test_cids_by_the_callers_word(void **state)
{
    struct host *host = *state;
    const int web = start_vm(host, "vms/web");
    const int other = start_vm(host, "vms/101");

    host->settings.cid_of = cid_of;
    listen_to(host, "vms/*/v.sock");
    assert_served(host, "vms/web/v.sock_5672", "web", 1001);
    assert_served(host, "vms/101/v.sock_5672", "101", VMCI_CID_ANY);
    (void)close(web);
    (void)close(other);
}

static void test_cids_of_names_that_are_no_guests(void **state)
{
    struct host *host = *state;
    int vmms[3] = {start_vm(host, "vms/2"), start_vm(host, "vms/007"), start_vm(host, "vms/4294967295")};

    listen_to(host, "vms/*/v.sock");
    assert_served(host, "vms/2/v.sock_5672", "2", VMCI_CID_ANY);
    assert_served(host, "vms/007/v.sock_5672", "007", VMCI_CID_ANY);
    assert_served(host, "vms/4294967295/v.sock_5672", "4294967295", VMCI_CID_ANY);
    for (int i = 0; i < 3; i++)
        (void)close(vmms[i]);
}

static void test_what_is_no_vm(void **state)
{
    struct host *host = *state;
    const int elsewhere = start_vm(host, "elsewhere");
    int file;

    scratch_mkdir(in(host, "vms/file"), 0755, geteuid());
    file = open(in(host, "vms/file/v.sock"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    (void)close(file);
    scratch_mkdir(in(host, "vms/folder"), 0755, geteuid());
    scratch_mkdir(in(host, "vms/folder/v.sock"), 0755, geteuid());
    scratch_mkdir(in(host, "vms/link"), 0755, geteuid());
    assert_int_equal(symlink("../../elsewhere/v.sock", in(host, "vms/link/v.sock")), 0);
    assert_int_equal(symlink("../elsewhere", in(host, "vms/linked")),
                     0); /* its user could be taken for another */
    file = open(in(host, "vms/plain"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    (void)close(file);
    listen_to(host, "vms/*/v.sock");
    look(host);
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_APPEARED], 0);
    assert_int_equal(host->reports.count[VMCI_REPORT_TROUBLE], 0);
    assert_int_equal(scratch_count(in(host, "elsewhere")), 1);
    (void)close(elsewhere);
}

static void test_links_before_the_wildcard_are_followed(void **state)
{
    struct host *host = *state;
    const int vmm = start_vm(host, "vms/101");

    assert_int_equal(symlink("vms", in(host, "run")), 0);
    listen_to(host, "run/*/v.sock");
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    assert_int_equal(unlink(in(host, "run")), 0);
    look(host);
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_VANISHED], 1);
    (void)close(vmm);
}

static void test_dead_socket_of_ours_is_replaced(void **state)
{
    struct host *host = *state;
    const int vmm = start_vm(host, "vms/101");

    (void)close(scratch_unix_listener(in(host, "vms/101/v.sock_5672")));
    listen_to(host, "vms/*/v.sock");
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    (void)close(vmm);
}

static void test_living_socket_is_waited_for(void **state)
{
    struct host *host = *state;
    const int vmm = start_vm(host, "vms/101");
    const int older = scratch_unix_listener(in(host, "vms/101/v.sock_5672"));

    listen_to(host, "vms/*/v.sock"); /* while the host-proxy before us still drains */
    assert_int_equal(host->reports.count[VMCI_REPORT_TROUBLE], 1);
    assert_non_null(strstr(host->reports.text[VMCI_REPORT_TROUBLE], "somebody else listens there"));
    assert_int_equal(unlink(in(host, "vms/101/v.sock_5672")), 0);
    (void)close(older);
    look(host);
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    (void)close(vmm);
}

static void test_death_without_an_event_is_found_in_a_second(void **state)
{
    struct host *host = *state;
    const int vmm = start_vm(host, "vms/101");
    const int older = scratch_unix_listener(in(host, "vms/101/v.sock_5672"));

    listen_to(host, "vms/*/v.sock");
    (void)close(older); /* killed: its file stays */
    while (host->reports.count[VMCI_REPORT_VM_APPEARED] == 0) {
        assert_true(scratch_readable(vmci_listener_fd(host->listener), 3000));
        look(host); /* /tmp is busy: this need not be the timer yet */
    }
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    assert_int_equal(host->reports.count[VMCI_REPORT_TROUBLE], 1);
    (void)close(vmm);
}

static void test_lost_events_lose_nothing(void **state)
{
    struct host *host = *state;
    const int gone = start_vm(host, "vms/101");
    const int moved = start_vm(host, "vms/103");
    const char *noise = in(host, "vms/noise");
    int limit = 0;
    int late;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &limit), 1);
    (void)fclose(file);
    if (limit > 100000)
        skip();
    listen_to(host, "vms/*/v.sock");
    for (int i = 0; i <= limit / 2; i++) {
        assert_int_equal(mkdir(noise, 0755), 0);
        assert_int_equal(rmdir(noise), 0);
    }
    late = start_vm(host, "vms/102");
    assert_int_equal(unlink(in(host, "vms/101/v.sock")), 0);
    assert_int_equal(rename(in(host, "vms/103"), in(host, "moved")), 0);
    look(host);
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_VANISHED], 2);
    assert_int_equal(scratch_count(in(host, "moved")), 1);
    assert_served(host, "vms/102/v.sock_5672", "102", 102);
    (void)close(gone);
    (void)close(moved);
    (void)close(late);
}

static void test_vms_take_turns(void **state)
{
    enum { EACH = 8 };
    struct host *host = *state;
    const int vmms[2] = {start_vm(host, "vms/101"), start_vm(host, "vms/102")};
    int guests[2 * EACH];
    int taken[2] = {0, 0};

    listen_to(host, "vms/*/v.sock");
    for (int i = 0; i < EACH; i++)
        guests[i] = guest_connects(host, "vms/101/v.sock_5672");
    for (int i = EACH; i < 2 * EACH; i++)
        guests[i] = guest_connects(host, "vms/102/v.sock_5672");
    for (int i = 0; i < 2 * EACH; i++) {
        struct vmci_peer peer;

        assert_int_equal(close(vmci_accept(host->listener, &peer)), 0);
        taken[peer.cid - 101]++;
        assert_in_range(taken[0] - taken[1] + 1, 0, 2);
    }
    for (int i = 0; i < 2 * EACH; i++)
        (void)close(guests[i]);
    (void)close(vmms[0]);
    (void)close(vmms[1]);
}

static void test_buffers(void **state)
{
    struct host *host = *state;
    const int vmm = start_vm(host, "vms/101");
    struct vmci_peer peer;
    socklen_t length = sizeof(int);
    int size = 0;
    int guest;
    int fd;

    host->settings.buffer_bytes = 16384;
    listen_to(host, "vms/*/v.sock");
    guest = guest_connects(host, "vms/101/v.sock_5672");
    fd = vmci_accept(host->listener, &peer);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length), 0);
    assert_int_equal(size, 2 * 16384);
    (void)close(fd);
    (void)close(guest);
    (void)close(vmm);
}

/* Lowers the limit to the descriptors that are open. */
static void use_up_descriptors(void)
{
    const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct rlimit limit;

    (void)close(next);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)next;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* In a child, which keeps the limit to itself. */
static int run_out_of_descriptors(void *arg)
{
    struct host *host = arg;
    const int guests[2] = {guest_connects(host, "vms/101/v.sock_5672"),
                           guest_connects(host, "vms/101/v.sock_5672")};
    struct vmci_peer peer;

    use_up_descriptors();
    if (vmci_accept(host->listener, &peer) != -EMFILE)
        return 1;
    if (vmci_listener_refused(host->listener) != 2 || host->reports.count[VMCI_REPORT_REFUSED] != 1)
        return 2;
    if (!strstr(host->reports.text[VMCI_REPORT_REFUSED], "closed 2 streams"))
        return 3;
    if (!scratch_ended(guests[0]) || !scratch_ended(guests[1]))
        return 4;
    if (vmci_accept(host->listener, &peer) != -EAGAIN)
        return 5;
    (void)close(guests[0]);
    (void)close(guests[1]);
    if (close(vmci_accept(host->listener, &peer)) == 0)
        return 6;
    if (guest_connects(host, "vms/101/v.sock_5672") < 0 || vmci_accept(host->listener, &peer) < 0)
        return 7;
    return 0;
}

static void test_without_descriptors_streams_are_shed(void **state)
{
    struct host *host = *state;
    const int vmm = start_vm(host, "vms/101");

    listen_to(host, "vms/*/v.sock");
    assert_int_equal(scratch_in_child(0, run_out_of_descriptors, host), 0);
    assert_served(host, "vms/101/v.sock_5672", "101", 101);
    (void)close(vmm);
}

static void test_names_too_long_for_a_socket(void **state)
{
    struct host *host = *state;
    char name[121];
    int vmm;

    memset(name, 'v', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(chdir(in(host, "vms")), 0);
    scratch_mkdir("101", 0755, geteuid());
    vmm = scratch_unix_listener("101/v");
    assert_int_equal(rename("101/v", scratch_path("101", "%s", name)), 0);
    assert_int_equal(chdir("/"), 0);
    listen_to(host, "vms/*/v*");
    assert_int_equal(host->reports.count[VMCI_REPORT_TROUBLE], 1);
    assert_non_null(strstr(host->reports.text[VMCI_REPORT_TROUBLE], "File name too long"));
    (void)close(vmm);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_vm_that_is_there),
        TEST(test_vm_that_appears_and_vanishes),
        TEST(test_folder_and_socket_at_once),
        TEST(test_parent_folders_that_come_late),
        TEST(test_parent_folder_moves_away_and_back),
        TEST(test_parent_folder_is_replaced_between_two_looks),
        TEST(test_vm_folder_is_renamed),
        TEST(test_vmm_restarts_between_two_looks),
        TEST(test_our_socket_is_made_again_when_removed),
        TEST(test_wildcard_in_the_last_component),
        TEST(test_names_from_several_wildcards),
        TEST(test_one_vm_by_name),
        TEST(test_cids_by_the_callers_word),
        TEST(test_cids_of_names_that_are_no_guests),
        TEST(test_what_is_no_vm),
        TEST(test_links_before_the_wildcard_are_followed),
        TEST(test_dead_socket_of_ours_is_replaced),
        TEST(test_living_socket_is_waited_for),
        TEST(test_death_without_an_event_is_found_in_a_second),
        TEST(test_lost_events_lose_nothing),
        TEST(test_vms_take_turns),
        TEST(test_buffers),
        TEST(test_without_descriptors_streams_are_shed),
        TEST(test_names_too_long_for_a_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
