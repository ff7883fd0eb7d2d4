/* SPDX-License-Identifier: Apache-2.0 */
/* A session whose transports break: what each edge says on the next one, and what it refuses. */
#include "tests/unit/mux/kit/pattern.h"
#include "tests/unit/mux/kit/session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The transport in use breaks. */
static void break_it(struct session_fixture *f)
{
    mux_link_close(f->peer->link, MUX_TRY_LATER, "reset", f->now);
}

/* ── The near edge ── */

static void near_resumes_and_both_replay(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *frame;

    session_fixture_open_near(f);
    kit_app_send(&f->app, 1000);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_data(f, 0, 300, false);
    break_it(f);
    assert_int_equal(f->app.detached, 1);
    kit_app_send(&f->app, 500); /* goes on while there is no transport */
    frame = session_fixture_attach(f, 1);
    assert_int_equal(f->session->state, MUX_SESSION_RESUMING);
    assert_true(frame->resume);
    assert_int_equal(frame->attempt, 2);
    assert_int_equal(frame->received_offset, 300);
    assert_int_equal(frame->max_data, WINDOW);
    session_fixture_hear_none(f); /* no data before the answer */
    session_fixture_open_ok(f, 400, WINDOW);
    frame = session_fixture_hear(f, MUX_DATA);
    assert_int_equal(frame->offset, 400);
    assert_int_equal(frame->len, 1100);
    assert_true(kit_pattern_matches(OUT, 400, frame->bytes, sizeof(frame->bytes)));
    session_fixture_data(f, 300, 100, false);
    assert_int_equal(f->app.received, 400);
    assert_int_equal(f->app.attached, 2);
    assert_int_equal(f->session->counters.resumes, 1);
    assert_int_equal(f->session->counters.detaches, 1);
    assert_int_equal(f->session->counters.replayed_bytes, 600);
}

static void a_break_during_the_replay(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *frame;

    session_fixture_open_near(f);
    kit_app_send(&f->app, 20000);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_hear(f, MUX_DATA);
    break_it(f);
    session_fixture_attach(f, 1);
    session_fixture_open_ok(f, 1000, WINDOW);
    break_it(f); /* before a byte was sent again */
    frame = session_fixture_attach(f, 2);
    assert_int_equal(frame->attempt, 3);
    session_fixture_open_ok(f, 1000, WINDOW);
    frame = session_fixture_hear(f, MUX_DATA);
    assert_int_equal(frame->offset, 1000);
    assert_true(kit_pattern_matches(OUT, 1000, frame->bytes, sizeof(frame->bytes)));
    session_fixture_hear(f, MUX_DATA);
    assert_int_equal(f->session->counters.replayed_bytes, 19000);
}

static void an_open_that_was_never_answered_is_sent_again(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *open;

    kit_app_send(&f->app, 100);
    session_fixture_attach(f, 0);
    session_fixture_hear(f, MUX_DATA);
    break_it(f);
    open = session_fixture_attach(f, 1);
    assert_false(open->resume);
    assert_int_equal(open->attempt, 2);
    session_fixture_hear_none(f); /* the far edge may have the early data already */
    session_fixture_open_ok(f, 60, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_DATA)->offset, 60);
    assert_int_equal(f->session->counters.resumes, 0);
}

static void an_answer_from_before_what_was_acknowledged_ends_it(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    kit_app_send(&f->app, 100);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_max_data(f, 50, WINDOW);
    break_it(f);
    session_fixture_attach(f, 1);
    session_fixture_open_ok(f, 49, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_OFFSET_RANGE);
    assert_int_equal(f->app.code, MUX_OFFSET_RANGE);
}

static void credit_freed_while_resuming_is_granted(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    for (uint64_t at = 0; at < WINDOW; at += WINDOW / 4)
        session_fixture_data(f, at, WINDOW / 4, false); /* the peer's credit is used up */
    break_it(f);
    assert_int_equal(session_fixture_attach(f, 1)->max_data, WINDOW);
    kit_app_take(&f->app, WINDOW); /* between OPEN and its answer */
    session_fixture_open_ok(f, 0, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_MAX_DATA)->max_data, 2 * WINDOW);
}

