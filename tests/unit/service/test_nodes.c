/* SPDX-License-Identifier: Apache-2.0 */
#include "service/nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES 4

static struct node_set set;
static struct node_round rounds[2]; /* the second one runs beside the first */

static int set_up(void **state)
{
    struct net_address address = {.kind = NET_TCP, .port = 5672};

    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        address.host[0] = (char)('a' + i);
        assert_int_equal(node_set_add(&set, &address), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    node_round_end(&rounds[0]);
    node_round_end(&rounds[1]);
    node_set_deinit(&set);
    assert_int_equal(set.count, 0);
    return 0;
}

static struct node *begin(struct node_round *round, uint64_t now_ms)
{
    node_round_end(round);
    assert_int_equal(node_round_begin(round, &set, now_ms), 0);
    return node_round_next(round);
}

/* Expects the nodes that are left in the round, by their names. */
static void expect(struct node_round *round, const char *names)
{
    struct node *node;

    for (; *names != '\0'; names++) {
        node = node_round_next(round);
        assert_non_null(node);
        assert_int_equal(node->address.host[0], *names);
    }
    assert_null(node_round_next(round));
}

static void expect_first(uint64_t now_ms, char name)
{
    assert_int_equal(begin(&rounds[0], now_ms)->address.host[0], name);
}

static void each_has_its_turn(void **state)
{
    (void)state;
    assert_int_equal(node_round_begin(&rounds[0], &set, 1), 0);
    expect(&rounds[0], "abcd");
}

static void rounds_begin_with_each_in_turn(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        for (const char *name = "abcd"; *name != '\0'; name++)
            expect_first(1, *name);
    expect(&rounds[0], "abc");
}

static void who_stands_in_for_a_dead_one_has_had_its_turn(void **state)
{
    (void)state;
    expect_first(1, 'a'); /* fails, */
    assert_int_equal(node_round_next(&rounds[0])->address.host[0], 'b');
    expect_first(1, 'c');
}

static void who_has_failed_comes_last_for_a_while(void **state)
{
    (void)state;
    node_avoid(&set.nodes[0], 1000);
    node_avoid(&set.nodes[1], 2000);
    assert_int_equal(node_round_begin(&rounds[0], &set, 3000), 0);
    expect(&rounds[0], "cdab");
}

static void then_it_is_taken_in_turn_again(void **state)
{
    (void)state;
    node_avoid(&set.nodes[0], 1000);
    expect_first(1000 + NODE_AVOID_MS - 1, 'b');
    expect_first(1000 + NODE_AVOID_MS, 'a');
}

static void who_serves_again_is_trusted_at_once(void **state)
{
    (void)state;
    node_avoid(&set.nodes[0], 1000);
    node_trust(&set.nodes[0]);
    expect_first(1000, 'a');
}

static void all_are_tried_even_when_all_have_failed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES; i++)
        node_avoid(&set.nodes[i], 1000);
    assert_int_equal(node_round_begin(&rounds[0], &set, 1000), 0);
    expect(&rounds[0], "abcd");
}

static void a_round_is_not_changed_by_another(void **state)
{
    (void)state;
    struct node *first = begin(&rounds[0], 1000);
    struct node *other = begin(&rounds[1], 1000);

    node_round_failed(&rounds[1], other, "b: refused", 1000);
    node_round_failed(&rounds[0], first, "a: refused", 1000);
    expect(&rounds[0], "bcd");
    expect(&rounds[1], "cda");
}

static void what_is_wrong_with_each_is_kept(void **state)
{
    (void)state;
    struct node *first = begin(&rounds[0], 1000);

    assert_string_equal(rounds[0].failures, "");
    node_round_failed(&rounds[0], first, "a: refused", 1000);
    node_round_failed(&rounds[0], node_round_next(&rounds[0]), "b: no route", 1000);
    node_round_end(&rounds[0]);
    node_round_end(&rounds[0]);
    assert_string_equal(rounds[0].failures, "a: refused; b: no route");
    begin(&rounds[0], 1000);
    assert_string_equal(rounds[0].failures, "");
}

static void it_is_cut_where_it_does_not_fit(void **state)
{
    char text[sizeof(rounds[0].failures) + 1];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct node *first = begin(&rounds[0], 1000);
    for (unsigned i = 0; i < 2; i++) {
        node_round_failed(&rounds[0], first, text, 1000);
        assert_int_equal(strlen(rounds[0].failures), sizeof(rounds[0].failures) - 1);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_has_its_turn),
        TEST(rounds_begin_with_each_in_turn),
        TEST(who_stands_in_for_a_dead_one_has_had_its_turn),
        TEST(who_has_failed_comes_last_for_a_while),
        TEST(then_it_is_taken_in_turn_again),
        TEST(who_serves_again_is_trusted_at_once),
        TEST(all_are_tried_even_when_all_have_failed),
        TEST(a_round_is_not_changed_by_another),
        TEST(what_is_wrong_with_each_is_kept),
        TEST(it_is_cut_where_it_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
