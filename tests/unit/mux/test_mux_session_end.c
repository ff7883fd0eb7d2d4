/* SPDX-License-Identifier: Apache-2.0 */
/* How a session ends: in order, by RESET of either side, finishing, and by the clock. */
#include "tests/unit/mux/kit/session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Both sides have sent `n` bytes and the end, and everything was exchanged but the acknowledgements. */
static void end_both_ways(struct session_fixture *f, size_t n)
{
    f->app.peer_bytes = n;
    kit_app_send(&f->app, n);
    mux_session_send_fin(f->session);
    assert_true(session_fixture_hear(f, MUX_DATA)->fin);
    session_fixture_data(f, 0, n, true);
    assert_true(f->app.fin_heard);
}

/* ── In order ── */

static void far_says_the_end_in_order(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    end_both_ways(f, 100);
    kit_app_take(&f->app, 100);
    assert_int_equal(session_fixture_hear(f, MUX_MAX_DATA)->received_offset, 101);
    assert_false(f->app.closed); /* whether the near edge has it all is not known */
    session_fixture_max_data(f, 101, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_OK);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_OK);
}

static void far_waits_until_its_local_side_took_all(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    end_both_ways(f, 100);
    session_fixture_max_data(f, 101, WINDOW);
    kit_app_take(&f->app, 99);
    session_fixture_pass(f, ACK_DELAY);
    assert_int_equal(session_fixture_hear(f, MUX_MAX_DATA)->received_offset, 100);
    session_fixture_hear_none(f);
    kit_app_take(&f->app, 1);
    assert_false(f->app.closed); /* never from inside a call of the owner's */
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_OK);
    assert_true(f->app.closed);
}

static void near_waits_for_the_word_of_the_far_edge(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    end_both_ways(f, 100);
    kit_app_take(&f->app, 100);
    session_fixture_max_data(f, 101, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_MAX_DATA)->received_offset, 101);
    assert_false(f->app.closed);
    kit_peer_reset(f->peer, NUMBER, MUX_OK, "", NOW);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_OK);
    assert_true(f->session->end_heard);
}

static void near_acknowledges_the_end_once_all_was_taken(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    f->app.peer_bytes = 100;
    session_fixture_data(f, 0, 100, true);
    session_fixture_pass(f, ACK_DELAY);
    assert_int_equal(session_fixture_hear(f, MUX_MAX_DATA)->received_offset, 100);
    kit_app_take(&f->app, 100);
    assert_int_equal(session_fixture_hear(f, MUX_MAX_DATA)->received_offset, 101); /* at once */
}

static void an_end_in_order_that_is_none_is_an_error(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    f->app.peer_bytes = 100;
    session_fixture_data(f, 0, 100, true);
    kit_app_take(&f->app, 100);
    kit_peer_reset(f->peer, NUMBER, MUX_OK, "", NOW);
    assert_int_equal(f->app.code, MUX_PROTOCOL_ERROR); /* our direction has not ended */
}

static void nobody_calls_the_end_in_order_at_the_far_edge(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    kit_peer_reset(f->peer, NUMBER, MUX_OK, "", NOW);
    assert_int_equal(f->app.code, MUX_PROTOCOL_ERROR);
}

static void the_end_may_come_early(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *data;

    mux_session_send_fin(f->session);
    session_fixture_attach(f, 0);
    data = session_fixture_hear(f, MUX_DATA);
    assert_int_equal(data->len, 0);
    assert_true(data->fin);
    session_fixture_open_ok(f, 1, WINDOW);
    assert_int_equal(f->session->send.fin, MUX_FIN_ACKED);
}

static void one_direction_may_end_long_before_the_other(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    f->app.peer_bytes = 0;
    session_fixture_data(f, 0, 0, true);
    assert_true(f->app.fin_heard);
    assert_int_equal(session_fixture_hear(f, MUX_MAX_DATA)->received_offset, 1);
    kit_app_send(&f->app, 5000);
    assert_int_equal(session_fixture_hear(f, MUX_DATA)->len, 5000);
    session_fixture_max_data(f, 5000, WINDOW);
    assert_false(f->app.closed);
    mux_session_send_fin(f->session);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_max_data(f, 5001, WINDOW);
    session_fixture_hear(f, MUX_RESET);
    assert_int_equal(f->app.code, MUX_OK);
}

/* ── RESET ── */

static void a_reset_leaves_before_the_session_is_over(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *reset;

    session_fixture_open_near(f);
    kit_app_send(&f->app, 1000);
    mux_session_reset(f->session, MUX_CLIENT_CLOSED, "client went away", NOW);
    mux_session_reset(f->session, MUX_KILLED, "again", NOW);
    assert_false(f->app.closed);
    assert_int_equal(mux_session_space(f->session), 0);
    assert_int_equal(mux_session_held(f->session), 0);
    reset = session_fixture_hear(f, MUX_RESET);
    assert_int_equal(reset->code, MUX_CLIENT_CLOSED);
    assert_string_equal(reset->text, "client went away");
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_CLIENT_CLOSED);
    assert_false(f->session->end_heard);
}

