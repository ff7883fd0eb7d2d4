/* SPDX-License-Identifier: Apache-2.0 */
#include "dial_rig.h"
#include "service/node_dial.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FOREVER_MS 600000 /* who waited for this would not end while the test lasts */

static uv_loop_t loop;
static struct node_set set;
static struct node_dial dial;
static int listening, refusing;
static struct rig_silent silent, other;
static unsigned calls;
static int outcome; /* descriptor or error code */
static char text[1024];

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    listening = rig_listening();
    refusing = rig_refusing();
    rig_silent_open(&silent);
    rig_silent_open(&other);
    calls = 0;
    outcome = -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    uv_run(&loop, UV_RUN_DEFAULT); /* ends only when every handle was closed */
    assert_int_equal(uv_loop_close(&loop), 0);
    if (outcome >= 0)
        close(outcome);
    close(listening);
    close(refusing);
    rig_silent_close(&silent);
    rig_silent_close(&other);
    node_set_deinit(&set);
    return 0;
}

static void on_dialed(struct node_dial *ended, int fd, const char *why)
{
    assert_ptr_equal(ended, &dial);
    calls++;
    outcome = fd;
    snprintf(text, sizeof(text), "%s", why);
}

static void add_node(const char *host, int fd)
{
    struct net_address address = rig_address(host, fd);

    assert_int_equal(node_set_add(&set, &address), 0);
}

static void start(uint64_t timeout_ms)
{
    calls = 0;
    assert_int_equal(node_dial_start(&dial, &loop, &set, timeout_ms, on_dialed), 0);
    assert_int_equal(calls, 0); /* never from inside the call */
}

static void assert_connected_to(int fd)
{
    struct sockaddr_in peer, expected = rig_name(fd);
    socklen_t length = sizeof(peer);

    assert_int_equal(calls, 1);
    assert_true(outcome >= 0);
    assert_int_equal(getpeername(outcome, (struct sockaddr *)&peer, &length), 0);
    assert_int_equal(peer.sin_port, expected.sin_port);
    close(outcome);
    outcome = -1;
}

static void one_node(void **state)
{
    (void)state;
    add_node("127.0.0.1", listening);
    start(FOREVER_MS);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_connected_to(listening);
}

static void the_next_one_when_one_refuses(void **state)
{
    (void)state;
    add_node("127.0.0.1", refusing);
    add_node("127.0.0.1", listening);
    start(FOREVER_MS);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_connected_to(listening);
    assert_true(set.nodes[0].avoid_until_ms > uv_now(&loop));
    assert_int_equal(set.nodes[1].avoid_until_ms, 0);
}

static void the_next_ones_beside_those_that_are_silent(void **state)
{
    const unsigned before = rig_descriptors();

    (void)state;
    add_node("127.0.0.1", silent.fd);
    add_node("127.0.0.1", other.fd);
    add_node("127.0.0.1", listening);
    start(FOREVER_MS);
    const uint64_t began_ms = uv_now(&loop);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(rig_descriptors(), before + 1); /* who has lost is closed */
    assert_connected_to(listening);
    assert_true(uv_now(&loop) - began_ms >= 2 * NET_HEAD_START_MS);
}

static void who_was_silent_keeps_nobody_a_second_time(void **state)
{
    (void)state;
    the_next_ones_beside_those_that_are_silent(state);
    for (unsigned i = 0; i < 3; i++) {
        start(FOREVER_MS);
        while (calls == 0)
            uv_run(&loop, UV_RUN_ONCE);
        assert_connected_to(listening);
    }
    assert_int_equal(set.nodes[0].turn, 1);
    assert_int_equal(set.nodes[1].turn, 2);
    assert_int_equal(set.nodes[2].turn, 6);
}

static void all_addresses_of_a_name_before_the_next_node(void **state)
{
    (void)state;
    add_node("localhost", listening); /* ::1 and 127.0.0.1, or the latter alone */
    add_node("127.0.0.1", refusing);
    start(FOREVER_MS);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_connected_to(listening);
    assert_int_equal(set.nodes[1].turn, 0);
}

static void a_slow_lookup_keeps_nobody(void **state)
{
    (void)state;
    add_node("localhost", refusing);
    add_node("127.0.0.1", listening);
    rig_lookups_stop(&loop);
    start(FOREVER_MS);
    while (calls == 0)
        uv_run(&loop, UV_RUN_ONCE);
    assert_connected_to(listening);
    rig_lookups_go();
}

static void a_slow_one_may_still_win(void **state)
{
    (void)state;
    add_node("127.0.0.1", silent.fd);
    add_node("127.0.0.1", other.fd);
    start(FOREVER_MS);
    while (set.turns < 2)
        uv_run(&loop, UV_RUN_ONCE);
    assert_true(set.nodes[0].avoid_until_ms > uv_now(&loop));
    rig_silent_wake(&silent);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_connected_to(silent.fd);
    assert_int_equal(set.nodes[0].avoid_until_ms, 0);
}

static void each_node_says_why(void **state)
{
    char expected[512];

    (void)state;
    add_node("127.0.0.1", silent.fd);
    add_node("127.0.0.1", refusing);
    add_node("127.0.0.1", other.fd);
    start(600);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(calls, 1);
    assert_int_equal(outcome, -ETIMEDOUT);
    snprintf(expected, sizeof(expected),
             "127.0.0.1:%u: connection refused; 127.0.0.1:%u: connection timed out; 127.0.0.1:%u: connection "
             "timed out",
             rig_port(refusing), rig_port(silent.fd), rig_port(other.fd));
    assert_string_equal(text, expected);
}

struct canceller {
    uv_check_t check;
    unsigned turns_left;
};

/* Runs between the poll and the close callbacks of each turn of the loop. */
static void on_check(uv_check_t *check)
{
    struct canceller *canceller = check->data;

    if (calls == 0 && canceller->turns_left-- > 0)
        return;
    node_dial_cancel(&dial);
    node_dial_cancel(&dial); /* no effect */
    uv_close((uv_handle_t *)check, NULL);
}

static void cancelled_at_every_turn(void **state)
{
    const unsigned before = rig_descriptors();
    unsigned turns = 0;

    (void)state;
    add_node("127.0.0.1", refusing);
    add_node("127.0.0.1", silent.fd);
    add_node("127.0.0.1", other.fd);
    do {
        struct canceller canceller = {.turns_left = turns++};
        start(100);
        uv_check_init(&loop, &canceller.check);
        canceller.check.data = &canceller;
        uv_check_start(&canceller.check, on_check);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(rig_descriptors(), before);
    } while (calls == 0);
    assert_in_range(turns, 3, 100);
}

static void cancelled_though_never_begun(void **state)
{
    struct node_dial none = {0};

    (void)state;
    node_dial_cancel(&none);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_node),
        TEST(the_next_one_when_one_refuses),
        TEST(the_next_ones_beside_those_that_are_silent),
        TEST(who_was_silent_keeps_nobody_a_second_time),
        TEST(all_addresses_of_a_name_before_the_next_node),
        TEST(a_slow_lookup_keeps_nobody),
        TEST(a_slow_one_may_still_win),
        TEST(each_node_says_why),
        TEST(cancelled_at_every_turn),
        TEST(cancelled_though_never_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
