/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/bytes.h"

#include "mux/code.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Copied pieces share heap chunks that begin at this size, so that a chat of small messages is one
 * allocation. */
#define COPY_CHUNK_MIN 1024u

void mux_bytes_init(struct mux_bytes *bytes)
{
    *bytes = (struct mux_bytes){0};
}

static void pop_head(struct mux_bytes *bytes)
{
    struct mux_segment *seg = bytes->head;

    bytes->head = seg->next;
    if (bytes->head == NULL)
        bytes->tail = NULL;
    if (bytes->loose == seg)
        bytes->loose = seg->next;
    mux_chunk_unref(seg->chunk);
    free(seg);
}

void mux_bytes_clear(struct mux_bytes *bytes)
{
    while (bytes->head != NULL)
        pop_head(bytes);
    bytes->len = 0;
}

static int append_segment(struct mux_bytes *bytes, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    struct mux_segment *seg = malloc(sizeof(*seg));

    if (seg == NULL)
        return -MUX_NO_MEMORY;
    *seg = (struct mux_segment){.chunk = mux_chunk_ref(chunk), .data = data, .len = len};
    if (bytes->tail != NULL)
        bytes->tail->next = seg;
    else
        bytes->head = seg;
    bytes->tail = seg;
    bytes->len += len;
    return 0;
}

int mux_bytes_append_ref(struct mux_bytes *bytes, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    int rc;

    assert(data >= chunk->data && data + len <= chunk->data + chunk->size);
    if (len == 0)
        return 0;
    if (bytes->tail != NULL && bytes->tail->chunk == chunk && bytes->tail->data + bytes->tail->len == data) {
        bytes->tail->len += len;
        bytes->len += len;
        return 0;
    }
    rc = append_segment(bytes, chunk, data, len);
    if (rc == 0 && bytes->loose == NULL && chunk->pool != NULL)
        bytes->loose = bytes->tail;
    return rc;
}

/* The room behind a segment, when its chunk is a heap one and nothing follows it there. */
static size_t room_behind(const struct mux_segment *seg)
{
    if (seg == NULL || seg->chunk->pool != NULL ||
        seg->data + seg->len != seg->chunk->data + seg->chunk->used)
        return 0;
    return seg->chunk->size - seg->chunk->used;
}

/* Copy bytes into that room, where they fit. */
static void extend(struct mux_segment *seg, const uint8_t *data, size_t len)
{
    memcpy(seg->chunk->data + seg->chunk->used, data, len);
    seg->chunk->used += (uint32_t)len;
    seg->len += len;
}

int mux_bytes_append_copy(struct mux_bytes *bytes, const uint8_t *data, size_t len)
{
    struct mux_segment *tail = bytes->tail;
    size_t room = room_behind(tail);
    size_t first = len < room ? len : room;
    size_t rest = len - first;

    if (rest > 0) {
        struct mux_chunk *chunk = mux_chunk_create(rest < COPY_CHUNK_MIN ? COPY_CHUNK_MIN : rest);
        int rc;

        if (chunk == NULL)
            return -MUX_NO_MEMORY;
        memcpy(chunk->data, data + first, rest);
        chunk->used = (uint32_t)rest;
        rc = append_segment(bytes, chunk, chunk->data, rest);
        mux_chunk_unref(chunk);
        if (rc < 0)
            return rc;
    }
    /* Room for all is certain now. */
    if (first > 0) {
        extend(tail, data, first);
        bytes->len += first;
    }
    return 0;
}

int mux_bytes_append(struct mux_bytes *bytes, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    if (len < MUX_PIN_MIN)
        return mux_bytes_append_copy(bytes, data, len);
    return mux_bytes_append_ref(bytes, chunk, data, len);
}

void mux_bytes_drop(struct mux_bytes *bytes, size_t n)
{
    assert(n <= bytes->len);
    bytes->len -= n;
    while (n > 0) {
        struct mux_segment *seg = bytes->head;

        if (n < seg->len) {
            seg->data += n;
            seg->len -= n;
            return;
        }
        n -= seg->len;
        pop_head(bytes);
    }
}

int mux_bytes_move(struct mux_bytes *to, struct mux_bytes *from, size_t n)
{
    assert(n <= from->len);
    while (n > 0) {
        struct mux_segment *seg = from->head;
        size_t take = seg->len < n ? seg->len : n;
        int rc = mux_bytes_append_ref(to, seg->chunk, seg->data, take);

        if (rc < 0)
            return rc;
        mux_bytes_drop(from, take);
        n -= take;
    }
    return 0;
}

/* A piece that pins a chunk much larger than itself. */
static bool pins(const struct mux_segment *seg)
{
    return seg != NULL && seg->chunk->pool != NULL && seg->len < MUX_PIN_MIN;
}

/* Copy a segment out of its pooled chunk, into one with room for those after it that are to follow. 0 or
 * -MUX_NO_MEMORY, the segment unchanged then. */
static int unpin(struct mux_segment *seg)
{
    size_t size = seg->len;
    struct mux_chunk *own;

    for (const struct mux_segment *next = seg->next; pins(next) && size + next->len <= MUX_CHUNK_SIZE;
         next = next->next)
        size += next->len;
    own = mux_chunk_create(size < COPY_CHUNK_MIN ? COPY_CHUNK_MIN : size);
    if (own == NULL)
        return -MUX_NO_MEMORY;
    memcpy(own->data, seg->data, seg->len);
    own->used = (uint32_t)seg->len;
    mux_chunk_unref(seg->chunk);
    seg->chunk = own;
    seg->data = own->data;
    return 0;
}

/* Draw the pieces that follow a segment into the room behind it. */
static void absorb(struct mux_bytes *bytes, struct mux_segment *seg)
{
    while (pins(seg->next) && seg->next->len <= room_behind(seg)) {
        struct mux_segment *next = seg->next;

        extend(seg, next->data, next->len);
        seg->next = next->next;
        if (bytes->tail == next)
            bytes->tail = seg;
        mux_chunk_unref(next->chunk);
        free(next);
    }
}

void mux_bytes_compact(struct mux_bytes *bytes)
{
    while (bytes->loose != NULL) {
        struct mux_segment *seg = bytes->loose;

        if (pins(seg) && unpin(seg) < 0)
            return;
        absorb(bytes, seg);
        if (seg->next == NULL && room_behind(seg) > 0)
            return; /* what comes next may go in there */
        bytes->loose = seg->next;
    }
}

int mux_bytes_peek(const struct mux_bytes *bytes, size_t max_bytes, struct iovec *iov, int max_iov,
                   size_t *total)
{
    int count = 0;

    *total = 0;
    for (const struct mux_segment *seg = bytes->head; seg != NULL && count < max_iov && *total < max_bytes;
         seg = seg->next) {
        size_t n = seg->len < max_bytes - *total ? seg->len : max_bytes - *total;

        iov[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)seg->data, .iov_len = n};
        *total += n;
    }
    return count;
}
