/* SPDX-License-Identifier: Apache-2.0 */
/* A session on a transport that works: opening, data, credit, acknowledgements. */
#include "tests/unit/mux/kit/pattern.h"
#include "tests/unit/mux/kit/session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ── Opening ── */

static void near_opens_with_early_data(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *frame;

    assert_int_equal(kit_app_send(&f->app, 100), 0); /* before there is a transport */
    f->attributes.service = mux_text("amqp");
    frame = session_fixture_attach(f, 0);
    assert_int_equal(frame->attempt, 1);
    assert_false(frame->resume);
    assert_int_equal(frame->received_offset, 0);
    assert_int_equal(frame->max_data, WINDOW);
    assert_string_equal(frame->text, "amqp");
    assert_int_equal(f->session->state, MUX_SESSION_OPENING);
    frame = session_fixture_hear(f, MUX_DATA);
    assert_int_equal(frame->len, 100);
    assert_true(kit_pattern_matches(OUT, 0, frame->bytes, sizeof(frame->bytes)));
}

static void early_data_is_limited(void **state)
{
    struct session_fixture *f = *state;
    uint64_t sent = 0;

    assert_int_equal(mux_session_space(f->session), WINDOW);
    assert_int_equal(kit_app_send(&f->app, WINDOW), 0);
    assert_int_equal(mux_session_space(f->session), 0);
    session_fixture_attach(f, 0);
    kit_peer_listen(f->peer, NOW);
    while (kit_peer_next_type(f->peer) == MUX_DATA)
        sent += kit_peer_expect(f->peer, MUX_DATA, NUMBER)->len;
    assert_int_equal(sent, MUX_INITIAL_CREDIT);
    session_fixture_open_ok(f, 0, MUX_INITIAL_CREDIT + 1000);
    assert_int_equal(session_fixture_hear(f, MUX_DATA)->offset, MUX_INITIAL_CREDIT);
    session_fixture_hear_none(f);
}

static void open_ok_attaches(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    assert_int_equal(f->app.attached, 1);
    assert_int_equal(f->session->counters.resumes, 0);
    assert_int_equal(f->session->counters.detaches, 0);
    session_fixture_hear_none(f);
}

static void far_accepts_and_grants_its_window(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *ok;

    session_fixture_open(f, 0, 1, 0, 5000);
    assert_int_equal(f->app.attached, 1);
    ok = session_fixture_hear(f, MUX_OPEN_OK);
    assert_int_equal(ok->received_offset, 0);
    assert_int_equal(ok->max_data, WINDOW);
    assert_int_equal(kit_app_send(&f->app, 6000), 0);
    assert_int_equal(session_fixture_hear(f, MUX_DATA)->len, 5000); /* the credit that OPEN brought */
    session_fixture_hear_none(f);
}

static void far_takes_early_data(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open(f, 0, 1, 0, WINDOW);
    session_fixture_data(f, 0, 60000, false);
    session_fixture_data(f, 60000, 5536, false);
    assert_int_equal(f->app.received, MUX_INITIAL_CREDIT);
    session_fixture_hear(f, MUX_OPEN_OK);
    session_fixture_hear_none(f);
}

static void an_answer_that_claims_too_much_is_refused(void **state)
{
    struct session_fixture *f = *state;

    kit_app_send(&f->app, 100);
    session_fixture_attach(f, 0);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_open_ok(f, 101, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_OFFSET_RANGE);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_OFFSET_RANGE);
}

static void nothing_but_the_answer_is_taken_before_it(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_attach(f, 0);
    session_fixture_data(f, 0, 10, false);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_PROTOCOL_ERROR);
    assert_int_equal(f->app.code, MUX_PROTOCOL_ERROR);
    assert_int_equal(f->app.received, 0);
}

static void a_second_answer_is_an_error(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    session_fixture_open_ok(f, 0, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_PROTOCOL_ERROR);
}

static void far_gets_no_answer(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    session_fixture_open_ok(f, 0, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_PROTOCOL_ERROR);
}

static void a_refusal_is_the_end(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_attach(f, 0);
    kit_peer_reset(f->peer, NUMBER, MUX_SESSION_LIMIT, "full", NOW);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_SESSION_LIMIT);
    assert_string_equal(f->app.reason, "full");
    assert_true(f->session->end_heard);
    session_fixture_hear_none(f);
}

