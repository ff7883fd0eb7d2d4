/* SPDX-License-Identifier: Apache-2.0 */
/* What a link says first: control frames, then DATA by turns, in batches that are bounded. */
#include "tests/unit/mux/kit/link_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = link_fixture_create(true);
    return 0;
}

static int teardown(void **state)
{
    link_fixture_destroy(*state);
    return 0;
}

static void control_overtakes_data(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_attach(f, 0);
    link_fixture_attach(f, 1);
    link_fixture_send(f, 0, 5000);
    link_fixture_say(f, 1, 2);
    kit_peer_listen(&f->peer, NOW);
    kit_peer_expect(&f->peer, MUX_HELLO, 0);
    kit_peer_expect(&f->peer, MUX_PING, 2);
    kit_peer_expect(&f->peer, MUX_PING, 2);
    kit_peer_expect(&f->peer, MUX_DATA, 1);
}

static void bulk_takes_turns(void **state)
{
    struct link_fixture *f = *state;

    for (unsigned i = 0; i < 3; i++) {
        link_fixture_attach(f, i);
        link_fixture_send(f, i, 40000);
    }
    kit_peer_listen(&f->peer, NOW);
    kit_peer_expect(&f->peer, MUX_HELLO, 0);
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t n = 1; n <= 3; n++)
            assert_int_equal(kit_peer_expect(&f->peer, MUX_DATA, n)->len, MUX_SCHED_QUANTUM);
}

static void a_small_session_goes_ahead_of_bulk(void **state)
{
    struct link_fixture *f = *state;

    for (unsigned i = 0; i < 8; i++) {
        link_fixture_attach(f, i);
        link_fixture_send(f, i, 10 * MUX_BATCH_BYTES);
    }
    link_fixture_attach(f, 8);
    assert_true(mux_link_output(&f->link, &f->batch, NOW));
    link_fixture_send(f, 8, 100);
    mux_batch_clear(&f->batch); /* the batch that was begun has left */
    assert_true(mux_link_output(&f->link, &f->batch, NOW));
    assert_int_equal(f->attachments[8].to_send, 0); /* in the very next batch */
}

static void a_batch_is_bounded(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_attach(f, 0);
    link_fixture_send(f, 0, 1000000);
    link_fixture_attach(f, 1);
    link_fixture_say(f, 1, 3000); /* pings of 20 bytes: more than the area holds */
    assert_true(mux_link_output(&f->link, &f->batch, NOW));
    assert_true(f->batch.bytes <= MUX_BATCH_BYTES + MUX_DATA_HEADER);
    assert_true(f->attachments[1].to_say > 0);
    assert_int_equal(f->attachments[0].to_send, 1000000); /* DATA waits until all control frames are out */
    for (int i = 0; i < 100 && f->attachments[0].to_send > 0; i++) {
        mux_batch_clear(&f->batch);
        assert_true(mux_link_output(&f->link, &f->batch, NOW));
        assert_true(f->batch.bytes <= MUX_BATCH_BYTES + MUX_DATA_HEADER);
    }
    assert_int_equal(f->attachments[1].to_say, 0);
    assert_int_equal(f->attachments[0].to_send, 0);
}

static void an_attachment_may_leave_with_its_last_frame(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_attach(f, 0);
    link_fixture_attach(f, 1);
    f->attachments[0].leave = true;
    link_fixture_say(f, 0, 1);
    link_fixture_send(f, 0, 100);
    link_fixture_say(f, 1, 1);
    kit_peer_listen(&f->peer, NOW);
    kit_peer_expect(&f->peer, MUX_HELLO, 0);
    kit_peer_expect(&f->peer, MUX_PING, 1);
    kit_peer_expect(&f->peer, MUX_PING, 2);
    kit_peer_expect_none(&f->peer);
    assert_null(f->attachments[0].attachment.link);
}

static void every_need_to_write_is_announced(void **state)
{
    struct link_fixture *f = *state;
    unsigned outputs = 0;

    link_fixture_hello(f);
    link_fixture_attach(f, 0);
    kit_peer_listen(&f->peer, NOW);
    assert_int_equal(f->outputs, 0); /* HELLO goes without saying */
    link_fixture_send(f, 0, 100);
    assert_true(f->outputs > outputs);
    kit_peer_listen(&f->peer, NOW);
    outputs = f->outputs;
    link_fixture_send(f, 0, 100); /* after it fell idle, again */
    assert_true(f->outputs > outputs);
    outputs = f->outputs;
    link_fixture_say(f, 0, 1);
    assert_true(f->outputs > outputs);
    outputs = f->outputs;
    mux_link_refuse(&f->link, 77, MUX_REFUSED, "no");
    assert_true(f->outputs > outputs);
    outputs = f->outputs;
    mux_link_goaway(&f->link, "bye");
    assert_true(f->outputs > outputs);
    outputs = f->outputs;
    kit_peer_ping(&f->peer, MUX_PING, 0, "12345678", NOW);
    assert_true(f->outputs > outputs);
    outputs = f->outputs;
    f->config.ping_interval_ms = 1;
    assert_int_equal(mux_link_tick(&f->link, NOW + 1), 0);
    assert_true(f->outputs > outputs);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(control_overtakes_data),
        TEST(bulk_takes_turns),
        TEST(a_small_session_goes_ahead_of_bulk),
        TEST(a_batch_is_bounded),
        TEST(an_attachment_may_leave_with_its_last_frame),
        TEST(every_need_to_write_is_announced),
    };

    return cmocka_run_group_tests_name("mux.link_output", tests, NULL, NULL);
}