static void credit_freed_while_detached_goes_with_open(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *open;

    session_fixture_open_near(f);
    session_fixture_data(f, 0, 1000, false);
    break_it(f);
    kit_app_take(&f->app, 1000);
    open = session_fixture_attach(f, 1);
    assert_int_equal(open->received_offset, 1000);
    assert_int_equal(open->max_data, WINDOW + 1000);
}

static void try_later_is_a_break(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_attach(f, 0);
    kit_peer_reset(f->peer, NUMBER, MUX_TRY_LATER, "no link", f->now);
    assert_int_equal(f->app.detached, 1);
    assert_int_equal(f->session->state, MUX_SESSION_DETACHED);
    session_fixture_attach(f, 1);
}

static void an_open_told_to_come_later_did_not_count(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *frame;

    kit_app_send(&f->app, 100);
    session_fixture_attach(f, 0);
    session_fixture_hear(f, MUX_DATA);
    kit_peer_reset(f->peer, NUMBER, MUX_TRY_LATER, "no link", f->now);
    frame = session_fixture_attach(f, 1);
    assert_int_equal(frame->attempt, 1);
    assert_int_equal(frame->sent_offset, 0);
    frame = session_fixture_hear(f, MUX_DATA); /* early data, once more */
    assert_int_equal(frame->offset, 0);
    assert_int_equal(frame->len, 100);
    session_fixture_open_ok(f, 0, WINDOW);
    assert_int_equal(f->session->state, MUX_SESSION_ATTACHED);
    session_fixture_hear_none(f); /* that was it */
}

static void nor_did_a_resume_told_so(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    break_it(f);
    assert_int_equal(session_fixture_attach(f, 1)->attempt, 2);
    kit_peer_reset(f->peer, NUMBER, MUX_TRY_LATER, "no link", f->now);
    assert_int_equal(session_fixture_attach(f, 2)->attempt, 2);
    session_fixture_open_ok(f, 0, WINDOW);
    kit_peer_reset(f->peer, NUMBER, MUX_TRY_LATER, "of an attempt that was answered", f->now);
    assert_int_equal(f->session->attempt, 2);
}

static void no_answer_to_open_is_a_break(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_attach(f, 0);
    session_fixture_pass(f, OPEN_TIMEOUT - 1);
    assert_int_equal(f->app.detached, 0);
    session_fixture_pass(f, 1);
    assert_int_equal(f->app.detached, 1);
    session_fixture_hear_none(f);
}

static void attempts_do_not_extend_the_time_to_connect(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_pass(f, CONNECT_TIMEOUT - 1000);
    session_fixture_attach(f, 0);
    session_fixture_pass(f, 999);
    assert_false(f->app.closed);
    session_fixture_pass(f, 1);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_HOST_UNREACHABLE);
}

static void near_expires_by_the_far_edges_timeout(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f); /* OPEN_OK says 60000 */
    session_fixture_pass(f, 1000);
    break_it(f);
    session_fixture_pass(f, 30000);
    session_fixture_attach(f, 1);
    break_it(f); /* the clock goes on from the first loss */
    session_fixture_pass(f, 29999);
    assert_false(f->app.closed);
    session_fixture_pass(f, 1);
    assert_int_equal(f->app.code, MUX_SESSION_EXPIRED);
}

static void the_far_edges_verdict_is_the_end(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    break_it(f);
    session_fixture_attach(f, 1);
    kit_peer_reset(f->peer, NUMBER, MUX_UNKNOWN_SESSION, "", f->now);
    assert_int_equal(f->app.code, MUX_UNKNOWN_SESSION);
}

/* All was exchanged, the end of our direction too if `fin_sent`, and the transport broke at the last moment.
 */
static void resume_at_the_end(struct session_fixture *f, bool fin_sent)
{
    session_fixture_open_near(f);
    f->app.peer_bytes = 10;
    kit_app_send(&f->app, 10);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_data(f, 0, 10, true);
    kit_app_take(&f->app, 10);
    if (!fin_sent)
        break_it(f);
    mux_session_send_fin(f->session);
    if (fin_sent) {
        session_fixture_hear(f, MUX_MAX_DATA);
        session_fixture_hear(f, MUX_DATA);
        break_it(f);
    }
    session_fixture_attach(f, 1);
    kit_peer_reset(f->peer, NUMBER, MUX_UNKNOWN_SESSION, "", f->now);
}

static void unknown_after_everything_is_the_end_in_order(void **state)
{
    struct session_fixture *f = *state;

    resume_at_the_end(f, true);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_OK);
}

