/* SPDX-License-Identifier: Apache-2.0 */
/* Options of sockets on the fabric: what they say, what they take, what is agreed upon by two ends. */
#include "vsocket.h"

#include <sys/time.h>

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

static void test_sizes_as_in_the_guide(void **state)
{
    int fd;

    become(*state, 101);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(vsize(fd, SO_VMCI_BUFFER_SIZE), 65536);
    assert_int_equal(vsize(fd, SO_VMCI_BUFFER_MIN_SIZE), 128);
    assert_int_equal(vsize(fd, SO_VMCI_BUFFER_MAX_SIZE), 262144);
    vset_size(fd, SO_VMCI_BUFFER_SIZE, 32768);
    assert_int_equal(vsize(fd, SO_VMCI_BUFFER_SIZE), 32768);
    vset_size(fd, SO_VMCI_BUFFER_SIZE, 1 << 20);
    assert_int_equal(vsize(fd, SO_VMCI_BUFFER_SIZE), 262144);
    vset_size(fd, SO_VMCI_BUFFER_MAX_SIZE, 1 << 20);
    vset_size(fd, SO_VMCI_BUFFER_SIZE, 1 << 20);
    assert_int_equal(vsize(fd, SO_VMCI_BUFFER_SIZE), 1 << 20);
    vset_size(fd, SO_VMCI_BUFFER_MIN_SIZE, 1 << 21);
    assert_int_equal(vsize(fd, SO_VMCI_BUFFER_SIZE), 1 << 21);
    assert_int_equal(vmci_socket_close(fd), 0);
}

static int set(int fd, int name, const void *value, size_t length)
{
    return vmci_socket_set_option(fd, AF_VSOCK, name, value, (socklen_t)length);
}

static void test_sizes_must_be_64_bits(void **state)
{
    uint64_t size = 4096;
    socklen_t length = 4;
    int fd;

    become(*state, 101);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(set(fd, SO_VMCI_BUFFER_SIZE, &size, 4), -EINVAL);
    assert_int_equal(vmci_socket_get_option(fd, AF_VSOCK, SO_VMCI_BUFFER_SIZE, &size, &length), -EINVAL);
    assert_int_equal(vmci_socket_close(fd), 0);
}

static void test_connect_timeout(void **state)
{
    struct timeval timeout = {0};
    socklen_t length = sizeof(timeout);
    int fd;

    become(*state, 101);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(vmci_socket_get_option(fd, AF_VSOCK, SO_VMCI_CONNECT_TIMEOUT, &timeout, &length), 0);
    assert_int_equal(timeout.tv_sec, 2);
    assert_int_equal(timeout.tv_usec, 0);
    timeout = (struct timeval){.tv_sec = 7, .tv_usec = 500000};
    assert_int_equal(set(fd, SO_VMCI_CONNECT_TIMEOUT, &timeout, sizeof(timeout)), 0);
    timeout = (struct timeval){0};
    assert_int_equal(vmci_socket_get_option(fd, AF_VSOCK, SO_VMCI_CONNECT_TIMEOUT, &timeout, &length), 0);
    assert_int_equal(timeout.tv_sec, 7);
    assert_int_equal(timeout.tv_usec, 500000);
    timeout.tv_usec = 1000000;
    assert_int_equal(set(fd, SO_VMCI_CONNECT_TIMEOUT, &timeout, sizeof(timeout)), -ERANGE);
    timeout = (struct timeval){.tv_sec = -1};
    assert_int_equal(set(fd, SO_VMCI_CONNECT_TIMEOUT, &timeout, sizeof(timeout)), -ERANGE);
    assert_int_equal(set(fd, SO_VMCI_CONNECT_TIMEOUT, &timeout, 4), -EINVAL);
    timeout = (struct timeval){0};
    assert_int_equal(set(fd, SO_VMCI_CONNECT_TIMEOUT, &timeout, sizeof(timeout)), 0); /* the default again */
    assert_int_equal(vmci_socket_get_option(fd, AF_VSOCK, 8, &timeout, &length),
                     0); /* as newer programs ask */
    assert_int_equal(timeout.tv_sec, 2);
    assert_int_equal(vmci_socket_close(fd), 0);
}

