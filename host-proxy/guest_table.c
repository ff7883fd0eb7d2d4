/* SPDX-License-Identifier: Apache-2.0 */
#define HASH_NONFATAL_OOM 1 /* an element that could not be added has no table then */

#include "host-proxy/guest_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines about one guest's refusals before they are summed up. */
static const struct log_limit refusals = {.burst = 200, .interval_ms = 10000};

void guest_table_init(struct guest_table *table)
{
    *table = (struct guest_table){0};
    TAILQ_INIT(&table->idle);
}

static bool is_idle(const struct guest_entry *guest)
{
    return guest->streams == 0 && guest->sessions == 0;
}

static void forget_oldest(struct guest_table *table)
{
    struct guest_entry *guest = TAILQ_FIRST(&table->idle);

    TAILQ_REMOVE(&table->idle, guest, entry);
    table->idle_count--;
    HASH_DEL(table->entries, guest);
    free(guest);
}

void guest_table_deinit(struct guest_table *table)
{
    while (table->idle_count > 0)
        forget_oldest(table);
    assert(table->entries == NULL);
}

/* A new guest, idle and not in the list. NULL: out of memory. */
static struct guest_entry *create(struct guest_table *table, const char *name)
{
    struct guest_entry *guest = calloc(1, sizeof(*guest));

    if (guest == NULL)
        return NULL;
    guest->refusals = refusals;
    snprintf(guest->name, sizeof(guest->name), "%s", name);
    HASH_ADD_STR(table->entries, name, guest);
    if (guest->hh.tbl != NULL)
        return guest;
    free(guest);
    return NULL;
}

struct guest_entry *guest_table_add_stream(struct guest_table *table, const char *name)
{
    struct guest_entry *guest;

    HASH_FIND_STR(table->entries, name, guest);
    if (guest == NULL) {
        guest = create(table, name);
        if (guest == NULL)
            return NULL;
    } else if (is_idle(guest)) {
        TAILQ_REMOVE(&table->idle, guest, entry);
        table->idle_count--;
    }
    guest->streams++;
    table->streams++;
    return guest;
}

static void settle(struct guest_table *table, struct guest_entry *guest)
{
    if (!is_idle(guest))
        return;
    TAILQ_INSERT_TAIL(&table->idle, guest, entry);
    if (++table->idle_count > GUEST_TABLE_IDLE_MAX)
        forget_oldest(table);
}

void guest_table_remove_stream(struct guest_table *table, struct guest_entry *guest)
{
    assert(guest->streams > 0);
    guest->streams--;
    table->streams--;
    settle(table, guest);
}

void guest_table_add_session(struct guest_entry *guest)
{
    guest->sessions++;
}

void guest_table_remove_session(struct guest_table *table, struct guest_entry *guest)
{
    assert(guest->sessions > 0);
    guest->sessions--;
    settle(table, guest);
}
