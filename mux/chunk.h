/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that payload lives in while it passes through: reference-counted chunks, and a pool that reads go
 * to.
 *
 * A read lands in the pool's current chunk; whoever keeps some of those bytes takes a reference. When nobody
 * did, the same chunk serves the next read, so an idle session holds no buffer. Not thread-safe: one pool per
 * event loop.
 *
 *     chunk->data
 *     |<-- used: handed out, maybe referenced -->|<-- room: the next read goes here -->|
 *     0                                         used                                  size
 */
#ifndef MUX_CHUNK_H
#define MUX_CHUNK_H

#include <stddef.h>
#include <stdint.h>

/* What a pool's chunks hold. */
#define MUX_CHUNK_SIZE 65536u

/* A read is offered at least this much room; less than this is not worth pinning a pooled chunk for either.
 */
#define MUX_PIN_MIN 16384u

struct mux_pool;

struct mux_chunk {
    unsigned refs;
    uint32_t size;         /* bytes in data */
    uint32_t used;         /* bytes handed out, from the start */
    struct mux_pool *pool; /* where it returns to; NULL: heap */
    struct mux_chunk *next_free;
    uint8_t data[];
};

struct mux_pool {
    struct mux_chunk *current; /* reads go here; may be NULL */
    struct mux_chunk *free;
    unsigned free_count;
    unsigned live; /* chunks out, current among them */
};

/* A chunk of `size` bytes on the heap with one reference. NULL when out of memory. */
struct mux_chunk *mux_chunk_create(size_t size);

struct mux_chunk *mux_chunk_ref(struct mux_chunk *chunk);

/* Give up a reference; the last one frees the chunk or returns it to its pool. NULL is ignored. */
void mux_chunk_unref(struct mux_chunk *chunk);

void mux_pool_init(struct mux_pool *pool);

/* Free all. Every chunk must have come back: asserted. */
void mux_pool_deinit(struct mux_pool *pool);

/*
 * Room for the next read: at least MUX_PIN_MIN bytes at `*room_data`, `*room_size` long. The bytes stay the
 * pool's until mux_pool_commit. Returns the chunk they are in, or NULL when out of memory.
 */
struct mux_chunk *mux_pool_reserve(struct mux_pool *pool, uint8_t **room_data, size_t *room_size);

/* `n` bytes were read into the reserved room: they stay as they are for as long as somebody holds a
 * reference. */
void mux_pool_commit(struct mux_pool *pool, size_t n);

/* To call once the bytes read have been dealt with: when nobody kept any, their room is used again. */
void mux_pool_recycle(struct mux_pool *pool);

#endif
