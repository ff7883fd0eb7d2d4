/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/code.h"
#include "mux/recv_state.h"
#include "tests/unit/mux/kit/rng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WINDOW 1000u

static struct mux_recv_state fresh(void)
{
    struct mux_recv_state recv;

    mux_recv_state_init(&recv, WINDOW, WINDOW);
    return recv;
}

/* Accept must succeed. Returns how many of the bytes were new. */
static size_t accept(struct mux_recv_state *recv, uint64_t offset, size_t len, bool fin)
{
    size_t skip = 12345;

    assert_int_equal(mux_recv_state_accept(recv, offset, len, fin, &skip), 0);
    assert_true(skip <= len);
    return len - skip;
}

/* Accept must fail like this and change nothing. */
static void refuse(struct mux_recv_state *recv, uint64_t offset, size_t len, bool fin, int code)
{
    struct mux_recv_state before = *recv;
    size_t skip;

    assert_int_equal(mux_recv_state_accept(recv, offset, len, fin, &skip), code);
    assert_memory_equal(recv, &before, sizeof(before));
}

static void pieces_in_order_are_new(void **state)
{
    struct mux_recv_state recv = fresh();

    (void)state;
    assert_int_equal(accept(&recv, 0, 10, false), 10);
    assert_int_equal(accept(&recv, 10, 0, false), 0);
    assert_int_equal(accept(&recv, 10, 990, false), 990);
    assert_int_equal(recv.next, 1000);
}

static void a_replay_is_recognised(void **state)
{
    struct mux_recv_state recv = fresh();

    (void)state;
    accept(&recv, 0, 100, false);
    assert_int_equal(accept(&recv, 0, 100, false), 0);
    assert_int_equal(accept(&recv, 30, 10, false), 0);
    assert_int_equal(accept(&recv, 50, 60, false), 10);
    assert_int_equal(accept(&recv, 0, 0, false), 0);
    assert_int_equal(recv.next, 110);
}

static void a_gap_is_an_error(void **state)
{
    struct mux_recv_state recv = fresh();

    (void)state;
    accept(&recv, 0, 100, false);
    refuse(&recv, 101, 1, false, -MUX_OFFSET_RANGE);
    refuse(&recv, 101, 0, true, -MUX_OFFSET_RANGE);
    refuse(&recv, UINT64_MAX, 1, false, -MUX_OFFSET_RANGE);
    refuse(&recv, UINT64_MAX - 1, 100, false, -MUX_OFFSET_RANGE);
    refuse(&recv, 50, SIZE_MAX, false, -MUX_OFFSET_RANGE); /* the end would wrap */
}

static void credit_is_checked_to_the_byte(void **state)
{
    struct mux_recv_state recv = fresh();

    (void)state;
    refuse(&recv, 0, WINDOW + 1, false, -MUX_CREDIT_EXCEEDED);
    assert_int_equal(accept(&recv, 0, WINDOW, false), WINDOW);
    refuse(&recv, WINDOW, 1, false, -MUX_CREDIT_EXCEEDED);
    assert_int_equal(accept(&recv, WINDOW, 0, true), 0); /* the end needs no credit */
    assert_true(recv.fin);
}

static void the_end_is_where_it_was_said_to_be(void **state)
{
    struct mux_recv_state recv = fresh();

    (void)state;
    accept(&recv, 0, 50, false);
    refuse(&recv, 0, 49, true, -MUX_OFFSET_RANGE); /* before what was sent */
    assert_int_equal(accept(&recv, 0, 60, true), 10);
    refuse(&recv, 60, 1, false, -MUX_OFFSET_RANGE);
    refuse(&recv, 0, 61, true, -MUX_OFFSET_RANGE);
    refuse(&recv, 0, 59, true, -MUX_OFFSET_RANGE);
    assert_int_equal(accept(&recv, 0, 59, false), 0);
    assert_int_equal(accept(&recv, 60, 0, true), 0);
    assert_int_equal(accept(&recv, 20, 40, true), 0);
}

static void the_end_is_acknowledged_once_all_was_delivered(void **state)
{
    struct mux_recv_state recv = fresh();
    uint64_t received;

    (void)state;
    accept(&recv, 0, 50, true);
    mux_recv_state_tell(&recv, &received);
    assert_int_equal(received, 50);
    mux_recv_state_consume(&recv, 49);
    assert_int_equal(mux_recv_state_received(&recv), 50);
    assert_false(mux_recv_state_untold(&recv));
    mux_recv_state_consume(&recv, 1);
    assert_int_equal(mux_recv_state_received(&recv), 51);
    assert_true(mux_recv_state_untold(&recv));
    assert_true(mux_recv_state_urgent(&recv));
    mux_recv_state_tell(&recv, &received);
    assert_int_equal(received, 51);
    assert_false(mux_recv_state_untold(&recv));
    assert_false(mux_recv_state_urgent(&recv));
}

