/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload that tells where it belongs: the byte at an offset of a stream depends on the offset and on the
 * stream's salt, so that a lost, repeated, moved or foreign byte is seen.
 */
#ifndef KIT_PATTERN_H
#define KIT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void kit_pattern_fill(uint64_t salt, uint64_t offset, uint8_t *out, size_t len);

/* Are these the bytes that belong at `offset`? */
bool kit_pattern_matches(uint64_t salt, uint64_t offset, const uint8_t *data, size_t len);

/* The digest (mux/digest.h) of the first `len` bytes. */
uint64_t kit_pattern_digest(uint64_t salt, uint64_t len);

#endif