static void a_reset_without_a_reason_says_the_codes_text(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    mux_session_reset(f->session, MUX_KILLED, NULL, NOW);
    assert_string_equal(session_fixture_hear(f, MUX_RESET)->text, "killed by operator");
}

static void a_reset_before_the_open_left_sends_both(void **state)
{
    struct session_fixture *f = *state;

    kit_peer_hello(f->peer, MUX_ROLE_HOST, NOW);
    assert_int_equal(mux_session_attach(f->session, &f->links[0], NULL, NOW), 0);
    mux_session_reset(f->session, MUX_CLIENT_CLOSED, NULL, NOW);
    session_fixture_hear(f, MUX_HELLO);
    session_fixture_hear(f, MUX_OPEN);
    session_fixture_hear(f, MUX_RESET);
    assert_true(f->app.closed);
}

static void a_reset_without_a_transport_ends_by_the_timer(void **state)
{
    struct session_fixture *f = *state;

    mux_session_reset(f->session, MUX_CLIENT_CLOSED, NULL, NOW);
    assert_false(f->app.closed);
    assert_true(mux_session_deadline(f->session) <= NOW);
    mux_session_tick(f->session, NOW);
    assert_true(f->app.closed);
}

static void a_reset_that_can_not_leave_is_given_up(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    mux_session_reset(f->session, MUX_CLIENT_CLOSED, NULL, NOW);
    session_fixture_pass(f, 1999);
    assert_false(f->app.closed);
    session_fixture_pass(f, 1);
    assert_true(f->app.closed);
    session_fixture_hear_none(f);
}

static void far_leaves_a_reset_that_waits_to_the_link(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *reset;

    session_fixture_open_far(f);
    mux_session_reset(f->session, MUX_KILLED, "enough", NOW);
    session_fixture_pass(f, 2000);
    assert_true(f->app.closed);
    reset = session_fixture_hear(f, MUX_RESET);
    assert_int_equal(reset->code, MUX_KILLED);
    assert_string_equal(reset->text, "enough");
    session_fixture_hear_none(f);
}

static void a_reset_whose_transport_breaks_is_the_end(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    mux_session_reset(f->session, MUX_CLIENT_CLOSED, NULL, NOW);
    mux_link_close(&f->links[0], MUX_TRY_LATER, "reset", NOW);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_CLIENT_CLOSED);
    assert_int_equal(f->app.detached, 0);
}

static void nothing_is_taken_after_a_reset(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    session_fixture_data(f, 0, 100, false);
    mux_session_reset(f->session, MUX_CLIENT_CLOSED, NULL, NOW);
    session_fixture_data(f, 100, 100, false);
    kit_peer_reset(f->peer, NUMBER, MUX_KILLED, "", NOW);
    assert_int_equal(f->app.received, 100);
    kit_app_take(&f->app, 100); /* harmless */
    assert_int_equal(kit_app_send(&f->app, 10), 0);
    mux_session_send_fin(f->session);
    mux_session_finish(f->session, MUX_KILLED, NULL, NOW);
    mux_session_detach(f->session, MUX_KILLED, NULL, NOW);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_CLIENT_CLOSED);
    session_fixture_hear_none(f);
}

/* ── Finishing ── */

static void finishing_delivers_what_was_sent_first(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    kit_app_send(&f->app, 1000);
    mux_session_finish(f->session, MUX_BROKER_CLOSED, "broker went away", NOW);
    assert_int_equal(mux_session_space(f->session), 0);
    assert_int_equal(session_fixture_hear(f, MUX_DATA)->len, 1000);
    session_fixture_max_data(f, 999, WINDOW);
    session_fixture_hear_none(f);
    session_fixture_max_data(f, 1000, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_BROKER_CLOSED);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_BROKER_CLOSED);
}

static void finishing_with_nothing_left_is_a_reset(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    mux_session_finish(f->session, MUX_BROKER_CLOSED, NULL, NOW);
    assert_false(f->app.closed);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_BROKER_CLOSED);
}

static void what_comes_while_finishing_is_dropped_but_acknowledged(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    kit_app_send(&f->app, 1000);
    mux_session_finish(f->session, MUX_BROKER_CLOSED, NULL, NOW);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_data(f, 0, WINDOW / 4, true);
    assert_int_equal(f->app.received, 0);
    assert_false(f->app.fin_heard);
    assert_int_equal(session_fixture_hear(f, MUX_MAX_DATA)->received_offset, WINDOW / 4 + 1);
    assert_int_equal(kit_app_send(&f->app, 10), 0); /* ignored */
    session_fixture_hear_none(f);
}

