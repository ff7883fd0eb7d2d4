/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines that were reverted to a snapshot, and clones: near edges that remember something else than the far
 * edge. What either edge says of its past, and what comes of it when the two don't match.
 */
#include "tests/unit/mux/kit/pattern.h"
#include "tests/unit/mux/kit/session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void break_it(struct session_fixture *f)
{
    mux_link_close(f->peer->link, MUX_TRY_LATER, "reset", f->now);
}

/* ── The near edge ── */

static void open_tells_of_the_past(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *open;

    session_fixture_open_near(f);
    kit_app_send(&f->app, 1000);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_data(f, 0, 300, false);
    break_it(f);
    kit_app_send(&f->app, 500); /* not sent yet */
    open = session_fixture_attach(f, 1);
    assert_int_equal(open->received_offset, 300);
    assert_int_equal(open->received_digest, kit_pattern_digest(IN, 300));
    assert_int_equal(open->sent_offset, 1000);
}

static void the_ends_count_as_one(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *open;

    session_fixture_open_near(f);
    f->app.peer_bytes = 300;
    kit_app_send(&f->app, 1000);
    mux_session_send_fin(f->session);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_data(f, 0, 300, true);
    kit_app_take(&f->app, 300);
    break_it(f);
    open = session_fixture_attach(f, 1);
    assert_int_equal(open->received_offset, 301);
    assert_int_equal(open->received_digest, kit_pattern_digest(IN, 300));
    assert_int_equal(open->sent_offset, 1001);
}

/* The far edge has the bytes of somebody else: nothing may be sent behind them. */
static void another_past_in_the_answer_is_the_end(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    kit_app_send(&f->app, 1000);
    session_fixture_hear(f, MUX_DATA);
    break_it(f);
    session_fixture_attach(f, 1);
    kit_peer_open_ok(f->peer, NUMBER, 600, kit_pattern_digest(OUT, 599), WINDOW, f->now);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_HISTORY_MISMATCH);
    session_fixture_hear_none(f);
    assert_int_equal(f->app.code, MUX_HISTORY_MISMATCH);
}

static void early_data_of_somebody_else_is_the_end(void **state)
{
    struct session_fixture *f = *state;

    kit_app_send(&f->app, 1000);
    session_fixture_attach(f, 0);
    session_fixture_hear(f, MUX_DATA);
    break_it(f);
    assert_false(session_fixture_attach(f, 1)->resume); /* never answered: NEW again */
    kit_peer_open_ok(f->peer, NUMBER, 600, kit_pattern_digest(OUT + 1, 600), WINDOW, f->now);
    assert_int_equal(session_fixture_hear(f, MUX_RESET)->code, MUX_HISTORY_MISMATCH);
    assert_int_equal(f->app.code, MUX_HISTORY_MISMATCH);
}

/* ── The far edge ── */

/* 100 bytes were sent, 50 of them acknowledged; 200 came. */
static void open_far_with_a_past(struct session_fixture *f)
{
    session_fixture_open_far(f);
    kit_app_send(&f->app, 100);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_max_data(f, 50, WINDOW);
    session_fixture_data(f, 0, 200, false);
}

/* OPENs that do not go on from there, each wrong in one way. */
static const struct {
    uint32_t attempt;
    uint64_t received;
    uint64_t digest_flip;
    uint64_t sent;
    enum mux_code code;
} wrong[] = {
    {1, 60, 0, 200, MUX_STALE_ATTEMPT},
    {2, 49, 0, 200, MUX_OFFSET_RANGE},  /* has not received what it acknowledged */
    {2, 101, 0, 200, MUX_OFFSET_RANGE}, /* has received what was never sent */
    {2, UINT64_MAX, 0, 200, MUX_OFFSET_RANGE},
    {2, 60, 0, 199, MUX_OFFSET_RANGE}, /* has not sent what came */
    {2, 60, 0, 0, MUX_OFFSET_RANGE},
    {2, 60, 0, UINT64_MAX, MUX_OFFSET_RANGE}, /* has sent more than it was let */
    {2, 60, 1, 200, MUX_HISTORY_MISMATCH},
    {UINT32_MAX, 100, UINT64_MAX, 200, MUX_HISTORY_MISMATCH},
};

static void try_wrong(struct session_fixture *f, unsigned i, bool resume)
{
    struct mux_open open = session_fixture_truth(f, wrong[i].attempt, wrong[i].received, 4 * WINDOW);

    open.resume = resume;
    open.sent_offset = wrong[i].sent;
    open.received_digest ^= wrong[i].digest_flip;
    assert_int_equal(mux_session_resume(f->session, &f->links[2], NUMBER, &open, f->now), wrong[i].code);
}

/* The session is where it was, on its transport, and both directions go on. */
static void expect_unharmed(struct session_fixture *f)
{
    uint64_t sent = f->app.sent;
    uint64_t received = f->app.received;

    assert_int_equal(f->session->state, MUX_SESSION_ATTACHED);
    assert_ptr_equal(f->session->attachment.link, f->peer->link);
    assert_int_equal(f->session->attempt, 1);
    kit_app_send(&f->app, 10);
    assert_int_equal(session_fixture_hear(f, MUX_DATA)->offset, sent);
    session_fixture_data(f, received, 10, false);
    assert_int_equal(f->app.received, received + 10);
}