static void an_empty_direction_ends_at_once(void **state)
{
    struct mux_recv_state recv = fresh();

    (void)state;
    accept(&recv, 0, 0, true);
    assert_int_equal(mux_recv_state_received(&recv), 1);
    assert_true(mux_recv_state_urgent(&recv));
}

static void credit_follows_delivery(void **state)
{
    struct mux_recv_state recv = fresh();
    uint64_t received;

    (void)state;
    assert_false(mux_recv_state_untold(&recv));
    accept(&recv, 0, WINDOW, false);
    assert_true(mux_recv_state_untold(&recv));
    assert_false(mux_recv_state_urgent(&recv)); /* nothing was delivered */
    assert_int_equal(mux_recv_state_tell(&recv, &received), WINDOW);
    assert_int_equal(received, WINDOW);
    mux_recv_state_consume(&recv, WINDOW / 4 - 1);
    assert_true(mux_recv_state_untold(&recv));
    assert_false(mux_recv_state_urgent(&recv));
    mux_recv_state_consume(&recv, 1);
    assert_true(mux_recv_state_urgent(&recv)); /* a quarter of the window */
    assert_int_equal(mux_recv_state_tell(&recv, &received), WINDOW + WINDOW / 4);
    assert_false(mux_recv_state_untold(&recv));
}

static void a_small_first_credit_grows_to_the_window(void **state)
{
    struct mux_recv_state recv;
    uint64_t received;

    (void)state;
    mux_recv_state_init(&recv, 100, WINDOW);
    refuse(&recv, 0, 101, false, -MUX_CREDIT_EXCEEDED);
    assert_true(mux_recv_state_urgent(&recv));
    assert_int_equal(mux_recv_state_tell(&recv, &received), WINDOW);
}

static void no_credit_is_granted_after_the_end(void **state)
{
    struct mux_recv_state recv = fresh();
    uint64_t received;

    (void)state;
    accept(&recv, 0, 900, true);
    mux_recv_state_consume(&recv, 900);
    assert_int_equal(mux_recv_state_tell(&recv, &received), WINDOW);
    assert_int_equal(received, 901);
}

static void a_limit_never_shrinks(void **state)
{
    struct mux_recv_state recv;
    uint64_t received;

    (void)state;
    mux_recv_state_init(&recv, WINDOW, 10);
    assert_int_equal(mux_recv_state_tell(&recv, &received), WINDOW);
    accept(&recv, 0, 100, false);
    mux_recv_state_consume(&recv, 100);
    assert_int_equal(mux_recv_state_tell(&recv, &received), WINDOW);
}

static void any_honest_sender_is_understood(void **state)
{
    struct kit_rng rng = {.state = 7};
    struct mux_recv_state recv = fresh();
    uint64_t limit = WINDOW;
    uint64_t fresh_bytes = 0;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t from = recv.next - kit_below(&rng, recv.next < 300 ? recv.next + 1 : 300);
        size_t len = (size_t)kit_below(&rng, limit - from + 1);
        uint64_t received;

        fresh_bytes += accept(&recv, from, len, false);
        assert_int_equal(recv.next, fresh_bytes);
        mux_recv_state_consume(&recv, kit_below(&rng, recv.next - recv.consumed + 1));
        if (mux_recv_state_urgent(&recv) || kit_one_in(&rng, 10)) {
            uint64_t next = mux_recv_state_tell(&recv, &received);

            assert_true(next >= limit && next <= recv.consumed + WINDOW);
            assert_int_equal(received, recv.next);
            limit = next;
        }
    }
    assert_true(fresh_bytes > 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_in_order_are_new),
        cmocka_unit_test(a_replay_is_recognised),
        cmocka_unit_test(a_gap_is_an_error),
        cmocka_unit_test(credit_is_checked_to_the_byte),
        cmocka_unit_test(the_end_is_where_it_was_said_to_be),
        cmocka_unit_test(the_end_is_acknowledged_once_all_was_delivered),
        cmocka_unit_test(an_empty_direction_ends_at_once),
        cmocka_unit_test(credit_follows_delivery),
        cmocka_unit_test(a_small_first_credit_grows_to_the_window),
        cmocka_unit_test(no_credit_is_granted_after_the_end),
        cmocka_unit_test(a_limit_never_shrinks),
        cmocka_unit_test(any_honest_sender_is_understood),
    };

    return cmocka_run_group_tests_name("mux.recv_state", tests, NULL, NULL);
}
