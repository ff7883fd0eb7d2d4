/* SPDX-License-Identifier: Apache-2.0 */
/* The budget of memory for detached sessions. */
#include "service/detached.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct detached_set set;
static struct detached_member a, b, c;

static int begin(void **state)
{
    (void)state;
    detached_init(&set, 100);
    a = b = c = (struct detached_member){0};
    return 0;
}

static void test_within_the_budget(void **state)
{
    (void)state;
    detached_put(&set, &a, 60);
    detached_put(&set, &b, 40);
    assert_null(detached_excess(&set));
    assert_int_equal(set.bytes, 100);
}

static void test_the_longest_detached_goes_first(void **state)
{
    (void)state;
    detached_put(&set, &a, 60);
    detached_put(&set, &b, 30);
    detached_put(&set, &b, 41); /* it grew; its place in line is the same */
    assert_ptr_equal(detached_excess(&set), &a);
    detached_remove(&set, &a);
    assert_null(detached_excess(&set));
    assert_int_equal(set.bytes, 41);
}

static void test_who_holds_nothing_stays(void **state)
{
    (void)state;
    detached_put(&set, &a, 0);
    detached_put(&set, &b, 50);
    detached_put(&set, &c, 60);
    assert_ptr_equal(detached_excess(&set), &b);
}

static void test_removing_twice(void **state)
{
    (void)state;
    detached_put(&set, &a, 70);
    detached_remove(&set, &a);
    detached_remove(&set, &a);
    detached_remove(&set, &b);
    assert_int_equal(set.bytes, 0);
    detached_put(&set, &b, 70);
    detached_put(&set, &a, 70); /* came back: last in line now */
    assert_ptr_equal(detached_excess(&set), &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_within_the_budget, begin),
        cmocka_unit_test_setup(test_the_longest_detached_goes_first, begin),
        cmocka_unit_test_setup(test_who_holds_nothing_stays, begin),
        cmocka_unit_test_setup(test_removing_twice, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
