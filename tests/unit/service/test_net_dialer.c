/* SPDX-License-Identifier: Apache-2.0 */
#include "dial_rig.h"
#include "service/net_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
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

#define FOREVER_MS 600000 /* who waited for this would not end while the test lasts */

/* A dial and its outcome, and three ports of 127.0.0.1: one that listens, one that refuses, one that is
 * silent. */
struct fixture {
    uv_loop_t loop;
    struct net_dialer *dialer;
    int outcome; /* descriptor or error code */
    unsigned calls;
    unsigned lates; /* before the outcome */
    char text[2048];
    unsigned redials;
    int listening, refusing;
    struct rig_silent silent;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->outcome = NOT_CALLED;
    fixture->listening = rig_listening();
    fixture->refusing = rig_refusing();
    rig_silent_open(&fixture->silent);
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
    close(fixture->listening);
    close(fixture->refusing);
    rig_silent_close(&fixture->silent);
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

static void on_late(void *ctx)
{
    struct fixture *fixture = ctx;

    assert_int_equal(fixture->calls, 0);
    fixture->lates++;
}

static void dial(struct fixture *fixture, const struct net_address *address, uint64_t timeout_ms)
{
    assert_int_equal(net_dial(&fixture->dialer, &fixture->loop, address, timeout_ms, on_dialed, fixture), 0);
    assert_int_equal(fixture->calls, 0); /* never from inside the call */
    net_dial_when_late(fixture->dialer, on_late);
}

/* Dials "name:PORT" as if the name had the addresses of these sockets. */
static void dial_sockets(struct fixture *fixture, const int *sockets, unsigned count, uint64_t timeout_ms)
{
    struct sockaddr_storage found[NET_DIALER_ADDRESSES] = {0};
    struct net_address address = rig_parse("broker:5672");

    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_in name = rig_name(sockets[i]);
        memcpy(&found[i], &name, sizeof(name));
    }
    assert_int_equal(net_dial_found(&fixture->dialer, &fixture->loop, &address, found, count, timeout_ms,
                                    on_dialed, fixture),
                     0);
    net_dial_when_late(fixture->dialer, on_late);
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
    struct net_address address = rig_address("127.0.0.1", fixture->listening);

    dial(fixture, &address, 5000);
    memset(&address, 0, sizeof(address)); /* it was copied */
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_connected_to(fixture, fixture->listening);
    assert_text(fixture, "127.0.0.1:%u", rig_port(fixture->listening));
}

static void a_name_is_looked_up(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = rig_address("localhost", fixture->listening);
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
    struct net_address address = rig_parse(text);
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
    struct net_address address = rig_address("127.0.0.1", fixture->refusing);

    dial(fixture, &address, 5000);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 1);
    assert_int_equal(fixture->outcome, -ECONNREFUSED);
    assert_text(fixture, "127.0.0.1:%u: connection refused", address.port);
}

static void silence_times_out(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = rig_address("127.0.0.1", fixture->silent.fd);
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
    assert_text(fixture, "broker:5672 (127.0.0.1:%u)", rig_port(fixture->listening));
}

static void the_next_address_is_tried_beside_one_that_is_silent(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->silent.fd, fixture->listening, fixture->refusing};
    const unsigned before = rig_descriptors();
    uint64_t started_ms = uv_hrtime() / 1000000;

    dial_sockets(fixture, sockets, 3, FOREVER_MS);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_true(uv_hrtime() / 1000000 - started_ms >= NET_HEAD_START_MS - 10);
    assert_connected_to(fixture, fixture->listening);
    assert_int_equal(fixture->lates, 0);
    assert_int_equal(rig_descriptors(), before + 1); /* who has lost is closed */
}

static void an_address_with_a_head_start_may_still_win(void **state)
{
    struct fixture *fixture = *state;
    struct rig_silent other;

    rig_silent_open(&other);
    const int sockets[] = {fixture->silent.fd, other.fd};
    dial_sockets(fixture, sockets, 2, FOREVER_MS);
    while (fixture->lates == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    rig_silent_wake(&fixture->silent);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 1);
    assert_true(fixture->outcome >= 0);
    assert_text(fixture, "broker:5672 (127.0.0.1:%u)", rig_port(fixture->silent.fd));
    rig_silent_close(&other);
}

static void each_error_is_told_when_all_fail(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->silent.fd, fixture->refusing};

    dial_sockets(fixture, sockets, 2, 500);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 1);
    assert_int_equal(fixture->outcome, -ETIMEDOUT);
    assert_text(fixture,
                "broker:5672 (127.0.0.1:%u): connection refused; broker:5672 (127.0.0.1:%u): "
                "connection timed out",
                rig_port(fixture->refusing), rig_port(fixture->silent.fd));
    assert_int_equal(fixture->lates, 1); /* when the last one was refused */
}

static void it_is_late_once_when_the_last_address_is_silent(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->refusing, fixture->silent.fd, fixture->silent.fd};

    dial_sockets(fixture, sockets, 3, 1000);
    while (fixture->lates == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(fixture->calls, 0);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->lates, 1);
    assert_int_equal(fixture->outcome, -ETIMEDOUT);
}

