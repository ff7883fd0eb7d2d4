/* SPDX-License-Identifier: Apache-2.0 */
/* Hybrid VMs whose VMMs are different users, some of whom mean harm: as root only. */
#include "scratch.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char err[TEXT_SIZE];

struct host {
    char *folder; /* with vms/ in it */
    int vmms[2];
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
    host->vmms[0] = host->vmms[1] = -1;
    scratch_mkdir(scratch_path(folder, "vms"), 0755, geteuid());
    *state = host;
    return 0;
}

static int teardown(void **state)
{
    struct host *host = *state;
    void *folder = host->folder;

    for (int i = 0; i < 2; i++) {
        if (host->vmms[i] >= 0)
            (void)close(host->vmms[i]);
    }
    vmci_listener_close(host->listener);
    free(host);
    return scratch_teardown(&folder);
}

static void needs_root(void)
{
    if (geteuid() == 0)
        return;
    print_message("needs root: several users\n");
    skip();
}

static const char *in(const struct host *host, const char *name)
{
    return scratch_path(host->folder, "%s", name);
}

static int listen_to(struct host *host, const char *glob)
{
    const struct vmci_endpoint endpoint = scratch_endpoint("hybrid:%s/%s:5672", host->folder, glob);
    const struct vmci_settings settings = {.report = scratch_report, .arg = &host->reports};

    return vmci_listen(&endpoint, &settings, &host->listener, err, sizeof(err));
}

static void look(struct host *host)
{
    struct vmci_peer peer;

    while (scratch_readable(vmci_listener_fd(host->listener), 0))
        assert_int_equal(vmci_accept(host->listener, &peer), -EAGAIN);
}

/* A VM in a folder of that user, with its VMM's socket. */
static void start_vm(struct host *host, int index, const char *folder, uid_t owner)
{
    const char *path = scratch_path(host->folder, "%s/v.sock", folder);

    scratch_mkdir(in(host, folder), 0711, owner);
    host->vmms[index] = scratch_unix_listener(path);
    assert_int_equal(chown(path, owner, owner), 0);
}

static uid_t owner_of(const struct host *host, const char *name)
{
    struct stat st;

    assert_int_equal(lstat(in(host, name), &st), 0);
    return st.st_uid;
}

static int connect_to_101(void *arg)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in(arg, "vms/101/v.sock_5672"));
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
}

static void test_only_the_vmms_user_may_connect(void **state)
{
    struct host *host = *state;
    struct vmci_peer peer;
    struct stat st;

    needs_root();
    start_vm(host, 0, "vms/101", NOBODY);
    assert_int_equal(listen_to(host, "vms/*/v.sock"), 0);
    assert_int_equal(lstat(in(host, "vms/101/v.sock_5672"), &st), 0);
    assert_int_equal(st.st_uid, NOBODY);
    assert_int_equal(st.st_gid, NOBODY);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(scratch_in_child(DAEMON, connect_to_101, host), EACCES);
    assert_int_equal(scratch_in_child(NOBODY, connect_to_101, host), 0);
    assert_int_equal(close(vmci_accept(host->listener, &peer)), 0);
    assert_int_equal(peer.cid, 101);
    assert_int_equal(geteuid(), 0);
}

static void test_vmm_changes_its_user(void **state)
{
    struct host *host = *state;

    needs_root();
    start_vm(host, 0, "vms/101", NOBODY);
    assert_int_equal(listen_to(host, "vms/*/v.sock"), 0);
    assert_int_equal(chown(in(host, "vms/101"), DAEMON, DAEMON), 0);
    assert_int_equal(chown(in(host, "vms/101/v.sock"), DAEMON, DAEMON), 0);
    look(host);
    assert_int_equal(owner_of(host, "vms/101/v.sock_5672"), DAEMON);
    assert_int_equal(scratch_in_child(NOBODY, connect_to_101, host), EACCES);
    assert_int_equal(host->reports.count[VMCI_REPORT_TROUBLE], 0);
}

static void test_folder_that_the_vmm_may_not_write_to(void **state)
{
    struct host *host = *state;

    needs_root();
    start_vm(host, 0, "vms/101", NOBODY);
    assert_int_equal(chown(in(host, "vms/101"), 0, 0), 0);
    assert_int_equal(listen_to(host, "vms/*/v.sock"), 0);
    assert_int_equal(host->reports.count[VMCI_REPORT_TROUBLE], 1);
    assert_non_null(strstr(host->reports.text[VMCI_REPORT_TROUBLE], "Permission denied"));
    assert_int_equal(chown(in(host, "vms/101"), NOBODY, NOBODY), 0);
    look(host); /* told by the change of owner, without waiting for a second */
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_APPEARED], 1);
}

