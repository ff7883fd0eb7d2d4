/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void delays_stay_within_a_bound_that_doubles(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct backoff backoff;
        uint64_t ceiling_ms = 40;
        backoff_init(&backoff, 20, 1000, seed);
        for (unsigned n = 0; n < 20; n++) {
            assert_in_range(backoff_next_ms(&backoff), 20, ceiling_ms);
            ceiling_ms = ceiling_ms * 2 < 1000 ? ceiling_ms * 2 : 1000;
        }
    }
}

static void delays_fill_the_whole_range(void **state)
{
    unsigned hits[4] = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        struct backoff backoff;
        backoff_init(&backoff, 100, 499, seed);
        backoff_next_ms(&backoff);
        backoff_next_ms(&backoff);
        hits[(backoff_next_ms(&backoff) - 100) / 100]++;
    }
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(hits[i], 850, 1150); /* of 1000 expected; five standard deviations */
}

static void a_reset_starts_again(void **state)
{
    struct backoff backoff;

    (void)state;
    backoff_init(&backoff, 20, 100000, 7);
    for (unsigned n = 0; n < 12; n++)
        backoff_next_ms(&backoff);
    for (unsigned n = 0; n < 1000; n++) {
        backoff_reset(&backoff);
        assert_in_range(backoff_next_ms(&backoff), 20, 40);
    }
}

static void equal_bounds_give_that_delay(void **state)
{
    struct backoff backoff;

    (void)state;
    backoff_init(&backoff, 500, 500, 0);
    for (unsigned n = 0; n < 10; n++)
        assert_int_equal(backoff_next_ms(&backoff), 500);
}

static void a_seed_repeats_and_no_seed_does_not(void **state)
{
    struct backoff a, b, c, d;
    unsigned differences = 0;

    (void)state;
    backoff_init(&a, 1, 1 << 30, 42);
    backoff_init(&b, 1, 1 << 30, 42);
    backoff_init(&c, 1, 1 << 30, 0);
    backoff_init(&d, 1, 1 << 30, 0);
    for (unsigned n = 0; n < 100; n++) {
        assert_int_equal(backoff_next_ms(&a), backoff_next_ms(&b));
        differences += backoff_next_ms(&c) != backoff_next_ms(&d);
    }
    assert_in_range(differences, 50, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays_stay_within_a_bound_that_doubles),
        cmocka_unit_test(delays_fill_the_whole_range),
        cmocka_unit_test(a_reset_starts_again),
        cmocka_unit_test(equal_bounds_give_that_delay),
        cmocka_unit_test(a_seed_repeats_and_no_seed_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