static void a_code_from_a_newer_peer_is_kept(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    kit_peer_reset(f->peer, NUMBER, 4000000000u, "new reason", NOW);
    assert_int_equal(f->app.code, 4000000000u);
    assert_string_equal(f->app.reason, "new reason");
}

static void a_link_without_numbers_takes_no_session(void **state)
{
    struct session_fixture *f = *state;

    f->links[0].last_number = UINT32_MAX;
    assert_int_equal(mux_session_attach(f->session, &f->links[0], NULL, NOW), -MUX_NO_MEMORY);
    assert_int_equal(f->session->state, MUX_SESSION_IDLE);
    assert_int_equal(session_fixture_attach(f, 1)->attempt, 1);
}

/* ── Data and credit ── */

static void data_is_delivered_once(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    session_fixture_data(f, 0, 100, false);
    session_fixture_data(f, 50, 100, false); /* half of it is a replay */
    session_fixture_data(f, 0, 150, false);
    assert_int_equal(f->app.received, 150);
}

static void a_gap_resets_the_session_only(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    session_fixture_data(f, 1, 100, false);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_OFFSET_RANGE);
    assert_int_equal(f->app.code, MUX_OFFSET_RANGE);
    assert_int_equal(f->links[0].state, MUX_LINK_OPEN);
}

static void credit_exceeded_resets_the_session_only(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    for (uint64_t at = 0; at < WINDOW; at += WINDOW / 4)
        session_fixture_data(f, at, WINDOW / 4, false);
    assert_int_equal(f->app.received, WINDOW);
    session_fixture_data(f, WINDOW, 1, false);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_CREDIT_EXCEEDED);
}

static void an_acknowledgement_waits_for_company(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *max;

    session_fixture_open_near(f);
    session_fixture_data(f, 0, 100, false);
    session_fixture_hear_none(f);
    session_fixture_pass(f, ACK_DELAY - 1);
    session_fixture_data(f, 100, 100, false);
    session_fixture_hear_none(f);
    session_fixture_pass(f, 1);
    max = session_fixture_hear(f, MUX_MAX_DATA);
    assert_int_equal(max->received_offset, 200);
    assert_int_equal(max->max_data, WINDOW); /* nothing was taken yet */
    session_fixture_pass(f, 10 * ACK_DELAY);
    session_fixture_hear_none(f);
}

static void a_quarter_of_the_window_is_granted_at_once(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *max;

    session_fixture_open_near(f);
    session_fixture_data(f, 0, 60000, false);
    kit_app_take(&f->app, WINDOW / 4 - 1);
    session_fixture_hear_none(f);
    kit_app_take(&f->app, 1);
    max = session_fixture_hear(f, MUX_MAX_DATA);
    assert_int_equal(max->received_offset, 60000);
    assert_int_equal(max->max_data, WINDOW + WINDOW / 4);
}

static void an_acknowledgement_takes_what_is_due_along(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    session_fixture_data(f, 0, 100, false);
    session_fixture_pass(f, ACK_DELAY); /* the timer has fired, the link has not written yet */
    session_fixture_data(f, 100, 100, false);
    assert_int_equal(session_fixture_hear(f, MUX_MAX_DATA)->received_offset, 200);
    session_fixture_pass(f, 10 * ACK_DELAY);
    session_fixture_hear_none(f);
}

static void a_blocked_link_does_not_keep_the_timer_firing(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    session_fixture_data(f, 0, 100, false);
    session_fixture_pass(f, ACK_DELAY);
    assert_true(mux_session_deadline(f->session) > f->now);
    session_fixture_data(f, 100, 60000, false);
    kit_app_take(&f->app, 60000);
    assert_true(mux_session_deadline(f->session) > f->now);
}

static void space_is_a_window_of_unacknowledged_bytes(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    kit_app_send(&f->app, 1000);
    assert_int_equal(mux_session_space(f->session), WINDOW - 1000);
    assert_int_equal(mux_session_held(f->session), 1000);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_max_data(f, 400, WINDOW);
    assert_int_equal(mux_session_space(f->session), WINDOW - 600);
    session_fixture_max_data(f, 1000, WINDOW);
    assert_int_equal(mux_session_held(f->session), 0);
}

static void a_peer_can_not_acknowledge_more_than_was_sent(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    kit_app_send(&f->app, 1000);
    session_fixture_max_data(f, 1, WINDOW); /* it has not left yet */
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_OFFSET_RANGE);
    assert_int_equal(f->app.code, MUX_OFFSET_RANGE);
}

