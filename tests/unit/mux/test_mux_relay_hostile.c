/* SPDX-License-Identifier: Apache-2.0 */
/* A relay and a guest that breaks the rules, or would fill this process's memory. */
#include "tests/unit/mux/kit/relay_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ── A guest that breaks the rules ── */

static void a_guest_that_exceeds_its_credit_is_reset(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 0, 60000, false, NOW), 0);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 60000, 40001, false, NOW), 0);
    relay_fixture_expect_reset(f, MUX_CREDIT_EXCEEDED);
}

static void early_data_is_limited_to_the_first_credit(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open(f, false, 0, WINDOW);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 0, 60000, false, NOW), 0);
    assert_int_equal(f->closed, 0);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 60000, 5537, false, NOW), 0);
    relay_fixture_expect_reset(f, MUX_CREDIT_EXCEEDED);
}

static void a_resume_has_no_early_data(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open(f, true, 0, WINDOW);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 0, 1, false, NOW), 0);
    relay_fixture_expect_reset(f, MUX_PROTOCOL_ERROR);
}

static void a_resume_has_no_early_end(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open(f, true, 0, WINDOW);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 0, 0, true, NOW), 0);
    relay_fixture_expect_reset(f, MUX_PROTOCOL_ERROR);
}

static void a_gap_is_reset(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 1, 1, false, NOW), 0);
    relay_fixture_expect_reset(f, MUX_OFFSET_RANGE);
}

static void an_offset_that_wraps_is_reset(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, UINT64_MAX - 2, 10, false, NOW), 0);
    relay_fixture_expect_reset(f, MUX_OFFSET_RANGE);
}

static void bytes_behind_the_end_are_reset(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_data(&f->guest, GUEST, UP, 0, 10, true, NOW);
    kit_peer_data(&f->guest, GUEST, UP, 10, 1, false, NOW);
    relay_fixture_expect_reset(f, MUX_OFFSET_RANGE);
}

static void an_end_before_what_was_sent_is_reset(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_data(&f->guest, GUEST, UP, 0, 10, false, NOW);
    kit_peer_data(&f->guest, GUEST, UP, 0, 5, true, NOW);
    relay_fixture_expect_reset(f, MUX_OFFSET_RANGE);
}

static void a_guest_can_not_acknowledge_what_was_not_sent_to_it(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_data(&f->far, LINK, DOWN, 0, 1000, false, NOW); /* has not been written yet */
    assert_int_equal(kit_peer_max_data(&f->guest, GUEST, 2, WINDOW, NOW), 0);
    relay_fixture_expect_reset(f, MUX_OFFSET_RANGE);
}

static void whether_the_end_was_sent_the_far_edge_knows(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_data(&f->far, LINK, DOWN, 0, 1000, false, NOW);
    relay_fixture_listen(f);
    assert_int_equal(kit_peer_max_data(&f->guest, GUEST, 1001, UINT64_MAX, NOW), 0);
    relay_fixture_listen(f);
    assert_int_equal(kit_peer_expect(&f->far, MUX_MAX_DATA, LINK)->received_offset, 1001);
    assert_int_equal(f->relay.guest.limit, 1000 + WINDOW); /* it buys no credit */
    assert_int_equal(kit_peer_max_data(&f->guest, GUEST, 1002, WINDOW, NOW), 0);
    kit_peer_expect(&f->guest, MUX_DATA, GUEST);
    relay_fixture_expect_reset(f, MUX_OFFSET_RANGE);
}

static void frames_that_are_not_the_guests_to_say_are_reset(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_open_ok(&f->guest, GUEST, 0, 0, WINDOW, NOW);
    relay_fixture_expect_reset(f, MUX_PROTOCOL_ERROR);
}

static void a_guest_can_not_detach(void **state)
{
    struct relay_fixture *f = *state;

    /* Else the far edge would believe it attached for ever. */
    relay_fixture_open_ok(f, WINDOW);
    kit_peer_detach(&f->guest, GUEST, NOW);
    relay_fixture_expect_reset(f, MUX_PROTOCOL_ERROR);
}

static void a_far_edge_that_answers_before_open_ok_is_reset(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open(f, false, 0, WINDOW);
    kit_peer_data(&f->far, LINK, DOWN, 0, 1, false, NOW);
    relay_fixture_expect_reset(f, MUX_PROTOCOL_ERROR);
}

static void a_far_edge_that_answers_twice_is_reset(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_open_ok(&f->far, LINK, 0, 0, WINDOW, NOW);
    relay_fixture_expect_reset(f, MUX_PROTOCOL_ERROR);
}

/* ── Memory ── */

static void credit_is_cut_to_the_window(void **state)
{
    struct relay_fixture *f = *state;

    assert_int_equal(relay_fixture_open(f, false, 0, UINT64_MAX)->max_data, WINDOW);
    kit_peer_open_ok(&f->far, LINK, 0, 0, WINDOW, NOW);
    kit_peer_data(&f->far, LINK, DOWN, 0, 1000, false, NOW);
    relay_fixture_listen(f);
    kit_peer_max_data(&f->guest, GUEST, 1000, UINT64_MAX, NOW);
    relay_fixture_listen(f);
    assert_int_equal(kit_peer_expect(&f->far, MUX_MAX_DATA, LINK)->max_data, 1000 + WINDOW);
    kit_peer_max_data(&f->guest, GUEST, 500, UINT64_MAX, NOW); /* nothing old takes it back */
    relay_fixture_listen(f);
    assert_int_equal(f->relay.guest.limit, 1000 + WINDOW);
}

