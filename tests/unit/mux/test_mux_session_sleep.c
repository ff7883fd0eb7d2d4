/* SPDX-License-Identifier: Apache-2.0 */
/* A near edge whose machine slept: what arrives then may have been on its way since before. */
#include "tests/unit/mux/kit/session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SLEEP_MS    3600000u
#define PATIENCE_MS 2000u /* after a sleep, in place of PING_TIMEOUT */

/* The machine sleeps; on waking, frames are read before timers fire. */
static void sleep_well(struct session_fixture *f)
{
    f->now += PING_INTERVAL + SLEEP_MS;
}

static void what_lay_in_a_buffer_is_no_sign_of_life(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    f->app.peer_bytes = 200;
    sleep_well(f);
    session_fixture_data(f, 0, 100, false);
    session_fixture_data(f, 100, 100, false);
    assert_int_equal(f->app.received, 200); /* taken all the same */
    session_fixture_hear(f, MUX_PING);
    session_fixture_pass(f, PATIENCE_MS - 1);
    assert_int_equal(f->app.detached, 0);
    session_fixture_pass(f, 1);
    assert_int_equal(f->app.detached, 1);
}

static void an_answer_from_before_is_none(void **state)
{
    struct session_fixture *f = *state;

    session_fixture_open_near(f);
    session_fixture_pass(f, PING_INTERVAL);
    session_fixture_hear(f, MUX_PING);
    sleep_well(f);
    kit_peer_ping(f->peer, MUX_PONG, NUMBER, "alive?\0", f->now);
    session_fixture_hear(f, MUX_PING);
    session_fixture_pass(f, PATIENCE_MS);
    assert_int_equal(f->app.detached, 1);
}

static void the_answer_to_the_new_question_counts(void **state)
{
    struct session_fixture *f = *state;
    char asked[MUX_PING_SIZE];

    session_fixture_open_near(f);
    f->app.peer_bytes = 200;
    sleep_well(f);
    session_fixture_data(f, 0, 100, false);
    memcpy(asked, session_fixture_hear(f, MUX_PING)->bytes, sizeof(asked));
    session_fixture_pass(f, PATIENCE_MS - 1);
    kit_peer_ping(f->peer, MUX_PONG, NUMBER, asked, f->now);
    session_fixture_pass(f, PING_INTERVAL - 1);
    assert_int_equal(f->app.detached, 0);
    session_fixture_data(f, 100, 100, false); /* and from now on anything is a sign of life again */
    session_fixture_pass(f, PING_INTERVAL - 1);
    assert_int_equal(f->app.detached, 0);
}

/* With more patience than time between questions, an answer brings the next question forward. */
static void the_timer_keeps_up_with_answers(void **state)
{
    struct session_fixture *f = *state;

    f->config.ping_interval_ms = 1000;
    f->config.ping_timeout_ms = 5000;
    session_fixture_open_near(f);
    for (int i = 0; i < 3; i++) {
        session_fixture_pass(f, 1000);
        session_fixture_hear(f, MUX_PING);
        kit_peer_ping(f->peer, MUX_PONG, NUMBER, "alive?\0", f->now);
    }
    assert_false(f->session->ping_after_sleep);
}

int main(void)
{
#define NEAR(name) cmocka_unit_test_setup_teardown(name, session_fixture_setup_near, session_fixture_teardown)
    const struct CMUnitTest tests[] = {
        NEAR(what_lay_in_a_buffer_is_no_sign_of_life),
        NEAR(an_answer_from_before_is_none),
        NEAR(the_answer_to_the_new_question_counts),
        NEAR(the_timer_keeps_up_with_answers),
    };

    return cmocka_run_group_tests_name("mux.session_sleep", tests, NULL, NULL);
}
