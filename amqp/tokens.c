/* SPDX-License-Identifier: Apache-2.0 */
#define HASH_NONFATAL_OOM 1 /* an element that could not be added has no table then */

#include "amqp/tokens.h"
#include <stdlib.h>
#include <uthash.h>

struct amqp_token {
    UT_hash_handle hh;
    size_t len;
    uint8_t text[];
};

void amqp_tokens_init(struct amqp_tokens *tokens, unsigned max)
{
    *tokens = (struct amqp_tokens){.max = max};
}

static void forget(struct amqp_tokens *tokens, struct amqp_token *token)
{
    HASH_DEL(tokens->table, token);
    free(token);
}

void amqp_tokens_clear(struct amqp_tokens *tokens)
{
    while (tokens->table != NULL)
        forget(tokens, tokens->table);
}

/* uthash keeps the order of insertion, so a token that is used is put in again. Returns whether it is in. */
static bool insert(struct amqp_tokens *tokens, struct amqp_token *token)
{
    HASH_ADD_KEYPTR(hh, tokens->table, token->text, (unsigned)token->len, token);
    if (token->hh.tbl != NULL)
        return true;
    free(token);
    return false;
}

bool amqp_tokens_use(struct amqp_tokens *tokens, struct amqp_span text)
{
    struct amqp_token *found = NULL;
    HASH_FIND(hh, tokens->table, text.data, (unsigned)text.len, found);
    if (found == NULL)
        return false;
    HASH_DEL(tokens->table, found);
    insert(tokens, found);
    return true;
}

void amqp_tokens_remove(struct amqp_tokens *tokens, struct amqp_span text)
{
    struct amqp_token *found = NULL;
    HASH_FIND(hh, tokens->table, text.data, (unsigned)text.len, found);
    if (found != NULL)
        forget(tokens, found);
}

void amqp_tokens_add(struct amqp_tokens *tokens, struct amqp_span text)
{
    struct amqp_token *token;
    if (amqp_tokens_use(tokens, text))
        return;
    token = malloc(sizeof(*token) + text.len);
    if (token == NULL)
        return;
    *token = (struct amqp_token){.len = text.len};
    memcpy(token->text, text.data, text.len);
    if (insert(tokens, token) && HASH_COUNT(tokens->table) > tokens->max)
        forget(tokens, tokens->table);
}
