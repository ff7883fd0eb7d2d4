/* SPDX-License-Identifier: Apache-2.0 */
/* The gate on the way to the host proxy: oldest first, a bounded number at once, one knock for all while
 * nobody answers. */
#include "guest-proxy/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define VISITORS 1000

struct hall {
    uv_loop_t loop;
    struct gate gate;
    struct gate_visitor visitors[VISITORS];
    struct gate_visitor *order[VISITORS * 4]; /* as they were admitted */
    unsigned admitted;
};

static struct hall hall;

static void on_admitted(struct gate_visitor *visitor)
{
    hall.order[hall.admitted++] = visitor;
}

static int open_hall(void **state)
{
    (void)state;
    hall = (struct hall){0};
    uv_loop_init(&hall.loop);
    gate_init(&hall.gate, &hall.loop);
    for (unsigned i = 0; i < VISITORS; i++)
        gate_visitor_init(&hall.gate, &hall.visitors[i], on_admitted);
    return 0;
}

static int close_hall(void **state)
{
    (void)state;
    gate_close(&hall.gate);
    uv_run(&hall.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&hall.loop);
}

static void enter(unsigned i)
{
    gate_enter(&hall.gate, &hall.visitors[i]);
}

static void test_at_once_when_open(void **state)
{
    (void)state;
    enter(3);
    assert_int_equal(hall.admitted, 1);
    enter(3); /* once is enough */
    assert_int_equal(hall.admitted, 1);
}

static void test_bounded_and_oldest_first(void **state)
{
    (void)state;
    for (unsigned i = VISITORS; i-- > 0;) /* the youngest come first */
        enter(i);
    assert_int_equal(hall.admitted, GATE_MAX);
    for (unsigned done = 0; done < VISITORS; done++) {
        assert_true(hall.gate.under_way <= GATE_MAX);
        gate_passed(&hall.gate, hall.order[done]);
    }
    assert_int_equal(hall.admitted, VISITORS);
    /* After those that found the gate empty, by age. */
    for (unsigned i = GATE_MAX + 1; i < VISITORS; i++)
        assert_true(hall.order[i - 1]->age < hall.order[i]->age);
}

static void test_one_knocks_while_nobody_answers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VISITORS; i++)
        enter(i);
    for (unsigned i = 0; i < GATE_MAX; i++) { /* all fail together, and ask again */
        gate_failed(&hall.gate, hall.order[i]);
        gate_enter(&hall.gate, hall.order[i]);
    }
    assert_int_equal(hall.admitted, GATE_MAX);
    for (unsigned knock = 1; knock <= 3; knock++) {
        uv_run(&hall.loop, UV_RUN_ONCE); /* until the backoff has passed */
        assert_int_equal(hall.admitted, GATE_MAX + knock);
        if (knock < 3) {
            gate_failed(&hall.gate, hall.order[hall.admitted - 1]);
            gate_enter(&hall.gate, hall.order[hall.admitted - 1]);
        }
    }
    /* Those who never failed knock first, so that one whose attempts always fail holds nobody up. */
    assert_int_equal(hall.order[GATE_MAX]->age, GATE_MAX);
    assert_int_equal(hall.order[GATE_MAX + 1]->age, GATE_MAX + 1);
    gate_passed(&hall.gate, hall.order[hall.admitted - 1]);
    assert_int_equal(hall.gate.under_way, GATE_MAX); /* it answers again: as many as before */
}

static void test_leaving(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VISITORS; i++)
        enter(i);
    gate_leave(&hall.gate, &hall.visitors[GATE_MAX]); /* queued: the next in line is another */
    gate_leave(&hall.gate, &hall.visitors[0]);        /* admitted: its place is free */
    assert_int_equal(hall.admitted, GATE_MAX + 1);
    assert_ptr_equal(hall.order[GATE_MAX], &hall.visitors[GATE_MAX + 1]);
    gate_leave(&hall.gate, &hall.visitors[0]);
    gate_passed(&hall.gate, &hall.visitors[0]); /* outside: nothing happens */
    assert_int_equal(hall.gate.under_way, GATE_MAX);
}

static void test_the_knocking_one_leaves(void **state)
{
    (void)state;
    enter(0);
    enter(1);
    gate_failed(&hall.gate, &hall.visitors[0]);
    gate_leave(&hall.gate, &hall.visitors[1]);
    gate_enter(&hall.gate, &hall.visitors[2]);
    gate_enter(&hall.gate, &hall.visitors[3]);
    uv_run(&hall.loop, UV_RUN_ONCE);
    assert_ptr_equal(hall.order[2], &hall.visitors[2]);
    gate_leave(&hall.gate, &hall.visitors[2]);
    assert_ptr_equal(hall.order[3], &hall.visitors[3]); /* knocks in its place */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at_once_when_open, open_hall, close_hall),
        cmocka_unit_test_setup_teardown(test_bounded_and_oldest_first, open_hall, close_hall),
        cmocka_unit_test_setup_teardown(test_one_knocks_while_nobody_answers, open_hall, close_hall),
        cmocka_unit_test_setup_teardown(test_leaving, open_hall, close_hall),
        cmocka_unit_test_setup_teardown(test_the_knocking_one_leaves, open_hall, close_hall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
