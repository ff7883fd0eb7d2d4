/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/names.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

void amqp_names_init(struct amqp_names *names, uint32_t seed)
{
    for (int i = 0; i < AMQP_NAME_BUCKETS; i++)
        LIST_INIT(&names->buckets[i]);
    TAILQ_INIT(&names->changed);
    TAILQ_INIT(&names->known);
    names->known_count = 0;
    names->seed = seed;
}

/* FNV-1a, begun anywhere. */
static unsigned bucket_of(const struct amqp_names *names, struct amqp_span text)
{
    uint32_t hash = 2166136261u ^ names->seed;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ text.data[i]) * 16777619u;
    return (hash ^ hash >> 16) % AMQP_NAME_BUCKETS;
}

static struct amqp_name *create(size_t room)
{
    struct amqp_name *name = calloc(1, sizeof(*name) + room);
    if (name == NULL)
        return NULL;
    name->refs = 1;
    TAILQ_INIT(&name->waits);
    TAILQ_INIT(&name->asking);
    TAILQ_INIT(&name->told);
    return name;
}

struct amqp_name *amqp_name_create_blank(void)
{
    return create(AMQP_QUEUE_NAME_MAX);
}

static struct amqp_name *find(const struct amqp_names *names, struct amqp_span text)
{
    struct amqp_name *name;
    LIST_FOREACH (name, &names->buckets[bucket_of(names, text)], bucket) {
        if (name->len == text.len && memcmp(name->text, text.data, text.len) == 0)
            return name;
    }
    return NULL;
}

void amqp_names_fill_in(struct amqp_names *names, struct amqp_name *name, struct amqp_span text)
{
    assert(!name->is_listed && text.len <= AMQP_QUEUE_NAME_MAX);
    memcpy(name->text, text.data, text.len);
    name->len = (uint8_t)text.len;
    name->is_listed = true;
    LIST_INSERT_HEAD(&names->buckets[bucket_of(names, text)], name, bucket);
}

struct amqp_name *amqp_names_get(struct amqp_names *names, struct amqp_span text)
{
    struct amqp_name *name = find(names, text);
    if (name != NULL)
        return amqp_name_ref(name);
    name = create(text.len);
    if (name != NULL)
        amqp_names_fill_in(names, name, text);
    return name;
}

struct amqp_name *amqp_names_look_up(struct amqp_names *names, struct amqp_span text)
{
    struct amqp_name *name = find(names, text);
    return name != NULL ? amqp_name_ref(name) : NULL;
}

struct amqp_name *amqp_name_ref(struct amqp_name *name)
{
    name->refs++;
    return name;
}

void amqp_name_unref(struct amqp_name *name)
{
    if (name == NULL || --name->refs > 0)
        return;
    assert(name->state == AMQP_NAME_FREE && name->uses == 0 && TAILQ_EMPTY(&name->waits));
    if (name->is_listed)
        LIST_REMOVE(name, bucket);
    free(name);
}

bool amqp_name_is_reserved(struct amqp_span text)
{
    return text.len >= 4 && memcmp(text.data, "amq.", 4) == 0;
}

/* Whatever was told of the queue, or is about to be, it may be another one. */
static void forget_type(struct amqp_name *name)
{
    name->is_altered = true;
    name->is_known = false;
}

void amqp_name_alter_begins(struct amqp_name *name, enum amqp_use_kind kind, struct amqp_slot *slot)
{
    if (!amqp_use_alters(kind))
        return;
    forget_type(name);
    name->alterer = name->alters == 0 || name->alterer == slot ? slot : NULL;
    name->alters++;
    name->deletes += amqp_use_deletes(kind);
}

void amqp_name_alter_ended(struct amqp_name *name, enum amqp_use_kind kind)
{
    name->alters -= amqp_use_alters(kind);
    name->deletes -= amqp_use_deletes(kind);
}

/* --- owners --- */

void amqp_owner_init(struct amqp_owner *owner, struct amqp_member *member)
{
    *owner = (struct amqp_owner){.member = member};
    TAILQ_INIT(&owner->names);
}

void amqp_name_take(struct amqp_name *name, struct amqp_owner *owner)
{
    assert(name->state == AMQP_NAME_FREE);
    name->state = AMQP_NAME_CLAIMED;
    name->owner = owner;
    TAILQ_INSERT_TAIL(&owner->names, name, owned);
    owner->count++;
    amqp_name_ref(name);
}

void amqp_name_free(struct amqp_name *name)
{
    assert(name->state != AMQP_NAME_FREE);
    forget_type(name);
    TAILQ_REMOVE(&name->owner->names, name, owned);
    name->owner->count--;
    name->owner = NULL;
    name->state = AMQP_NAME_FREE;
    amqp_name_unref(name);
}

void amqp_name_give(struct amqp_name *name, struct amqp_owner *owner)
{
    assert(name->state != AMQP_NAME_FREE);
    TAILQ_REMOVE(&name->owner->names, name, owned);
    name->owner->count--;
    name->owner = owner;
    TAILQ_INSERT_TAIL(&owner->names, name, owned);
    owner->count++;
}

void amqp_uses_init(struct amqp_uses *uses)
{
    *uses = (struct amqp_uses){.count = 0};
    STAILQ_INIT(&uses->queue);
}
