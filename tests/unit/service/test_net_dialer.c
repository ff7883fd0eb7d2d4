/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOT_CALLED = 1 << 30 };

/* A dial and its outcome, and three ports of 127.0.0.1: one that listens, one that refuses, one that is
 * silent. */
struct fixture {
    uv_loop_t loop;
    struct net_dialer *dialer;
    int outcome; /* descriptor or error code */
    unsigned calls;
    char text[1024];
    unsigned redials;
    int listening, refusing, silent;
    int fillers[4]; /* connections that fill the backlog of `silent` */
};

static struct sockaddr_in name_of(int fd)
{
    struct sockaddr_in name;
    socklen_t length = sizeof(name);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    return name;
}

static int bind_any(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    return fd;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->outcome = NOT_CALLED;
    fixture->listening = bind_any();
    fixture->refusing = bind_any();
    fixture->silent = bind_any();
    assert_int_equal(listen(fixture->listening, 16), 0);
    assert_int_equal(listen(fixture->silent, 0), 0);
    struct sockaddr_in silent = name_of(fixture->silent);
    for (size_t i = 0; i < 4; i++) {
        fixture->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fixture->fillers[i], (struct sockaddr *)&silent, sizeof(silent));
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    uv_run(&fixture->loop, UV_RUN_DEFAULT); /* ends only when every handle was closed */
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    if (fixture->outcome >= 0 && fixture->outcome != NOT_CALLED)
        close(fixture->outcome);
    for (size_t i = 0; i < 4; i++)
        close(fixture->fillers[i]);
    close(fixture->listening);
    close(fixture->refusing);
    close(fixture->silent);
    free(fixture);
    return 0;
}

static void on_dialed(void *ctx, int fd, const char *text)
{
    struct fixture *fixture = ctx;

    fixture->calls++;
    fixture->dialer = NULL;
    fixture->outcome = fd;
    snprintf(fixture->text, sizeof(fixture->text), "%s", text);
}

static struct net_address parse(const char *text)
{
    struct net_address address;
    char why[128];

    assert_int_equal(net_address_parse(&address, text, why, sizeof(why)), 0);
    return address;
}

static struct net_address address_of(const char *host, int fd)
{
    struct net_address address = {.kind = NET_TCP, .port = ntohs(name_of(fd).sin_port)};

    strcpy(address.host, host);
    return address;
}

static void dial(struct fixture *fixture, const struct net_address *address, uint64_t timeout_ms)
{
    assert_int_equal(net_dial(&fixture->dialer, &fixture->loop, address, timeout_ms, on_dialed, fixture), 0);
    assert_int_equal(fixture->calls, 0); /* never from inside the call */
}

/* Dials "name:PORT" as if the name had the addresses of these sockets. */
static void dial_sockets(struct fixture *fixture, const int *sockets, unsigned count, uint64_t timeout_ms)
{
    struct sockaddr_storage found[NET_DIALER_ADDRESSES] = {0};
    struct net_address address = parse("broker:5672");

    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_in name = name_of(sockets[i]);
        memcpy(&found[i], &name, sizeof(name));
    }
    assert_int_equal(net_dial_found(&fixture->dialer, &fixture->loop, &address, found, count, timeout_ms,
                                    on_dialed, fixture),
                     0);
}

