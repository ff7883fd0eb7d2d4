/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/test_net_listen.XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/socket", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails when a test leaves something behind */
}

static struct net_address parse(const char *text)
{
    struct net_address address;
    char why[128];

    assert_int_equal(net_address_parse(&address, text, why, sizeof(why)), 0);
    return address;
}

static struct net_address unix_address(void)
{
    char text[80];

    snprintf(text, sizeof(text), "unix:%s", path);
    return parse(text);
}

static int connect_unix(const char *to)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    strcpy(name.sun_path, to);
    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static void assert_good_flags(int fd)
{
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void listen_on_port_0(const char *text, const char *name_format)
{
    struct net_address address = parse(text);
    char name[NET_NAME_MAX];
    unsigned port;
    int fd = -1;

    assert_int_equal(net_listen(&address, 0, &fd), 0);
    assert_good_flags(fd);
    assert_int_equal(sscanf(net_local_name(fd, name, sizeof(name)), name_format, &port), 1);
    assert_in_range(port, 1, 65535);
    assert_string_equal(net_peer_name(fd, name, sizeof(name)), "?");
    close(fd);
}

static void tcp_ports_are_chosen_and_named(void **state)
{
    (void)state;
    listen_on_port_0("127.0.0.1:0", "127.0.0.1:%u");
    listen_on_port_0("0.0.0.0:0", "0.0.0.0:%u");
}

/* Some containers have no IPv6. */
static void skip_without_ipv6(void)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool there = fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0;

    if (fd >= 0)
        close(fd);
    if (!there)
        skip();
}

static void ipv6_ports_are_chosen_and_named(void **state)
{
    (void)state;
    skip_without_ipv6();
    listen_on_port_0("[::1]:0", "[::1]:%u");
}

static void ipv6_leaves_ipv4_alone(void **state)
{
    struct net_address v6 = parse("[::1]:0");
    struct net_address v4 = parse("127.0.0.1:0");
    struct sockaddr_in6 name;
    socklen_t length = sizeof(name);
    int fd6, fd4, only = 0;

    (void)state;
    skip_without_ipv6();
    assert_int_equal(net_listen(&v6, 0, &fd6), 0);
    length = sizeof(only);
    assert_int_equal(getsockopt(fd6, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length), 0);
    assert_int_equal(only, 1);
    length = sizeof(name);
    assert_int_equal(getsockname(fd6, (struct sockaddr *)&name, &length), 0);
    v4.port = ntohs(name.sin6_port);
    assert_int_equal(net_listen(&v4, 0, &fd4), 0); /* the same port */
    close(fd4);
    close(fd6);
}

static void a_name_is_looked_up(void **state)
{
    struct net_address address = parse("localhost:0");
    char name[NET_NAME_MAX];
    int fd;

    (void)state;
    assert_int_equal(net_listen(&address, 0, &fd), 0);
    net_local_name(fd, name, sizeof(name));
    assert_true(strncmp(name, "127.0.0.1:", 10) == 0 || strncmp(name, "[::1]:", 6) == 0);
    close(fd);
}

static void a_port_in_use_is_an_error(void **state)
{
    struct net_address address = parse("127.0.0.1:0");
    struct sockaddr_in name;
    socklen_t length = sizeof(name);
    int first, second = -7;

    (void)state;
    assert_int_equal(net_listen(&address, 0, &first), 0);
    assert_int_equal(getsockname(first, (struct sockaddr *)&name, &length), 0);
    address.port = ntohs(name.sin_port);
    assert_int_equal(net_listen(&address, 0, &second), -EADDRINUSE);
    assert_int_equal(second, -7);
    close(first);
    assert_int_equal(net_listen(&address, 0, &second), 0);
    close(second);
}

static void a_name_that_does_not_resolve_is_an_error(void **state)
{
    struct net_address address = parse("name.invalid:1");
    int fd;

    (void)state;
    int error = net_listen(&address, 0, &fd);
    assert_true(error == UV_EAI_NONAME || error == UV_EAI_AGAIN || error == UV_EAI_FAIL ||
                error == UV_EAI_NODATA);
}

static void a_unix_socket_has_its_mode_and_name(void **state)
{
    struct net_address address = unix_address();
    char name[NET_NAME_MAX], expected[80];
    struct stat status;
    int fd;

    (void)state;
    snprintf(expected, sizeof(expected), "unix:%s", path);
    for (mode_t mode = 0600; mode <= 0666; mode += 066) {
        assert_int_equal(net_listen(&address, mode, &fd), 0);
        assert_good_flags(fd);
        assert_int_equal(lstat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, mode);
        assert_string_equal(net_local_name(fd, name, sizeof(name)), expected);
        net_unlink(fd);
        close(fd);
        assert_int_equal(lstat(path, &status), -1);
    }
}

static void a_unix_client_has_no_name(void **state)
{
    struct net_address address = unix_address();
    char name[NET_NAME_MAX];
    int fd;

    (void)state;
    assert_int_equal(net_listen(&address, 0600, &fd), 0);
    int client = connect_unix(path), server = accept(fd, NULL, NULL);
    assert_true(client >= 0 && server >= 0);
    assert_string_equal(net_peer_name(server, name, sizeof(name)), "unix");
    close(client);
    close(server);
    net_unlink(fd);
    close(fd);
}