static int listen_without_root(void *arg)
{
    struct host *host = arg;
    struct vmci_peer peer;
    int turns = 0;

    if (listen_to(host, "vms/*/v.sock") < 0)
        return 1;
    if (host->reports.count[VMCI_REPORT_TROUBLE] != 1 || host->reports.count[VMCI_REPORT_VM_APPEARED] != 0)
        return 2;
    if (!strstr(host->reports.text[VMCI_REPORT_TROUBLE], "the VMM is another user"))
        return 3;
    /* To have failed is no event: it is tried again in a second, not in circles. */
    while (scratch_readable(vmci_listener_fd(host->listener), 0) &&
           vmci_accept(host->listener, &peer) == -EAGAIN) {
        if (++turns == 100)
            return 4;
    }
    return scratch_exists(in(host, "vms/101/v.sock_5672")) ? 5 : 0;
}

static void test_without_root_only_ones_own_vms(void **state)
{
    struct host *host = *state;

    needs_root();
    start_vm(host, 0, "vms/101", NOBODY);
    assert_int_equal(chmod(in(host, "vms/101"), 0777), 0);
    assert_int_equal(scratch_in_child(DAEMON, listen_without_root, host), 0);
}

/* 666 wants to be taken for 101: by a link to its folder, its socket, or its socket's name. */
static void test_vm_can_not_pass_for_another(void **state)
{
    struct host *host = *state;

    needs_root();
    scratch_mkdir(in(host, "vms/101"), 0755, NOBODY);
    start_vm(host, 0, "vms/101/run", NOBODY);
    scratch_mkdir(in(host, "vms/666"), 0755, DAEMON);
    assert_int_equal(symlink("../101/run", in(host, "vms/666/run")), 0);
    assert_int_equal(listen_to(host, "vms/*/run/v.sock"), 0);
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_APPEARED], 1);
    assert_non_null(strstr(host->reports.text[VMCI_REPORT_VM_APPEARED], "VM 101,"));

    assert_int_equal(unlink(in(host, "vms/666/run")), 0);
    scratch_mkdir(in(host, "vms/666/run"), 0755, DAEMON);
    assert_int_equal(link(in(host, "vms/101/run/v.sock"), in(host, "vms/666/run/v.sock")), 0);
    look(host); /* a hard link, where those are not protected: made as its owner, who may not write here */
    assert_int_equal(host->reports.count[VMCI_REPORT_VM_APPEARED], 1);
    assert_int_equal(host->reports.count[VMCI_REPORT_TROUBLE], 1);
    assert_int_equal(scratch_count(in(host, "vms/666/run")), 1);
}

static void test_root_follows_no_link_when_it_binds(void **state)
{
    struct host *host = *state;
    struct stat st;

    needs_root();
    (void)close(scratch_unix_listener(in(host, "roots.sock")));
    assert_int_equal(chmod(in(host, "roots.sock"), 0600), 0);
    start_vm(host, 0, "vms/101", NOBODY);
    assert_int_equal(symlink(in(host, "roots.sock"), in(host, "vms/101/v.sock_5672")), 0);
    start_vm(host, 1, "vms/102", NOBODY);
    assert_int_equal(link(in(host, "roots.sock"), in(host, "vms/102/v.sock_5672")), 0);
    assert_int_equal(listen_to(host, "vms/*/v.sock"), 0);
    assert_int_equal(lstat(in(host, "roots.sock"), &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(host->reports.count[VMCI_REPORT_TROUBLE], 1);   /* the link is in the way */
    assert_int_equal(owner_of(host, "vms/102/v.sock_5672"), NOBODY); /* a dead socket, replaced */
}

/* In a child, whose mounts are its own. */
static int one_folder_under_two_names(void *arg)
{
    struct host *host = arg;

    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(in(host, "vms/101"), in(host, "vms/102"), NULL, MS_BIND, NULL) < 0)
        return 125;
    if (listen_to(host, "vms/*/v.sock") < 0)
        return 1;
    if (host->reports.count[VMCI_REPORT_VM_APPEARED] != 1 || host->reports.count[VMCI_REPORT_TROUBLE] != 1)
        return 2;
    if (!strstr(host->reports.text[VMCI_REPORT_TROUBLE], "another folder under a second name"))
        return 3;
    vmci_listener_close(host->listener);
    return 0;
}

static void test_one_folder_under_two_names_is_served_once(void **state)
{
    struct host *host = *state;
    int rc;

    needs_root();
    start_vm(host, 0, "vms/101", 0);
    scratch_mkdir(in(host, "vms/102"), 0755, 0);
    rc = scratch_in_child(0, one_folder_under_two_names, host);
    if (rc == 125) {
        print_message("may not mount here\n");
        skip();
    }
    assert_int_equal(rc, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_only_the_vmms_user_may_connect),
        TEST(test_vmm_changes_its_user),
        TEST(test_folder_that_the_vmm_may_not_write_to),
        TEST(test_without_root_only_ones_own_vms),
        TEST(test_vm_can_not_pass_for_another),
        TEST(test_root_follows_no_link_when_it_binds),
        TEST(test_one_folder_under_two_names_is_served_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