static int get_int(int fd, int level, int name, int *value)
{
    socklen_t length = sizeof(*value);

    return vmci_socket_get_option(fd, level, name, value, &length);
}

static void test_what_a_socket_says_of_itself(void **state)
{
    int value;
    int fd;

    become(*state, 101);
    fd = vopen(SOCK_STREAM);
    assert_int_equal(get_int(fd, SOL_SOCKET, SO_DOMAIN, &value), 0);
    assert_int_equal(value, AF_VSOCK);
    assert_int_equal(get_int(fd, SOL_SOCKET, SO_PROTOCOL, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(get_int(fd, SOL_SOCKET, SO_TYPE, &value), 0);
    assert_int_equal(value, SOCK_STREAM);
    assert_int_equal(get_int(fd, AF_VSOCK, SO_VMCI_NONBLOCK_TXRX, &value), -ENOPROTOOPT);
    assert_int_equal(get_int(fd, AF_VSOCK, 99, &value), -ENOPROTOOPT);
    assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_NODELAY, &value), -ENOPROTOOPT);
    value = 1;
    assert_int_equal(vmci_socket_set_option(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)),
                     -ENOPROTOOPT);
    assert_int_equal(set(fd, SO_VMCI_TRUSTED, &value, sizeof(value)), -ENOPROTOOPT);
    assert_int_equal(vmci_socket_set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, &value, sizeof(value)),
                     -EOPNOTSUPP);
    assert_true(vmci_socket_is(fd));
    assert_int_equal(vmci_socket_close(fd), 0);
}

/* 1 + the option, of a socket that this user makes. */
static int trusted(void *arg)
{
    int value = -1;
    const int fd = vmci_socket_open(SOCK_STREAM, 0);

    (void)arg;
    return fd < 0 || get_int(fd, AF_VSOCK, SO_VMCI_TRUSTED, &value) < 0 ? 0 : 1 + value;
}

static void test_trusted_needs_the_capability(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root: a user with CAP_NET_ADMIN, and one without\n");
        skip();
    }
    assert_int_equal(scratch_in_child(0, trusted, NULL), 2);
    assert_int_equal(scratch_in_child(NOBODY, trusted, NULL), 1);
}

static void test_datagrams_have_no_options(void **state)
{
    uint64_t size = 4096;
    socklen_t length = sizeof(size);
    int fd;

    become(*state, 101);
    fd = vopen(SOCK_DGRAM);
    assert_int_equal(set(fd, SO_VMCI_BUFFER_SIZE, &size, sizeof(size)), -EOPNOTSUPP);
    assert_int_equal(vmci_socket_get_option(fd, AF_VSOCK, SO_VMCI_BUFFER_SIZE, &size, &length), -EOPNOTSUPP);
    assert_int_equal(vmci_socket_close(fd), 0);
}

struct ends {
    int listener;
    int client;
};

static struct ends open_ends(const char *fabric)
{
    struct ends ends;

    become(fabric, 2);
    ends.listener = vopen(SOCK_STREAM);
    assert_int_equal(vbind(ends.listener, VMADDR_CID_ANY, 5000), 0);
    become(fabric, 101);
    ends.client = vopen(SOCK_STREAM);
    return ends;
}

static void close_ends(const struct ends *ends)
{
    assert_int_equal(vmci_socket_close(ends->client), 0);
    assert_int_equal(vmci_socket_close(ends->listener), 0);
}

static void assert_agreed(const struct ends *ends, uint64_t size)
{
    int server;

    assert_int_equal(vmci_socket_listen(ends->listener, 1), 0);
    assert_int_equal(vconnect(ends->client, 2, 5000), 0);
    server = vaccept(ends->listener);
    assert_int_equal(vsize(ends->client, SO_VMCI_BUFFER_SIZE), size);
    assert_int_equal(vsize(server, SO_VMCI_BUFFER_SIZE), size);
    assert_int_equal(vmci_socket_close(server), 0);
}

