/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net.h"

#include "service/daemon.h"

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
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_CLIENTS = 200 };

/* A listener on 127.0.0.1, its acceptor, and what came of it. */
struct fixture {
    uv_loop_t loop;
    struct net_acceptor acceptor;
    struct sockaddr_in name;
    int listener;
    int clients[MAX_CLIENTS];
    unsigned clients_count;
    int accepted[MAX_CLIENTS];
    unsigned accepted_count;
    unsigned accept_calls;
    unsigned pause_after; /* accepted connections; 0: never */
    unsigned close_after;
    unsigned closed;
    const int *script; /* results of accept, ended by 0; NULL: really accept */
};

static void on_connection(void *ctx, int fd)
{
    struct fixture *fixture = ctx;

    assert_true(fixture->accepted_count < MAX_CLIENTS);
    fixture->accepted[fixture->accepted_count++] = fd;
    if (fixture->accepted_count == fixture->pause_after)
        net_acceptor_pause(&fixture->acceptor);
    if (fixture->accepted_count == fixture->close_after)
        net_acceptor_close(&fixture->acceptor, NULL);
}

static int scripted_accept(void *ctx)
{
    struct fixture *fixture = ctx;

    fixture->accept_calls++;
    if (fixture->script != NULL && *fixture->script != 0)
        return *fixture->script++;
    int fd = accept4(fixture->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static int open_acceptor(struct fixture *fixture, net_accept_fn accept_function)
{
    const struct net_acceptor_options options = {
        .fd = fixture->listener,
        .object = "listener=test",
        .accept = accept_function,
        .connection = on_connection,
        .ctx = fixture,
    };

    return net_acceptor_open(&fixture->acceptor, &fixture->loop, &options);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct net_address address;
    char why[128];
    socklen_t length = sizeof(fixture->name);

    assert_non_null(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(net_address_parse(&address, "127.0.0.1:0", why, sizeof(why)), 0);
    assert_int_equal(net_listen(&address, 0, &fixture->listener), 0);
    assert_int_equal(getsockname(fixture->listener, (struct sockaddr *)&fixture->name, &length), 0);
    *state = fixture;
    return 0;
}

static void on_closed(struct net_acceptor *acceptor)
{
    struct fixture *fixture = acceptor->options.ctx;

    fixture->closed++;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    net_acceptor_close(&fixture->acceptor, on_closed);
    uv_run(&fixture->loop, UV_RUN_DEFAULT); /* ends only when every handle was closed */
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    for (unsigned i = 0; i < fixture->clients_count; i++)
        close(fixture->clients[i]);
    for (unsigned i = 0; i < fixture->accepted_count; i++)
        close(fixture->accepted[i]);
    close(fixture->listener);
    log_set_fd(STDERR_FILENO);
    free(fixture);
    return 0;
}

static void add_clients(struct fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&fixture->name, sizeof(fixture->name)), 0);
        fixture->clients[fixture->clients_count++] = fd;
    }
}

