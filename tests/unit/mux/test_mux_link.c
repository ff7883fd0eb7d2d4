/* SPDX-License-Identifier: Apache-2.0 */
/* A link's rules, seen by a peer that keeps them or does not: HELLO, numbers, refusals, GOAWAY. */
#include "tests/unit/mux/kit/link_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int setup_acceptor(void **state)
{
    *state = link_fixture_create(false);
    return 0;
}

static int setup_opener(void **state)
{
    *state = link_fixture_create(true);
    return 0;
}

static int teardown(void **state)
{
    link_fixture_destroy(*state);
    return 0;
}

static const struct mux_open an_open = {.attempt = 1};

/* ── HELLO ── */

static void hello_is_the_first_frame_out(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_attach(f, 0);
    link_fixture_say(f, 0, 3);
    kit_peer_listen(&f->peer, NOW);
    assert_string_equal(kit_peer_expect(&f->peer, MUX_HELLO, 0)->text, "tested");
    kit_peer_expect(&f->peer, MUX_PING, 1);
}

static void hello_must_be_the_first_frame_in(void **state)
{
    struct link_fixture *f = *state;

    assert_int_equal(kit_peer_ping(&f->peer, MUX_PING, 0, "12345678", NOW), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "first frame is of type 7, not HELLO");
}

static void hello_comes_once(void **state)
{
    struct link_fixture *f = *state;

    assert_int_equal(kit_peer_hello(&f->peer, MUX_ROLE_GUEST, NOW), 0);
    assert_int_equal(f->hellos, 1);
    assert_int_equal(f->link.peer.version, 1);
    assert_int_equal(f->link.peer.role, MUX_ROLE_GUEST);
    assert_string_equal(f->link.peer.name, "peer");
    assert_int_equal(kit_peer_hello(&f->peer, MUX_ROLE_GUEST, NOW), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "second HELLO");
}

/* Say HELLO with this version and max_frame, on this session. */
static int hello_with(struct link_fixture *f, uint16_t version, uint32_t max_frame, uint8_t session)
{
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];
    struct mux_hello hello = {.version = version, .role = MUX_ROLE_GUEST, .max_frame = max_frame};
    size_t size = mux_encode_hello(frame, &hello);

    frame[7] = session;
    return kit_peer_say(&f->peer, frame, size, NOW);
}

static void hello_of_another_version_is_refused(void **state)
{
    struct link_fixture *f = *state;

    assert_int_equal(hello_with(f, 2, MUX_PAYLOAD_MAX, 0), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "peer speaks version 2 of the session protocol, this is version 1");
    assert_int_equal(hello_with(f, 0, MUX_PAYLOAD_MAX, 0), -MUX_PROTOCOL_ERROR);
}

static void hello_must_take_our_frames(void **state)
{
    struct link_fixture *f = *state;

    assert_int_equal(hello_with(f, 1, MUX_PAYLOAD_MAX - 1, 0), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "peer takes frames of 65599 bytes only, 65600 are needed");
}

static void hello_must_come_from_whom_it_is_expected(void **state)
{
    struct link_fixture *f = *state;

    f->config.peer_role = MUX_ROLE_AMQP;
    assert_int_equal(kit_peer_hello(&f->peer, MUX_ROLE_GUEST, NOW), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "peer is a guest-proxy, this is the place of a amqp-proxy");
    assert_int_equal(kit_peer_hello(&f->peer, 9, NOW), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "peer is a stranger, this is the place of a amqp-proxy");
    assert_int_equal(kit_peer_hello(&f->peer, MUX_ROLE_AMQP, NOW), 0);
}

static void hello_belongs_to_the_connection(void **state)
{
    struct link_fixture *f = *state;

    assert_int_equal(hello_with(f, 1, MUX_PAYLOAD_MAX, 3), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "frame type 1 on session 3");
}

/* ── Numbers ── */

