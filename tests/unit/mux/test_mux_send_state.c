/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/code.h"
#include "mux/frame.h"
#include "mux/send_state.h"
#include "tests/unit/mux/kit/pattern.h"
#include "tests/unit/mux/kit/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SALT   9u
#define NUMBER 77u

struct fixture {
    struct mux_pool pool;
    struct mux_batch batch;
    struct mux_reader reader;
    struct mux_send_state send;
    uint64_t heard_until; /* of the frames pulled last: the offset behind them */
    bool heard_fin;
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    mux_pool_init(&f.pool);
    mux_batch_init(&f.batch);
    mux_reader_init(&f.reader, MUX_PAYLOAD_MAX);
    mux_send_state_init(&f.send, 100000);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    mux_send_state_deinit(&f->send);
    mux_batch_clear(&f->batch);
    mux_reader_deinit(&f->reader);
    mux_pool_deinit(&f->pool);
    return 0;
}

/* The local side sends `n` more bytes. */
static void append(struct fixture *f, size_t n)
{
    while (n > 0) {
        uint8_t *room;
        size_t size;
        struct mux_chunk *chunk = mux_pool_reserve(&f->pool, &room, &size);
        size_t piece = n < size ? n : size;

        kit_pattern_fill(SALT, f->send.end, room, piece);
        mux_pool_commit(&f->pool, piece);
        assert_int_equal(mux_send_state_append(&f->send, chunk, room, piece), 0);
        mux_pool_recycle(&f->pool);
        n -= piece;
    }
}

/* The frames in the batch are DATA from `from` on, without a gap, with the right bytes. */
static void hear(struct fixture *f, uint64_t from)
{
    f->heard_until = from;
    while (f->batch.bytes > 0) {
        const struct iovec *iov = &f->batch.iov[f->batch.first];
        const uint8_t *data = iov->iov_base;
        const uint8_t *end = data + iov->iov_len;
        struct mux_frame frame;

        while (mux_reader_next(&f->reader, &data, end, &frame) > 0) {
            assert_int_equal(frame.type, MUX_DATA);
            assert_int_equal(frame.session, NUMBER);
            assert_int_equal(frame.u.data.offset, f->heard_until);
            assert_false(f->heard_fin);
            assert_true(kit_pattern_matches(SALT, f->heard_until, frame.u.data.bytes, frame.u.data.len));
            f->heard_until += frame.u.data.len;
            f->heard_fin = frame.u.data.fin;
        }
        mux_batch_written(&f->batch, iov->iov_len);
    }
}

/* Pull one frame. Returns its cost. */
static size_t pull(struct fixture *f, size_t max)
{
    uint64_t from = f->send.sent;
    size_t cost = mux_send_state_pull(&f->send, &f->batch, NUMBER, max);

    hear(f, from);
    return cost;
}

/* Pull all that may go. */
static void pull_all(struct fixture *f)
{
    while (mux_send_state_ready(&f->send))
        assert_true(pull(f, 60000) > 0);
}

static void nothing_to_send_at_first(void **state)
{
    struct fixture *f = *state;

    assert_false(mux_send_state_ready(&f->send));
    assert_true(mux_send_state_drained(&f->send));
    assert_int_equal(pull(f, 1000), 0);
    assert_int_equal(f->batch.count, 0);
}

static void a_frame_is_at_most_what_was_asked_for(void **state)
{
    struct fixture *f = *state;

    append(f, 1000);
    assert_int_equal(pull(f, 300), 300);
    assert_int_equal(f->heard_until, 300);
    assert_int_equal(pull(f, 5000), 700);
    assert_int_equal(f->heard_until, 1000);
    assert_false(mux_send_state_ready(&f->send));
    assert_false(mux_send_state_drained(&f->send));
}

static void a_frame_is_at_most_data_max(void **state)
{
    struct fixture *f = *state;

    append(f, MUX_DATA_MAX + 100);
    assert_int_equal(pull(f, SIZE_MAX), MUX_DATA_MAX);
    assert_int_equal(pull(f, SIZE_MAX), 100);
}

