/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded random numbers (splitmix64): the same seed gives the same run on every machine. */
#ifndef KIT_RNG_H
#define KIT_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct kit_rng {
    uint64_t state;
};

static inline uint64_t kit_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t kit_rand(struct kit_rng *rng)
{
    rng->state += 0x9e3779b97f4a7c15u;
    return kit_mix(rng->state);
}

/* From 0 to n - 1, n > 0. */
static inline uint64_t kit_below(struct kit_rng *rng, uint64_t n)
{
    return kit_rand(rng) % n;
}

static inline bool kit_one_in(struct kit_rng *rng, uint64_t n)
{
    return kit_below(rng, n) == 0;
}

/* From 1 to max, small and large numbers alike likely: a size of a write, a read, a pause. */
uint64_t kit_size(struct kit_rng *rng, uint64_t max);

#endif
