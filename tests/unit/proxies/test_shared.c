/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to the broker in all its life, and the race for a node before it: real sockets, and nodes that
 * fail in every way. Whoever waits is told each thing once.
 */
#include "tests/unit/proxies/shared_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct fake_node *const node = &rig_nodes[0];

static struct shared *first(void)
{
    return TAILQ_FIRST(&rig_pool.shared);
}

/* ── From the login to the end ── */

static void test_one_connection_for_all_who_log_in_alike(void **state)
{
    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_login(1, "/"); /* while the first one waits */
    assert_int_equal(rig_clients[1].answer, POOL_LATER);
    rig_serves(0);
    rig_serves(1);
    rig_login(2, "/");
    assert_int_equal(rig_clients[2].answer, POOL_YES);
    assert_ptr_equal(rig_clients[0].hub, rig_clients[1].hub);
    assert_ptr_equal(rig_clients[0].hub, rig_clients[2].hub);
    assert_int_equal(node->accepted, 1);
    assert_int_equal(node->logins, 1);
}

static void test_another_vhost_is_another_connection(void **state)
{
    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, NULL);
    rig_login(1, "one");
    rig_serves(1); /* it was faster to say where, so the connection that both were verified by is its */
    rig_open(0, "two");
    rig_serves(0);
    assert_ptr_not_equal(rig_clients[0].hub, rig_clients[1].hub);
    assert_int_equal(node->accepted, 2);
}

/* Two connections, of which the first has verified the login; both go when nobody uses them. */
static void test_split(void **state)
{
    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_pool.config.is_split = true;
    rig_pool.config.keep_ms = 1000;
    rig_login(0, "/");
    rig_login(1, "/");
    rig_serves(0);
    rig_serves(1);
    assert_non_null(rig_clients[0].publishing);
    assert_ptr_not_equal(rig_clients[0].hub, rig_clients[0].publishing);
    assert_ptr_equal(rig_clients[0].hub, rig_clients[1].hub);
    assert_ptr_equal(rig_clients[0].publishing, rig_clients[1].publishing);
    assert_int_equal(node->accepted, 2);
    pool_check_use(&rig_pool);
    rig_until_empty();
    assert_int_equal(node->closes, 2);
}

static void test_it_is_kept_for_a_while(void **state)
{
    enum { KEEP_MS = 500 };

    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_pool.config.keep_ms = KEEP_MS;
    rig_login(0, "/");
    rig_serves(0);
    rig_login(1, "/"); /* somebody came in time */
    assert_int_equal(rig_clients[1].answer, POOL_YES);
    rig_pass(2 * KEEP_MS);
    assert_int_equal(first()->state, SHARED_RUNNING);
    pool_check_use(&rig_pool);
    rig_until_empty();
    assert_int_equal(rig_empties, 1);
    assert_int_equal(node->closes, 1);
    assert_int_equal(node->drops, 0);
}

