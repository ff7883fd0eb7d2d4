/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/sched.h"
#include "tests/unit/mux/kit/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FLOWS 8

struct test_flow {
    struct mux_sched_flow flow;
    uint64_t queued; /* bytes to send */
    uint64_t sent;
    size_t frame; /* most it sends at once; 0: what the turn says */
};

struct fixture {
    struct mux_sched sched;
    struct test_flow flows[FLOWS];
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    mux_sched_init(&f.sched);
    *state = &f;
    return 0;
}

static void queue(struct fixture *f, int i, uint64_t n)
{
    f->flows[i].queued += n;
    mux_sched_activate(&f->sched, &f->flows[i].flow);
}

/* Let the flow whose turn it is send at most `frame` bytes. Returns its index, -1 when all are idle. */
static int turn(struct fixture *f, size_t frame)
{
    for (;;) {
        struct test_flow *flow = (struct test_flow *)mux_sched_next(&f->sched);
        size_t n;

        if (flow == NULL)
            return -1;
        assert_true(flow->flow.deficit > 0);
        n = flow->frame > 0 ? flow->frame : frame;
        n = n < (size_t)flow->flow.deficit ? n : (size_t)flow->flow.deficit;
        n = n < flow->queued ? n : (size_t)flow->queued;
        if (n == 0) {
            mux_sched_exhausted(&f->sched, &flow->flow);
            continue;
        }
        flow->queued -= n;
        flow->sent += n;
        mux_sched_charge(&flow->flow, n);
        return (int)(flow - f->flows);
    }
}

static void nobody_waits(void **state)
{
    struct fixture *f = *state;

    assert_null(mux_sched_next(&f->sched));
    queue(f, 0, 10);
    assert_int_equal(turn(f, 100), 0);
    assert_int_equal(turn(f, 100), -1);
    assert_int_equal(f->flows[0].flow.place, MUX_SCHED_IDLE);
}

static void equal_shares_whatever_the_frames(void **state)
{
    static const size_t frames[FLOWS] = {1, 100, 1000, 4096, 8000, 16384, 40000, 65536};
    struct fixture *f = *state;

    for (int i = 0; i < FLOWS; i++) {
        f->flows[i].frame = frames[i];
        queue(f, i, 10000000);
    }
    for (int i = 0; i < 200000; i++)
        assert_true(turn(f, 0) >= 0);
    for (int i = 1; i < FLOWS; i++) {
        uint64_t a = f->flows[0].sent;
        uint64_t b = f->flows[i].sent;

        assert_true((a > b ? a - b : b - a) <= MUX_SCHED_QUANTUM);
    }
}

static void a_frame_over_the_deficit_is_paid_back(void **state)
{
    struct fixture *f = *state;

    /* A link may charge more than was left, as for a frame without payload. */
    queue(f, 0, 1000000);
    queue(f, 1, 1000000);
    for (int i = 0; i < 100; i++) {
        struct test_flow *flow = (struct test_flow *)mux_sched_next(&f->sched);

        mux_sched_charge(&flow->flow, flow == &f->flows[0] ? 50000 : 10000);
        flow->sent += flow == &f->flows[0] ? 50000 : 10000;
    }
    assert_true(f->flows[0].sent < f->flows[1].sent + 70000);
    assert_true(f->flows[1].sent < f->flows[0].sent + 70000);
}

static void a_flow_that_was_idle_goes_first_once(void **state)
{
    struct fixture *f = *state;

    for (int i = 1; i < FLOWS; i++)
        queue(f, i, 1000000);
    for (int i = 0; i < 50; i++)
        turn(f, 16384);
    queue(f, 0, 100);
    assert_int_equal(turn(f, 16384), 0);
    assert_true(turn(f, 16384) > 0);
}

static void coming_back_again_and_again_starves_nobody(void **state)
{
    struct fixture *f = *state;

    /* Flow 0 sends a little, falls idle and comes back before each turn. */
    queue(f, 1, 10000000);
    for (int i = 0; i < 1000; i++) {
        queue(f, 0, 8000);
        turn(f, 8000);
    }
    assert_true(f->flows[1].sent >= f->flows[0].sent - 2 * MUX_SCHED_QUANTUM);
    assert_true(f->flows[0].sent > 0);
}

static void two_that_take_turns_in_the_fast_lane_do_not_starve_a_third(void **state)
{
    struct fixture *f = *state;

    queue(f, 2, 10000000);
    turn(f, 16384);
    turn(f, 16384); /* it is in the slow lane now */
    for (int i = 0; i < 1000; i++) {
        queue(f, i % 2, 4000);
        turn(f, 4000);
    }
    assert_true(f->flows[2].sent * 3 >= f->flows[0].sent + f->flows[1].sent);
}

static void activating_twice_gives_no_second_turn(void **state)
{
    struct fixture *f = *state;

    queue(f, 0, 100);
    queue(f, 1, 100);
    queue(f, 0, 100);
    assert_int_equal(turn(f, 16384), 0);
    assert_int_equal(turn(f, 16384), 1);
    assert_int_equal(turn(f, 16384), -1);
}

static void removing_from_any_place(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++)
        queue(f, i, 1000000);
    turn(f, 16384);
    turn(f, 16384); /* flow 0 is in the slow lane, 1 and 2 in the fast one */
    mux_sched_remove(&f->sched, &f->flows[0].flow);
    mux_sched_remove(&f->sched, &f->flows[1].flow);
    mux_sched_remove(&f->sched, &f->flows[1].flow);
    for (int i = 0; i < 10; i++)
        assert_int_equal(turn(f, 16384), 2);
    mux_sched_remove(&f->sched, &f->flows[2].flow);
    assert_int_equal(turn(f, 16384), -1);
    assert_int_equal(f->flows[2].flow.place, MUX_SCHED_IDLE);
}

static void whoever_has_something_is_served_soon(void **state)
{
    struct fixture *f = *state;
    struct kit_rng rng = {.state = 4};
    int waiting[FLOWS] = {0};

    for (int i = 0; i < 100000; i++) {
        int who;

        queue(f, (int)kit_below(&rng, FLOWS), kit_size(&rng, 30000));
        who = turn(f, (size_t)kit_size(&rng, 16384) + 4000);
        for (int k = 0; k < FLOWS; k++) {
            waiting[k] = k == who || f->flows[k].queued == 0 ? 0 : waiting[k] + 1;
            assert_true(waiting[k] < 10 * FLOWS);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(nobody_waits),
        TEST(equal_shares_whatever_the_frames),
        TEST(a_frame_over_the_deficit_is_paid_back),
        TEST(a_flow_that_was_idle_goes_first_once),
        TEST(coming_back_again_and_again_starves_nobody),
        TEST(two_that_take_turns_in_the_fast_lane_do_not_starve_a_third),
        TEST(activating_twice_gives_no_second_turn),
        TEST(removing_from_any_place),
        TEST(whoever_has_something_is_served_soon),
    };

    return cmocka_run_group_tests_name("mux.sched", tests, NULL, NULL);
}
