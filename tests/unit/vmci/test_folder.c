/* SPDX-License-Identifier: Apache-2.0 */
/* Names of sockets in a folder: dead ones are cleaned up, living ones never, whatever state they are in. */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmci/folder.h"

static struct vmci_folder open_folder(const char *path)
{
    struct vmci_folder folder = {.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
                                 .uid = geteuid(),
                                 .gid = getegid(),
                                 .socket_type = SOCK_STREAM};

    assert_true(folder.fd >= 0);
    (void)snprintf(folder.path, sizeof(folder.path), "%s", path);
    return folder;
}

static int new_socket(int type)
{
    const int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return fd;
}

/* Tries to take the name for a new socket; the socket is closed again. */
static int try_bind(const struct vmci_folder *folder, const char *name)
{
    struct vmci_name held;
    const int fd = new_socket(SOCK_STREAM);
    const int rc = vmci_folder_bind(folder, fd, name, 0666, &held);

    if (rc == 0)
        vmci_folder_unbind(folder, name, &held);
    (void)close(fd);
    return rc;
}

static void test_mode_does_not_depend_on_umask(void **state)
{
    const struct vmci_folder folder = open_folder(*state);
    struct vmci_name held;
    struct stat st;
    const int fd = new_socket(SOCK_STREAM);
    const mode_t before = umask(0077);

    assert_int_equal(vmci_folder_bind(&folder, fd, "a", 0666, &held), 0);
    (void)umask(before);
    assert_int_equal(stat(scratch_path(*state, "a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    assert_true(vmci_folder_holds(&folder, "a", &held));
    vmci_folder_unbind(&folder, "a", &held);
    assert_false(scratch_exists(scratch_path(*state, "a")));
    (void)close(fd);
    (void)close(folder.fd);
}

static void test_dead_name_is_replaced(void **state)
{
    const struct vmci_folder folder = open_folder(*state);

    (void)close(scratch_unix_listener(scratch_path(*state, "a")));
    assert_true(scratch_exists(scratch_path(*state, "a")));
    assert_int_equal(try_bind(&folder, "a"), 0);
    (void)close(folder.fd);
}

static void assert_alive(const struct vmci_folder *folder, const char *path, int fd)
{
    assert_int_equal(try_bind(folder, strrchr(path, '/') + 1), -EADDRINUSE);
    assert_true(scratch_exists(path));
    (void)close(fd);
    assert_int_equal(try_bind(folder, strrchr(path, '/') + 1), 0);
}

static void test_living_names_stay(void **state)
{
    const struct vmci_folder folder = open_folder(*state);
    const char *path = scratch_path(*state, "a");
    const int server = scratch_unix_listener(scratch_path(*state, "server"));
    int fd = scratch_unix_socket(path, SOCK_STREAM);

    assert_alive(&folder, path, fd); /* bound, no more */
    assert_alive(&folder, path, scratch_unix_listener(path));
    assert_alive(&folder, path, scratch_unix_socket(path, SOCK_SEQPACKET));

    fd = scratch_unix_socket(path, SOCK_STREAM);
    scratch_connect(fd, scratch_path(*state, "server"));
    assert_alive(&folder, path, fd); /* connected: it would refuse a connection as a dead one does */
    (void)close(server);
    (void)close(folder.fd);
}

static void test_asking_disturbs_nobody(void **state)
{
    const struct vmci_folder folder = open_folder(*state);
    const int listener = scratch_unix_listener(scratch_path(*state, "a"));

    for (int i = 0; i < 100; i++)
        assert_int_equal(try_bind(&folder, "a"), -EADDRINUSE);
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    (void)close(listener);
    (void)close(folder.fd);
}

static void test_datagram_names(void **state)
{
    struct vmci_folder folder = open_folder(*state);
    struct vmci_name held;
    const int alive = scratch_unix_socket(scratch_path(*state, "a"), SOCK_DGRAM);
    const int fd = new_socket(SOCK_DGRAM);

    folder.socket_type = SOCK_DGRAM;
    assert_int_equal(vmci_folder_bind(&folder, fd, "a", 0600, &held), -EADDRINUSE);
    (void)close(alive);
    assert_int_equal(vmci_folder_bind(&folder, fd, "a", 0600, &held), 0);
    (void)close(fd);
    (void)close(folder.fd);
}

static void test_other_files_stay(void **state)
{
    const struct vmci_folder folder = open_folder(*state);
    const int file = open(scratch_path(*state, "file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(file >= 0);
    (void)close(file);
    (void)close(scratch_unix_listener(scratch_path(*state, "dead")));
    assert_int_equal(symlink("dead", scratch_path(*state, "link")), 0);
    scratch_mkdir(scratch_path(*state, "folder"), 0755, geteuid());
    assert_int_equal(try_bind(&folder, "file"), -EADDRINUSE);
    assert_int_equal(try_bind(&folder, "link"), -EADDRINUSE);
    assert_int_equal(try_bind(&folder, "folder"), -EADDRINUSE);
    assert_int_equal(scratch_count(*state), 4);
    (void)close(folder.fd);
}

static void test_unbind_leaves_what_is_not_ours(void **state)
{
    const struct vmci_folder folder = open_folder(*state);
    struct vmci_name held;
    const int fd = new_socket(SOCK_STREAM);
    int other;

    assert_int_equal(vmci_folder_bind(&folder, fd, "a", 0666, &held), 0);
    assert_int_equal(unlink(scratch_path(*state, "a")), 0);
    assert_false(vmci_folder_holds(&folder, "a", &held));
    other = scratch_unix_listener(scratch_path(*state, "a"));
    assert_false(vmci_folder_holds(&folder, "a", &held));
    vmci_folder_unbind(&folder, "a", &held);
    assert_true(scratch_exists(scratch_path(*state, "a")));
    (void)close(other);
    (void)close(fd);
    (void)close(folder.fd);
}

static void test_lock_is_not_waited_for_without_end(void **state)
{
    struct vmci_folder folder = open_folder(*state);
    const int lock = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)close(scratch_unix_listener(scratch_path(*state, "a")));
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(try_bind(&folder, "a"), -EADDRINUSE);
    folder.lock_ms = 5;
    assert_int_equal(try_bind(&folder, "a"), -EADDRINUSE);
    assert_true(scratch_exists(scratch_path(*state, "a")));
    assert_int_equal(try_bind(&folder, "b"), 0); /* only cleaning up needs the lock */
    (void)close(lock);
    assert_int_equal(try_bind(&folder, "a"), 0);
    (void)close(folder.fd);
}

static void test_long_names(void **state)
{
    struct vmci_folder folder = open_folder(*state);
    char name[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

    memset(name, 'n', sizeof(name));
    name[sizeof(name) - strlen(*state) - 1] = '\0';
    assert_int_equal(try_bind(&folder, name), -ENAMETOOLONG);
    name[sizeof(name) - strlen(*state) - 2] = '\0';
    assert_int_equal(try_bind(&folder, name), 0);
    (void)close(folder.fd);
}

/* The race: many find the same dead name at the same time. */

#define RACERS 8

struct race {
    int start[2]; /* a byte for each racer */
    int said[2];  /* a byte from each: 'w' won, 'l' lost */
    int stop[2];  /* closed when the winner may let go */
};

static int run_racer(const struct vmci_folder *folder, struct race *race)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct vmci_name held;
    char byte;
    int rc;

    (void)close(race->stop[1]);
    if (fd < 0 || read(race->start[0], &byte, 1) != 1)
        return 1;
    rc = vmci_folder_bind(folder, fd, "a", 0666, &held);
    byte = rc == 0 ? 'w' : rc == -EADDRINUSE ? 'l' : '?';
    if (write(race->said[1], &byte, 1) != 1)
        return 2;
    return read(race->stop[0], &byte, 1) == 0 ? 0 : 3;
}

static void start_racers(const struct vmci_folder *folder, struct race *race)
{
    assert_int_equal(pipe2(race->start, O_CLOEXEC), 0);
    assert_int_equal(pipe2(race->said, O_CLOEXEC), 0);
    assert_int_equal(pipe2(race->stop, O_CLOEXEC), 0);
    for (int i = 0; i < RACERS; i++) {
        const pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
            _exit(run_racer(folder, race));
    }
    assert_int_equal(write(race->start[1], "12345678", RACERS), RACERS);
}

static void run_race(const struct vmci_folder *folder)
{
    struct race race;
    int won = 0;
    int lost = 0;

    start_racers(folder, &race);
    for (int i = 0; i < RACERS; i++) {
        char byte;

        assert_int_equal(read(race.said[0], &byte, 1), 1);
        won += byte == 'w';
        lost += byte == 'l';
    }
    (void)close(race.stop[1]);
    for (int i = 0; i < RACERS; i++) {
        int status = -1;

        assert_true(waitpid(-1, &status, 0) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(won, 1);
    assert_int_equal(lost, RACERS - 1);
    (void)close(race.stop[0]);
    for (int i = 0; i < 2; i++) {
        (void)close(race.start[i]);
        (void)close(race.said[i]);
    }
}

static void test_one_of_many_gets_a_dead_name(void **state)
{
    struct vmci_folder folder = open_folder(*state);

    folder.lock_ms = 1000;
    (void)close(scratch_unix_listener(scratch_path(*state, "a")));
    for (int i = 0; i < 20; i++)
        run_race(&folder); /* each leaves the next one a dead name */
    (void)close(folder.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mode_does_not_depend_on_umask, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_dead_name_is_replaced, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_living_names_stay, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_asking_disturbs_nobody, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_datagram_names, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_other_files_stay, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_unbind_leaves_what_is_not_ours, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_lock_is_not_waited_for_without_end, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_long_names, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_one_of_many_gets_a_dead_name, scratch_setup, scratch_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
