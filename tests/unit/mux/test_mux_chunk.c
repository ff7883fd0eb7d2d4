/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t *reserve(struct mux_pool *pool, struct mux_chunk **chunk, size_t *size)
{
    uint8_t *room = NULL;

    *chunk = mux_pool_reserve(pool, &room, size);
    assert_non_null(*chunk);
    assert_true(*size >= MUX_PIN_MIN);
    return room;
}

static void heap_chunk_lives_until_its_last_reference(void **state)
{
    struct mux_chunk *chunk = mux_chunk_create(100);

    (void)state;
    assert_non_null(chunk);
    assert_int_equal(chunk->size, 100);
    assert_int_equal(chunk->used, 0);
    assert_ptr_equal(mux_chunk_ref(chunk), chunk);
    mux_chunk_unref(chunk);
    memset(chunk->data, 1, 100); /* still ours */
    mux_chunk_unref(chunk);
    mux_chunk_unref(NULL);
}

static void a_chunk_nobody_kept_serves_the_next_read(void **state)
{
    struct mux_pool pool;
    struct mux_chunk *chunk;
    struct mux_chunk *again;
    size_t size;
    uint8_t *room;

    (void)state;
    mux_pool_init(&pool);
    room = reserve(&pool, &chunk, &size);
    assert_int_equal(size, MUX_CHUNK_SIZE);
    mux_pool_commit(&pool, 1000);
    mux_pool_recycle(&pool);
    assert_ptr_equal(reserve(&pool, &again, &size), room);
    assert_ptr_equal(again, chunk);
    assert_int_equal(size, MUX_CHUNK_SIZE);
    assert_int_equal(pool.live, 1);
    mux_pool_deinit(&pool);
}

static void kept_bytes_are_not_read_over(void **state)
{
    struct mux_pool pool;
    struct mux_chunk *kept;
    struct mux_chunk *chunk;
    size_t size;
    uint8_t *room;
    uint8_t *next;

    (void)state;
    mux_pool_init(&pool);
    room = reserve(&pool, &kept, &size);
    mux_pool_commit(&pool, 1000);
    mux_chunk_ref(kept);
    mux_pool_recycle(&pool);
    next = reserve(&pool, &chunk, &size);
    assert_ptr_equal(chunk, kept);
    assert_ptr_equal(next, room + 1000);
    assert_int_equal(size, MUX_CHUNK_SIZE - 1000);
    mux_pool_commit(&pool, 10);
    mux_chunk_unref(kept);
    assert_ptr_equal(reserve(&pool, &chunk, &size), room); /* all of it is free again */
    mux_pool_deinit(&pool);
}

static void a_chunk_with_little_room_left_is_replaced(void **state)
{
    struct mux_pool pool;
    struct mux_chunk *full;
    struct mux_chunk *chunk;
    size_t size;

    (void)state;
    mux_pool_init(&pool);
    reserve(&pool, &full, &size);
    mux_pool_commit(&pool, MUX_CHUNK_SIZE - MUX_PIN_MIN + 1);
    mux_chunk_ref(full);
    reserve(&pool, &chunk, &size);
    assert_ptr_not_equal(chunk, full);
    assert_int_equal(pool.live, 2);
    mux_chunk_unref(full);
    assert_int_equal(pool.live, 1);
    assert_int_equal(pool.free_count, 1);
    mux_pool_deinit(&pool);
}

static void chunks_come_back_and_are_taken_again(void **state)
{
    struct mux_pool pool;
    struct mux_chunk *kept[3];
    struct mux_chunk *chunk;
    size_t size;

    (void)state;
    mux_pool_init(&pool);
    for (int i = 0; i < 3; i++) {
        reserve(&pool, &kept[i], &size);
        mux_pool_commit(&pool, MUX_CHUNK_SIZE);
        mux_chunk_ref(kept[i]);
    }
    reserve(&pool, &chunk, &size);
    for (int i = 0; i < 3; i++)
        mux_chunk_unref(kept[i]);
    assert_int_equal(pool.free_count, 3);
    mux_pool_commit(&pool, MUX_CHUNK_SIZE);
    mux_chunk_ref(chunk);
    reserve(&pool, &kept[0], &size);
    assert_int_equal(pool.free_count, 2); /* taken from those that came back */
    assert_int_equal(kept[0]->used, 0);
    assert_int_equal(kept[0]->refs, 1);
    mux_chunk_unref(chunk);
    mux_pool_deinit(&pool);
}

static void only_so_many_free_chunks_are_kept(void **state)
{
    enum { COUNT = 50 };
    struct mux_pool pool;
    struct mux_chunk *kept[COUNT];
    size_t size;

    (void)state;
    mux_pool_init(&pool);
    for (int i = 0; i < COUNT; i++) {
        reserve(&pool, &kept[i], &size);
        mux_pool_commit(&pool, MUX_CHUNK_SIZE);
        mux_chunk_ref(kept[i]);
    }
    for (int i = 0; i < COUNT; i++)
        mux_chunk_unref(kept[i]);
    assert_int_equal(pool.free_count, 32);
    assert_int_equal(pool.live, 1); /* the pool's own current one */
    mux_pool_deinit(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_chunk_lives_until_its_last_reference),
        cmocka_unit_test(a_chunk_nobody_kept_serves_the_next_read),
        cmocka_unit_test(kept_bytes_are_not_read_over),
        cmocka_unit_test(a_chunk_with_little_room_left_is_replaced),
        cmocka_unit_test(chunks_come_back_and_are_taken_again),
        cmocka_unit_test(only_so_many_free_chunks_are_kept),
    };

    return cmocka_run_group_tests_name("mux.chunk", tests, NULL, NULL);
}