static void assert_connected_to(struct fixture *fixture, int listener)
{
    int on = 0;
    socklen_t length = sizeof(on);
    char byte = 'x';

    assert_int_equal(fixture->calls, 1);
    assert_in_range(fixture->outcome, 0, 1 << 20);
    assert_true(fcntl(fixture->outcome, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fixture->outcome, F_GETFD) & FD_CLOEXEC);
    if (getsockopt(fixture->outcome, IPPROTO_TCP, TCP_NODELAY, &on, &length) == 0)
        assert_int_equal(on, 1);
    int server = accept(listener, NULL, NULL);
    assert_true(server >= 0);
    assert_int_equal(write(fixture->outcome, &byte, 1), 1);
    byte = 0;
    assert_int_equal(read(server, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(server);
}

static void assert_text(struct fixture *fixture, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void assert_text(struct fixture *fixture, const char *format, ...)
{
    char expected[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(expected, sizeof(expected), format, args);
    va_end(args);
    assert_string_equal(fixture->text, expected);
}

static void a_number_is_connected_to(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = address_of("127.0.0.1", fixture->listening);

    dial(fixture, &address, 5000);
    memset(&address, 0, sizeof(address)); /* it was copied */
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_connected_to(fixture, fixture->listening);
    assert_text(fixture, "127.0.0.1:%u", ntohs(name_of(fixture->listening).sin_port));
}

static void a_name_is_looked_up(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = address_of("localhost", fixture->listening);
    unsigned port = address.port;

    dial(fixture, &address, 5000);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_connected_to(fixture, fixture->listening);
    assert_text(fixture, "localhost:%u (127.0.0.1:%u)", port, port);
}

static void a_unix_socket_is_connected_to(void **state)
{
    struct fixture *fixture = *state;
    char folder[] = "/tmp/test_net_dialer.XXXXXX", text[80];
    int listener;

    assert_non_null(mkdtemp(folder));
    snprintf(text, sizeof(text), "unix:%s/socket", folder);
    struct net_address address = parse(text);
    assert_int_equal(net_listen(&address, 0600, &listener), 0);
    dial(fixture, &address, 5000);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_connected_to(fixture, listener);
    assert_text(fixture, "%s", text);
    close(fixture->outcome);
    close(listener);

    fixture->calls = 0;
    dial(fixture, &address, 5000); /* the file is still there, nobody listens */
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->outcome, -ECONNREFUSED);
    assert_text(fixture, "%s: connection refused", text);
    assert_int_equal(unlink(address.path), 0);

    fixture->calls = 0;
    dial(fixture, &address, 5000);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->outcome, -ENOENT);
    assert_int_equal(rmdir(folder), 0);
}

static void refused(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = address_of("127.0.0.1", fixture->refusing);

    dial(fixture, &address, 5000);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 1);
    assert_int_equal(fixture->outcome, -ECONNREFUSED);
    assert_text(fixture, "127.0.0.1:%u: connection refused", address.port);
}

static void silence_times_out(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = address_of("127.0.0.1", fixture->silent);
    uint64_t started_ms = uv_hrtime() / 1000000;

    dial(fixture, &address, 150);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_in_range(uv_hrtime() / 1000000 - started_ms, 140, 2000);
    assert_int_equal(fixture->calls, 1);
    assert_int_equal(fixture->outcome, -ETIMEDOUT);
    assert_text(fixture, "127.0.0.1:%u: connection timed out", address.port);
}

static void the_next_address_is_tried_when_one_refuses(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->refusing, fixture->refusing, fixture->listening};

    dial_sockets(fixture, sockets, 3, 5000);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_connected_to(fixture, fixture->listening);
    assert_text(fixture, "broker:5672 (127.0.0.1:%u)", ntohs(name_of(fixture->listening).sin_port));
}

static void the_next_address_is_tried_when_one_is_silent(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->silent, fixture->listening, fixture->refusing};
    uint64_t started_ms = uv_hrtime() / 1000000;

    dial_sockets(fixture, sockets, 3, 1500);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_in_range(uv_hrtime() / 1000000 - started_ms, 490, 1400); /* a third of the time */
    assert_connected_to(fixture, fixture->listening);
}

static void the_last_error_is_told_when_all_fail(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->silent, fixture->refusing};

    dial_sockets(fixture, sockets, 2, 100);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 1);
    assert_int_equal(fixture->outcome, -ECONNREFUSED);
    assert_text(fixture, "broker:5672 (127.0.0.1:%u): connection refused",
                ntohs(name_of(fixture->refusing).sin_port));
}

static void a_name_that_does_not_resolve(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = parse("name.invalid:5672");

    dial(fixture, &address, 20000);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 1);
    assert_in_range(-fixture->outcome, 3000, 3014); /* one of UV_EAI_... */
    assert_memory_equal(fixture->text, "name.invalid:5672: ", 19);
}

