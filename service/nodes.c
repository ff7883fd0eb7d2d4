/* SPDX-License-Identifier: Apache-2.0 */
#include "service/nodes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int node_set_add(struct node_set *set, const struct net_address *address)
{
    struct node *nodes = realloc(set->nodes, (set->count + 1) * sizeof(*nodes));

    if (nodes == NULL)
        return -ENOMEM;
    set->nodes = nodes;
    nodes[set->count++] = (struct node){.address = *address};
    return 0;
}

void node_set_deinit(struct node_set *set)
{
    free(set->nodes);
    *set = (struct node_set){0};
}

/* Those that are avoided come last; otherwise who was begun with longest ago comes first. */
static bool goes_before(const struct node *a, const struct node *b, uint64_t now_ms)
{
    const bool a_avoided = a->avoid_until_ms > now_ms, b_avoided = b->avoid_until_ms > now_ms;

    return a_avoided != b_avoided ? b_avoided : a->turn < b->turn;
}

int node_round_begin(struct node_round *round, struct node_set *set, uint64_t now_ms)
{
    struct node **order = calloc(set->count, sizeof(*order));

    *round = (struct node_round){.set = set, .order = order};
    if (order == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < set->count; i++) {
        size_t at = i;
        for (; at > 0 && goes_before(&set->nodes[i], order[at - 1], now_ms); at--)
            order[at] = order[at - 1];
        order[at] = &set->nodes[i];
    }
    return 0;
}

struct node *node_round_next(struct node_round *round)
{
    if (round->begun == round->set->count)
        return NULL;
    struct node *node = round->order[round->begun++];
    node->turn = ++round->set->turns;
    return node;
}

void node_round_failed(struct node_round *round, struct node *node, const char *text, uint64_t now_ms)
{
    const size_t used = strlen(round->failures);

    node_avoid(node, now_ms);
    snprintf(round->failures + used, sizeof(round->failures) - used, "%s%s", used > 0 ? "; " : "", text);
}

void node_round_end(struct node_round *round)
{
    free(round->order);
    round->order = NULL;
}

void node_avoid(struct node *node, uint64_t now_ms)
{
    node->avoid_until_ms = now_ms + NODE_AVOID_MS;
}

void node_trust(struct node *node)
{
    node->avoid_until_ms = 0;
}