static void stop_loop(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* Runs the loop for a while. */
static void run_ms(struct fixture *fixture, uint64_t ms)
{
    uv_timer_t timer;

    uv_update_time(&fixture->loop);
    uv_timer_init(&fixture->loop, &timer);
    uv_timer_start(&timer, stop_loop, ms, 0);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static void run_until_accepted(struct fixture *fixture, unsigned count)
{
    for (unsigned waited = 0; fixture->accepted_count < count && waited < 5000; waited += 20)
        run_ms(fixture, 20);
    assert_int_equal(fixture->accepted_count, count);
}

static void connections_are_accepted(void **state)
{
    struct fixture *fixture = *state;
    int on = 0;
    socklen_t length = sizeof(on);

    assert_int_equal(open_acceptor(fixture, NULL), 0);
    add_clients(fixture, 100); /* more than one wake takes */
    assert_int_equal(fixture->accepted_count, 0);
    run_until_accepted(fixture, 100);
    assert_true(fcntl(fixture->accepted[99], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fixture->accepted[99], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(getsockopt(fixture->accepted[99], IPPROTO_TCP, TCP_NODELAY, &on, &length), 0);
    assert_int_equal(on, 1);
}

static void one_wake_accepts_a_bounded_number(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(open_acceptor(fixture, NULL), 0);
    add_clients(fixture, 100);
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_in_range(fixture->accepted_count, 1, 50);
    run_until_accepted(fixture, 100);
}

static void the_accept_function_is_used(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(open_acceptor(fixture, scripted_accept), 0);
    add_clients(fixture, 3);
    run_until_accepted(fixture, 3);
    assert_int_equal(fixture->accept_calls, 4); /* the last says that none waits */
}

static void errors_of_one_connection_are_skipped(void **state)
{
    static const int script[] = {-ECONNABORTED, -EPROTO, -EINTR, -EHOSTUNREACH, -EPERM, 0};
    struct fixture *fixture = *state;

    fixture->script = script;
    assert_int_equal(open_acceptor(fixture, scripted_accept), 0);
    add_clients(fixture, 1);
    uv_run(&fixture->loop, UV_RUN_ONCE); /* no pause, no second wake */
    assert_int_equal(fixture->accepted_count, 1);
}

static void each_kind_of_shortage_pauses(void **state)
{
    static const int shortages[] = {-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM, -EBADF};
    struct fixture *fixture = *state;
    int script[2] = {0, 0};

    log_set_fd(-1);
    assert_int_equal(open_acceptor(fixture, scripted_accept), 0);
    for (unsigned i = 0; i < sizeof(shortages) / sizeof(shortages[0]); i++) {
        script[0] = shortages[i];
        fixture->script = script;
        add_clients(fixture, 1);
        while (fixture->script == script)
            uv_run(&fixture->loop, UV_RUN_ONCE);
        assert_int_equal(fixture->acceptor.state, NET_ACCEPT_STARVED);
        assert_int_equal(fixture->accepted_count, i);
        run_until_accepted(fixture, i + 1);
    }
}

static unsigned count_lines(int fd, char *text, size_t size)
{
    ssize_t length = read(fd, text, size - 1);
    unsigned lines = 0;

    text[length > 0 ? length : 0] = '\0';
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    return lines;
}

/* The real thing: no descriptor left, for a while. */
static void without_descriptors_it_pauses_and_recovers(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before, now;
    int log_ends[2];
    char text[4096];

    assert_int_equal(pipe2(log_ends, O_NONBLOCK | O_CLOEXEC), 0);
    log_set_fd(log_ends[1]);
    assert_int_equal(open_acceptor(fixture, scripted_accept), 0);
    add_clients(fixture, 20);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = (rlim_t)fixture->clients[19] + 1 + 5; /* five more */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);

    run_ms(fixture, 550);
    assert_int_equal(fixture->accepted_count, 5);
    assert_int_equal(fixture->acceptor.state, NET_ACCEPT_STARVED);
    assert_in_range(fixture->accept_calls, 7, 5 + 8); /* one try each 100 ms: no spinning */
    assert_int_equal(count_lines(log_ends[0], text, sizeof(text)), 1);
    assert_non_null(strstr(text, " warning listener=test accepting pauses error=\"too many open files\""));

    close(fixture->accepted[--fixture->accepted_count]); /* one session ends */
    run_until_accepted(fixture, 5);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    run_until_accepted(fixture, 19); /* all the others */
    assert_int_equal(fixture->acceptor.state, NET_ACCEPTING);
    log_set_fd(STDERR_FILENO);
    close(log_ends[0]);
    close(log_ends[1]);
}

static void pause_and_resume(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(open_acceptor(fixture, NULL), 0);
    net_acceptor_resume(&fixture->acceptor); /* nothing to resume */
    fixture->pause_after = 2;
    add_clients(fixture, 5);
    run_ms(fixture, 150);
    assert_int_equal(fixture->accepted_count, 2); /* in the middle of a wake */
    net_acceptor_pause(&fixture->acceptor);
    net_acceptor_resume(&fixture->acceptor);
    run_until_accepted(fixture, 5);
}

static void a_pause_outlasts_a_shortage(void **state)
{
    static const int script[] = {-EMFILE, 0};
    struct fixture *fixture = *state;

    log_set_fd(-1);
    fixture->script = script;
    assert_int_equal(open_acceptor(fixture, scripted_accept), 0);
    add_clients(fixture, 1);
    run_ms(fixture, 20);
    assert_int_equal(fixture->acceptor.state, NET_ACCEPT_STARVED);
    net_acceptor_pause(&fixture->acceptor);
    run_ms(fixture, 250);
    assert_int_equal(fixture->accept_calls, 1);
    net_acceptor_resume(&fixture->acceptor);
    run_until_accepted(fixture, 1);
}

static void close_from_the_callback_ends_at_once(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(open_acceptor(fixture, NULL), 0);
    fixture->close_after = 2;
    add_clients(fixture, 5);
    uv_run(&fixture->loop, UV_RUN_DEFAULT); /* ends by itself: nothing is open */
    assert_int_equal(fixture->accepted_count, 2);
    net_acceptor_pause(&fixture->acceptor); /* all without effect now */
    net_acceptor_resume(&fixture->acceptor);
    net_acceptor_close(&fixture->acceptor, on_closed);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->closed, 0);
}

static void close_is_called_back_once(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(open_acceptor(fixture, NULL), 0);
    net_acceptor_close(&fixture->acceptor, on_closed);
    net_acceptor_close(&fixture->acceptor, on_closed);
    assert_int_equal(fixture->closed, 0);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->closed, 1);
}

static void a_descriptor_that_can_not_be_polled_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct net_acceptor acceptor;
    const struct net_acceptor_options options = {.fd = -1, .connection = on_connection};

    assert_int_not_equal(net_acceptor_open(&acceptor, &fixture->loop, &options), 0);
    assert_int_equal(uv_loop_alive(&fixture->loop), 0);
    assert_int_equal(open_acceptor(fixture, NULL), 0); /* for tear_down */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(connections_are_accepted),
        TEST(one_wake_accepts_a_bounded_number),
        TEST(the_accept_function_is_used),
        TEST(errors_of_one_connection_are_skipped),
        TEST(each_kind_of_shortage_pauses),
        TEST(without_descriptors_it_pauses_and_recovers),
        TEST(pause_and_resume),
        TEST(a_pause_outlasts_a_shortage),
        TEST(close_from_the_callback_ends_at_once),
        TEST(close_is_called_back_once),
        TEST(a_descriptor_that_can_not_be_polled_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
