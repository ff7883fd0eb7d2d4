/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/bytes.h"
#include "tests/unit/mux/kit/pattern.h"
#include "tests/unit/mux/kit/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SALT 5u

struct fixture {
    struct mux_pool pool;
    struct mux_bytes bytes;
    uint64_t appended; /* offset of the next byte */
    uint64_t dropped;  /* offset of the queue's first byte */
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    mux_pool_init(&f.pool);
    mux_bytes_init(&f.bytes);
    *state = &f;
    return 0;
}

/* Every test ends with all references returned: the pool asserts it. */
static int teardown(void **state)
{
    struct fixture *f = *state;

    mux_bytes_clear(&f->bytes);
    assert_null(f->bytes.head);
    assert_int_equal(f->bytes.len, 0);
    mux_pool_deinit(&f->pool);
    return 0;
}

typedef int append_fn(struct mux_bytes *bytes, struct mux_chunk *chunk, const uint8_t *data, size_t len);

static int append_copy(struct mux_bytes *bytes, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    (void)chunk;
    return mux_bytes_append_copy(bytes, data, len);
}

/* `n` bytes arrive in the pool, after `gap` bytes that nobody keeps, and are appended. */
static void arrive(struct fixture *f, append_fn *append, size_t gap, size_t n)
{
    uint8_t *room;
    size_t size;
    struct mux_chunk *chunk = mux_pool_reserve(&f->pool, &room, &size);

    assert_non_null(chunk);
    assert_true(gap + n <= size);
    kit_pattern_fill(SALT, f->appended, room + gap, n);
    mux_pool_commit(&f->pool, gap + n);
    assert_int_equal(append(&f->bytes, chunk, room + gap, n), 0);
    mux_pool_recycle(&f->pool);
    f->appended += n;
}

static void drop(struct fixture *f, size_t n)
{
    mux_bytes_drop(&f->bytes, n);
    f->dropped += n;
}

/* The queue holds [dropped, appended) and its list is sound. */
static void check(const struct fixture *f)
{
    uint64_t at = f->dropped;
    const struct mux_segment *last = NULL;

    assert_int_equal(f->bytes.len, f->appended - f->dropped);
    for (const struct mux_segment *seg = f->bytes.head; seg != NULL; seg = seg->next) {
        assert_true(seg->len > 0);
        assert_true(seg->data >= seg->chunk->data);
        assert_true(seg->data + seg->len <= seg->chunk->data + seg->chunk->size);
        assert_true(kit_pattern_matches(SALT, at, seg->data, seg->len));
        at += seg->len;
        last = seg;
    }
    assert_int_equal(at, f->appended);
    assert_ptr_equal(f->bytes.tail, last);
}

static unsigned segments(const struct mux_bytes *bytes)
{
    unsigned count = 0;

    for (const struct mux_segment *seg = bytes->head; seg != NULL; seg = seg->next)
        count++;
    return count;
}

/* What the queue costs: its segments and their chunks. Neighbours that share a chunk count it once. */
static size_t memory(const struct mux_bytes *bytes)
{
    const struct mux_chunk *before = NULL;
    size_t total = 0;

    for (const struct mux_segment *seg = bytes->head; seg != NULL; seg = seg->next) {
        total += sizeof(*seg);
        if (seg->chunk != before)
            total += sizeof(*seg->chunk) + seg->chunk->size;
        before = seg->chunk;
    }
    return total;
}

/* ── Appending ── */

static void small_pieces_are_copied_together(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 500; i++)
        arrive(f, mux_bytes_append, 20, 10);
    check(f);
    assert_int_equal(f->pool.current->refs, 1); /* nothing is pinned */
    assert_true(segments(&f->bytes) <= 5);
    assert_true(memory(&f->bytes) < 2 * f->bytes.len);
}

static void large_pieces_are_referred_to(void **state)
{
    struct fixture *f = *state;

    arrive(f, mux_bytes_append, 0, MUX_PIN_MIN);
    assert_int_equal(f->pool.current->refs, 2);
    assert_ptr_equal(f->bytes.head->chunk, f->pool.current);
    arrive(f, mux_bytes_append, 0, MUX_PIN_MIN - 1);
    assert_int_equal(f->pool.current->refs, 2);
    check(f);
}

