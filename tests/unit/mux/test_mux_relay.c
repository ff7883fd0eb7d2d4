/* SPDX-License-Identifier: Apache-2.0 */
/* A relay between a guest and a far edge that the test plays: what passes, and how it ends. */
#include "tests/unit/mux/kit/pattern.h"
#include "tests/unit/mux/kit/relay_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ── Passing on ── */

static void open_passes_with_its_attributes(void **state)
{
    const struct kit_frame *open = relay_fixture_open(*state, false, 0, WINDOW - 1);

    assert_string_equal(open->text, "svc");
    assert_int_equal(open->attempt, 1);
    assert_int_equal(open->max_data, WINDOW - 1);
}

static void early_data_passes_before_the_answer(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open(f, false, 0, WINDOW);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 0, 100, false, NOW), 0);
    relay_fixture_listen(f);
    assert_int_equal(kit_peer_expect(&f->far, MUX_DATA, LINK)->len, 100);
}

static void data_passes_both_ways(void **state)
{
    struct relay_fixture *f = *state;
    const struct kit_frame *data;

    relay_fixture_open_ok(f, WINDOW);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 0, 50, false, NOW), 0);
    assert_int_equal(kit_peer_data(&f->far, LINK, DOWN, 0, 60, true, NOW), 0);
    relay_fixture_listen(f);
    data = kit_peer_expect(&f->far, MUX_DATA, LINK);
    assert_int_equal(data->len, 50);
    assert_false(data->fin);
    assert_true(kit_pattern_matches(UP, 0, data->bytes, 50));
    data = kit_peer_expect(&f->guest, MUX_DATA, GUEST);
    assert_int_equal(data->len, 60);
    assert_true(data->fin);
    assert_true(kit_pattern_matches(DOWN, 0, data->bytes, 60));
    assert_int_equal(f->relay.bytes_from_guest, 50);
    assert_int_equal(f->relay.bytes_to_guest, 60);
}

static void control_frames_pass_both_ways(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_ping(&f->guest, MUX_PING, GUEST, "AAAAAAAA", NOW);
    kit_peer_ping(&f->far, MUX_PONG, LINK, "BBBBBBBB", NOW);
    kit_peer_max_data(&f->far, LINK, 0, WINDOW * 3, NOW);
    relay_fixture_listen(f);
    assert_memory_equal(kit_peer_expect(&f->far, MUX_PING, LINK)->bytes, "AAAAAAAA", 8);
    assert_int_equal(kit_peer_expect(&f->guest, MUX_MAX_DATA, GUEST)->max_data, WINDOW * 3);
    assert_memory_equal(kit_peer_expect(&f->guest, MUX_PONG, GUEST)->bytes, "BBBBBBBB", 8);
}

static void a_resume_goes_on_from_where_the_edges_are(void **state)
{
    struct relay_fixture *f = *state;
    const struct kit_frame *open = relay_fixture_open(f, true, 700, 700 + WINDOW);

    assert_true(open->resume);
    assert_int_equal(open->received_offset, 700);
    kit_peer_open_ok(&f->far, LINK, 900, 0, 900 + WINDOW, NOW);
    assert_int_equal(kit_peer_data(&f->far, LINK, DOWN, 700, 10, false, NOW), 0);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 900, 10, false, NOW), 0);
    relay_fixture_listen(f);
    assert_int_equal(kit_peer_expect(&f->guest, MUX_OPEN_OK, GUEST)->received_offset, 900);
    assert_int_equal(kit_peer_expect(&f->guest, MUX_DATA, GUEST)->offset, 700);
    assert_int_equal(kit_peer_expect(&f->far, MUX_DATA, LINK)->offset, 900);
}

static void a_resume_after_both_ends_passes_nothing_twice(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open(f, true, 701, 701 + WINDOW); /* 700 bytes and the end */
    kit_peer_open_ok(&f->far, LINK, 901, 0, 901 + WINDOW, NOW);
    kit_peer_max_data(&f->guest, GUEST, 701, 701 + WINDOW, NOW);
    kit_peer_max_data(&f->far, LINK, 901, 901 + WINDOW, NOW);
    relay_fixture_listen(f);
    kit_peer_expect(&f->guest, MUX_OPEN_OK, GUEST);
    assert_int_equal(kit_peer_expect(&f->guest, MUX_MAX_DATA, GUEST)->received_offset, 901);
    assert_int_equal(kit_peer_expect(&f->far, MUX_MAX_DATA, LINK)->received_offset, 701);
    assert_int_equal(f->closed, 0);
}

