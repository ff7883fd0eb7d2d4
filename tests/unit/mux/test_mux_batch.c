/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/batch.h"
#include "tests/unit/mux/kit/pattern.h"
#include "tests/unit/mux/kit/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SALT 6u

struct fixture {
    struct mux_batch batch;
    struct mux_chunk *chunk; /* payload comes from here */
};

static int setup(void **state)
{
    static struct fixture f;

    mux_batch_init(&f.batch);
    f.chunk = mux_chunk_create(MUX_CHUNK_SIZE);
    kit_pattern_fill(SALT, 0, f.chunk->data, MUX_CHUNK_SIZE);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    mux_batch_clear(&f->batch);
    assert_int_equal(f->chunk->refs, 1); /* every reference came back */
    mux_chunk_unref(f->chunk);
    return 0;
}

/* Write the batch in steps of at most `step` bytes and gather what comes out. */
static size_t write_all(struct mux_batch *batch, size_t step, uint8_t *out)
{
    size_t total = 0;

    while (batch->bytes > 0) {
        const struct iovec *iov = &batch->iov[batch->first];
        size_t n = iov->iov_len < step ? iov->iov_len : step;

        memcpy(out + total, iov->iov_base, n);
        total += n;
        mux_batch_written(batch, n);
    }
    return total;
}

static void a_new_batch_is_empty(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->batch.bytes, 0);
    assert_int_equal(f->batch.count, 0);
    assert_int_equal(mux_batch_room(&f->batch), MUX_BATCH_BYTES);
    assert_int_equal(mux_batch_vectors(&f->batch), MUX_BATCH_IOV);
}

static void headers_in_a_row_share_a_vector(void **state)
{
    struct fixture *f = *state;
    uint8_t *first = mux_batch_area(&f->batch, 10);
    uint8_t *second = mux_batch_area(&f->batch, 20);

    assert_ptr_equal(second, first + 10);
    assert_int_equal(f->batch.count, 1);
    assert_int_equal(f->batch.bytes, 30);
    mux_batch_payload(&f->batch, f->chunk, f->chunk->data, 5);
    assert_non_null(mux_batch_area(&f->batch, 1));
    assert_int_equal(f->batch.count, 3);
    assert_int_equal(f->batch.bytes, 36);
}

static void payload_is_referred_to_until_it_is_written(void **state)
{
    struct fixture *f = *state;

    mux_batch_payload(&f->batch, f->chunk, f->chunk->data, 100);
    mux_batch_payload(&f->batch, f->chunk, f->chunk->data + 100, 100);
    assert_int_equal(f->chunk->refs, 3);
    mux_batch_written(&f->batch, 99);
    assert_int_equal(f->chunk->refs, 3);
    mux_batch_written(&f->batch, 1);
    assert_int_equal(f->chunk->refs, 2);
    mux_batch_written(&f->batch, 100);
    assert_int_equal(f->chunk->refs, 1);
    assert_int_equal(f->batch.count, 0); /* ready to be filled again */
    assert_int_equal(f->batch.area_used, 0);
}

static void clearing_drops_what_was_not_written(void **state)
{
    struct fixture *f = *state;

    mux_batch_payload(&f->batch, f->chunk, f->chunk->data, 100);
    mux_batch_payload(&f->batch, f->chunk, f->chunk->data, 100);
    mux_batch_written(&f->batch, 150);
    mux_batch_clear(&f->batch);
    assert_int_equal(f->chunk->refs, 1);
    assert_int_equal(f->batch.bytes, 0);
    assert_int_equal(mux_batch_room(&f->batch), MUX_BATCH_BYTES);
}

static void any_partial_writes_give_the_same_bytes(void **state)
{
    struct fixture *f = *state;

    for (size_t step = 1; step < 700; step = step * 3 / 2 + 1) {
        static uint8_t out[16 * 340];
        size_t total;

        for (uint64_t i = 0; i < 16; i++) {
            kit_pattern_fill(SALT, i * 340, mux_batch_area(&f->batch, 20), 20);
            kit_pattern_fill(SALT, i * 340 + 20, mux_batch_area(&f->batch, 20), 20);
            mux_batch_payload(&f->batch, f->chunk, f->chunk->data + i * 340 + 40, 300);
        }
        total = write_all(&f->batch, step, out);
        assert_int_equal(total, sizeof(out));
        assert_true(kit_pattern_matches(SALT, 0, out, sizeof(out)));
    }
}

static void full_by_bytes(void **state)
{
    struct fixture *f = *state;

    mux_batch_payload(&f->batch, f->chunk, f->chunk->data, MUX_CHUNK_SIZE);
    assert_int_equal(mux_batch_room(&f->batch), MUX_BATCH_BYTES - MUX_CHUNK_SIZE);
    mux_batch_payload(&f->batch, f->chunk, f->chunk->data, MUX_CHUNK_SIZE);
    assert_int_equal(mux_batch_room(&f->batch), 0);
}

static void full_by_vectors(void **state)
{
    struct fixture *f = *state;

    while (mux_batch_room(&f->batch) > 0)
        mux_batch_payload(&f->batch, f->chunk, f->chunk->data, 1);
    /* What room promises: a header and some payload always fit. */
    assert_true(mux_batch_vectors(&f->batch) < 4);
    while (mux_batch_vectors(&f->batch) > 0)
        mux_batch_payload(&f->batch, f->chunk, f->chunk->data, 1);
    assert_null(mux_batch_area(&f->batch, 1));
}

static void full_by_area(void **state)
{
    struct fixture *f = *state;

    assert_null(mux_batch_area(&f->batch, MUX_BATCH_AREA + 1));
    assert_int_equal(f->batch.bytes, 0);
    assert_non_null(mux_batch_area(&f->batch, MUX_BATCH_AREA - 10));
    assert_int_equal(mux_batch_room(&f->batch), 0);
    assert_null(mux_batch_area(&f->batch, 11));
    assert_non_null(mux_batch_area(&f->batch, 10));
    assert_null(mux_batch_area(&f->batch, 1));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_new_batch_is_empty),
        TEST(headers_in_a_row_share_a_vector),
        TEST(payload_is_referred_to_until_it_is_written),
        TEST(clearing_drops_what_was_not_written),
        TEST(any_partial_writes_give_the_same_bytes),
        TEST(full_by_bytes),
        TEST(full_by_vectors),
        TEST(full_by_area),
    };

    return cmocka_run_group_tests_name("mux.batch", tests, NULL, NULL);
}
