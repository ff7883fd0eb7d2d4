/* SPDX-License-Identifier: Apache-2.0 */
#define HASH_NONFATAL_OOM 1 /* an element that could not be added has no table then */

#include "amqp/deliveries.h"
#include <stdbool.h>
#include <stdlib.h>
#include <uthash.h>

enum { WORD = 64, WORDS = 4, CHUNK = WORD * WORDS };

struct amqp_delivery_chunk {
    UT_hash_handle hh;
    uint64_t number; /* tag / CHUNK */
    uint64_t bits[AMQP_HOLDERS][WORDS];
};

static struct amqp_delivery_chunk *newest(const struct amqp_deliveries *d)
{
    return d->table != NULL ? ELMT_FROM_HH(d->table->hh.tbl, d->table->hh.tbl->tail) : NULL;
}

static struct amqp_delivery_chunk *find(const struct amqp_deliveries *d, uint64_t tag)
{
    const uint64_t number = tag / CHUNK;
    struct amqp_delivery_chunk *chunk = newest(d);
    if (chunk == NULL || chunk->number == number)
        return chunk;
    HASH_FIND(hh, d->table, &number, sizeof(number), chunk);
    return chunk;
}

static uint64_t mask_of(uint64_t tag)
{
    return UINT64_C(1) << (tag % WORD);
}

static unsigned word_of(uint64_t tag)
{
    return (unsigned)(tag % CHUNK / WORD);
}

static void drop_chunk(struct amqp_deliveries *d, struct amqp_delivery_chunk *chunk)
{
    HASH_DEL(d->table, chunk);
    free(chunk);
    d->cost -= sizeof(*chunk);
}

static void drop_if_old_and_empty(struct amqp_deliveries *d, struct amqp_delivery_chunk *chunk)
{
    uint64_t any = 0;
    if (chunk == newest(d))
        return;
    for (int holder = 0; holder < AMQP_HOLDERS; holder++) {
        for (int i = 0; i < WORDS; i++)
            any |= chunk->bits[holder][i];
    }
    if (any == 0)
        drop_chunk(d, chunk);
}

/* --- adding --- */

static struct amqp_delivery_chunk *add_chunk(struct amqp_deliveries *d, uint64_t number)
{
    struct amqp_delivery_chunk *before = newest(d);
    struct amqp_delivery_chunk *chunk = calloc(1, sizeof(*chunk));
    if (chunk == NULL)
        return NULL;
    chunk->number = number;
    HASH_ADD(hh, d->table, number, sizeof(chunk->number), chunk);
    if (chunk->hh.tbl == NULL) {
        free(chunk);
        return NULL;
    }
    d->cost += sizeof(*chunk);
    if (before != NULL)
        drop_if_old_and_empty(d, before);
    return chunk;
}

int amqp_deliveries_add(struct amqp_deliveries *d, uint64_t tag, enum amqp_holder holder)
{
    struct amqp_delivery_chunk *chunk = newest(d);
    if (chunk == NULL || chunk->number != tag / CHUNK)
        chunk = add_chunk(d, tag / CHUNK);
    if (chunk == NULL)
        return -1;
    chunk->bits[holder][word_of(tag)] |= mask_of(tag);
    d->count[holder]++;
    return 0;
}

/* --- removing --- */

static void clear_bits(struct amqp_deliveries *d, struct amqp_delivery_chunk *chunk, unsigned word,
                       uint64_t mask)
{
    for (int holder = 0; holder < AMQP_HOLDERS; holder++) {
        uint64_t *bits = &chunk->bits[holder][word];
        d->count[holder] -= (unsigned)__builtin_popcountll(*bits & mask);
        *bits &= ~mask;
    }
}

void amqp_deliveries_remove(struct amqp_deliveries *d, uint64_t tag)
{
    struct amqp_delivery_chunk *chunk = find(d, tag);
    if (chunk == NULL)
        return;
    clear_bits(d, chunk, word_of(tag), mask_of(tag));
    drop_if_old_and_empty(d, chunk);
}

