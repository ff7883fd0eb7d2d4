/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_NODES_H
#define SERVICE_NODES_H

/*
 * Addresses that are equally good, such as the nodes of a cluster. They are taken in turn; one that has
 * failed lately is tried last.
 */

#include "service/net.h"

#include <stddef.h>

#define NODE_AVOID_MS 10000u /* how long a failure counts */

struct node {
    struct net_address address;
    uint64_t turn;           /* the set's count when it was last begun with; 0: never */
    uint64_t avoid_until_ms; /* on the loop's clock */
};

struct node_set {
    struct node *nodes;
    size_t count;
    uint64_t turns;
};

/* 0 or -ENOMEM, nothing added. A zeroed set is empty. Not while there is a round. */
int node_set_add(struct node_set *set, const struct net_address *address);
void node_set_deinit(struct node_set *set);

/* One search for a node that serves: each has its turn at most once. Zeroed: none. */
struct node_round {
    struct node_set *set;
    struct node **order; /* as it was right at the beginning */
    size_t begun;
    char failures[512]; /* what is wrong with those that have failed, as far as it fits */
};

/* Begins, `now_ms` on the loop's clock. The set is not empty, and outlives the round. 0 or -ENOMEM. */
int node_round_begin(struct node_round *round, struct node_set *set, uint64_t now_ms);

/* The node whose turn it is, or NULL: each has had its turn. */
struct node *node_round_next(struct node_round *round);

/* Notes what is wrong with a node, `text` naming it, and avoids it. */
void node_round_failed(struct node_round *round, struct node *node, const char *text, uint64_t now_ms);

/* Forgets the order; the failures can still be read. Idempotent. */
void node_round_end(struct node_round *round);

/* It has failed, or is silent for so long that another one is tried beside it. */
void node_avoid(struct node *node, uint64_t now_ms);

/* It serves. */
void node_trust(struct node *node);

#endif