static void finishing_waits_for_the_end_that_was_sent(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    kit_app_send(&f->app, 10);
    mux_session_send_fin(f->session);
    mux_session_finish(f->session, MUX_SHUTTING_DOWN, NULL, NOW);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_max_data(f, 10, WINDOW);
    session_fixture_hear_none(f);
    session_fixture_max_data(f, 11, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_SHUTTING_DOWN);
}

static void the_first_finish_counts_but_a_reset_overtakes_it(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    kit_app_send(&f->app, 1000);
    mux_session_finish(f->session, MUX_BROKER_CLOSED, NULL, NOW);
    mux_session_finish(f->session, MUX_SHUTTING_DOWN, NULL, NOW);
    assert_int_equal(f->session->end_code, MUX_BROKER_CLOSED);
    mux_session_reset(f->session, MUX_KILLED, NULL, NOW);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_KILLED);
}

/* ── The clock ── */

static void a_session_that_finds_no_transport_ends(void **state)
{
    struct session_fixture *f = *state;

    assert_int_equal(mux_session_deadline(f->session), NOW + CONNECT_TIMEOUT);
    session_fixture_pass(f, CONNECT_TIMEOUT - 1);
    assert_false(f->app.closed);
    session_fixture_pass(f, 1);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_HOST_UNREACHABLE);
}

static void an_idle_session_is_pinged_and_given_up(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    session_fixture_pass(f, PING_INTERVAL - 1);
    session_fixture_hear_none(f);
    session_fixture_pass(f, 1);
    session_fixture_hear(f, MUX_PING);
    session_fixture_pass(f, PING_TIMEOUT - 1);
    session_fixture_hear_none(f);
    assert_int_equal(f->app.detached, 0);
    session_fixture_pass(f, 1);
    assert_int_equal(f->app.detached, 1);
    assert_int_equal(f->session->state, MUX_SESSION_DETACHED);
}

static void a_pong_keeps_it_attached(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    for (int i = 0; i < 5; i++) {
        session_fixture_pass(f, PING_INTERVAL);
        session_fixture_hear(f, MUX_PING);
        session_fixture_pass(f, PING_TIMEOUT - 1);
        kit_peer_ping(f->peer, MUX_PONG, NUMBER, "alive!!!", f->now);
    }
    assert_int_equal(f->app.detached, 0);
}

static void after_a_sleep_there_is_little_patience(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    session_fixture_pass(f, PING_INTERVAL + 3600000); /* the machine slept */
    session_fixture_hear(f, MUX_PING);
    session_fixture_pass(f, 1999);
    assert_int_equal(f->app.detached, 0);
    session_fixture_pass(f, 1);
    assert_int_equal(f->app.detached, 1);
}

static void far_does_not_ping(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    assert_int_equal(mux_session_deadline(f->session), UINT64_MAX);
    session_fixture_pass(f, 100 * PING_INTERVAL);
    session_fixture_hear_none(f);
    assert_int_equal(f->app.detached, 0);
}

int main(void)
{
#define NEAR(name) cmocka_unit_test_setup_teardown(name, session_fixture_setup_near, session_fixture_teardown)
#define FAR(name)  cmocka_unit_test_setup_teardown(name, session_fixture_setup_far, session_fixture_teardown)
    const struct CMUnitTest tests[] = {
        FAR(far_says_the_end_in_order),
        FAR(far_waits_until_its_local_side_took_all),
        NEAR(near_waits_for_the_word_of_the_far_edge),
        NEAR(near_acknowledges_the_end_once_all_was_taken),
        NEAR(an_end_in_order_that_is_none_is_an_error),
        FAR(nobody_calls_the_end_in_order_at_the_far_edge),
        NEAR(the_end_may_come_early),
        FAR(one_direction_may_end_long_before_the_other),
        NEAR(a_reset_leaves_before_the_session_is_over),
        NEAR(a_reset_without_a_reason_says_the_codes_text),
        NEAR(a_reset_before_the_open_left_sends_both),
        NEAR(a_reset_without_a_transport_ends_by_the_timer),
        NEAR(a_reset_that_can_not_leave_is_given_up),
        FAR(far_leaves_a_reset_that_waits_to_the_link),
        NEAR(a_reset_whose_transport_breaks_is_the_end),
        NEAR(nothing_is_taken_after_a_reset),
        FAR(finishing_delivers_what_was_sent_first),
        FAR(finishing_with_nothing_left_is_a_reset),
        FAR(what_comes_while_finishing_is_dropped_but_acknowledged),
        FAR(finishing_waits_for_the_end_that_was_sent),
        FAR(the_first_finish_counts_but_a_reset_overtakes_it),
        NEAR(a_session_that_finds_no_transport_ends),
        NEAR(an_idle_session_is_pinged_and_given_up),
        NEAR(a_pong_keeps_it_attached),
        NEAR(after_a_sleep_there_is_little_patience),
        FAR(far_does_not_ping),
    };

    return cmocka_run_group_tests_name("mux.session_end", tests, NULL, NULL);
}