void amqp_deliveries_remove_to(struct amqp_deliveries *d, uint64_t tag)
{
    struct amqp_delivery_chunk *next;
    for (struct amqp_delivery_chunk *chunk = d->table; chunk != NULL && chunk->number <= tag / CHUNK;
         chunk = next) {
        const bool is_last = chunk->number == tag / CHUNK;
        for (unsigned word = 0; word < WORDS && !(is_last && word > word_of(tag)); word++) {
            const uint64_t up_to_tag = mask_of(tag) | (mask_of(tag) - 1);
            clear_bits(d, chunk, word, is_last && word == word_of(tag) ? up_to_tag : UINT64_MAX);
        }
        next = chunk->hh.next;
        drop_if_old_and_empty(d, chunk);
    }
}

void amqp_deliveries_clear(struct amqp_deliveries *d)
{
    while (d->table != NULL)
        drop_chunk(d, d->table);
    *d = (struct amqp_deliveries){.table = NULL};
}

/* --- looking --- */

enum amqp_holder amqp_deliveries_holder(const struct amqp_deliveries *d, uint64_t tag)
{
    const struct amqp_delivery_chunk *chunk = find(d, tag);
    int holder = 0;
    while (chunk != NULL && holder < AMQP_HOLDERS && !(chunk->bits[holder][word_of(tag)] & mask_of(tag)))
        holder++;
    return chunk != NULL ? (enum amqp_holder)holder : AMQP_HELD_BY_NOBODY;
}

static uint64_t tag_at(const struct amqp_delivery_chunk *chunk, int word, int bit)
{
    return chunk->number * CHUNK + (uint64_t)word * WORD + (uint64_t)bit;
}

uint64_t amqp_deliveries_next(const struct amqp_deliveries *d, enum amqp_holder holder, uint64_t from)
{
    if (d->count[holder] == 0)
        return 0;
    const struct amqp_delivery_chunk *chunk = find(d, from);
    if (chunk == NULL)
        chunk = d->table;
    for (; chunk != NULL; chunk = chunk->hh.next) {
        for (int word = 0; word < WORDS; word++) {
            uint64_t bits = chunk->bits[holder][word];
            const uint64_t lowest = tag_at(chunk, word, 0);
            if (lowest + WORD <= from)
                continue;
            if (lowest < from)
                bits &= ~(mask_of(from) - 1);
            if (bits != 0)
                return tag_at(chunk, word, __builtin_ctzll(bits));
        }
    }
    return 0;
}

uint64_t amqp_deliveries_count(const struct amqp_deliveries *d, enum amqp_holder holder, uint64_t from)
{
    uint64_t count = 0;
    for (const struct amqp_delivery_chunk *chunk = newest(d); chunk != NULL; chunk = chunk->hh.prev) {
        for (int word = 0; word < WORDS; word++) {
            uint64_t bits = chunk->bits[holder][word];
            const uint64_t lowest = tag_at(chunk, word, 0);
            if (lowest + WORD <= from)
                continue;
            if (lowest < from)
                bits &= ~(mask_of(from) - 1);
            count += (unsigned)__builtin_popcountll(bits);
        }
        if (chunk->number * CHUNK <= from)
            break;
    }
    return count;
}

uint64_t amqp_deliveries_last(const struct amqp_deliveries *d, enum amqp_holder holder, uint64_t to)
{
    if (d->count[holder] == 0)
        return 0;
    const struct amqp_delivery_chunk *chunk = find(d, to);
    if (chunk == NULL)
        chunk = newest(d);
    for (; chunk != NULL; chunk = chunk->hh.prev) {
        for (int word = WORDS - 1; word >= 0; word--) {
            uint64_t bits = chunk->bits[holder][word];
            const uint64_t lowest = tag_at(chunk, word, 0);
            if (lowest > to)
                continue;
            if (to - lowest < WORD)
                bits &= mask_of(to) | (mask_of(to) - 1);
            if (bits != 0)
                return tag_at(chunk, word, WORD - 1 - __builtin_clzll(bits));
        }
    }
    return 0;
}