static void unknown_before_our_end_left_is_a_loss(void **state)
{
    struct session_fixture *f = *state;

    resume_at_the_end(f, false);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_UNKNOWN_SESSION);
}

static void a_near_edge_that_has_all_expires_in_order(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    f->app.peer_bytes = 0;
    mux_session_send_fin(f->session);
    session_fixture_data(f, 0, 0, true);
    session_fixture_hear(f, MUX_MAX_DATA);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_max_data(f, 1, WINDOW);
    break_it(f);
    session_fixture_pass(f, 60000);
    assert_true(f->app.closed);
    assert_int_equal(f->app.code, MUX_OK);
}

static void a_near_edge_that_finishes_ends_with_the_answer(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    kit_app_send(&f->app, 100);
    session_fixture_hear(f, MUX_DATA);
    break_it(f);
    mux_session_finish(f->session, MUX_CLIENT_CLOSED, NULL, f->now);
    session_fixture_attach(f, 1);
    session_fixture_open_ok(f, 100, WINDOW); /* it has it all */
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_CLIENT_CLOSED);
    assert_true(f->app.closed);
}

/* ── The far edge ── */

static void far_resumes_and_both_replay(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *frame;

    session_fixture_open_far(f);
    kit_app_send(&f->app, 1000);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_data(f, 0, 300, false);
    break_it(f);
    assert_int_equal(f->session->state, MUX_SESSION_DETACHED);
    session_fixture_open(f, 1, 2, 400, 400 + WINDOW);
    frame = session_fixture_hear(f, MUX_OPEN_OK);
    assert_int_equal(frame->received_offset, 300);
    assert_int_equal(frame->max_data, WINDOW);
    frame = session_fixture_hear(f, MUX_DATA);
    assert_int_equal(frame->offset, 400);
    assert_int_equal(frame->len, 600);
    assert_true(kit_pattern_matches(OUT, 400, frame->bytes, sizeof(frame->bytes)));
    session_fixture_data(f, 300, 50, false);
    assert_int_equal(f->app.received, 350);
    assert_int_equal(f->session->counters.resumes, 1);
    assert_int_equal(f->session->counters.replayed_bytes, 600);
}

static void detach_means_the_guest_stream_broke(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    kit_peer_detach(f->peer, NUMBER, f->now);
    assert_int_equal(f->session->state, MUX_SESSION_DETACHED);
    session_fixture_open(f, 1, 2, 0, WINDOW);
    assert_int_equal(f->session->state, MUX_SESSION_ATTACHED);
}

static void the_newest_attempt_wins_over_a_live_transport(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    session_fixture_open(f, 1, 5, 0, WINDOW);
    assert_int_equal(f->resumed, MUX_OK);
    assert_int_equal(f->app.detached, 1);
    assert_int_equal(f->app.attached, 2);
    session_fixture_hear(f, MUX_OPEN_OK);
    f->peer = &f->peers[0];
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_STALE_ATTEMPT);
    session_fixture_data(f, 0, 100, false); /* late frames of the old transport are dropped */
    assert_int_equal(f->app.received, 0);
}

static void an_old_attempt_is_refused_without_harm(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    break_it(f);
    session_fixture_open(f, 1, 3, 0, WINDOW);
    session_fixture_hear(f, MUX_OPEN_OK);
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        struct mux_open stale = {.attempt = attempt, .resume = true};

        assert_int_equal(mux_session_resume(f->session, &f->links[2], 1, &stale, f->now), MUX_STALE_ATTEMPT);
    }
    assert_int_equal(f->session->state, MUX_SESSION_ATTACHED);
    assert_ptr_equal(f->session->attachment.link, &f->links[1]);
    session_fixture_data(f, 0, 100, false);
    assert_int_equal(f->app.received, 100);
    assert_int_equal(f->app.detached, 1);
}

static void far_expires(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    session_fixture_pass(f, 5000);
    break_it(f);
    assert_int_equal(mux_session_deadline(f->session), f->now + DETACH_TIMEOUT);
    session_fixture_pass(f, DETACH_TIMEOUT - 1);
    assert_false(f->app.closed);
    session_fixture_pass(f, 1);
    assert_int_equal(f->app.code, MUX_SESSION_EXPIRED);
}