static void open_is_handed_to_the_owner(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_hello(f);
    assert_int_equal(kit_peer_open(&f->peer, 7, &an_open, NOW), 0);
    assert_int_equal(f->opens, 1);
    assert_int_equal(f->attachments[0].attachment.number, 7);
    assert_int_equal(mux_link_count(&f->link), 1);
}

static void numbers_only_grow(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_hello(f);
    assert_int_equal(kit_peer_open(&f->peer, 7, &an_open, NOW), 0);
    assert_int_equal(kit_peer_open(&f->peer, 7, &an_open, NOW), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "OPEN with session number 7 after 7");
    assert_int_equal(kit_peer_open(&f->peer, 6, &an_open, NOW), -MUX_PROTOCOL_ERROR);
}

static void the_highest_number_is_good_and_the_last(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_hello(f);
    assert_int_equal(kit_peer_open(&f->peer, UINT32_MAX, &an_open, NOW), 0);
    assert_int_equal(kit_peer_open(&f->peer, 1, &an_open, NOW), -MUX_PROTOCOL_ERROR);
}

static void the_opener_runs_out_of_numbers(void **state)
{
    struct link_fixture *f = *state;

    assert_int_equal(mux_link_next_number(&f->link), 1);
    f->link.last_number = UINT32_MAX - 1;
    assert_int_equal(mux_link_next_number(&f->link), UINT32_MAX);
    link_fixture_attach(f, 0);
    assert_int_equal(mux_link_next_number(&f->link), 0);
}

static void nobody_opens_at_the_opener(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_hello(f);
    assert_int_equal(kit_peer_open(&f->peer, 7, &an_open, NOW), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "OPEN from the side that does not open sessions");
}

static void frames_find_their_attachment(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_hello(f);
    for (uint32_t n = 1; n <= 4; n++)
        kit_peer_open(&f->peer, n * 100, &an_open, NOW);
    assert_int_equal(kit_peer_data(&f->peer, 300, 1, 0, 50, false, NOW), 0);
    assert_int_equal(kit_peer_max_data(&f->peer, 100, 0, 0, NOW), 0);
    assert_int_equal(f->attachments[0].frames, 1);
    assert_int_equal(f->attachments[0].last_type, MUX_MAX_DATA);
    assert_int_equal(f->attachments[1].frames, 0);
    assert_int_equal(f->attachments[2].frames, 1);
    assert_int_equal(f->attachments[2].last_type, MUX_DATA);
}

static void late_frames_are_dropped(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_hello(f);
    kit_peer_open(&f->peer, 5, &an_open, NOW);
    mux_link_remove(&f->attachments[0].attachment);
    assert_int_equal(kit_peer_data(&f->peer, 5, 1, 0, 50, false, NOW), 0);
    assert_int_equal(kit_peer_reset(&f->peer, 4, 1, "", NOW), 0); /* skipped, so it has ended, too */
    assert_int_equal(f->attachments[0].frames, 0);
}

static void frames_for_what_was_never_opened_are_errors(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_hello(f);
    kit_peer_open(&f->peer, 5, &an_open, NOW);
    assert_int_equal(kit_peer_data(&f->peer, 6, 1, 0, 50, false, NOW), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "frame for session 6, which was never opened");
}

static void frames_on_the_wrong_level_are_errors(void **state)
{
    static const uint8_t session_types[] = {MUX_OPEN,     MUX_OPEN_OK, MUX_DATA,
                                            MUX_MAX_DATA, MUX_RESET,   MUX_DETACH};
    struct link_fixture *f = *state;
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];
    size_t size;

    link_fixture_hello(f);
    for (size_t i = 0; i < sizeof(session_types); i++) {
        uint8_t zeros[MUX_HEADER_SIZE + 64] = {session_types[i], [11] = 64};

        assert_int_equal(kit_peer_say(&f->peer, zeros, sizeof(zeros), NOW), -MUX_PROTOCOL_ERROR);
    }
    assert_string_equal(f->link.error, "frame type 10 on session 0");
    size = mux_encode_goaway(frame, "reason");
    frame[7] = 9;
    assert_int_equal(kit_peer_say(&f->peer, frame, size, NOW), -MUX_PROTOCOL_ERROR);
    assert_string_equal(f->link.error, "frame type 9 on session 9");
}