static void test_the_clients_proposal_is_taken(void **state)
{
    const struct ends ends = open_ends(*state);

    vset_size(ends.client, SO_VMCI_BUFFER_SIZE, 12345);
    vset_size(ends.listener, SO_VMCI_BUFFER_SIZE, 54321);
    assert_agreed(&ends, 12345);
    close_ends(&ends);
    assert_int_equal(scratch_count(scratch_path(*state, "2")), 0); /* no note left either */
}

static void test_the_servers_size_stands_against_it(void **state)
{
    const struct ends ends = open_ends(*state);

    vset_size(ends.client, SO_VMCI_BUFFER_SIZE, 100000);
    vset_size(ends.listener, SO_VMCI_BUFFER_MAX_SIZE, 50000);
    vset_size(ends.listener, SO_VMCI_BUFFER_SIZE, 40000);
    assert_agreed(&ends, 40000);
    close_ends(&ends);
}

static void test_no_agreement_no_connection(void **state)
{
    const struct ends ends = open_ends(*state);

    vset_size(ends.client, SO_VMCI_BUFFER_SIZE, 100000);
    vset_size(ends.client, SO_VMCI_BUFFER_MIN_SIZE, 90000);
    vset_size(ends.listener, SO_VMCI_BUFFER_MAX_SIZE, 50000);
    assert_int_equal(vmci_socket_listen(ends.listener, 1), 0);
    assert_int_equal(vconnect(ends.client, 2, 5000), -EINVAL);
    assert_int_equal(vaccept(ends.listener), -EAGAIN);
    close_ends(&ends);
}

/* What was agreed upon bounds what the kernel holds: a writer is stopped before twice the size and its
 * overhead. */
static void test_the_size_has_effect(void **state)
{
    const struct ends ends = open_ends(*state);
    char block[1024] = "";
    size_t held = 0;
    int server;

    vset_size(ends.client, SO_VMCI_BUFFER_SIZE, 8192);
    assert_int_equal(vmci_socket_listen(ends.listener, 1), 0);
    assert_int_equal(vconnect(ends.client, 2, 5000), 0);
    server = vaccept(ends.listener);
    while (send(ends.client, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        held += sizeof(block);
    assert_int_equal(errno, EAGAIN);
    assert_in_range(held, 1024, 2 * 8192);
    assert_int_equal(vmci_socket_close(server), 0);
    close_ends(&ends);
}

static void test_the_host_learns_which_vm(void **state)
{
    const struct ends ends = open_ends(*state);
    int value = 0;
    int server;

    assert_int_equal(vmci_socket_listen(ends.listener, 1), 0);
    assert_int_equal(vconnect(ends.client, 2, 5000), 0);
    server = vaccept(ends.listener);
    assert_int_equal(get_int(server, AF_VSOCK, SO_VMCI_PEER_HOST_VM_ID, &value), 0);
    assert_int_equal(value, 101);
    assert_int_equal(get_int(ends.client, AF_VSOCK, SO_VMCI_PEER_HOST_VM_ID, &value), -ENOPROTOOPT);
    assert_int_equal(get_int(ends.listener, AF_VSOCK, SO_VMCI_PEER_HOST_VM_ID, &value), -ENOPROTOOPT);
    assert_int_equal(vmci_socket_close(server), 0);
    close_ends(&ends);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sizes_as_in_the_guide),
        TEST(test_sizes_must_be_64_bits),
        TEST(test_connect_timeout),
        TEST(test_what_a_socket_says_of_itself),
        TEST(test_trusted_needs_the_capability),
        TEST(test_datagrams_have_no_options),
        TEST(test_the_clients_proposal_is_taken),
        TEST(test_the_servers_size_stands_against_it),
        TEST(test_no_agreement_no_connection),
        TEST(test_the_size_has_effect),
        TEST(test_the_host_learns_which_vm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
