/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/chunk.h"

#include <assert.h>
#include <stdlib.h>

/* Chunks kept for later rather than given back to the heap: enough for a busy moment, 2 MiB in all. */
#define FREE_MAX 32

struct mux_chunk *mux_chunk_create(size_t size)
{
    struct mux_chunk *chunk = malloc(sizeof(*chunk) + size);

    assert(size <= UINT32_MAX);
    if (chunk == NULL)
        return NULL;
    *chunk = (struct mux_chunk){.refs = 1, .size = (uint32_t)size};
    return chunk;
}

struct mux_chunk *mux_chunk_ref(struct mux_chunk *chunk)
{
    assert(chunk->refs > 0);
    chunk->refs++;
    return chunk;
}

static void pool_give_back(struct mux_pool *pool, struct mux_chunk *chunk)
{
    pool->live--;
    if (pool->free_count == FREE_MAX) {
        free(chunk);
        return;
    }
    chunk->next_free = pool->free;
    pool->free = chunk;
    pool->free_count++;
}

void mux_chunk_unref(struct mux_chunk *chunk)
{
    if (chunk == NULL)
        return;
    assert(chunk->refs > 0);
    if (--chunk->refs > 0)
        return;
    if (chunk->pool != NULL)
        pool_give_back(chunk->pool, chunk);
    else
        free(chunk);
}

void mux_pool_init(struct mux_pool *pool)
{
    *pool = (struct mux_pool){0};
}

void mux_pool_deinit(struct mux_pool *pool)
{
    mux_chunk_unref(pool->current);
    pool->current = NULL;
    assert(pool->live == 0);
    while (pool->free != NULL) {
        struct mux_chunk *chunk = pool->free;

        pool->free = chunk->next_free;
        free(chunk);
    }
    pool->free_count = 0;
}

static struct mux_chunk *pool_take(struct mux_pool *pool)
{
    struct mux_chunk *chunk = pool->free;

    if (chunk != NULL) {
        pool->free = chunk->next_free;
        pool->free_count--;
        chunk->refs = 1;
        chunk->used = 0;
    } else {
        chunk = mux_chunk_create(MUX_CHUNK_SIZE);
        if (chunk == NULL)
            return NULL;
        chunk->pool = pool;
    }
    pool->live++;
    return chunk;
}

struct mux_chunk *mux_pool_reserve(struct mux_pool *pool, uint8_t **room_data, size_t *room_size)
{
    mux_pool_recycle(pool);
    if (pool->current != NULL && pool->current->size - pool->current->used < MUX_PIN_MIN) {
        mux_chunk_unref(pool->current);
        pool->current = NULL;
    }
    if (pool->current == NULL)
        pool->current = pool_take(pool);
    if (pool->current == NULL)
        return NULL;
    *room_data = pool->current->data + pool->current->used;
    *room_size = pool->current->size - pool->current->used;
    return pool->current;
}

void mux_pool_commit(struct mux_pool *pool, size_t n)
{
    assert(pool->current != NULL && n <= pool->current->size - pool->current->used);
    pool->current->used += (uint32_t)n;
}

void mux_pool_recycle(struct mux_pool *pool)
{
    if (pool->current != NULL && pool->current->refs == 1)
        pool->current->used = 0;
}