static void another_past_is_refused_without_harm(void **state)
{
    struct session_fixture *f = *state;

    open_far_with_a_past(f);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        try_wrong(f, i, true);
        try_wrong(f, i, false); /* OPEN(NEW) again, of a near edge that was never answered */
    }
    assert_int_equal(f->app.detached, 0);
    expect_unharmed(f);
    break_it(f);
    session_fixture_open(f, 1, 2, 60, WINDOW); /* and no attempt of theirs counts */
    assert_int_equal(f->resumed, MUX_OK);
}

static void another_past_is_refused_while_detached(void **state)
{
    struct session_fixture *f = *state;

    open_far_with_a_past(f);
    break_it(f);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        try_wrong(f, i, true);
    assert_int_equal(f->session->state, MUX_SESSION_DETACHED);
    session_fixture_open(f, 1, 2, 60, WINDOW);
    assert_int_equal(f->resumed, MUX_OK);
    session_fixture_hear(f, MUX_OPEN_OK);
    assert_int_equal(session_fixture_hear(f, MUX_DATA)->offset, 60);
}

static void the_answer_tells_of_the_past(void **state)
{
    struct session_fixture *f = *state;
    const struct kit_frame *ok;

    open_far_with_a_past(f);
    break_it(f);
    session_fixture_open(f, 1, 2, 100, WINDOW);
    ok = session_fixture_hear(f, MUX_OPEN_OK);
    assert_int_equal(ok->received_offset, 200);
    assert_int_equal(ok->received_digest, kit_pattern_digest(IN, 200));
}

static void who_has_not_said_the_end_is_another(void **state)
{
    struct session_fixture *f = *state;
    struct mux_open open;

    session_fixture_open_far(f);
    f->app.peer_bytes = 200;
    session_fixture_data(f, 0, 200, true);
    kit_app_take(&f->app, 200);
    open = session_fixture_truth(f, 2, 0, WINDOW);
    open.sent_offset = 200;
    assert_int_equal(mux_session_resume(f->session, &f->links[2], NUMBER, &open, f->now), MUX_OFFSET_RANGE);
    open.sent_offset = 201;
    assert_int_equal(mux_session_resume(f->session, &f->links[2], NUMBER, &open, f->now), MUX_OK);
}

static void nothing_can_have_been_received_of_a_new_session(void **state)
{
    struct session_fixture *f = *state;
    struct mux_open open = session_fixture_truth(f, 1, 1, WINDOW);

    assert_int_equal(mux_session_accept(f->session, &f->links[0], NUMBER, &open, f->now), -MUX_OFFSET_RANGE);
    assert_int_equal(f->session->state, MUX_SESSION_IDLE);
    assert_null(f->session->attachment.link);
}

/* All had been received, the end too: whoever does not know that is another. */
static void who_has_not_heard_the_end_is_another(void **state)
{
    struct session_fixture *f = *state;
    struct mux_open open;

    session_fixture_open_far(f);
    kit_app_send(&f->app, 100);
    mux_session_send_fin(f->session);
    session_fixture_hear(f, MUX_DATA);
    session_fixture_max_data(f, 101, WINDOW);
    open = session_fixture_truth(f, 2, 100, WINDOW);
    assert_int_equal(mux_session_resume(f->session, &f->links[2], NUMBER, &open, f->now), MUX_OFFSET_RANGE);
    open = session_fixture_truth(f, 2, 101, WINDOW);
    assert_int_equal(mux_session_resume(f->session, &f->links[2], NUMBER, &open, f->now), MUX_OK);
}

/* What is dropped since the session finishes has been received all the same. */
static void a_finishing_session_remembers_what_it_drops(void **state)
{
    struct session_fixture *f = *state;

    open_far_with_a_past(f);
    mux_session_finish(f->session, MUX_BROKER_CLOSED, "bye", f->now);
    session_fixture_data(f, 200, 100, false);
    assert_int_equal(f->app.received, 200);
    break_it(f);
    session_fixture_open(f, 1, 2, 60, WINDOW);
    assert_int_equal(session_fixture_hear(f, MUX_OPEN_OK)->received_digest, kit_pattern_digest(IN, 300));
}

int main(void)
{
#define NEAR(name) cmocka_unit_test_setup_teardown(name, session_fixture_setup_near, session_fixture_teardown)
#define FAR(name)  cmocka_unit_test_setup_teardown(name, session_fixture_setup_far, session_fixture_teardown)
    const struct CMUnitTest tests[] = {
        NEAR(open_tells_of_the_past),
        NEAR(the_ends_count_as_one),
        NEAR(another_past_in_the_answer_is_the_end),
        NEAR(early_data_of_somebody_else_is_the_end),
        FAR(another_past_is_refused_without_harm),
        FAR(another_past_is_refused_while_detached),
        FAR(the_answer_tells_of_the_past),
        FAR(who_has_not_said_the_end_is_another),
        FAR(who_has_not_heard_the_end_is_another),
        FAR(nothing_can_have_been_received_of_a_new_session),
        FAR(a_finishing_session_remembers_what_it_drops),
    };

    return cmocka_run_group_tests_name("mux.history", tests, NULL, NULL);
}
