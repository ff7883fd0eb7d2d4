/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_TOKENS_H
#define AMQP_TOKENS_H

/*
 * A set of names with a bound: the least recently used is forgotten when there are too many. It holds the
 * direct reply-to tokens that the broker has handed to clients, in the reply_to of messages; only those may
 * be published to, since the broker ends the shared connection for one that it can't decode. Who answers a
 * forgotten one is refused as a forger.
 */

#include "amqp/cursor.h"

struct amqp_token;

struct amqp_tokens {
    struct amqp_token *table; /* hash by text, least recently used first */
    unsigned max;
};

void amqp_tokens_init(struct amqp_tokens *tokens, unsigned max);
void amqp_tokens_clear(struct amqp_tokens *tokens);

/* Remembers one. Without memory for it nothing changes. */
void amqp_tokens_add(struct amqp_tokens *tokens, struct amqp_span text);

/* Forgets one, if it is remembered. */
void amqp_tokens_remove(struct amqp_tokens *tokens, struct amqp_span text);

/* Whether it is remembered; it counts as used then. */
bool amqp_tokens_use(struct amqp_tokens *tokens, struct amqp_span text);

#endif
