/* SPDX-License-Identifier: Apache-2.0 */
#define HASH_NONFATAL_OOM 1 /* an element that could not be added has no table then */

#include "amqp/consumers.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIAS_PREFIX "amq.again-"

void amqp_consumers_init(struct amqp_consumers *all)
{
    *all = (struct amqp_consumers){.by_tag = NULL};
    STAILQ_INIT(&all->nameless);
    LIST_INIT(&all->wide);
}

struct amqp_consumer *amqp_consumers_find(const struct amqp_consumers *all, struct amqp_span tag)
{
    struct amqp_consumer *found = NULL;
    HASH_FIND(hh, all->by_tag, tag.data, (unsigned)tag.len, found);
    return found;
}

struct amqp_tap *amqp_consumers_find_tap(const struct amqp_consumers *all, struct amqp_span alias)
{
    struct amqp_tap *found = NULL;
    HASH_FIND(hh, all->by_alias, alias.data, (unsigned)alias.len, found);
    return found;
}

/* --- consumers --- */

static size_t cost_of(const struct amqp_command *consume)
{
    return consume != NULL ? amqp_command_cost(consume) : 0;
}

/* Under the tag that it has by now. 0 or -1: out of memory. */
static int list(struct amqp_consumers *all, struct amqp_consumer *consumer)
{
    HASH_ADD_KEYPTR(hh, all->by_tag, consumer->tag, (unsigned)consumer->tag_len, consumer);
    consumer->is_known = consumer->hh.tbl != NULL;
    return consumer->is_known ? 0 : -1;
}

struct amqp_consumer *amqp_consumers_add(struct amqp_consumers *all, struct amqp_span tag,
                                         struct amqp_command *consume)
{
    struct amqp_consumer *consumer = calloc(1, sizeof(*consumer));
    if (consumer == NULL)
        return NULL;
    assert(tag.len <= AMQP_TAG_MAX);
    consumer->tag_len = (uint8_t)tag.len;
    if (tag.len > 0)
        memcpy(consumer->tag, tag.data, tag.len);
    if (tag.len > 0 && list(all, consumer) < 0) {
        free(consumer);
        return NULL;
    }
    consumer->consume = consume;
    all->cost += sizeof(*consumer) + cost_of(consume);
    return consumer;
}

void amqp_consumers_fix(struct amqp_consumers *all, struct amqp_consumer *consumer)
{
    if (consumer->is_wide) {
        LIST_REMOVE(consumer, entry);
        all->wides--;
        amqp_deliveries_clear(&consumer->held);
        consumer->is_wide = false;
    }
    all->cost -= cost_of(consumer->consume);
    amqp_command_destroy(consumer->consume);
    consumer->consume = NULL;
}

static void free_consumer(struct amqp_consumers *all, struct amqp_consumer *consumer)
{
    if (consumer->is_known)
        HASH_DEL(all->by_tag, consumer);
    amqp_consumers_fix(all, consumer);
    free(consumer);
    all->cost -= sizeof(*consumer);
}

void amqp_consumers_withdraw(struct amqp_consumers *all, struct amqp_consumer *consumer)
{
    if (consumer->is_known)
        HASH_DEL(all->by_tag, consumer);
    consumer->is_known = false;
    amqp_consumers_fix(all, consumer);
    if (consumer->taps == 0)
        free_consumer(all, consumer);
}

/* --- wide ones --- */

void amqp_consumers_widen(struct amqp_consumers *all, struct amqp_consumer *consumer)
{
    assert(!consumer->is_wide);
    consumer->is_wide = true;
    LIST_INSERT_HEAD(&all->wide, consumer, entry);
    all->wides++;
}

void amqp_consumers_settled(struct amqp_consumers *all, uint64_t tag)
{
    struct amqp_consumer *consumer;
    LIST_FOREACH (consumer, &all->wide, entry)
        amqp_deliveries_remove(&consumer->held, tag);
}

void amqp_consumers_settled_to(struct amqp_consumers *all, uint64_t tag)
{
    struct amqp_consumer *consumer;
    LIST_FOREACH (consumer, &all->wide, entry)
        amqp_deliveries_remove_to(&consumer->held, tag);
}

size_t amqp_consumers_cost(const struct amqp_consumers *all)
{
    const struct amqp_consumer *consumer;
    size_t cost = all->cost;
    LIST_FOREACH (consumer, &all->wide, entry)
        cost += consumer->held.cost;
    return cost;
}

/* --- taps --- */

static int list_tap(struct amqp_consumers *all, struct amqp_tap *tap)
{
    HASH_ADD_KEYPTR(hh, all->by_alias, tap->alias, (unsigned)tap->alias_len, tap);
    return tap->hh.tbl != NULL ? 0 : -1;
}

