/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define NUMBER 12u

struct fixture {
    struct mux_outbox outbox;
    struct mux_batch batch;
    struct mux_reader reader;
    const uint8_t *data; /* what is left of the batch's area */
    const uint8_t *end;
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    mux_batch_init(&f.batch);
    mux_reader_init(&f.reader, MUX_PAYLOAD_MAX);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    mux_outbox_clear(&f->outbox);
    mux_batch_clear(&f->batch);
    mux_reader_deinit(&f->reader);
    return 0;
}

static void pull(struct fixture *f)
{
    mux_batch_clear(&f->batch);
    assert_true(mux_outbox_pull(&f->outbox, &f->batch, NUMBER));
    assert_int_equal(f->outbox.pending, 0);
    f->data = f->batch.area;
    f->end = f->batch.area + f->batch.area_used;
}

/* The next frame that was pulled must be of this type. */
static struct mux_frame next(struct fixture *f, uint8_t type)
{
    struct mux_frame frame;

    assert_int_equal(mux_reader_next(&f->reader, &f->data, f->end, &frame), 1);
    assert_int_equal(frame.type, type);
    assert_int_equal(frame.session, NUMBER);
    return frame;
}

static void no_more(struct fixture *f)
{
    assert_ptr_equal(f->data, f->end);
}

static void empty_gives_nothing(void **state)
{
    struct fixture *f = *state;

    pull(f);
    assert_int_equal(f->batch.bytes, 0);
}

static void frames_leave_in_their_order(void **state)
{
    static const uint8_t ping[MUX_PING_SIZE] = "pingping";
    static const uint8_t pong[MUX_PING_SIZE] = "pongpong";
    struct mux_open open = {.attempt = 3};
    struct mux_open_ok ok = {.received_offset = 1};
    struct fixture *f = *state;
    struct mux_frame frame;

    mux_outbox_detach(&f->outbox);
    mux_outbox_ping(&f->outbox, ping);
    mux_outbox_pong(&f->outbox, pong);
    mux_outbox_max_data(&f->outbox, 5, 6);
    mux_outbox_open_ok(&f->outbox, &ok);
    assert_int_equal(mux_outbox_open(&f->outbox, NUMBER, &open), 0);
    pull(f);
    assert_int_equal(next(f, MUX_OPEN).u.open.attempt, 3);
    assert_int_equal(next(f, MUX_OPEN_OK).u.open_ok.received_offset, 1);
    frame = next(f, MUX_MAX_DATA);
    assert_int_equal(frame.u.max_data.received_offset, 5);
    assert_int_equal(frame.u.max_data.max_data, 6);
    assert_memory_equal(next(f, MUX_PONG).u.ping, pong, MUX_PING_SIZE);
    assert_memory_equal(next(f, MUX_PING).u.ping, ping, MUX_PING_SIZE);
    next(f, MUX_DETACH);
    no_more(f);
    assert_null(f->outbox.open);
}

static void a_newer_value_replaces_the_older(void **state)
{
    struct fixture *f = *state;

    for (uint64_t i = 0; i < 1000; i++)
        mux_outbox_max_data(&f->outbox, i, i + 100);
    pull(f);
    assert_int_equal(next(f, MUX_MAX_DATA).u.max_data.received_offset, 999);
    no_more(f);
}

static void reset_is_the_last_word(void **state)
{
    static const uint8_t ping[MUX_PING_SIZE] = "pingping";
    struct mux_open open = {.attempt = 3};
    struct fixture *f = *state;
    struct mux_frame frame;

    assert_int_equal(mux_outbox_open(&f->outbox, NUMBER, &open), 0);
    mux_outbox_ping(&f->outbox, ping);
    mux_outbox_max_data(&f->outbox, 5, 6);
    mux_outbox_reset(&f->outbox, MUX_KILLED, "first");
    mux_outbox_reset(&f->outbox, MUX_REFUSED, "second");
    pull(f);
    next(f, MUX_OPEN); /* a number that was never opened could not be reset */
    frame = next(f, MUX_RESET);
    assert_int_equal(frame.u.reset.code, MUX_REFUSED);
    assert_int_equal(frame.u.reset.reason.len, 6);
    assert_memory_equal(frame.u.reset.reason.data, "second", 6);
    no_more(f);
}

static void a_second_open_replaces_the_first(void **state)
{
    struct mux_open open = {.attempt = 3};
    struct fixture *f = *state;

    assert_int_equal(mux_outbox_open(&f->outbox, NUMBER, &open), 0);
    open.attempt = 4;
    assert_int_equal(mux_outbox_open(&f->outbox, NUMBER, &open), 0);
    pull(f);
    assert_int_equal(next(f, MUX_OPEN).u.open.attempt, 4);
    no_more(f);
}

static void what_does_not_fit_waits(void **state)
{
    struct mux_open_ok ok = {.received_offset = 1};
    struct fixture *f = *state;

    assert_non_null(mux_batch_area(&f->batch, MUX_BATCH_AREA - 40));
    mux_outbox_open_ok(&f->outbox, &ok); /* 32 bytes */
    mux_outbox_max_data(&f->outbox, 5, 6);
    assert_false(mux_outbox_pull(&f->outbox, &f->batch, NUMBER));
    assert_int_equal(f->outbox.pending, MUX_OUT_MAX_DATA);
    pull(f);
    next(f, MUX_MAX_DATA);
    no_more(f);
}

static void clearing_forgets_all(void **state)
{
    struct mux_open open = {.attempt = 3};
    struct fixture *f = *state;

    assert_int_equal(mux_outbox_open(&f->outbox, NUMBER, &open), 0);
    mux_outbox_reset(&f->outbox, MUX_KILLED, "reason");
    mux_outbox_clear(&f->outbox);
    pull(f);
    assert_int_equal(f->batch.bytes, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(empty_gives_nothing),
        TEST(frames_leave_in_their_order),
        TEST(a_newer_value_replaces_the_older),
        TEST(reset_is_the_last_word),
        TEST(a_second_open_replaces_the_first),
        TEST(what_does_not_fit_waits),
        TEST(clearing_forgets_all),
    };

    return cmocka_run_group_tests_name("mux.outbox", tests, NULL, NULL);
}
