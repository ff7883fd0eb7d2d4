/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net.h"

#include <assert.h>
#include <sys/random.h>

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t system_seed(void)
{
    uint64_t seed;

    /* Early at boot there may be no entropy yet; the clock tells processes apart well enough for jitter. */
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
        seed = uv_hrtime() ^ (uint64_t)uv_os_getpid() << 32;
    return seed;
}

/* SplitMix64 (Steele, Lea, Flood 2014): any state is a good one. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void backoff_init(struct backoff *backoff, uint64_t min_ms, uint64_t max_ms, uint64_t seed)
{
    assert(min_ms > 0 && min_ms <= max_ms && max_ms <= UINT64_MAX / 2);
    *backoff =
        (struct backoff){.min_ms = min_ms, .max_ms = max_ms, .random = seed != 0 ? seed : system_seed()};
    backoff_reset(backoff);
}

uint64_t backoff_next_ms(struct backoff *backoff)
{
    uint64_t choices = backoff->ceiling_ms - backoff->min_ms + 1;
    uint64_t delay_ms = backoff->min_ms + next_random(&backoff->random) % choices;

    backoff->ceiling_ms = lesser(backoff->ceiling_ms * 2, backoff->max_ms);
    return delay_ms;
}

void backoff_reset(struct backoff *backoff)
{
    backoff->ceiling_ms = lesser(backoff->min_ms * 2, backoff->max_ms);
}