static void set_alias(struct amqp_tap *tap, struct amqp_span alias)
{
    assert(alias.len <= AMQP_TAG_MAX);
    tap->alias_len = (uint8_t)alias.len;
    if (alias.len > 0)
        memcpy(tap->alias, alias.data, alias.len);
}

struct amqp_tap *amqp_consumers_add_tap(struct amqp_consumers *all, struct amqp_consumer *consumer,
                                        struct amqp_span alias, struct amqp_terms terms)
{
    struct amqp_tap *tap = calloc(1, sizeof(*tap));
    if (tap != NULL) {
        tap->consumer = consumer;
        tap->terms = terms;
        set_alias(tap, alias);
    }
    if (tap == NULL || (alias.len > 0 && list_tap(all, tap) < 0)) {
        free(tap);
        if (consumer->taps == 0)
            free_consumer(all, consumer);
        return NULL;
    }
    if (alias.len == 0)
        STAILQ_INSERT_TAIL(&all->nameless, tap, due);
    if (consumer->tap != NULL) {
        consumer->next = tap;
        all->replaced++;
    } else {
        consumer->tap = tap;
    }
    consumer->taps++;
    all->proxied += amqp_tap_is_proxied(tap);
    all->cost += sizeof(*tap);
    return tap;
}

/* Its consumer knows nothing of it any longer. */
static void detach(struct amqp_consumers *all, struct amqp_tap *tap)
{
    struct amqp_consumer *consumer = tap->consumer;
    if (consumer->next == tap) {
        consumer->next = NULL;
        all->replaced--;
    }
    if (consumer->tap == tap)
        consumer->tap = NULL;
    consumer->taps--;
}

struct amqp_tap *amqp_consumers_switch(struct amqp_consumers *all, struct amqp_consumer *consumer)
{
    struct amqp_tap *old = consumer->tap;
    consumer->tap = consumer->next;
    consumer->next = NULL;
    all->replaced--;
    return old;
}

void amqp_consumers_drop_tap(struct amqp_consumers *all, struct amqp_tap *tap)
{
    struct amqp_consumer *consumer = tap->consumer;
    all->proxied -= amqp_tap_is_proxied(tap);
    detach(all, tap);
    if (tap->alias_len > 0)
        HASH_DEL(all->by_alias, tap);
    else
        STAILQ_REMOVE(&all->nameless, tap, amqp_tap, due);
    free(tap);
    all->cost -= sizeof(*tap);
    if (consumer->taps == 0 && !consumer->is_known)
        free_consumer(all, consumer);
}

struct amqp_tap *amqp_consumers_name(struct amqp_consumers *all, struct amqp_span tag)
{
    struct amqp_tap *tap = STAILQ_FIRST(&all->nameless);
    if (tap == NULL || tag.len == 0 || amqp_consumers_find(all, tag) != NULL)
        return NULL;
    struct amqp_consumer *consumer = tap->consumer;
    consumer->tag_len = (uint8_t)tag.len;
    memcpy(consumer->tag, tag.data, tag.len);
    if (list(all, consumer) < 0)
        return NULL;
    STAILQ_REMOVE_HEAD(&all->nameless, due);
    set_alias(tap, tag);
    if (list_tap(all, tap) == 0)
        return tap;
    set_alias(tap, (struct amqp_span){.len = 0});
    STAILQ_INSERT_HEAD(&all->nameless, tap, due);
    return NULL;
}

struct amqp_span amqp_consumers_fresh_alias(struct amqp_consumers *all, char text[32])
{
    struct amqp_span alias = {.data = (const uint8_t *)text};
    do
        alias.len = (size_t)snprintf(text, 32, ALIAS_PREFIX "%u", ++all->serial);
    while (amqp_consumers_find_tap(all, alias) != NULL);
    return alias;
}

bool amqp_consumers_is_alias(struct amqp_span tag)
{
    return tag.len >= strlen(ALIAS_PREFIX) && memcmp(tag.data, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) == 0;
}

void amqp_consumers_clear(struct amqp_consumers *all)
{
    struct amqp_consumer *consumer;
    struct amqp_consumer *following;
    HASH_ITER (hh, all->by_tag, consumer, following)
        amqp_consumers_withdraw(all, consumer);
    while (all->by_alias != NULL)
        amqp_consumers_drop_tap(all, all->by_alias);
    while (!STAILQ_EMPTY(&all->nameless))
        amqp_consumers_drop_tap(all, STAILQ_FIRST(&all->nameless));
    assert(all->by_tag == NULL && all->cost == 0);
}
