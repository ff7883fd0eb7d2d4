/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a session at its sending edge: what is not acknowledged is kept, so that it can be sent
 * again on the next transport. What was acknowledged is forgotten but for its digest.
 *
 *     0 ──────── acked ──────── sent ──────── end
 *       forgotten      in flight     to send            sent <= limit (credit)
 *                      └──────── buffer ──────┘
 *
 * Invariant: acked <= sent <= end, sent <= limit; acked, end and limit never shrink; sent goes back to acked
 * by rewind only.
 */
#ifndef MUX_SEND_STATE_H
#define MUX_SEND_STATE_H

#include "mux/batch.h"
#include "mux/bytes.h"
#include "mux/digest.h"

enum mux_fin {
    MUX_FIN_NONE,   /* the direction is open */
    MUX_FIN_QUEUED, /* it ends at `end`; the peer is to be told */
    MUX_FIN_AGAIN,  /* likewise, on a new transport: the peer may have heard it on an earlier one */
    MUX_FIN_SENT,
    MUX_FIN_ACKED,
};

struct mux_send_state {
    struct mux_bytes buffer;  /* [acked, end) */
    struct mux_cursor cursor; /* at `sent` in the buffer */
    struct mux_digest digest; /* of [0, acked) */
    uint64_t acked;
    uint64_t sent;
    uint64_t end;
    uint64_t limit; /* credit: nothing is sent past it */
    enum mux_fin fin;
};

/* `limit`: the credit known from the start. */
void mux_send_state_init(struct mux_send_state *send, uint64_t limit);
void mux_send_state_deinit(struct mux_send_state *send);

/* Queue bytes that lie in `chunk`. 0 or -MUX_NO_MEMORY. Not after FIN: asserted. */
int mux_send_state_append(struct mux_send_state *send, struct mux_chunk *chunk, const uint8_t *data,
                          size_t len);

/* The direction ends here. */
void mux_send_state_fin(struct mux_send_state *send);

/* Is there anything to put on the wire now? */
bool mux_send_state_ready(const struct mux_send_state *send);

/* Add one DATA frame of at most `max` payload bytes to the batch. Returns the bytes it took off the budget,
 * 0: nothing. */
size_t mux_send_state_pull(struct mux_send_state *send, struct mux_batch *batch, uint32_t session,
                           size_t max);

/*
 * The peer has received all before `received` and grants credit up to `limit`. 0 or -MUX_OFFSET_RANGE: it
 * claims bytes that were never sent; an old or smaller value is no error and changes nothing.
 */
int mux_send_state_ack(struct mux_send_state *send, uint64_t received, uint64_t limit);

/*
 * A new transport: send again from `received`, which the peer has reached. 0 or -MUX_OFFSET_RANGE, nothing
 * changed: before what it acknowledged, or past what was sent.
 */
int mux_send_state_rewind(struct mux_send_state *send, uint64_t received);

/* All that the peer may ever have received of this direction lies before it: FIN counts as one (PROTOCOL.md).
 */
uint64_t mux_send_state_highest(const struct mux_send_state *send);

/*
 * The digest of what was sent before `received`, FIN apart. Looks at what is held, a window at most. 0;
 * -MUX_OFFSET_RANGE: before what was acknowledged, or past what was sent; -MUX_NO_MEMORY.
 */
int mux_send_state_digest(const struct mux_send_state *send, uint64_t received, uint64_t *value);

/* All was sent and acknowledged, the end included when there is one. */
bool mux_send_state_drained(const struct mux_send_state *send);

/*
 * Add a DATA frame for the bytes from `at` on to the batch: at most `max` bytes, at most what the batch
 * takes. `fin_after`: how many bytes before the end of the direction, or SIZE_MAX when that is not known.
 * Returns the payload bytes; *fin tells whether the frame carries FIN; `at` moves on. Shared by the edges and
 * the relay.
 */
size_t mux_data_pull(struct mux_batch *batch, uint32_t session, uint64_t offset, struct mux_cursor *at,
                     size_t max, size_t fin_after, bool *fin);

#endif
