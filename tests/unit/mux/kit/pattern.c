/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/pattern.h"

#include "mux/digest.h"
#include "tests/unit/mux/kit/check.h"
#include "tests/unit/mux/kit/rng.h"

#include <string.h>

#define WORD 8u

/* The word at `offset`, rounded down to a multiple of WORD. */
static void word_at(uint64_t salt, uint64_t offset, uint8_t word[WORD])
{
    uint64_t value = kit_mix(salt ^ (offset / WORD));

    memcpy(word, &value, WORD);
}

void kit_pattern_fill(uint64_t salt, uint64_t offset, uint8_t *out, size_t len)
{
    while (len > 0) {
        size_t skip = offset % WORD;
        size_t n = WORD - skip < len ? WORD - skip : len;
        uint8_t word[WORD];

        word_at(salt, offset, word);
        memcpy(out, word + skip, n);
        out += n;
        offset += n;
        len -= n;
    }
}

bool kit_pattern_matches(uint64_t salt, uint64_t offset, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t skip = offset % WORD;
        size_t n = WORD - skip < len ? WORD - skip : len;
        uint8_t word[WORD];

        word_at(salt, offset, word);
        if (memcmp(data, word + skip, n) != 0)
            return false;
        data += n;
        offset += n;
        len -= n;
    }
    return true;
}

uint64_t kit_pattern_digest(uint64_t salt, uint64_t len)
{
    struct mux_digest digest = {0};
    uint64_t value;

    KIT_CHECK(mux_digest_reserve(&digest) == 0, "out of memory");
    for (uint64_t at = 0; at < len; at += WORD) {
        uint8_t word[WORD];

        word_at(salt, at, word);
        mux_digest_add(&digest, word, len - at < WORD ? (size_t)(len - at) : WORD);
    }
    value = mux_digest_value(&digest);
    mux_digest_deinit(&digest);
    return value;
}
