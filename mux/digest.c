/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/digest.h"

#include "mux/code.h"

#include <assert.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h> /* the same functions, by the vector unit that the processor has */
#else
#include <xxhash.h>
#endif

int mux_digest_reserve(struct mux_digest *digest)
{
    if (digest->state != NULL)
        return 0;
    digest->state = XXH3_createState();
    if (digest->state == NULL)
        return -MUX_NO_MEMORY;
    XXH3_64bits_reset(digest->state);
    return 0;
}

void mux_digest_add(struct mux_digest *digest, const uint8_t *data, size_t len)
{
    if (len == 0)
        return;
    assert(digest->state != NULL);
    XXH3_64bits_update(digest->state, data, len);
}

uint64_t mux_digest_value(const struct mux_digest *digest)
{
    return digest->state != NULL ? XXH3_64bits_digest(digest->state) : XXH3_64bits("", 0);
}

int mux_digest_copy(struct mux_digest *copy, const struct mux_digest *digest)
{
    assert(copy->state == NULL);
    if (digest->state == NULL)
        return 0;
    if (mux_digest_reserve(copy) < 0)
        return -MUX_NO_MEMORY;
    XXH3_copyState(copy->state, digest->state);
    return 0;
}

void mux_digest_deinit(struct mux_digest *digest)
{
    XXH3_freeState(digest->state);
    digest->state = NULL;
}