static void credit_granted_by_a_resume_is_cut_as_well(void **state)
{
    assert_int_equal(relay_fixture_open(*state, true, 5000, UINT64_MAX)->max_data, 5000 + WINDOW);
}

static void a_resume_from_the_end_of_the_world_wraps_nothing(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open(f, true, UINT64_MAX - 10, UINT64_MAX);
    kit_peer_open_ok(&f->far, LINK, 0, 0, WINDOW, NOW);
    kit_peer_data(&f->far, LINK, DOWN, 0, 50000, false, NOW);
    assert_true(f->relay.guest.queue.len <= WINDOW);
}

static void a_guest_that_does_not_read_costs_a_window(void **state)
{
    struct relay_fixture *f = *state;
    uint64_t sent = 0;

    relay_fixture_open_ok(f, WINDOW);
    while (f->relay.state == MUX_RELAY_OPEN && sent < 10 * WINDOW) {
        kit_peer_data(&f->far, LINK, DOWN, sent, 1000, false, NOW);
        sent += 1000;
        assert_true(f->relay.guest.queue.len <= WINDOW);
        mux_link_compact(&f->guest_link);
    }
    assert_int_equal(sent, WINDOW + 1000); /* what is beyond it is the far edge's fault */
    relay_fixture_expect_reset(f, MUX_CREDIT_EXCEEDED);
}

static void the_backlog_is_told_and_drains(void **state)
{
    struct relay_fixture *f = *state;
    uint64_t sent = 0;

    relay_fixture_open_ok(f, 10 * MUX_RELAY_SHARE);
    while (mux_relay_backlog(&f->relay) < MUX_RELAY_SHARE) {
        assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, sent, 8192, false, NOW), 0);
        sent += 8192;
    }
    assert_int_equal(f->drained, 0);
    assert_true(mux_relay_backlog(&f->relay) <= MUX_RELAY_SHARE + 8192);
    relay_fixture_listen(f);
    assert_int_equal(f->drained, 1); /* once, below half */
    assert_int_equal(mux_relay_backlog(&f->relay), 0);
}

static void a_short_queue_is_no_backlog(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, 10 * MUX_RELAY_SHARE);
    kit_peer_data(&f->guest, GUEST, UP, 0, 60000, false, NOW);
    assert_int_equal(mux_relay_backlog(&f->relay), 60000);
    relay_fixture_listen(f);
    assert_int_equal(f->drained, 0);
}

static void one_byte_frames_do_not_pin_chunks(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    for (uint64_t i = 0; i < 20000; i++) {
        assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, i, 1, false, NOW), 0);
        if (i % 50 == 0)
            mux_link_compact(&f->far_link); /* the link takes nothing */
    }
    mux_link_compact(&f->far_link);
    assert_int_equal(f->guest.pool.live, 1);
    assert_int_equal(f->guest.pool.current->refs, 1);
}

static void pings_do_not_pile_up(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    for (int i = 0; i < 10000; i++)
        kit_peer_ping(&f->guest, MUX_PING, GUEST, "AAAAAAAA", NOW);
    relay_fixture_listen(f);
    kit_peer_expect(&f->far, MUX_PING, LINK);
    kit_peer_expect_none(&f->far);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, relay_fixture_setup, relay_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_guest_that_exceeds_its_credit_is_reset),
        TEST(early_data_is_limited_to_the_first_credit),
        TEST(a_resume_has_no_early_data),
        TEST(a_resume_has_no_early_end),
        TEST(a_gap_is_reset),
        TEST(an_offset_that_wraps_is_reset),
        TEST(bytes_behind_the_end_are_reset),
        TEST(an_end_before_what_was_sent_is_reset),
        TEST(a_guest_can_not_acknowledge_what_was_not_sent_to_it),
        TEST(whether_the_end_was_sent_the_far_edge_knows),
        TEST(frames_that_are_not_the_guests_to_say_are_reset),
        TEST(a_guest_can_not_detach),
        TEST(a_far_edge_that_answers_before_open_ok_is_reset),
        TEST(a_far_edge_that_answers_twice_is_reset),
        TEST(credit_is_cut_to_the_window),
        TEST(credit_granted_by_a_resume_is_cut_as_well),
        TEST(a_resume_from_the_end_of_the_world_wraps_nothing),
        TEST(a_guest_that_does_not_read_costs_a_window),
        TEST(the_backlog_is_told_and_drains),
        TEST(a_short_queue_is_no_backlog),
        TEST(one_byte_frames_do_not_pin_chunks),
        TEST(pings_do_not_pile_up),
    };

    return cmocka_run_group_tests_name("mux.relay_hostile", tests, NULL, NULL);
}