static void neighbours_in_one_chunk_become_one_segment(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 10; i++)
        arrive(f, mux_bytes_append_ref, 0, 100);
    check(f);
    assert_int_equal(segments(&f->bytes), 1);
    arrive(f, mux_bytes_append_ref, 20, 100);
    check(f);
    assert_int_equal(segments(&f->bytes), 2);
}

static void a_copy_that_does_not_fit_is_split(void **state)
{
    struct fixture *f = *state;

    arrive(f, append_copy, 0, 1000);
    arrive(f, append_copy, 0, 3000);
    check(f);
    assert_int_equal(segments(&f->bytes), 2);
    assert_int_equal(f->bytes.head->len, 1024); /* the first chunk was filled */
}

static void nothing_is_appended_for_nothing(void **state)
{
    struct fixture *f = *state;

    arrive(f, append_copy, 0, 0);
    arrive(f, mux_bytes_append_ref, 0, 0);
    arrive(f, mux_bytes_append, 0, 0);
    assert_null(f->bytes.head);
    check(f);
}

static void a_shared_chunk_is_not_written_into(void **state)
{
    struct fixture *f = *state;
    struct mux_bytes other;

    /* Both queues end inside the same heap chunk: neither may grow into what the other holds. */
    arrive(f, append_copy, 0, 100);
    mux_bytes_init(&other);
    assert_int_equal(mux_bytes_move(&other, &f->bytes, 60), 0);
    f->dropped += 60;
    assert_int_equal(mux_bytes_append_copy(&other, (const uint8_t *)"xxxx", 4), 0);
    arrive(f, append_copy, 0, 50);
    check(f);
    assert_int_equal(other.len, 64);
    assert_true(kit_pattern_matches(SALT, 0, other.head->data, 60));
    mux_bytes_clear(&other);
}

/* ── Taking away ── */

static void dropping_frees_what_was_passed(void **state)
{
    struct fixture *f = *state;

    arrive(f, mux_bytes_append, 0, 20000);
    arrive(f, mux_bytes_append, 0, 500);
    arrive(f, mux_bytes_append, 0, 20000);
    drop(f, 19999);
    check(f);
    assert_int_equal(segments(&f->bytes), 3);
    drop(f, 1);
    check(f);
    assert_int_equal(segments(&f->bytes), 2);
    drop(f, 501);
    check(f);
    drop(f, 0);
    check(f);
    drop(f, 19999);
    check(f);
    assert_null(f->bytes.head);
    assert_null(f->bytes.loose);
}

static void moving_takes_references_along(void **state)
{
    struct fixture *f = *state;
    struct mux_bytes to;

    mux_bytes_init(&to);
    arrive(f, mux_bytes_append_ref, 20, 100);
    arrive(f, mux_bytes_append_ref, 20, 100);
    assert_int_equal(mux_bytes_move(&to, &f->bytes, 150), 0);
    f->dropped += 150;
    check(f);
    assert_int_equal(to.len, 150);
    assert_true(kit_pattern_matches(SALT, 0, to.head->data, 100));
    assert_true(kit_pattern_matches(SALT, 100, to.tail->data, 50));
    assert_int_equal(mux_bytes_move(&to, &f->bytes, 0), 0);
    assert_int_equal(mux_bytes_move(&to, &f->bytes, 50), 0);
    f->dropped += 50;
    check(f);
    assert_int_equal(to.len, 200);
    mux_bytes_clear(&to);
}

/* ── Compacting ── */

static void what_stays_is_copied_out_of_pooled_chunks(void **state)
{
    struct fixture *f = *state;

    arrive(f, mux_bytes_append_ref, 20, 100);
    arrive(f, mux_bytes_append_ref, 20, MUX_PIN_MIN);
    assert_int_equal(f->pool.current->refs, 3);
    mux_bytes_compact(&f->bytes);
    check(f);
    assert_int_equal(f->pool.current->refs, 2); /* the large one stays where it is */
    assert_null(f->bytes.loose);
}