static void test_who_leaves_early_leaves_nothing(void **state)
{
    (void)state;
    rig_begin(1, FAKE_IS_SILENT, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_pass(20);
    rig_leave(0);
    rig_until_empty();
    assert_int_equal(rig_clients[0].logins + rig_clients[0].hubs + rig_clients[0].refusals, 0);
}

/* ── The broker says no ── */

static void test_login_is_refused(void **state)
{
    (void)state;
    rig_begin(2, FAKE_REFUSES_LOGIN, FAKE_REFUSES_LOGIN, FAKE_SERVES);
    rig_login(0, "/");
    rig_login(1, "/");
    rig_refuses(0, 0, 403);
    rig_refuses(1, 0, 403);
    rig_until_empty();
    assert_int_equal(rig_nodes[0].logins, 1); /* no other node is asked */
    assert_int_equal(rig_nodes[1].accepted, 0);
}

static void test_vhost_is_refused(void **state)
{
    (void)state;
    rig_begin(1, FAKE_REFUSES_VHOST, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_refuses(0, 1, 530);
    rig_until_empty();
    assert_int_equal(node->opens, 1);
}

/* ── Nodes that don't serve ── */

static bool has_failed(void)
{
    return first()->state == SHARED_WAITING && strstr(first()->failure, "unreachable") != NULL;
}

static void test_each_node_says_why(void **state)
{
    struct shared_waiter *waiter = &rig_clients[0].waiter;

    (void)state;
    rig_begin(3, FAKE_BABBLES, FAKE_HANGS_UP, FAKE_HANGS_UP_AT_VHOST);
    uv_close((uv_handle_t *)&rig_nodes[2].listener, NULL);
    rig_login(0, "/");
    rig_until(has_failed);
    assert_non_null(strstr(pool_failure(waiter), "does not speak AMQP 0-9-1"));
    assert_non_null(strstr(pool_failure(waiter), "closed the connection without a reason"));
    assert_non_null(strstr(pool_failure(waiter), "connection refused"));
    assert_int_equal(rig_clients[0].logins + rig_clients[0].refusals, 0);
    fake_node_init(&rig_nodes[2], &rig_loop, FAKE_SERVES); /* for the teardown */
    rig_nodes[0].mode = FAKE_SERVES;
    rig_serves(0);
}

/* Whichever the first one is. */
static void test_dead_nodes_keep_nobody_from_the_others(void **state)
{
    static const enum fake_mode dead[] = {FAKE_IS_SILENT, FAKE_BABBLES, FAKE_HANGS_UP};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0)
            rig_set_up(NULL);
        rig_begin(3, dead[i], dead[(i + 1) % 3], FAKE_SERVES);
        rig_login(0, "/");
        rig_serves(0);
        assert_int_equal(rig_nodes[2].accepted, 1);
        if (i < 2)
            rig_tear_down(NULL);
    }
}

static bool are_both_given_up(void)
{
    return rig_nodes[0].drops == 1 && rig_nodes[1].drops == 1;
}

static void test_silent_nodes_are_tried_beside_each_other(void **state)
{
    uint64_t began_ms;

    (void)state;
    rig_begin(3, FAKE_IS_SILENT, FAKE_IS_SILENT, FAKE_SERVES);
    rig_pool.config.hub.back.handshake_timeout_ms = 600000;
    rig_login(0, "/");
    began_ms = uv_now(&rig_loop);
    rig_serves(0);
    assert_true(uv_now(&rig_loop) - began_ms >= 2 * RACE_HURRY_MS); /* and not all at once */
    rig_until(are_both_given_up);
}

static bool has_logged_in_there(void)
{
    return node->logins > 0;
}

static bool is_second_tried(void)
{
    return rig_nodes[1].accepted > 0;
}

static void test_a_slow_node_is_waited_for(void **state)
{
    (void)state;
    rig_begin(2, FAKE_STALLS_AT_LOGIN, FAKE_SERVES, FAKE_SERVES);
    rig_pool.config.hub.back.handshake_timeout_ms = 5000;
    rig_login(0, "/");
    rig_until(has_logged_in_there);
    assert_int_equal(rig_nodes[1].accepted, 0);
    rig_pass(2 * RACE_HURRY_MS);
    assert_int_equal(rig_nodes[1].accepted, 0);
    rig_until(is_second_tried); /* not for ever */
    rig_serves(0);
}

static bool has_greeted(void)
{
    return node->greetings > 0;
}

static void test_a_node_is_not_slow_while_we_sleep(void **state)
{
    (void)state;
    rig_begin(2, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_until(has_greeted);
    usleep(2000 * RACE_HURRY_MS);
    rig_serves(0);
    assert_int_equal(rig_nodes[1].accepted, 0);
}

static void test_nodes_are_taken_in_turn(void **state)
{
    (void)state;
    rig_begin(3, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "one");
    rig_serves(0);
    rig_login(1, "two");
    rig_serves(1);
    rig_login(2, "three");
    rig_serves(2);
    for (unsigned i = 0; i < RIG_NODES; i++)
        assert_int_equal(rig_nodes[i].accepted, 1);
}

/* ── It is lost ── */

static void test_lost_before_the_vhost_is_known(void **state)
{
    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, NULL);
    rig_until(has_logged_in_there);
    while (rig_clients[0].logins == 0)
        uv_run(&rig_loop, UV_RUN_ONCE);
    fake_node_drop(node);
    rig_until_empty(); /* nobody needs it as long as the client says nothing */
    assert_null(rig_clients[0].waiter.shared);
    rig_open(0, "/"); /* it was told that it may */
    rig_serves(0);
}