static void credit_is_never_exceeded(void **state)
{
    struct fixture *f = *state;

    append(f, 100500);
    pull_all(f);
    assert_int_equal(f->send.sent, 100000);
    assert_int_equal(pull(f, 1000), 0);
    mux_send_state_fin(&f->send);
    assert_false(mux_send_state_ready(&f->send)); /* the end waits behind the bytes before it */
    assert_int_equal(mux_send_state_ack(&f->send, 0, 100200), 0);
    pull_all(f);
    assert_int_equal(f->send.sent, 100200);
    assert_false(f->heard_fin);
    assert_int_equal(mux_send_state_ack(&f->send, 0, 50), 0); /* a limit does not shrink */
    assert_int_equal(f->send.limit, 100200);
    assert_int_equal(mux_send_state_ack(&f->send, 0, 100500), 0);
    pull_all(f);
    assert_true(f->heard_fin);
}

static void the_end_needs_no_credit(void **state)
{
    struct fixture *f = *state;

    append(f, 100000);
    pull_all(f);
    mux_send_state_fin(&f->send);
    assert_true(mux_send_state_ready(&f->send));
    assert_true(pull(f, 1000) > 0); /* an empty frame is not for nothing: the scheduler charges it */
    assert_true(f->heard_fin);
    assert_int_equal(f->heard_until, 100000);
    assert_false(mux_send_state_ready(&f->send));
}

static void the_end_goes_with_the_last_bytes(void **state)
{
    struct fixture *f = *state;

    append(f, 100);
    mux_send_state_fin(&f->send);
    mux_send_state_fin(&f->send);
    assert_int_equal(pull(f, 99), 99);
    assert_false(f->heard_fin);
    assert_int_equal(pull(f, 99), 1);
    assert_true(f->heard_fin);
}

static void acknowledged_bytes_are_forgotten(void **state)
{
    struct fixture *f = *state;

    append(f, 1000);
    pull_all(f);
    assert_int_equal(mux_send_state_ack(&f->send, 400, 0), 0);
    assert_int_equal(f->send.buffer.len, 600);
    assert_int_equal(mux_send_state_ack(&f->send, 300, 0), 0); /* old news */
    assert_int_equal(f->send.buffer.len, 600);
    assert_int_equal(mux_send_state_ack(&f->send, 1000, 0), 0);
    assert_true(mux_send_state_drained(&f->send));
    assert_null(f->send.buffer.head); /* an idle session holds no buffer */
}

static void bytes_never_sent_can_not_be_acknowledged(void **state)
{
    struct fixture *f = *state;

    append(f, 1000);
    assert_int_equal(pull(f, 500), 500);
    assert_int_equal(mux_send_state_ack(&f->send, 501, 0), -MUX_OFFSET_RANGE);
    assert_int_equal(mux_send_state_ack(&f->send, UINT64_MAX, 0), -MUX_OFFSET_RANGE);
    assert_int_equal(f->send.acked, 0);
    pull_all(f);
    assert_int_equal(mux_send_state_ack(&f->send, 1001, 0), -MUX_OFFSET_RANGE); /* there is no end yet */
    mux_send_state_fin(&f->send);
    assert_int_equal(mux_send_state_ack(&f->send, 1001, 0), -MUX_OFFSET_RANGE); /* and it was not sent */
    pull_all(f);
    assert_int_equal(mux_send_state_ack(&f->send, 1002, 0), -MUX_OFFSET_RANGE);
    assert_int_equal(mux_send_state_ack(&f->send, 1000, 0), 0);
    assert_false(mux_send_state_drained(&f->send));
    assert_int_equal(mux_send_state_ack(&f->send, 1001, 0), 0);
    assert_true(mux_send_state_drained(&f->send));
    assert_int_equal(f->send.fin, MUX_FIN_ACKED);
}

static void rewinding_sends_again(void **state)
{
    struct fixture *f = *state;

    append(f, 1000);
    mux_send_state_fin(&f->send);
    pull_all(f);
    assert_true(f->heard_fin);
    f->heard_fin = false;
    assert_int_equal(mux_send_state_rewind(&f->send, 300), 0);
    assert_int_equal(f->send.sent, 300);
    assert_int_equal(f->send.acked, 300);
    assert_int_equal(pull(f, 100), 100);
    assert_int_equal(mux_send_state_rewind(&f->send, 350), 0); /* and again, during the replay */
    pull_all(f);
    assert_int_equal(f->heard_until, 1000);
    assert_true(f->heard_fin);
}