static void a_resume_that_comes_too_late_learns_why(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    mux_session_reset(f->session, MUX_KILLED, NULL, f->now);
    session_fixture_open(f, 1, 2, 0, WINDOW); /* RESET has not left yet on the old transport */
    assert_int_equal(f->resumed, MUX_KILLED);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_KILLED);
}

static void a_resume_may_bring_the_last_acknowledgement(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    f->app.peer_bytes = 0;
    session_fixture_data(f, 0, 0, true);
    kit_app_send(&f->app, 10);
    mux_session_send_fin(f->session);
    kit_peer_listen(f->peer, f->now);
    break_it(f);
    session_fixture_open(f, 1, 2, 11, WINDOW);
    assert_false(f->app.closed);
    session_fixture_hear(f, MUX_OPEN_OK); /* so that the other can tell whether this end is its own */
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_OK);
    assert_int_equal(f->app.code, MUX_OK);
}

static void a_finished_session_ends_with_the_resume(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    kit_app_send(&f->app, 10);
    session_fixture_hear(f, MUX_DATA);
    break_it(f);
    mux_session_finish(f->session, MUX_BROKER_CLOSED, "bye", f->now);
    session_fixture_open(f, 1, 2, 10, WINDOW);
    session_fixture_hear(f, MUX_OPEN_OK);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_BROKER_CLOSED);
    assert_string_equal(f->app.reason, "bye");
}

static void the_owner_may_end_it_when_its_transport_is_taken_over(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_far(f);
    f->app.reset_when_detached = true;
    session_fixture_open(f, 1, 2, 0, WINDOW);
    assert_int_equal(f->resumed, MUX_KILLED);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_KILLED);
    session_fixture_pass(f, 0);
    assert_true(f->app.closed);
}

static void the_end_is_replayed(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *data;

    session_fixture_open_far(f);
    kit_app_send(&f->app, 10);
    mux_session_send_fin(f->session);
    session_fixture_hear(f, MUX_DATA);
    break_it(f);
    session_fixture_open(f, 1, 2, 10, WINDOW); /* all bytes, but not the end */
    session_fixture_hear(f, MUX_OPEN_OK);
    data = session_fixture_hear(f, MUX_DATA);
    assert_int_equal(data->offset, 10);
    assert_int_equal(data->len, 0);
    assert_true(data->fin);
}

int main(void)
{
#define NEAR(name) cmocka_unit_test_setup_teardown(name, session_fixture_setup_near, session_fixture_teardown)
#define FAR(name)  cmocka_unit_test_setup_teardown(name, session_fixture_setup_far, session_fixture_teardown)
    const struct CMUnitTest tests[] = {
        NEAR(near_resumes_and_both_replay),
        NEAR(a_break_during_the_replay),
        NEAR(an_open_that_was_never_answered_is_sent_again),
        NEAR(an_answer_from_before_what_was_acknowledged_ends_it),
        NEAR(credit_freed_while_resuming_is_granted),
        NEAR(credit_freed_while_detached_goes_with_open),
        NEAR(try_later_is_a_break),
        NEAR(an_open_told_to_come_later_did_not_count),
        NEAR(nor_did_a_resume_told_so),
        NEAR(no_answer_to_open_is_a_break),
        NEAR(attempts_do_not_extend_the_time_to_connect),
        NEAR(near_expires_by_the_far_edges_timeout),
        NEAR(the_far_edges_verdict_is_the_end),
        NEAR(unknown_after_everything_is_the_end_in_order),
        NEAR(unknown_before_our_end_left_is_a_loss),
        NEAR(a_near_edge_that_has_all_expires_in_order),
        NEAR(a_near_edge_that_finishes_ends_with_the_answer),
        FAR(far_resumes_and_both_replay),
        FAR(detach_means_the_guest_stream_broke),
        FAR(the_newest_attempt_wins_over_a_live_transport),
        FAR(an_old_attempt_is_refused_without_harm),
        FAR(far_expires),
        FAR(a_resume_that_comes_too_late_learns_why),
        FAR(a_resume_may_bring_the_last_acknowledgement),
        FAR(a_finished_session_ends_with_the_resume),
        FAR(the_owner_may_end_it_when_its_transport_is_taken_over),
        FAR(the_end_is_replayed),
    };

    return cmocka_run_group_tests_name("mux.resume", tests, NULL, NULL);
}
