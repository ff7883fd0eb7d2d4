/* SPDX-License-Identifier: Apache-2.0 */

/* The set of unacknowledged deliveries against an array that does the same by brute force. */

#include "amqp/deliveries.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TAGS = 3000, RUNS = 40 };

struct model {
    enum amqp_holder holder[TAGS + 1];
    uint64_t newest;
};

static uint64_t seed;

static uint64_t roll(uint64_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % n;
}

static uint64_t model_next(const struct model *m, enum amqp_holder holder, uint64_t from)
{
    for (uint64_t tag = from; tag <= m->newest; tag++) {
        if (m->holder[tag] == holder)
            return tag;
    }
    return 0;
}

static uint64_t model_last(const struct model *m, enum amqp_holder holder, uint64_t to)
{
    for (uint64_t tag = to < m->newest ? to : m->newest; tag > 0; tag--) {
        if (m->holder[tag] == holder)
            return tag;
    }
    return 0;
}

static uint64_t model_count(const struct model *m, enum amqp_holder holder, uint64_t from)
{
    uint64_t count = 0;
    for (uint64_t tag = from; tag <= m->newest; tag++)
        count += m->holder[tag] == holder;
    return count;
}

static void assert_same(const struct amqp_deliveries *d, const struct model *m)
{
    uint64_t count[AMQP_HOLDERS] = {0};
    for (uint64_t tag = 1; tag <= m->newest; tag++) {
        if ((unsigned)m->holder[tag] < AMQP_HOLDERS)
            count[m->holder[tag]]++;
    }
    assert_memory_equal(count, d->count, sizeof(count));
    for (int i = 0; i < 8; i++) {
        const uint64_t at = i == 0 ? 0 : roll(TAGS);
        assert_int_equal(amqp_deliveries_holder(d, at), m->holder[at]);
        for (unsigned n = 0; n < AMQP_HOLDERS; n++) {
            const enum amqp_holder holder = (enum amqp_holder)n;
            assert_int_equal(amqp_deliveries_next(d, holder, at), model_next(m, holder, at));
            assert_int_equal(amqp_deliveries_last(d, holder, at), model_last(m, holder, at));
            assert_int_equal(amqp_deliveries_count(d, holder, at), model_count(m, holder, at));
            assert_int_equal(amqp_deliveries_last(d, holder, UINT64_MAX), model_last(m, holder, TAGS));
        }
    }
}

static void step(struct amqp_deliveries *d, struct model *m)
{
    const uint64_t tag = 1 + roll(m->newest + 2);
    switch (roll(8)) {
    case 0:
        amqp_deliveries_remove(d, tag);
        m->holder[tag] = AMQP_HELD_BY_NOBODY;
        break;
    case 1:
        if (roll(10) > 0)
            break;
        amqp_deliveries_remove_to(d, tag);
        for (uint64_t i = 0; i <= tag; i++)
            m->holder[i] = AMQP_HELD_BY_NOBODY;
        break;
    default:
        m->newest += 1 + (roll(20) == 0 ? roll(300) : 0);
        if (m->newest < TAGS - 2) {
            m->holder[m->newest] = (enum amqp_holder)roll(2);
            assert_int_equal(amqp_deliveries_add(d, m->newest, m->holder[m->newest]), 0);
        }
    }
}

static void test_against_an_array(void **state)
{
    (void)state;
    for (seed = 0; seed < RUNS; seed++) {
        const uint64_t began_with = seed;
        struct amqp_deliveries d = {.table = NULL};
        struct model m = {.newest = 0};
        for (int i = 0; i <= TAGS; i++)
            m.holder[i] = AMQP_HELD_BY_NOBODY;
        while (m.newest < TAGS - 400) {
            step(&d, &m);
            assert_same(&d, &m);
        }
        amqp_deliveries_clear(&d);
        assert_int_equal(d.cost, 0);
        seed = began_with;
    }
}

static void test_it_costs_little_when_tags_lie_close(void **state)
{
    struct amqp_deliveries d = {.table = NULL};
    (void)state;
    for (uint64_t tag = 1; tag <= 100000; tag++)
        assert_int_equal(amqp_deliveries_add(&d, tag, AMQP_HELD_BY_CLIENT), 0);
    assert_true(d.cost < 100000);
    amqp_deliveries_remove_to(&d, 99999);
    assert_true(d.cost < 1000);
    assert_int_equal(amqp_deliveries_next(&d, AMQP_HELD_BY_CLIENT, 0), 100000);
    amqp_deliveries_clear(&d);
}

/* A channel where each delivery is acknowledged before the next one comes. */
static void test_the_newest_chunk_stays(void **state)
{
    struct amqp_deliveries d = {.table = NULL};
    (void)state;
    assert_int_equal(amqp_deliveries_add(&d, 1, AMQP_HELD_BY_CLIENT), 0);
    const size_t cost = d.cost;
    amqp_deliveries_remove(&d, 1);
    for (uint64_t tag = 2; tag <= 10000; tag++) {
        assert_int_equal(d.cost, cost);
        assert_int_equal(amqp_deliveries_add(&d, tag, AMQP_HELD_BY_CLIENT), 0);
        assert_int_equal(d.cost, cost);
        amqp_deliveries_remove_to(&d, tag);
    }
    amqp_deliveries_clear(&d);
    assert_int_equal(d.cost, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_an_array),
        cmocka_unit_test(test_it_costs_little_when_tags_lie_close),
        cmocka_unit_test(test_the_newest_chunk_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
