/* SPDX-License-Identifier: Apache-2.0 */
#define HASH_NONFATAL_OOM 1 /* an element that could not be added has no table then */

#include "amqp/tags.h"
#include <stdlib.h>
#include <uthash.h>

struct amqp_tag {
    enum amqp_tag_state state;
    UT_hash_handle hh;
    size_t len;
    uint8_t text[];
};

static struct amqp_tag *find(const struct amqp_tags *tags, struct amqp_span tag)
{
    struct amqp_tag *found = NULL;
    HASH_FIND(hh, tags->table, tag.data, (unsigned)tag.len, found);
    return found;
}

enum amqp_tag_state amqp_tags_find(const struct amqp_tags *tags, struct amqp_span tag)
{
    const struct amqp_tag *found = find(tags, tag);
    return found != NULL ? found->state : AMQP_TAG_UNKNOWN;
}

int amqp_tags_set(struct amqp_tags *tags, struct amqp_span tag, enum amqp_tag_state state)
{
    struct amqp_tag *one = find(tags, tag);
    if (one != NULL) {
        one->state = state;
        return 0;
    }
    one = malloc(sizeof(*one) + tag.len);
    if (one == NULL)
        return -1;
    *one = (struct amqp_tag){.state = state, .len = tag.len};
    memcpy(one->text, tag.data, tag.len);
    HASH_ADD_KEYPTR(hh, tags->table, one->text, (unsigned)one->len, one);
    if (one->hh.tbl != NULL)
        return 0;
    free(one);
    return -1;
}

static void drop(struct amqp_tags *tags, struct amqp_tag *one)
{
    HASH_DEL(tags->table, one);
    free(one);
}

void amqp_tags_remove(struct amqp_tags *tags, struct amqp_span tag)
{
    struct amqp_tag *one = find(tags, tag);
    if (one != NULL)
        drop(tags, one);
}

void amqp_tags_clear(struct amqp_tags *tags)
{
    while (tags->table != NULL)
        drop(tags, tags->table);
}