/* ── Refusals ── */

static void a_refusal_is_said(void **state)
{
    struct link_fixture *f = *state;
    const struct kit_frame *reset;

    link_fixture_hello(f);
    f->refuse = MUX_REFUSED;
    kit_peer_open(&f->peer, 1, &an_open, NOW);
    kit_peer_listen(&f->peer, NOW);
    kit_peer_expect(&f->peer, MUX_HELLO, 0);
    reset = kit_peer_expect(&f->peer, MUX_RESET, 1);
    assert_int_equal(reset->code, MUX_REFUSED);
    assert_string_equal(reset->text, "because");
    kit_peer_expect_none(&f->peer);
    assert_int_equal(f->link.refusal_count, 0);
}

static void many_refusals_need_several_batches(void **state)
{
    struct link_fixture *f = *state;
    char reason[MUX_REASON_MAX + 1];

    memset(reason, 'r', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    for (uint32_t n = 1; n <= 100; n++)
        mux_link_refuse(&f->link, n, MUX_REFUSED, reason);
    kit_peer_listen(&f->peer, NOW);
    kit_peer_expect(&f->peer, MUX_HELLO, 0);
    for (uint32_t n = 1; n <= 100; n++)
        kit_peer_expect(&f->peer, MUX_RESET, n);
    kit_peer_expect_none(&f->peer);
}

static void sessions_are_limited(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_hello(f);
    f->config.max_sessions = 2;
    for (uint32_t n = 1; n <= 3; n++)
        assert_int_equal(kit_peer_open(&f->peer, n, &an_open, NOW), 0);
    assert_int_equal(f->opens, 2);
    kit_peer_listen(&f->peer, NOW);
    kit_peer_expect(&f->peer, MUX_HELLO, 0);
    assert_int_equal(kit_peer_expect(&f->peer, MUX_RESET, 3)->code, MUX_SESSION_LIMIT);
    mux_link_remove(&f->attachments[0].attachment);
    assert_int_equal(kit_peer_open(&f->peer, 4, &an_open, NOW), 0);
    assert_int_equal(f->opens, 2); /* in all, not at once: a guest stream carries one session */
}

static void a_peer_that_does_not_read_its_refusals_is_cut_off(void **state)
{
    struct link_fixture *f = *state;
    uint32_t number = 0;
    int rc = 0;

    link_fixture_hello(f);
    f->refuse = MUX_REFUSED;
    while (rc == 0 && number < 100000)
        rc = kit_peer_open(&f->peer, ++number, &an_open, NOW);
    assert_int_equal(rc, -MUX_PROTOCOL_ERROR);
    assert_int_equal(number, 4097);
    assert_string_equal(f->link.error, "4096 refused sessions and the answers are not read");
}

/* ── GOAWAY and PING ── */

static void goaway_both_ways(void **state)
{
    struct link_fixture *f = *state;
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];

    link_fixture_hello(f);
    assert_int_equal(kit_peer_say(&f->peer, frame, mux_encode_goaway(frame, "update"), NOW), 0);
    assert_string_equal(f->goaway, "update");
    mux_link_goaway(&f->link, "no more");
    kit_peer_listen(&f->peer, NOW);
    kit_peer_expect(&f->peer, MUX_HELLO, 0);
    assert_string_equal(kit_peer_expect(&f->peer, MUX_GOAWAY, 0)->text, "no more");
    kit_peer_expect_none(&f->peer);
}

