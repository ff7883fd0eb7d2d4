/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one write hands to the kernel: frame headers and control frames in an area of its own, payload by
 * reference. A batch that was begun is written to its end before the next one is filled, so a frame is never
 * cut short by what happens to its session meanwhile.
 *
 *     iov[0] area: header │ iov[1] payload │ iov[2] area: header, control frame, header │ iov[3] payload …
 */
#ifndef MUX_BATCH_H
#define MUX_BATCH_H

#include "mux/chunk.h"

#include <sys/uio.h>

#define MUX_BATCH_IOV 64

/* Fits any control frame (MUX_CONTROL_MAX) and the headers of a full batch. */
#define MUX_BATCH_AREA 8192

/* A batch takes no more frames beyond this, so that control frames never wait behind much. */
#define MUX_BATCH_BYTES (128u * 1024u)

struct mux_batch {
    struct iovec iov[MUX_BATCH_IOV];
    struct mux_chunk *ref[MUX_BATCH_IOV]; /* held until written; NULL for the area */
    int first;                            /* vectors before it are written */
    int count;
    size_t bytes; /* not yet written */
    size_t area_used;
    uint8_t area[MUX_BATCH_AREA];
};

void mux_batch_init(struct mux_batch *batch);

/* Drop what is left unwritten. */
void mux_batch_clear(struct mux_batch *batch);

/* Bytes of payload that may still be added, 0 when full: then neither payload nor frames are to be added. */
size_t mux_batch_room(const struct mux_batch *batch);

/* `len` bytes of area to write a frame into, or NULL when they do not fit. They count as added. */
uint8_t *mux_batch_area(struct mux_batch *batch, size_t len);

/* Add payload by reference. The caller has checked mux_batch_room and that a vector is free: asserted. */
void mux_batch_payload(struct mux_batch *batch, struct mux_chunk *chunk, const uint8_t *data, size_t len);

/* Vectors that can still be added. */
int mux_batch_vectors(const struct mux_batch *batch);

/* The first `n` bytes were written. */
void mux_batch_written(struct mux_batch *batch, size_t n);

#endif
