/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of payload bytes, kept as a list of segments that refer to chunks.
 *
 * Two policies keep memory in proportion to what is queued. Small pieces that are to stay are copied together
 * into chunks of their own, so that a hundred bytes never pin a 64 KiB chunk (mux_bytes_append). Pieces that
 * will most likely leave before the queue is looked at again are referred to (mux_bytes_append_ref), and
 * copied only if they are still there after the write was tried (mux_bytes_compact).
 */
#ifndef MUX_BYTES_H
#define MUX_BYTES_H

#include "mux/chunk.h"

#include <stdbool.h>
#include <sys/uio.h>

struct mux_segment {
    struct mux_segment *next;
    struct mux_chunk *chunk; /* referenced */
    const uint8_t *data;     /* inside chunk */
    size_t len;              /* > 0 */
};

struct mux_bytes {
    struct mux_segment *head;
    struct mux_segment *tail;
    struct mux_segment *loose; /* first segment that mux_bytes_compact is to look at */
    size_t len;                /* bytes in all segments */
};

/* A place in a queue: `seg` NULL stands for its end. */
struct mux_cursor {
    struct mux_segment *seg;
    size_t off; /* within seg, < seg->len */
};

void mux_bytes_init(struct mux_bytes *bytes);

/* Drop everything. The queue is empty and usable afterwards. */
void mux_bytes_clear(struct mux_bytes *bytes);

/* Append by copy. 0 or -MUX_NO_MEMORY, with nothing appended then. */
int mux_bytes_append_copy(struct mux_bytes *bytes, const uint8_t *data, size_t len);

/* Append by reference to `chunk`, which `data` lies in. 0 or -MUX_NO_MEMORY. */
int mux_bytes_append_ref(struct mux_bytes *bytes, struct mux_chunk *chunk, const uint8_t *data, size_t len);

/* Append what is to stay for a while: by reference when large (MUX_PIN_MIN), by copy otherwise. */
int mux_bytes_append(struct mux_bytes *bytes, struct mux_chunk *chunk, const uint8_t *data, size_t len);

/* Forget the first `n` bytes, n <= len. Cursors into them become invalid. */
void mux_bytes_drop(struct mux_bytes *bytes, size_t n);

/* Move the first `n` bytes of `from`, n <= its len, to the end of `to`. 0 or -MUX_NO_MEMORY with some moved.
 */
int mux_bytes_move(struct mux_bytes *to, struct mux_bytes *from, size_t n);

/* Copy small segments out of pooled chunks, together. Cursors become invalid. Does nothing when out of
 * memory. */
void mux_bytes_compact(struct mux_bytes *bytes);

/*
 * Describe at most `max_bytes` from the start in at most `max_iov` vectors. Returns how many vectors were
 * filled;
 * `*total` is what they hold.
 */
int mux_bytes_peek(const struct mux_bytes *bytes, size_t max_bytes, struct iovec *iov, int max_iov,
                   size_t *total);

#endif