static void a_ping_of_the_connection_is_answered(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_hello(f);
    assert_int_equal(kit_peer_ping(&f->peer, MUX_PING, 0, "AAAAAAAA", NOW), 0);
    assert_int_equal(kit_peer_ping(&f->peer, MUX_PING, 0, "BBBBBBBB", NOW), 0);
    kit_peer_listen(&f->peer, NOW);
    kit_peer_expect(&f->peer, MUX_HELLO, 0);
    assert_memory_equal(kit_peer_expect(&f->peer, MUX_PONG, 0)->bytes, "BBBBBBBB", 8);
    kit_peer_expect_none(&f->peer); /* a flood of pings is not answered by a flood */
}

/* ── The end ── */

static void closing_tells_every_attachment(void **state)
{
    struct link_fixture *f = *state;

    for (unsigned i = 0; i < 3; i++) {
        link_fixture_attach(f, i);
        link_fixture_send(f, i, 100);
        link_fixture_say(f, i, 1);
    }
    mux_link_remove(&f->attachments[1].attachment);
    mux_link_close(&f->link, MUX_IDLE_TIMEOUT, "test", NOW);
    mux_link_close(&f->link, MUX_KILLED, "again", NOW);
    assert_int_equal(f->attachments[0].lost, 1);
    assert_int_equal(f->attachments[0].lost_code, MUX_IDLE_TIMEOUT);
    assert_int_equal(f->attachments[1].lost, 0);
    assert_int_equal(f->attachments[2].lost, 1);
    assert_false(mux_link_output(&f->link, &f->batch, NOW));
    assert_int_equal(kit_peer_ping(&f->peer, MUX_PING, 0, "12345678", NOW), 0);
    assert_int_equal(mux_link_deadline(&f->link), UINT64_MAX);
    assert_int_equal(mux_link_tick(&f->link, NOW + 1000000), 0);
}

static void a_callback_may_close_the_link(void **state)
{
    struct link_fixture *f = *state;

    link_fixture_hello(f);
    kit_peer_open(&f->peer, 1, &an_open, NOW);
    f->attachments[0].close_on_frame = true;
    assert_int_equal(kit_peer_data(&f->peer, 1, 1, 0, 1000, false, NOW), 0);
    assert_int_equal(f->attachments[0].frames, 1);
    assert_int_equal(f->attachments[0].lost, 1);
    assert_int_equal(f->link.state, MUX_LINK_CLOSED);
}

int main(void)
{
#define ACCEPTOR(name) cmocka_unit_test_setup_teardown(name, setup_acceptor, teardown)
#define OPENER(name)   cmocka_unit_test_setup_teardown(name, setup_opener, teardown)
    const struct CMUnitTest tests[] = {
        OPENER(hello_is_the_first_frame_out),
        ACCEPTOR(hello_must_be_the_first_frame_in),
        ACCEPTOR(hello_comes_once),
        ACCEPTOR(hello_of_another_version_is_refused),
        ACCEPTOR(hello_must_take_our_frames),
        ACCEPTOR(hello_must_come_from_whom_it_is_expected),
        ACCEPTOR(hello_belongs_to_the_connection),
        ACCEPTOR(open_is_handed_to_the_owner),
        ACCEPTOR(numbers_only_grow),
        ACCEPTOR(the_highest_number_is_good_and_the_last),
        OPENER(the_opener_runs_out_of_numbers),
        OPENER(nobody_opens_at_the_opener),
        ACCEPTOR(frames_find_their_attachment),
        ACCEPTOR(late_frames_are_dropped),
        ACCEPTOR(frames_for_what_was_never_opened_are_errors),
        ACCEPTOR(frames_on_the_wrong_level_are_errors),
        ACCEPTOR(a_refusal_is_said),
        ACCEPTOR(many_refusals_need_several_batches),
        ACCEPTOR(sessions_are_limited),
        ACCEPTOR(a_peer_that_does_not_read_its_refusals_is_cut_off),
        ACCEPTOR(goaway_both_ways),
        ACCEPTOR(a_ping_of_the_connection_is_answered),
        OPENER(closing_tells_every_attachment),
        ACCEPTOR(a_callback_may_close_the_link),
    };

    return cmocka_run_group_tests_name("mux.link", tests, NULL, NULL);
}