static void rewinding_over_the_end(void **state)
{
    struct fixture *f = *state;

    append(f, 1000);
    mux_send_state_fin(&f->send);
    pull_all(f);
    assert_int_equal(mux_send_state_rewind(&f->send, 1001), 0);
    assert_int_equal(f->send.fin, MUX_FIN_ACKED);
    assert_true(mux_send_state_drained(&f->send));
    assert_false(mux_send_state_ready(&f->send));
}

static void rewinding_only_the_end(void **state)
{
    struct fixture *f = *state;

    append(f, 1000);
    mux_send_state_fin(&f->send);
    pull_all(f);
    f->heard_fin = false;
    assert_int_equal(mux_send_state_rewind(&f->send, 1000), 0);
    assert_true(mux_send_state_ready(&f->send));
    pull_all(f);
    assert_true(f->heard_fin);
    assert_int_equal(f->heard_until, 1000);
}

static void the_end_may_be_acknowledged_before_it_is_sent_again(void **state)
{
    struct fixture *f = *state;

    append(f, 1000);
    mux_send_state_fin(&f->send);
    pull_all(f);
    assert_int_equal(mux_send_state_rewind(&f->send, 900), 0);
    assert_int_equal(mux_send_state_ack(&f->send, 901, 0), -MUX_OFFSET_RANGE);
    f->heard_fin = false;
    pull_all(f);
    assert_int_equal(mux_send_state_rewind(&f->send, 1000), 0);
    assert_true(mux_send_state_ready(&f->send));
    assert_int_equal(mux_send_state_rewind(&f->send, 1000), 0); /* broken again */
    assert_int_equal(mux_send_state_ack(&f->send, 1001, 0), 0); /* heard the first time, delivered only now */
    assert_false(mux_send_state_ready(&f->send));
    assert_true(mux_send_state_drained(&f->send));
}

static void rewinding_where_nobody_was_is_refused(void **state)
{
    struct fixture *f = *state;

    append(f, 1000);
    assert_int_equal(pull(f, 500), 500);
    assert_int_equal(mux_send_state_ack(&f->send, 200, 0), 0);
    assert_int_equal(mux_send_state_rewind(&f->send, 199), -MUX_OFFSET_RANGE); /* forgotten already */
    assert_int_equal(mux_send_state_rewind(&f->send, 501), -MUX_OFFSET_RANGE);
    assert_int_equal(f->send.sent, 500);
    assert_int_equal(f->send.acked, 200);
    pull_all(f);
    assert_int_equal(f->heard_until, 1000);
}

/* The digest of what was sent before `received` is that of the pattern. */
static void expect_digest(struct fixture *f, uint64_t received)
{
    uint64_t value = 0;

    assert_int_equal(mux_send_state_digest(&f->send, received, &value), 0);
    assert_int_equal(value, kit_pattern_digest(SALT, received < f->send.end ? received : f->send.end));
}

static void the_digest_is_known_wherever_the_peer_may_be(void **state)
{
    struct fixture *f = *state;
    uint64_t value = 0;

    expect_digest(f, 0);
    append(f, 1000);
    append(f, 40000); /* of segments that lie elsewhere */
    append(f, 500);
    assert_int_equal(pull(f, 30000), 30000);
    assert_int_equal(mux_send_state_ack(&f->send, 700, 0), 0); /* inside a segment */
    assert_int_equal(mux_send_state_digest(&f->send, 699, &value), -MUX_OFFSET_RANGE);
    for (uint64_t at = 700; at <= 30000; at += 1465)
        expect_digest(f, at);
    assert_int_equal(mux_send_state_digest(&f->send, 30001, &value), -MUX_OFFSET_RANGE);
    mux_send_state_fin(&f->send);
    pull_all(f);
    assert_int_equal(mux_send_state_highest(&f->send), 41501);
    expect_digest(f, 41500);
    expect_digest(f, 41501); /* the end has no bytes */
    assert_int_equal(mux_send_state_ack(&f->send, 41501, 0), 0);
    expect_digest(f, 41501);
    assert_int_equal(mux_send_state_digest(&f->send, 41500, &value), -MUX_OFFSET_RANGE); /* it had the end */
}