static void an_open_repeated_skips_what_the_far_edge_has(void **state)
{
    struct relay_fixture *f = *state;

    /* The first OPEN was never answered, but arrived: the near edge sends OPEN(NEW) again, without data. */
    relay_fixture_open(f, false, 0, WINDOW);
    kit_peer_data(&f->guest, GUEST, UP, 0, 100, false, NOW);
    kit_peer_open_ok(&f->far, LINK, 80, 0, WINDOW, NOW);
    relay_fixture_listen(f);
    assert_int_equal(kit_peer_expect(&f->far, MUX_DATA, LINK)->offset, 80);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 80, 100, false, NOW), 0);
    relay_fixture_listen(f);
    assert_int_equal(kit_peer_expect(&f->far, MUX_DATA, LINK)->offset, 100); /* what is known is dropped */
}

/* ── The end ── */

static void a_reset_by_the_guest_is_passed_on(void **state)
{
    struct relay_fixture *f = *state;
    const struct kit_frame *reset;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_data(&f->guest, GUEST, UP, 0, 1000, false, NOW);
    kit_peer_reset(&f->guest, GUEST, MUX_CLIENT_CLOSED, "gone", NOW);
    assert_int_equal(f->guest_ends, 1);
    relay_fixture_listen(f);
    reset = kit_peer_expect(&f->far, MUX_RESET, LINK);
    assert_int_equal(reset->code, MUX_CLIENT_CLOSED);
    assert_string_equal(reset->text, "gone");
    kit_peer_expect_none(&f->guest);
    assert_int_equal(f->end, MUX_RELAY_RESET);
    assert_true(f->by_guest);
    assert_string_equal(f->reason, "gone");
}

static void a_reset_by_the_far_edge_is_passed_on(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_reset(&f->far, LINK, MUX_BROKER_CLOSED, "bye", NOW);
    relay_fixture_listen(f);
    assert_string_equal(kit_peer_expect(&f->guest, MUX_RESET, GUEST)->text, "bye");
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->end, MUX_RELAY_RESET);
    assert_false(f->by_guest);
    assert_int_equal(f->guest_ends, 0); /* the guest closes, it has heard RESET */
}

static void a_refusal_before_open_ok_is_passed_on(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open(f, false, 0, WINDOW);
    kit_peer_reset(&f->far, LINK, MUX_BROKER_UNREACHABLE, "down", NOW);
    relay_fixture_listen(f);
    assert_int_equal(kit_peer_expect(&f->guest, MUX_RESET, GUEST)->code, MUX_BROKER_UNREACHABLE);
    assert_int_equal(f->closed, 1);
}

static void the_end_in_order_closes_the_guest_stream(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_data(&f->guest, GUEST, UP, 0, 10, true, NOW);
    kit_peer_data(&f->far, LINK, DOWN, 0, 10, true, NOW);
    relay_fixture_listen(f);
    kit_peer_max_data(&f->guest, GUEST, 11, WINDOW, NOW);
    kit_peer_max_data(&f->far, LINK, 11, WINDOW, NOW);
    relay_fixture_listen(f);
    assert_int_equal(f->closed, 0); /* the far edge has the last word */
    kit_peer_reset(&f->far, LINK, MUX_OK, "", NOW);
    relay_fixture_listen(f);
    kit_peer_expect(&f->guest, MUX_DATA, GUEST);
    kit_peer_expect(&f->guest, MUX_MAX_DATA, GUEST);
    assert_int_equal(kit_peer_expect(&f->guest, MUX_RESET, GUEST)->code, MUX_OK);
    assert_int_equal(f->guest_ends, 1);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->end, MUX_RELAY_ENDED);
}

static void a_guest_can_not_call_the_end_in_order(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_reset(&f->guest, GUEST, MUX_OK, "", NOW);
    relay_fixture_listen(f);
    kit_peer_expect(&f->far, MUX_RESET, LINK);
    assert_int_equal(f->end, MUX_RELAY_RESET);
    assert_true(f->by_guest);
}

