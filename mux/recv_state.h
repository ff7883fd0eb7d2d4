/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has arrived of one direction of a session, and the credit granted for more. Frames come in order on
 * any one transport, so there is nothing to reassemble: a piece either continues where the last ended, or
 * repeats what is known (a replay after a resume), or is an error.
 *
 *     0 ──────── consumed ──────── next ──────── limit
 *       delivered         held by us    may be sent
 *
 * Invariant: consumed <= next <= limit, and none of them ever shrinks.
 */
#ifndef MUX_RECV_STATE_H
#define MUX_RECV_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mux_recv_state {
    uint64_t next;     /* everything before it has arrived */
    uint64_t consumed; /* everything before it has been delivered onward */
    uint64_t limit;    /* credit granted */
    uint64_t told;     /* received offset of the last MAX_DATA */
    uint64_t window;   /* bytes granted beyond consumed */
    bool fin;          /* the last byte of the direction is next - 1 */
};

/* Start with credit for `initial` bytes; later grants are `window` beyond what is consumed. */
void mux_recv_state_init(struct mux_recv_state *recv, uint64_t initial, uint64_t window);

/*
 * A piece [offset, offset + len), `fin` when the direction ends there. `*skip` bytes of it are known already;
 * the rest is new and counted as received. Returns 0; -MUX_OFFSET_RANGE: it leaves a gap, or goes past the
 * end; -MUX_CREDIT_EXCEEDED. After an error nothing has changed.
 */
int mux_recv_state_accept(struct mux_recv_state *recv, uint64_t offset, size_t len, bool fin, size_t *skip);

/* `n` more bytes were delivered onward. */
void mux_recv_state_consume(struct mux_recv_state *recv, uint64_t n);

/* What to acknowledge: the offset after the last byte received; the end itself counts as one, once all before
 * it was delivered (PROTOCOL.md, FIN). */
uint64_t mux_recv_state_received(const struct mux_recv_state *recv);

/* The peer does not know all yet that it could: a MAX_DATA is due some time. */
bool mux_recv_state_untold(const struct mux_recv_state *recv);

/* A quarter of the window has become free since the last grant: a MAX_DATA is due now. */
bool mux_recv_state_urgent(const struct mux_recv_state *recv);

/* Grant what can be granted and note that the peer is told now. Returns the credit limit; *received as above.
 */
uint64_t mux_recv_state_tell(struct mux_recv_state *recv, uint64_t *received);

#endif