static void more_may_be_appended_at_any_point(void **state)
{
    struct fixture *f = *state;

    append(f, 10); /* into a copied chunk with room */
    pull_all(f);
    append(f, 10); /* the tail grows behind what was sent */
    pull_all(f);
    assert_int_equal(mux_send_state_ack(&f->send, 15, 0), 0);
    append(f, 30000); /* a segment of its own */
    assert_int_equal(pull(f, 5), 5);
    assert_int_equal(mux_send_state_ack(&f->send, 22, 0), 0); /* inside the segment under way */
    append(f, 2000);
    pull_all(f);
    assert_int_equal(f->heard_until, 32020);
    assert_int_equal(mux_send_state_ack(&f->send, 32020, 0), 0);
    append(f, 5);
    pull_all(f);
    assert_int_equal(f->heard_until, 32025);
}

static void a_frame_is_cut_where_the_batch_has_no_vectors_left(void **state)
{
    struct fixture *f = *state;
    struct mux_bytes *buffer = &f->send.buffer;

    /* Many segments of one byte, as no reader would leave them, but the limit holds all the same. */
    for (int i = 0; i < 100; i++) {
        struct mux_chunk *chunk = mux_chunk_create(1);

        kit_pattern_fill(SALT, f->send.end, chunk->data, 1);
        assert_int_equal(mux_bytes_append_ref(buffer, chunk, chunk->data, 1), 0);
        mux_chunk_unref(chunk);
        f->send.end++;
    }
    assert_int_equal(mux_send_state_rewind(&f->send, 0), 0);
    mux_send_state_fin(&f->send);
    assert_int_equal(pull(f, 1000), MUX_BATCH_IOV - 1);
    assert_false(f->heard_fin);
    assert_int_equal(pull(f, 1000), 100 - (MUX_BATCH_IOV - 1));
    assert_true(f->heard_fin);
}

/* Any order of appending, sending, acknowledging and resuming gives the stream, byte for byte. */
static void any_sequence_gives_the_stream(void **state)
{
    struct fixture *f = *state;
    struct kit_rng rng = {.state = 11};

    for (int i = 0; i < 30000; i++) {
        uint64_t received = f->send.acked + kit_below(&rng, f->send.sent - f->send.acked + 1);

        switch (kit_below(&rng, 8)) {
        case 0:
        case 1:
            if (f->send.end - f->send.acked < 200000)
                append(f, (size_t)kit_size(&rng, 40000));
            break;
        case 2:
        case 3:
        case 4: pull(f, (size_t)kit_size(&rng, 70000)); break;
        case 5:
        case 6:
            assert_int_equal(mux_send_state_ack(&f->send, received, received + kit_below(&rng, 100000)), 0);
            break;
        default: assert_int_equal(mux_send_state_rewind(&f->send, received), 0); break;
        }
    }
    assert_true(f->send.acked > 1000000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_to_send_at_first),
        TEST(a_frame_is_at_most_what_was_asked_for),
        TEST(a_frame_is_at_most_data_max),
        TEST(credit_is_never_exceeded),
        TEST(the_end_needs_no_credit),
        TEST(the_end_goes_with_the_last_bytes),
        TEST(acknowledged_bytes_are_forgotten),
        TEST(bytes_never_sent_can_not_be_acknowledged),
        TEST(rewinding_sends_again),
        TEST(rewinding_over_the_end),
        TEST(rewinding_only_the_end),
        TEST(the_end_may_be_acknowledged_before_it_is_sent_again),
        TEST(rewinding_where_nobody_was_is_refused),
        TEST(the_digest_is_known_wherever_the_peer_may_be),
        TEST(more_may_be_appended_at_any_point),
        TEST(a_frame_is_cut_where_the_batch_has_no_vectors_left),
        TEST(any_sequence_gives_the_stream),
    };

    return cmocka_run_group_tests_name("mux.send_state", tests, NULL, NULL);
}
