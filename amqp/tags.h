/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_TAGS_H
#define AMQP_TAGS_H

/*
 * The consumers of one channel by their tags. The broker ends the shared connection when a tag is used twice
 * on a channel, and when a consumer is cancelled that it has not confirmed yet.
 */

#include "amqp/cursor.h"

struct amqp_tag;

struct amqp_tags {
    struct amqp_tag *table; /* hash by tag */
};

enum amqp_tag_state {
    AMQP_TAG_UNKNOWN,
    AMQP_TAG_ASKED, /* consume was sent, consume-ok is due */
    AMQP_TAG_LIVE,
};

enum amqp_tag_state amqp_tags_find(const struct amqp_tags *tags, struct amqp_span tag);

/* Adds it, or changes its state. 0 or -1: out of memory, nothing changed. */
int amqp_tags_set(struct amqp_tags *tags, struct amqp_span tag, enum amqp_tag_state state);

/* Removes it; unknown ones are ignored. */
void amqp_tags_remove(struct amqp_tags *tags, struct amqp_span tag);

void amqp_tags_clear(struct amqp_tags *tags);

#endif