static void a_slow_lookup_times_out(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = parse("name.invalid:5672");

    dial(fixture, &address, 0); /* up before the lookup's answer can be heard */
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 1);
    assert_true(fixture->outcome == -ETIMEDOUT || fixture->outcome <= -3000);
}

static void redial(void *ctx, int fd, const char *text)
{
    struct fixture *fixture = ctx;

    on_dialed(ctx, fd, text);
    if (fixture->redials++ < 3) {
        struct net_address address = address_of("127.0.0.1", fixture->refusing);
        assert_int_equal(net_dial(&fixture->dialer, &fixture->loop, &address, 1000, redial, ctx), 0);
    }
}

static void the_callback_may_dial_again(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = address_of("127.0.0.1", fixture->refusing);

    assert_int_equal(net_dial(&fixture->dialer, &fixture->loop, &address, 1000, redial, fixture), 0);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 4);
}

static unsigned count_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

struct cancelling {
    struct fixture *fixture;
    uv_check_t check;
    unsigned turns_left;
};

/* Runs between the poll and the close callbacks of each turn of the loop. */
static void on_check(uv_check_t *check)
{
    struct cancelling *cancelling = check->data;

    if (cancelling->fixture->dialer != NULL && cancelling->turns_left-- == 0) {
        net_dial_cancel(cancelling->fixture->dialer);
        cancelling->fixture->dialer = NULL;
    }
    if (cancelling->fixture->dialer == NULL)
        uv_close((uv_handle_t *)check, NULL);
}

/* Cancels at each turn of the loop that a dial goes through, and expects silence and no descriptor left. */
static void cancel_at_every_turn(struct fixture *fixture, const int *sockets, const char *text)
{
    unsigned turns = 0, before = count_descriptors();

    do {
        struct cancelling cancelling = {.fixture = fixture, .turns_left = turns};
        fixture->calls = 0;
        if (sockets != NULL) {
            dial_sockets(fixture, sockets, 3, 60);
        } else {
            struct net_address address = parse(text);
            dial(fixture, &address, 5000);
        }
        uv_check_init(&fixture->loop, &cancelling.check);
        cancelling.check.data = &cancelling;
        uv_check_start(&cancelling.check, on_check);
        uv_run(&fixture->loop, UV_RUN_DEFAULT);
        if (fixture->calls > 0 && fixture->outcome >= 0)
            close(fixture->outcome);
        fixture->outcome = NOT_CALLED;
        assert_int_equal(count_descriptors(), before);
        turns++;
    } while (fixture->calls == 0);
    assert_in_range(turns, 3, 100);
}

static void cancel_at_every_turn_of_connecting(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->silent, fixture->refusing, fixture->listening};

    cancel_at_every_turn(fixture, sockets, NULL);
}

static void cancel_at_every_turn_of_failing(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->refusing, fixture->silent, fixture->silent};

    cancel_at_every_turn(fixture, sockets, NULL);
}

static void cancel_during_a_lookup(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = address_of("localhost", fixture->listening);

    for (unsigned i = 0; i < 8; i++) { /* more than libuv has threads: some lookups have not begun */
        dial(fixture, &address, 5000);
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        if (fixture->dialer != NULL)
            net_dial_cancel(fixture->dialer);
    }
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 0);
}

static void cancel_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = address_of("127.0.0.1", fixture->listening);

    dial(fixture, &address, 5000);
    net_dial_cancel(fixture->dialer);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_number_is_connected_to),
        TEST(a_name_is_looked_up),
        TEST(a_unix_socket_is_connected_to),
        TEST(refused),
        TEST(silence_times_out),
        TEST(the_next_address_is_tried_when_one_refuses),
        TEST(the_next_address_is_tried_when_one_is_silent),
        TEST(the_last_error_is_told_when_all_fail),
        TEST(a_name_that_does_not_resolve),
        TEST(a_slow_lookup_times_out),
        TEST(the_callback_may_dial_again),
        TEST(cancel_at_every_turn_of_connecting),
        TEST(cancel_at_every_turn_of_failing),
        TEST(cancel_during_a_lookup),
        TEST(cancel_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
