/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running digest of one direction of a session, so that two ends can compare what they remember without
 * saying it: XXH3, 64 bits. It is no secret and no proof; it tells histories apart that went different ways.
 */
#ifndef MUX_DIGEST_H
#define MUX_DIGEST_H

#include <stddef.h>
#include <stdint.h>

struct XXH3_state_s;

/* Zeroed: of no bytes. */
struct mux_digest {
    struct XXH3_state_s *state; /* heap; NULL: no bytes were added */
};

/* See to it that bytes can be added. 0 or -MUX_NO_MEMORY. */
int mux_digest_reserve(struct mux_digest *digest);

/* Add bytes. When there are any, mux_digest_reserve must have come before: asserted. */
void mux_digest_add(struct mux_digest *digest, const uint8_t *data, size_t len);

/* Of all bytes added so far. */
uint64_t mux_digest_value(const struct mux_digest *digest);

/* `copy`, which holds nothing, goes on from where `digest` is. 0 or -MUX_NO_MEMORY. */
int mux_digest_copy(struct mux_digest *copy, const struct mux_digest *digest);

void mux_digest_deinit(struct mux_digest *digest);

#endif
