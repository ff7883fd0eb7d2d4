/* SPDX-License-Identifier: Apache-2.0 */
#include "service/detached.h"

void detached_init(struct detached_set *set, size_t budget_bytes)
{
    *set = (struct detached_set){.budget_bytes = budget_bytes};
    TAILQ_INIT(&set->list);
}

void detached_put(struct detached_set *set, struct detached_member *member, size_t bytes)
{
    if (!member->is_in)
        TAILQ_INSERT_TAIL(&set->list, member, entry);
    member->is_in = true;
    set->bytes = set->bytes - member->bytes + bytes;
    member->bytes = bytes;
}

void detached_remove(struct detached_set *set, struct detached_member *member)
{
    if (!member->is_in)
        return;
    TAILQ_REMOVE(&set->list, member, entry);
    set->bytes -= member->bytes;
    *member = (struct detached_member){0};
}

struct detached_member *detached_excess(struct detached_set *set)
{
    struct detached_member *member;

    if (set->bytes <= set->budget_bytes)
        return NULL;
    TAILQ_FOREACH (member, &set->list, entry)
        if (member->bytes > 0)
            return member;
    return NULL;
}
