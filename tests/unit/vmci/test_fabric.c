/* SPDX-License-Identifier: Apache-2.0 */
/* The fabric's folders: where it is, who may be whom, how ports are called. */
#include "scratch.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmci/fabric.h"

static char err_text[TEXT_SIZE];
static const struct vmci_err err = {err_text, sizeof(err_text)};

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void test_folders_are_made_whatever_the_umask(void **state)
{
    const char *path = scratch_path(*state, "fabric");
    struct vmci_fabric fabric;
    struct vmci_folder folder;
    const mode_t before = umask(0077);

    assert_int_equal(vmci_fabric_open(&fabric, path, &err), 0);
    assert_false(vmci_fabric_has(&fabric, 101));
    assert_int_equal(vmci_fabric_enter(&fabric, 101, SOCK_STREAM, &folder, &err), 0);
    (void)umask(before);
    assert_true(vmci_fabric_has(&fabric, 101));
    assert_string_equal(fabric.path, path);
    assert_string_equal(folder.path, scratch_path(path, "101"));
    assert_int_equal(mode_of(path), 0755);
    assert_int_equal(mode_of(folder.path), 0711);
    (void)close(folder.fd);
    vmci_fabric_close(&fabric);
}

static void test_modes_of_the_operator_stay(void **state)
{
    const char *path = scratch_path(*state, "fabric");
    struct vmci_fabric fabric;
    struct vmci_folder folder;

    scratch_mkdir(path, 0711, geteuid());
    scratch_mkdir(scratch_path(path, "101"), 0750, geteuid());
    assert_int_equal(vmci_fabric_open(&fabric, path, &err), 0);
    assert_int_equal(vmci_fabric_enter(&fabric, 101, SOCK_STREAM, &folder, &err), 0);
    assert_int_equal(mode_of(path), 0711);
    assert_int_equal(mode_of(folder.path), 0750);
    (void)close(folder.fd);
    vmci_fabric_close(&fabric);
}

static void test_default_places(void **state)
{
    struct vmci_fabric fabric;

    assert_int_equal(setenv("VMCI_FABRIC", scratch_path(*state, "env"), 1), 0);
    assert_int_equal(vmci_fabric_open(&fabric, NULL, &err), 0);
    assert_string_equal(fabric.path, scratch_path(*state, "env"));
    vmci_fabric_close(&fabric);

    assert_int_equal(vmci_fabric_open(&fabric, scratch_path(*state, "own"), &err), 0);
    assert_string_equal(fabric.path, scratch_path(*state, "own"));
    vmci_fabric_close(&fabric);
    assert_int_equal(unsetenv("VMCI_FABRIC"), 0);
}

/* As somebody who is not root: root's place is /run, which is no place for a test. */
static int open_in_runtime_dir(void *arg)
{
    struct vmci_fabric fabric;

    if (setenv("XDG_RUNTIME_DIR", arg, 1) < 0 || vmci_fabric_open(&fabric, NULL, &err) < 0)
        return 1;
    if (strcmp(fabric.path, scratch_path(arg, "amqp-vsock/fabric")) != 0)
        return 2;
    if (unsetenv("XDG_RUNTIME_DIR") < 0 || vmci_fabric_open(&fabric, NULL, &err) != -ENOENT)
        return 3;
    return strstr(err_text, "XDG_RUNTIME_DIR") ? 0 : 4;
}

static void test_default_place_of_users(void **state)
{
    char *runtime = strdup(scratch_path(*state, "runtime"));
    const uid_t uid = geteuid() == 0 ? NOBODY : 0; /* 0: stay who we are */

    scratch_mkdir(runtime, 0700, uid ? uid : geteuid());
    assert_int_equal(scratch_in_child(uid, open_in_runtime_dir, runtime), 0);
    free(runtime);
}

static void test_path_must_leave_room_for_every_port(void **state)
{
    struct vmci_fabric fabric;
    char path[TEXT_SIZE];
    const size_t room =
        sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof("/4294967294/4294967294.stream");

    (void)snprintf(path, sizeof(path), "%s/%0*d", (const char *)*state, (int)(room - strlen(*state) - 1), 0);
    assert_int_equal(strlen(path), room);
    assert_int_equal(vmci_fabric_open(&fabric, path, &err), 0);
    vmci_fabric_close(&fabric);

    (void)snprintf(path, sizeof(path), "%s/%0*d", (const char *)*state, (int)(room - strlen(*state)), 0);
    assert_int_equal(vmci_fabric_open(&fabric, path, &err), -ENAMETOOLONG);
    assert_non_null(strstr(err_text, "at most 78 bytes"));
}

static void test_folders_that_everybody_may_write_to(void **state)
{
    struct vmci_fabric fabric;
    struct vmci_folder folder;
    const char *path = scratch_path(*state, "fabric");

    scratch_mkdir(path, 0777, geteuid());
    assert_int_equal(vmci_fabric_open(&fabric, path, &err), -EACCES);
    assert_non_null(strstr(err_text, "expected mode 0755"));
    assert_int_equal(chmod(path, 01777), 0);
    assert_int_equal(vmci_fabric_open(&fabric, path, &err), 0);
    scratch_mkdir(scratch_path(path, "101"), 0733, geteuid());
    assert_int_equal(vmci_fabric_enter(&fabric, 101, SOCK_STREAM, &folder, &err), -EADDRNOTAVAIL);
    assert_non_null(strstr(err_text, "expected mode 0711"));
    vmci_fabric_close(&fabric);
}