static void tiny_frames_do_not_cost_a_multiple_of_their_payload(void **state)
{
    struct fixture *f = *state;

    /* As a hostile guest would send them: one byte each, and nothing leaves. */
    for (int i = 0; i < 20000; i++) {
        arrive(f, mux_bytes_append_ref, 20, 1);
        if (i % 100 == 0)
            mux_bytes_compact(&f->bytes);
    }
    mux_bytes_compact(&f->bytes);
    check(f);
    assert_int_equal(f->pool.current->refs, 1);
    assert_true(memory(&f->bytes) < 3 * f->bytes.len);
}

static void compacting_goes_on_where_it_stopped(void **state)
{
    struct fixture *f = *state;

    arrive(f, mux_bytes_append_ref, 20, 100);
    mux_bytes_compact(&f->bytes);
    arrive(f, mux_bytes_append_ref, 20, 200);
    drop(f, 50);
    mux_bytes_compact(&f->bytes);
    check(f);
    assert_int_equal(f->pool.current->refs, 1);
    drop(f, 250);
    check(f);
    arrive(f, mux_bytes_append_ref, 20, 10);
    mux_bytes_compact(&f->bytes);
    check(f);
    assert_int_equal(f->pool.current->refs, 1);
}

/* ── Looking ── */

static void peek_is_bounded_by_bytes_and_vectors(void **state)
{
    struct fixture *f = *state;
    struct iovec iov[4];
    size_t total;

    assert_int_equal(mux_bytes_peek(&f->bytes, 100, iov, 4, &total), 0);
    assert_int_equal(total, 0);
    for (int i = 0; i < 3; i++)
        arrive(f, mux_bytes_append_ref, 20, 100);
    assert_int_equal(mux_bytes_peek(&f->bytes, SIZE_MAX, iov, 2, &total), 2);
    assert_int_equal(total, 200);
    assert_int_equal(mux_bytes_peek(&f->bytes, 250, iov, 4, &total), 3);
    assert_int_equal(total, 250);
    assert_int_equal(iov[2].iov_len, 50);
    assert_true(kit_pattern_matches(SALT, 200, iov[2].iov_base, 50));
    assert_int_equal(mux_bytes_peek(&f->bytes, 0, iov, 4, &total), 0);
}

/* ── All of it, at random ── */

static void any_sequence_keeps_the_bytes(void **state)
{
    struct fixture *f = *state;
    static append_fn *const appends[] = {mux_bytes_append, mux_bytes_append_ref, append_copy};
    struct kit_rng rng = {.state = 42};

    for (int i = 0; i < 20000; i++) {
        switch (kit_below(&rng, 5)) {
        case 0:
        case 1: arrive(f, appends[kit_below(&rng, 3)], kit_below(&rng, 30), kit_size(&rng, 16000)); break;
        case 2:
        case 3: drop(f, (size_t)kit_below(&rng, f->bytes.len + 1)); break;
        default: mux_bytes_compact(&f->bytes); break;
        }
        if (i % 16 == 0)
            check(f);
    }
    check(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(small_pieces_are_copied_together),
        TEST(large_pieces_are_referred_to),
        TEST(neighbours_in_one_chunk_become_one_segment),
        TEST(a_copy_that_does_not_fit_is_split),
        TEST(nothing_is_appended_for_nothing),
        TEST(a_shared_chunk_is_not_written_into),
        TEST(dropping_frees_what_was_passed),
        TEST(moving_takes_references_along),
        TEST(what_stays_is_copied_out_of_pooled_chunks),
        TEST(tiny_frames_do_not_cost_a_multiple_of_their_payload),
        TEST(compacting_goes_on_where_it_stopped),
        TEST(peek_is_bounded_by_bytes_and_vectors),
        TEST(any_sequence_keeps_the_bytes),
    };

    return cmocka_run_group_tests_name("mux.bytes", tests, NULL, NULL);
}
