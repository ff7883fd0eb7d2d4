/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_FAILED 126

int scratch_setup(void **state)
{
    char *path = strdup("/tmp/vmci-test-XXXXXX");

    if (!path || !mkdtemp(path) || chmod(path, 0755) < 0)
        return -1;
    *state = path;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *position)
{
    (void)st;
    (void)type;
    (void)position;
    return remove(path);
}

int scratch_teardown(void **state)
{
    const int rc = nftw(*state, remove_entry, 16, FTW_DEPTH | FTW_PHYS);

    free(*state);
    return rc;
}

const char *scratch_path(const char *folder, const char *format, ...)
{
    static char buffers[8][TEXT_SIZE];
    static unsigned next;
    char *path = buffers[next++ % 8];
    int length = snprintf(path, TEXT_SIZE, "%s/", folder);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(path + length, TEXT_SIZE - (size_t)length, format, args);
    va_end(args);
    return path;
}

void scratch_mkdir(const char *path, mode_t mode, uid_t owner)
{
    assert_int_equal(mkdir(path, mode), 0);
    assert_int_equal(chmod(path, mode), 0);
    if (owner != geteuid())
        assert_int_equal(chown(path, owner, owner), 0);
}

static struct sockaddr_un unix_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

int scratch_unix_socket(const char *path, int type)
{
    const struct sockaddr_un address = unix_address(path);
    const int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

int scratch_unix_listener(const char *path)
{
    const int fd = scratch_unix_socket(path, SOCK_STREAM);

    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

void scratch_connect(int fd, const char *path)
{
    const struct sockaddr_un address = unix_address(path);

    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

bool scratch_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

size_t scratch_count(const char *path)
{
    DIR *stream = opendir(path);
    struct dirent *entry;
    size_t count = 0;

    assert_non_null(stream);
    while ((entry = readdir(stream)))
        count += entry->d_name[0] != '.';
    (void)closedir(stream);
    return count;
}

int scratch_in_child(uid_t uid, int (*fn)(void *arg), void *arg)
{
    int status = 0;
    const pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (uid != 0 && (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0))
            _exit(CHILD_FAILED);
        _exit(fn(arg));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), CHILD_FAILED);
    return WEXITSTATUS(status);
}

struct vmci_endpoint scratch_endpoint(const char *format, ...)
{
    struct vmci_endpoint endpoint;
    char text[TEXT_SIZE];
    char err[TEXT_SIZE];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert_int_equal(vmci_endpoint_parse(&endpoint, text, err, sizeof(err)), 0);
    return endpoint;
}

void scratch_report(void *arg, enum vmci_report what, const char *text)
{
    struct scratch_reports *reports = arg;

    reports->count[what]++;
    (void)snprintf(reports->text[what], TEXT_SIZE, "%s", text);
}

bool scratch_readable(int fd, int timeout_ms)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};

    return poll(&item, 1, timeout_ms) == 1 && (item.revents & POLLIN);
}

bool scratch_ended(int fd)
{
    char byte;
    const ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);

    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static void assert_carries(int from, int to, const char *word)
{
    char buffer[8] = "";

    assert_int_equal(send(from, word, 4, MSG_NOSIGNAL), 4);
    assert_int_equal(recv(to, buffer, sizeof(buffer), MSG_DONTWAIT), 4);
    assert_memory_equal(buffer, word, 4);
}

void scratch_assert_stream(int one, int other)
{
    assert_carries(one, other, "ping");
    assert_carries(other, one, "pong");
}