static void more_credit_lets_more_out(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open(f, 0, 1, 0, 100);
    session_fixture_hear(f, MUX_OPEN_OK);
    kit_app_send(&f->app, 300);
    assert_int_equal(session_fixture_hear(f, MUX_DATA)->len, 100);
    session_fixture_hear_none(f);
    session_fixture_max_data(f, 0, 250);
    assert_int_equal(session_fixture_hear(f, MUX_DATA)->len, 150);
    session_fixture_max_data(f, 250, 250);
    session_fixture_hear_none(f);
}

static void pings_are_answered_end_to_end(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    kit_peer_ping(f->peer, MUX_PING, NUMBER, "ABCDEFGH", NOW);
    assert_memory_equal(session_fixture_hear(f, MUX_PONG)->bytes, "ABCDEFGH", 8);
    kit_peer_ping(f->peer, MUX_PONG, NUMBER, "ABCDEFGH", NOW);
    session_fixture_hear_none(f);
}

static void a_probe_asks_once_and_doubt_lasts_until_something_comes(void **state)
{
    struct session_fixture *f = *state;

    assert_true(mux_session_in_doubt(f->session)); /* nobody is there yet */
    mux_session_probe(f->session, NOW);
    session_fixture_open_far(f);
    assert_false(mux_session_in_doubt(f->session));
    mux_session_probe(f->session, NOW);
    mux_session_probe(f->session, NOW);
    session_fixture_hear(f, MUX_PING);
    session_fixture_hear_none(f);
    assert_true(mux_session_in_doubt(f->session));
    kit_peer_ping(f->peer, MUX_PONG, NUMBER, "ABCDEFGH", NOW);
    assert_false(mux_session_in_doubt(f->session));
    mux_session_reset(f->session, MUX_KILLED, NULL, NOW);
    mux_session_probe(f->session, NOW);
    assert_false(mux_session_in_doubt(f->session));
    session_fixture_hear(f, MUX_RESET);
    session_fixture_hear_none(f);
}

static void a_near_edge_that_probes_in_vain_detaches(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    mux_session_probe(f->session, NOW);
    session_fixture_hear(f, MUX_PING);
    session_fixture_pass(f, PING_TIMEOUT);
    assert_int_equal(f->app.detached, 1);
    assert_true(mux_session_in_doubt(f->session));
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(mux_session_state_name(MUX_SESSION_IDLE), "idle");
    assert_string_equal(mux_session_state_name(MUX_SESSION_DETACHED), "detached");
    assert_string_equal(mux_session_state_name(MUX_SESSION_CLOSED), "closed");
}

int main(void)
{
#define NEAR(name) cmocka_unit_test_setup_teardown(name, session_fixture_setup_near, session_fixture_teardown)
#define FAR(name)  cmocka_unit_test_setup_teardown(name, session_fixture_setup_far, session_fixture_teardown)
    const struct CMUnitTest tests[] = {
        NEAR(near_opens_with_early_data),
        NEAR(early_data_is_limited),
        NEAR(open_ok_attaches),
        FAR(far_accepts_and_grants_its_window),
        FAR(far_takes_early_data),
        NEAR(an_answer_that_claims_too_much_is_refused),
        NEAR(nothing_but_the_answer_is_taken_before_it),
        NEAR(a_second_answer_is_an_error),
        FAR(far_gets_no_answer),
        NEAR(a_refusal_is_the_end),
        NEAR(a_code_from_a_newer_peer_is_kept),
        NEAR(a_link_without_numbers_takes_no_session),
        NEAR(data_is_delivered_once),
        NEAR(a_gap_resets_the_session_only),
        NEAR(credit_exceeded_resets_the_session_only),
        NEAR(an_acknowledgement_waits_for_company),
        NEAR(a_quarter_of_the_window_is_granted_at_once),
        NEAR(an_acknowledgement_takes_what_is_due_along),
        NEAR(a_blocked_link_does_not_keep_the_timer_firing),
        NEAR(space_is_a_window_of_unacknowledged_bytes),
        NEAR(a_peer_can_not_acknowledge_more_than_was_sent),
        FAR(more_credit_lets_more_out),
        FAR(pings_are_answered_end_to_end),
        FAR(a_probe_asks_once_and_doubt_lasts_until_something_comes),
        NEAR(a_near_edge_that_probes_in_vain_detaches),
        cmocka_unit_test(states_have_names),
    };

    return cmocka_run_group_tests_name("mux.session", tests, NULL, NULL);
}