static void it_is_late_when_the_lookup_is_slow(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = rig_address("localhost", fixture->listening);

    rig_lookups_stop(&fixture->loop);
    dial(fixture, &address, FOREVER_MS);
    while (fixture->lates == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    rig_lookups_go();
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_connected_to(fixture, fixture->listening);
    assert_int_equal(fixture->lates, 1);
}

static void a_lookup_that_does_not_end_times_out(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = rig_address("localhost", fixture->listening);

    rig_lookups_stop(&fixture->loop);
    dial(fixture, &address, 100);
    while (fixture->calls == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(fixture->outcome, -ETIMEDOUT);
    assert_text(fixture, "localhost:%u: connection timed out", address.port);
    rig_lookups_go();
}

/* As when the whole machine was paused: all timers are due before anything is heard of the sockets. */
static void wake_and_pause(struct fixture *fixture)
{
    rig_silent_wake(&fixture->silent);
    for (uint64_t end_ms = uv_hrtime() / 1000000 + 1400; uv_hrtime() / 1000000 < end_ms;)
        usleep(10000);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 1);
    assert_true(fixture->outcome >= 0);
}

static void a_pause_does_not_use_up_a_head_start(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->silent.fd, fixture->listening};

    dial_sockets(fixture, sockets, 2, FOREVER_MS);
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    wake_and_pause(fixture);
    struct pollfd knock = {.fd = fixture->listening, .events = POLLIN};
    assert_int_equal(poll(&knock, 1, 0), 0); /* nobody has tried the second one */
}

static void a_pause_is_not_a_timeout(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = rig_address("127.0.0.1", fixture->silent.fd);

    dial(fixture, &address, 1200);
    while (fixture->lates == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    wake_and_pause(fixture);
}

static void a_name_that_does_not_resolve(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = rig_parse("name.invalid:5672");

    dial(fixture, &address, 20000);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 1);
    assert_in_range(-fixture->outcome, 3000, 3014); /* one of UV_EAI_... */
    assert_memory_equal(fixture->text, "name.invalid:5672: ", 19);
}

static void redial(void *ctx, int fd, const char *text)
{
    struct fixture *fixture = ctx;

    on_dialed(ctx, fd, text);
    if (fixture->redials++ < 3) {
        struct net_address address = rig_address("127.0.0.1", fixture->refusing);
        assert_int_equal(net_dial(&fixture->dialer, &fixture->loop, &address, 1000, redial, ctx), 0);
    }
}

static void the_callback_may_dial_again(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = rig_address("127.0.0.1", fixture->refusing);

    assert_int_equal(net_dial(&fixture->dialer, &fixture->loop, &address, 1000, redial, fixture), 0);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->calls, 4);
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
    unsigned turns = 0, before = rig_descriptors();

    do {
        struct cancelling cancelling = {.fixture = fixture, .turns_left = turns};
        fixture->calls = 0;
        if (sockets != NULL) {
            dial_sockets(fixture, sockets, 3, 60);
        } else {
            struct net_address address = rig_parse(text);
            dial(fixture, &address, 5000);
        }
        uv_check_init(&fixture->loop, &cancelling.check);
        cancelling.check.data = &cancelling;
        uv_check_start(&cancelling.check, on_check);
        uv_run(&fixture->loop, UV_RUN_DEFAULT);
        if (fixture->calls > 0 && fixture->outcome >= 0)
            close(fixture->outcome);
        fixture->outcome = NOT_CALLED;
        assert_int_equal(rig_descriptors(), before);
        turns++;
    } while (fixture->calls == 0);
    assert_in_range(turns, 3, 100);
}

static void cancel_at_every_turn_of_connecting(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->silent.fd, fixture->refusing, fixture->listening};

    cancel_at_every_turn(fixture, sockets, NULL);
}

static void cancel_at_every_turn_of_failing(void **state)
{
    struct fixture *fixture = *state;
    const int sockets[] = {fixture->refusing, fixture->silent.fd, fixture->silent.fd};

    cancel_at_every_turn(fixture, sockets, NULL);
}

static void cancel_during_a_lookup(void **state)
{
    struct fixture *fixture = *state;
    struct net_address address = rig_address("localhost", fixture->listening);

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
    struct net_address address = rig_address("127.0.0.1", fixture->listening);

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
        TEST(the_next_address_is_tried_beside_one_that_is_silent),
        TEST(an_address_with_a_head_start_may_still_win),
        TEST(each_error_is_told_when_all_fail),
        TEST(it_is_late_once_when_the_last_address_is_silent),
        TEST(it_is_late_when_the_lookup_is_slow),
        TEST(a_lookup_that_does_not_end_times_out),
        TEST(a_pause_does_not_use_up_a_head_start),
        TEST(a_pause_is_not_a_timeout),
        TEST(a_name_that_does_not_resolve),
        TEST(the_callback_may_dial_again),
        TEST(cancel_at_every_turn_of_connecting),
        TEST(cancel_at_every_turn_of_failing),
        TEST(cancel_during_a_lookup),
        TEST(cancel_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