static bool has_opened_twice(void)
{
    return node->opens >= 2;
}

static void test_lost_on_the_way_to_the_vhost(void **state)
{
    (void)state;
    rig_begin(1, FAKE_HANGS_UP_AT_VHOST, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_until(has_opened_twice); /* as long as somebody waits */
    node->mode = FAKE_SERVES;
    rig_serves(0);
}

static void test_lost_while_nobody_waits(void **state)
{
    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_serves(0);
    fake_node_drop(node);
    rig_until_empty();
    assert_int_equal(node->accepted, 1);
}

static void test_a_silent_broker_is_lost(void **state)
{
    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_pool.config.hub.back.heartbeat_s = 1;
    rig_login(0, "/");
    rig_serves(0);
    rig_until_empty(); /* by itself: unused it would be kept */
    assert_int_equal(node->drops, 1);
}

/* When this process was not run for a while, what came meanwhile is read before anybody is called silent. */
static void test_a_broker_is_not_silent_while_we_sleep(void **state)
{
    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_pool.config.hub.back.heartbeat_s = 1;
    rig_login(0, "/");
    rig_serves(0);
    fake_node_beat(node);
    usleep(2100000);
    uv_run(&rig_loop, UV_RUN_ONCE);
    assert_int_equal(first()->state, SHARED_RUNNING);
}

/* ── The end of host-proxy ── */

static void test_who_waits_is_told_of_the_end(void **state)
{
    (void)state;
    rig_begin(1, FAKE_IS_SILENT, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_pass(20);
    pool_end(&rig_pool, "the end");
    rig_refuses(0, 0, 320);
    assert_string_equal(rig_clients[0].why.text, "CONNECTION_FORCED - the end");
    rig_until_empty();
    assert_int_equal(rig_empties, 1);
    pool_end(&rig_pool, "again");
    assert_int_equal(rig_empties, 2); /* from inside */
}

static void test_it_ends_in_order(void **state)
{
    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_serves(0);
    pool_end(&rig_pool, "the end");
    rig_until_empty();
    assert_int_equal(node->closes, 1);
    assert_int_equal(node->drops, 0);
}

/* ── A login is verified anew ── */

static bool is_one_left(void)
{
    return TAILQ_EMPTY(&rig_pool.ended);
}

static void test_who_verifies_ends_in_order(void **state)
{
    struct shared *shared;

    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_serves(0);
    shared = first();
    shared->believed_until_ms = 0;
    rig_login(1, "/");
    assert_int_equal(rig_clients[1].answer, POOL_LATER);
    rig_serves(1);
    assert_ptr_equal(rig_clients[1].hub, rig_clients[0].hub);
    rig_until(is_one_left);
    assert_ptr_equal(first(), shared);
    assert_int_equal(node->logins, 2);
    assert_int_equal(node->closes, 1);
    assert_int_equal(node->drops, 0);
    rig_login(2, "/");
    assert_int_equal(rig_clients[2].answer, POOL_YES);
}

static void test_who_verifies_may_fail_on_its_way_out(void **state)
{
    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_serves(0);
    first()->believed_until_ms = 0;
    node->mode = FAKE_HANGS_UP_AT_VHOST;
    rig_login(1, "/");
    rig_serves(1); /* that was not what it was for */
    rig_until(is_one_left);
    assert_int_equal(first()->state, SHARED_RUNNING);
}

static void test_the_broker_has_changed_its_mind(void **state)
{
    (void)state;
    rig_begin(1, FAKE_SERVES, FAKE_SERVES, FAKE_SERVES);
    rig_login(0, "/");
    rig_serves(0);
    first()->believed_until_ms = 0;
    node->mode = FAKE_REFUSES_LOGIN;
    for (unsigned i = 0; i < 2; i++) {
        rig_login(1, "/");
        rig_refuses(1, 0, 403);
    }
    rig_until(is_one_left);
    assert_int_equal(first()->state, SHARED_RUNNING);
}

/* ── A fixed identity ── */

static bool is_running(void)
{
    return first() != NULL && first()->state == SHARED_RUNNING;
}

static bool has_been_lost(void)
{
    return first()->state != SHARED_RUNNING;
}

static void test_fixed_is_there_before_and_after(void **state)
{
    (void)state;
    rig_begin_fixed(FAKE_SERVES);
    rig_pool.config.keep_ms = 1;
    assert_int_equal(pool_start(&rig_pool), 0);
    rig_until(is_running);
    pool_check_use(&rig_pool);
    rig_pass(50); /* nobody uses it, and it stays */
    assert_true(is_running());
    fake_node_drop(node);
    rig_until(has_been_lost);
    rig_until(is_running);
    assert_int_equal(node->accepted, 2);
}

static uint16_t channel_max(void)
{
    return shared_hub(first())->back.channel_max;
}

/* None was open when the user had too many, and one is the least. */
static void test_a_users_limit_of_channels_is_kept(void **state)
{
    (void)state;
    rig_begin_fixed(FAKE_SERVES);
    assert_int_equal(pool_start(&rig_pool), 0);
    rig_until(is_running);
    fake_node_end(node, 530, "NOT_ALLOWED - out of channels");
    rig_until(has_been_lost);
    rig_until(is_running);
    assert_int_equal(channel_max(), 2047);
    fake_node_end(node, 530,
                  "NOT_ALLOWED - number of channels opened for user 'alice' has reached the maximum "
                  "allowed user limit of (7)");
    rig_until(has_been_lost);
    rig_until(is_running);
    assert_int_equal(channel_max(), 1);
}

static bool has_been_refused(void)
{
    return first()->is_refused;
}

static void test_fixed_is_refused(void **state)
{
    (void)state;
    rig_begin_fixed(FAKE_REFUSES_LOGIN);
    assert_int_equal(pool_start(&rig_pool), 0);
    rig_login(0, "/"); /* its own login does not matter */
    assert_int_equal(rig_clients[0].logins, 1);
    assert_int_equal(rig_clients[0].answer, POOL_LATER);
    rig_until(has_been_refused);
    assert_string_equal(pool_failure(&rig_clients[0].waiter),
                        "the broker refuses this host: ACCESS_REFUSED - Login was refused");
    assert_int_equal(rig_clients[0].refusals, 0);
    rig_pass(200);
    assert_int_equal(node->logins, 1); /* it is not hammered */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_connection_for_all_who_log_in_alike),
        TEST(test_another_vhost_is_another_connection),
        TEST(test_split),
        TEST(test_it_is_kept_for_a_while),
        TEST(test_who_leaves_early_leaves_nothing),
        TEST(test_login_is_refused),
        TEST(test_vhost_is_refused),
        TEST(test_each_node_says_why),
        TEST(test_dead_nodes_keep_nobody_from_the_others),
        TEST(test_silent_nodes_are_tried_beside_each_other),
        TEST(test_a_slow_node_is_waited_for),
        TEST(test_a_node_is_not_slow_while_we_sleep),
        TEST(test_nodes_are_taken_in_turn),
        TEST(test_lost_before_the_vhost_is_known),
        TEST(test_lost_on_the_way_to_the_vhost),
        TEST(test_lost_while_nobody_waits),
        TEST(test_a_silent_broker_is_lost),
        TEST(test_a_broker_is_not_silent_while_we_sleep),
        TEST(test_who_waits_is_told_of_the_end),
        TEST(test_it_ends_in_order),
        TEST(test_who_verifies_ends_in_order),
        TEST(test_who_verifies_may_fail_on_its_way_out),
        TEST(test_the_broker_has_changed_its_mind),
        TEST(test_fixed_is_there_before_and_after),
        TEST(test_a_users_limit_of_channels_is_kept),
        TEST(test_fixed_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
