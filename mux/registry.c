/* SPDX-License-Identifier: Apache-2.0 */
#define HASH_NONFATAL_OOM      1 /* an element that could not be added has no table then */
#define HASH_KEYCMP(a, b, len) differ(a, b, len)

#include "mux/registry.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mux_registry_entry {
    uint8_t token[MUX_TOKEN_SIZE];
    struct mux_session *session; /* NULL: a tombstone */
    enum mux_code code;
    char *reason; /* heap; of a tombstone */
    TAILQ_ENTRY(mux_registry_entry) entry;
    UT_hash_handle hh;
};

/* Tokens are secrets: how much of one was right must not show in the time this takes. */
static int differ(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    unsigned difference = 0;

    for (size_t i = 0; i < len; i++)
        difference |= (unsigned)(x[i] ^ y[i]);
    return difference != 0;
}

void mux_registry_init(struct mux_registry *registry)
{
    *registry = (struct mux_registry){0};
    TAILQ_INIT(&registry->dead);
}

static void forget(struct mux_registry *registry, struct mux_registry_entry *entry)
{
    if (entry->session == NULL) {
        TAILQ_REMOVE(&registry->dead, entry, entry);
        registry->dead_count--;
    }
    HASH_DEL(registry->entries, entry);
    free(entry->reason);
    free(entry);
}

void mux_registry_deinit(struct mux_registry *registry)
{
    while (registry->entries != NULL)
        forget(registry, registry->entries);
}

static struct mux_registry_entry *find(struct mux_registry *registry, const uint8_t token[MUX_TOKEN_SIZE])
{
    struct mux_registry_entry *entry;

    HASH_FIND(hh, registry->entries, token, MUX_TOKEN_SIZE, entry);
    return entry;
}

int mux_registry_add(struct mux_registry *registry, struct mux_session *session)
{
    struct mux_registry_entry *before = find(registry, session->token);
    struct mux_registry_entry *entry;

    assert(before == NULL || before->session == NULL);
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return -MUX_NO_MEMORY;
    if (before != NULL)
        forget(registry, before);
    memcpy(entry->token, session->token, MUX_TOKEN_SIZE);
    entry->session = session;
    HASH_ADD(hh, registry->entries, token, MUX_TOKEN_SIZE, entry);
    if (entry->hh.tbl == NULL) {
        free(entry);
        return -MUX_NO_MEMORY;
    }
    return 0;
}

struct mux_session *mux_registry_find(struct mux_registry *registry, const uint8_t token[MUX_TOKEN_SIZE],
                                      enum mux_code *code, char *reason)
{
    struct mux_registry_entry *entry = find(registry, token);

    if (entry != NULL && entry->session != NULL)
        return entry->session;
    *code = entry != NULL ? entry->code : MUX_UNKNOWN_SESSION;
    snprintf(reason, MUX_REASON_MAX + 1, "%s",
             entry != NULL && entry->reason != NULL ? entry->reason : mux_code_text(*code));
    return NULL;
}

void mux_registry_end(struct mux_registry *registry, const struct mux_session *session, enum mux_code code,
                      const char *reason)
{
    struct mux_registry_entry *entry = find(registry, session->token);

    if (entry == NULL || entry->session != session)
        return;
    entry->session = NULL;
    /* An end in order needs no explanation later: a near edge that missed it takes "unknown session" as that.
     */
    entry->code = code == MUX_OK ? MUX_UNKNOWN_SESSION : code;
    entry->reason = code == MUX_OK ? NULL : strdup(reason);
    TAILQ_INSERT_TAIL(&registry->dead, entry, entry);
    if (++registry->dead_count > MUX_REGISTRY_TOMBSTONES)
        forget(registry, TAILQ_FIRST(&registry->dead));
}