static void test_links_are_nobodys_folder(void **state)
{
    struct vmci_fabric fabric;
    struct vmci_folder folder;

    assert_int_equal(vmci_fabric_open(&fabric, *state, &err), 0);
    scratch_mkdir(scratch_path(*state, "mine"), 0711, geteuid());
    assert_int_equal(symlink("mine", scratch_path(*state, "101")), 0);
    assert_false(vmci_fabric_has(&fabric, 101));
    assert_int_equal(vmci_fabric_enter(&fabric, 101, SOCK_STREAM, &folder, &err), -EADDRNOTAVAIL);
    vmci_fabric_close(&fabric);
}

static void test_local_cid(void **state)
{
    uint32_t cid;

    (void)state;
    assert_int_equal(unsetenv("VMCI_CID"), 0);
    assert_int_equal(vmci_fabric_local_cid(0, &cid, &err), -EADDRNOTAVAIL);
    assert_non_null(strstr(err_text, "--cid"));
    assert_int_equal(vmci_fabric_local_cid(2, &cid, &err), 0);
    assert_int_equal(vmci_fabric_local_cid(1, &cid, &err), -EADDRNOTAVAIL);
    assert_int_equal(vmci_fabric_local_cid(VMCI_CID_ANY, &cid, &err), -EADDRNOTAVAIL);
    assert_int_equal(setenv("VMCI_CID", "101", 1), 0);
    assert_int_equal(vmci_fabric_local_cid(0, &cid, &err), 0);
    assert_int_equal(cid, 101);
    assert_int_equal(vmci_fabric_local_cid(102, &cid, &err), 0);
    assert_int_equal(cid, 102);
    assert_int_equal(setenv("VMCI_CID", "host", 1), 0);
    assert_int_equal(vmci_fabric_local_cid(0, &cid, &err), -EADDRNOTAVAIL);
    assert_non_null(strstr(err_text, "\"host\""));
    assert_int_equal(unsetenv("VMCI_CID"), 0);
}

static void test_who_may_talk_to_whom(void **state)
{
    (void)state;
    assert_true(vmci_fabric_allows(2, 2));
    assert_true(vmci_fabric_allows(2, 101));
    assert_true(vmci_fabric_allows(101, 2));
    assert_true(vmci_fabric_allows(101, 101));
    assert_false(vmci_fabric_allows(101, 102));
    assert_false(vmci_fabric_allows(2, 0));
    assert_false(vmci_fabric_allows(2, 1));
    assert_false(vmci_fabric_allows(101, 0));
    assert_false(vmci_fabric_allows(0, 2));
    assert_false(vmci_fabric_allows(2, VMCI_CID_ANY));
}

static bool parse(const char *path, size_t length, int type, uint32_t *cid, uint32_t *port)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, length);
    return vmci_fabric_parse_peer(&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length),
                                  type, cid, port);
}

static void test_peer_names(void **state)
{
    static const char *const bad[] = {
        "",
        "/",
        "101",
        "101/5",
        "5.stream",
        "/5.stream",
        "/101/5.dgram",
        "/101/5.stream.",
        "/101/.stream",
        "/101/x.stream",
        "/101/05.stream",
        "/101/-5.stream",
        "/101/ 5.stream",
        "/0101/5.stream",
        "/+101/5.stream",
        "/101/4294967295.stream",
        "/4294967295/5.stream",
        "/101//5.stream",
        "/101/./5.stream",
        "101/5.stream",
        "/101/5.stream/",
        "/101\\/5.stream",
    };
    char full[108];
    uint32_t cid = 0;
    uint32_t port = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(parse(bad[i], strlen(bad[i]) + 1, SOCK_STREAM, &cid, &port));
    assert_false(
        parse("\0/101/5.stream", sizeof("\0/101/5.stream"), SOCK_STREAM, &cid, &port)); /* abstract */
    assert_false(parse("/101/5.stream", 0, SOCK_STREAM, &cid, &port));
    assert_false(parse("/101/5.stream", sizeof("/101/5.stream") - 2, SOCK_STREAM, &cid, &port));

    assert_true(parse("/f/101/5.stream", sizeof("/f/101/5.stream"), SOCK_STREAM, &cid, &port));
    assert_int_equal(cid, 101);
    assert_int_equal(port, 5);
    assert_true(parse("x/102/4294967294.dgram", sizeof("x/102/4294967294.dgram"), SOCK_DGRAM, &cid, &port));
    assert_int_equal(cid, 102);
    assert_int_equal(port, 4294967294U);

    /* A path may fill sun_path to its last byte, without a NUL. */
    memset(full, 'f', sizeof(full));
    memcpy(full + sizeof(full) - strlen("/103/7.stream"), "/103/7.stream", strlen("/103/7.stream"));
    assert_true(parse(full, sizeof(full), SOCK_STREAM, &cid, &port));
    assert_int_equal(cid, 103);
    assert_int_equal(port, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folders_are_made_whatever_the_umask, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_modes_of_the_operator_stay, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_default_places, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_default_place_of_users, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_path_must_leave_room_for_every_port, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_folders_that_everybody_may_write_to, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_links_are_nobodys_folder, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_local_cid),
        cmocka_unit_test(test_who_may_talk_to_whom),
        cmocka_unit_test(test_peer_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
