/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of guests: counts while they have something open, the log's limit also afterwards, and
 * never more than so many. */
#include "host-proxy/guest_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct guest_table table;

static int set_up(void **state)
{
    (void)state;
    guest_table_init(&table);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guest_table_deinit(&table);
    return 0;
}

static void test_counts(void **state)
{
    struct guest_entry *a = guest_table_add_stream(&table, "guest=101");
    struct guest_entry *b = guest_table_add_stream(&table, "guest=102");

    (void)state;
    assert_ptr_not_equal(a, b);
    assert_string_equal(a->name, "guest=101");
    assert_ptr_equal(guest_table_add_stream(&table, "guest=101"), a);
    assert_int_equal(a->streams, 2);
    assert_int_equal(table.streams, 3);
    guest_table_remove_stream(&table, a);
    guest_table_remove_stream(&table, a);
    guest_table_remove_stream(&table, b);
    assert_int_equal(table.streams, 0);
    assert_int_equal(table.idle_count, 2);
}

static void test_session_outlives_its_stream(void **state)
{
    struct guest_entry *guest = guest_table_add_stream(&table, "vm=web");

    (void)state;
    guest_table_add_session(guest);
    guest_table_remove_stream(&table, guest);
    assert_int_equal(table.idle_count, 0);
    assert_ptr_equal(guest_table_add_stream(&table, "vm=web"), guest);
    assert_int_equal(guest->sessions, 1);
    guest_table_remove_session(&table, guest);
    assert_int_equal(table.idle_count, 0);
    guest_table_remove_stream(&table, guest);
    assert_int_equal(table.idle_count, 1);
}

/* A guest can't begin anew by leaving, nor use up what belongs to another. */
static void test_log_limit(void **state)
{
    struct guest_entry *loud = guest_table_add_stream(&table, "guest=101");
    uint64_t suppressed;
    unsigned passed = 0;

    (void)state;
    while (log_limit_pass(&loud->refusals, 1, &suppressed))
        passed++;
    assert_true(passed > 0);
    guest_table_remove_stream(&table, loud);
    loud = guest_table_add_stream(&table, "guest=101");
    assert_false(log_limit_pass(&loud->refusals, 2, &suppressed));
    struct guest_entry *quiet = guest_table_add_stream(&table, "guest=102");
    assert_true(log_limit_pass(&quiet->refusals, 2, &suppressed));
    guest_table_remove_stream(&table, loud);
    guest_table_remove_stream(&table, quiet);
}

static void test_bounded(void **state)
{
    struct guest_entry *busy = guest_table_add_stream(&table, "guest=1");
    char name[GUEST_NAME_MAX];

    (void)state;
    for (unsigned i = 0; i < 3 * GUEST_TABLE_IDLE_MAX; i++) {
        snprintf(name, sizeof(name), "guest=%u", 100 + i);
        guest_table_remove_stream(&table, guest_table_add_stream(&table, name));
    }
    assert_int_equal(table.idle_count, GUEST_TABLE_IDLE_MAX);
    assert_int_equal(HASH_COUNT(table.entries), GUEST_TABLE_IDLE_MAX + 1);
    assert_ptr_equal(guest_table_add_stream(&table, "guest=1"), busy);
    guest_table_remove_stream(&table, busy);
    guest_table_remove_stream(&table, busy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_session_outlives_its_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounded, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
