/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/rng.h"

uint64_t kit_size(struct kit_rng *rng, uint64_t max)
{
    uint64_t limit = max;

    while (limit > 1 && kit_one_in(rng, 2))
        limit = limit / 4 + 1;
    return 1 + kit_below(rng, limit);
}