static void a_broken_guest_stream_is_a_detach(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_data(&f->guest, GUEST, UP, 0, 10, false, NOW);
    mux_link_close(&f->guest_link, MUX_IDLE_TIMEOUT, "silent", NOW);
    assert_int_equal(f->closed, 0);
    relay_fixture_listen(f);
    kit_peer_expect(&f->far, MUX_DETACH, LINK);
    kit_peer_expect_none(&f->far);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->end, MUX_RELAY_BROKEN);
    assert_true(f->by_guest);
}

static void a_broken_link_ends_the_relay(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_data(&f->far, LINK, DOWN, 0, 10, false, NOW);
    mux_link_close(&f->far_link, MUX_TRY_LATER, "reset", NOW);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->end, MUX_RELAY_BROKEN);
    assert_false(f->by_guest);
    relay_fixture_listen(f);
    kit_peer_expect_none(&f->guest);
}

static void a_far_edge_that_detaches_ends_the_relay(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    kit_peer_detach(&f->far, LINK, NOW);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->end, MUX_RELAY_BROKEN);
    assert_false(f->by_guest);
}

static void both_transports_break_at_once(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    mux_link_close(&f->guest_link, MUX_TRY_LATER, "reset", NOW);
    mux_link_close(&f->far_link, MUX_TRY_LATER, "reset", NOW);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->end, MUX_RELAY_BROKEN);
}

static void a_reset_that_can_not_be_said_ends_all_the_same(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    mux_relay_reset(&f->relay, MUX_KILLED, "by hand");
    mux_relay_reset(&f->relay, MUX_REFUSED, "again");
    assert_int_equal(f->closed, 0); /* never from inside the call */
    mux_link_close(&f->guest_link, MUX_TRY_LATER, "reset", NOW);
    assert_int_equal(f->closed, 0);
    kit_peer_listen(&f->far, NOW);
    assert_int_equal(kit_peer_expect(&f->far, MUX_RESET, LINK)->code, MUX_KILLED);
    assert_int_equal(f->closed, 1);
    assert_int_equal(f->code, MUX_KILLED);
}

static void frames_after_the_end_are_ignored(void **state)
{
    struct relay_fixture *f = *state;

    relay_fixture_open_ok(f, WINDOW);
    mux_relay_reset(&f->relay, MUX_KILLED, "by hand");
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 500, 1, false, NOW), 0);
    assert_int_equal(kit_peer_reset(&f->guest, GUEST, MUX_CLIENT_CLOSED, "x", NOW), 0);
    relay_fixture_expect_reset(f, MUX_KILLED);
    assert_int_equal(kit_peer_data(&f->guest, GUEST, UP, 500, 1, false, NOW), 0);
    assert_int_equal(kit_peer_data(&f->far, LINK, DOWN, 500, 1, false, NOW), 0);
}

static void a_link_without_numbers_is_a_reason_to_try_later(void **state)
{
    struct mux_open open = {.attempt = 1, .max_data = WINDOW};
    struct relay_fixture *f = *state;

    f->far_link.last_number = UINT32_MAX;
    kit_peer_open(&f->guest, GUEST, &open, NOW);
    assert_false(f->relayed);
    relay_fixture_listen(f);
    assert_int_equal(kit_peer_expect(&f->guest, MUX_RESET, GUEST)->code, MUX_TRY_LATER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, relay_fixture_setup, relay_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(open_passes_with_its_attributes),
        TEST(early_data_passes_before_the_answer),
        TEST(data_passes_both_ways),
        TEST(control_frames_pass_both_ways),
        TEST(a_resume_goes_on_from_where_the_edges_are),
        TEST(a_resume_after_both_ends_passes_nothing_twice),
        TEST(an_open_repeated_skips_what_the_far_edge_has),
        TEST(a_reset_by_the_guest_is_passed_on),
        TEST(a_reset_by_the_far_edge_is_passed_on),
        TEST(a_refusal_before_open_ok_is_passed_on),
        TEST(the_end_in_order_closes_the_guest_stream),
        TEST(a_guest_can_not_call_the_end_in_order),
        TEST(a_broken_guest_stream_is_a_detach),
        TEST(a_broken_link_ends_the_relay),
        TEST(a_far_edge_that_detaches_ends_the_relay),
        TEST(both_transports_break_at_once),
        TEST(a_reset_that_can_not_be_said_ends_all_the_same),
        TEST(frames_after_the_end_are_ignored),
        TEST(a_link_without_numbers_is_a_reason_to_try_later),
    };

    return cmocka_run_group_tests_name("mux.relay", tests, NULL, NULL);
}
