/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/batch.h"

#include <assert.h>

/* A frame takes at most a header's vector and some of payload: below this many a batch counts as full. */
#define VECTORS_MIN 4

/* Area kept free for a frame header to fit after any check of room. */
#define AREA_MIN 64

void mux_batch_init(struct mux_batch *batch)
{
    batch->first = 0;
    batch->count = 0;
    batch->bytes = 0;
    batch->area_used = 0;
}

void mux_batch_clear(struct mux_batch *batch)
{
    for (int i = batch->first; i < batch->count; i++)
        mux_chunk_unref(batch->ref[i]);
    mux_batch_init(batch);
}

int mux_batch_vectors(const struct mux_batch *batch)
{
    return MUX_BATCH_IOV - batch->count;
}

size_t mux_batch_room(const struct mux_batch *batch)
{
    if (batch->bytes >= MUX_BATCH_BYTES || mux_batch_vectors(batch) < VECTORS_MIN ||
        MUX_BATCH_AREA - batch->area_used < AREA_MIN)
        return 0;
    return MUX_BATCH_BYTES - batch->bytes;
}

uint8_t *mux_batch_area(struct mux_batch *batch, size_t len)
{
    uint8_t *area = batch->area + batch->area_used;
    struct iovec *last = batch->count > batch->first ? &batch->iov[batch->count - 1] : NULL;

    if (len > MUX_BATCH_AREA - batch->area_used)
        return NULL;
    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == area) {
        last->iov_len += len;
    } else {
        if (mux_batch_vectors(batch) == 0)
            return NULL;
        batch->iov[batch->count] = (struct iovec){.iov_base = area, .iov_len = len};
        batch->ref[batch->count++] = NULL;
    }
    batch->area_used += len;
    batch->bytes += len;
    return area;
}

void mux_batch_payload(struct mux_batch *batch, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    assert(mux_batch_vectors(batch) > 0 && len > 0);
    batch->iov[batch->count] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    batch->ref[batch->count++] = mux_chunk_ref(chunk);
    batch->bytes += len;
}

void mux_batch_written(struct mux_batch *batch, size_t n)
{
    assert(n <= batch->bytes);
    batch->bytes -= n;
    while (n > 0) {
        struct iovec *iov = &batch->iov[batch->first];

        if (n < iov->iov_len) {
            iov->iov_base = (uint8_t *)iov->iov_base + n;
            iov->iov_len -= n;
            return;
        }
        n -= iov->iov_len;
        mux_chunk_unref(batch->ref[batch->first++]);
    }
    if (batch->bytes == 0)
        mux_batch_init(batch);
}