static void a_stale_socket_is_replaced(void **state)
{
    struct net_address address = unix_address();
    int first, second;

    (void)state;
    assert_int_equal(net_listen(&address, 0600, &first), 0);
    close(first); /* as a process that was killed: the file stays */
    assert_int_equal(net_listen(&address, 0600, &second), 0);
    int client = connect_unix(path);
    assert_true(client >= 0);
    close(client);
    net_unlink(second);
    close(second);
}

static void a_live_socket_is_never_replaced(void **state)
{
    struct net_address address = unix_address();
    int first, second, client;

    (void)state;
    assert_int_equal(net_listen(&address, 0600, &first), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(net_listen(&address, 0600, &second), -EADDRINUSE);
    client = connect_unix(path);
    assert_true(client >= 0); /* still the first one's */
    close(client);
    net_unlink(first);
    close(first);
}

static void a_live_socket_with_a_full_backlog_is_never_replaced(void **state)
{
    struct net_address address = unix_address();
    int first, second, clients[8];

    (void)state;
    assert_int_equal(net_listen(&address, 0600, &first), 0);
    assert_int_equal(listen(first, 0), 0);
    for (size_t i = 0; i < 8; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        strcpy(name.sun_path, path);
        (void)connect(clients[i], (struct sockaddr *)&name, sizeof(name));
    }
    assert_int_equal(net_listen(&address, 0600, &second), -EADDRINUSE);
    for (size_t i = 0; i < 8; i++)
        close(clients[i]);
    net_unlink(first);
    close(first);
}

static void a_file_is_never_replaced(void **state)
{
    struct net_address address = unix_address();
    int fd, file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    (void)state;
    assert_int_equal(net_listen(&address, 0600, &fd), -ENOTSOCK);
    assert_int_equal(close(file), 0);
    assert_int_equal(unlink(path), 0); /* still there */
}

static void a_missing_folder_is_an_error(void **state)
{
    struct net_address address = parse("unix:/tmp/no/such/folder/socket");
    int fd;

    (void)state;
    assert_int_equal(net_listen(&address, 0600, &fd), -ENOENT);
}

static void the_lock_of_another_process_is_waited_for(void **state)
{
    struct net_address address = unix_address();
    int fd, lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(net_listen(&address, 0600, &fd), -EBUSY);
    close(lock);
    assert_int_equal(net_listen(&address, 0600, &fd), 0);
    net_unlink(fd);
    close(fd);
}

/* Processes that start together over one stale socket: one gets it, and it still works when all are through.
 */
static void one_of_many_gets_a_stale_socket(void **state)
{
    enum { PROCESSES = 8 };
    struct net_address address = unix_address();
    int fd, ready[2], go[2], winners = 0;
    char byte;
    pid_t pids[PROCESSES];

    (void)state;
    assert_int_equal(net_listen(&address, 0600, &fd), 0);
    close(fd);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            int result = net_listen(&address, 0600, &fd);
            byte = result == 0 ? 'w' : result == -EADDRINUSE ? 'l' : '?';
            if (write(ready[1], &byte, 1) != 1)
                _exit(1);
            close(go[1]);
            _exit(read(go[0], &byte, 1) == 0 ? 0 : 1); /* until the parent closes its end */
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(read(ready[0], &byte, 1), 1);
        assert_true(byte == 'w' || byte == 'l');
        winners += byte == 'w';
    }
    assert_int_equal(winners, 1);
    int client = connect_unix(path);
    assert_true(client >= 0);
    close(client);
    close(go[1]);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    close(go[0]);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(unlink(path), 0);
}

static void unlink_leaves_tcp_alone(void **state)
{
    struct net_address address = parse("127.0.0.1:0");
    char name[NET_NAME_MAX];
    int fd;

    (void)state;
    assert_int_equal(net_listen(&address, 0, &fd), 0);
    net_unlink(fd);
    net_unlink(-1);
    assert_memory_equal(net_local_name(fd, name, sizeof(name)), "127.0.0.1:", 10);
    close(fd);
    assert_string_equal(net_local_name(-1, name, sizeof(name)), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_ports_are_chosen_and_named),
        cmocka_unit_test(ipv6_ports_are_chosen_and_named),
        cmocka_unit_test(ipv6_leaves_ipv4_alone),
        cmocka_unit_test(a_name_is_looked_up),
        cmocka_unit_test(a_port_in_use_is_an_error),
        cmocka_unit_test(a_name_that_does_not_resolve_is_an_error),
        cmocka_unit_test(a_unix_socket_has_its_mode_and_name),
        cmocka_unit_test(a_unix_client_has_no_name),
        cmocka_unit_test(a_stale_socket_is_replaced),
        cmocka_unit_test(a_live_socket_is_never_replaced),
        cmocka_unit_test(a_live_socket_with_a_full_backlog_is_never_replaced),
        cmocka_unit_test(a_file_is_never_replaced),
        cmocka_unit_test(a_missing_folder_is_an_error),
        cmocka_unit_test(the_lock_of_another_process_is_waited_for),
        cmocka_unit_test(one_of_many_gets_a_stale_socket),
        cmocka_unit_test(unlink_leaves_tcp_alone),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
