/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_NODE_DIAL_H
#define SERVICE_NODE_DIAL_H

/*
 * One connection to a set of nodes, by a race: the next node begins as soon as one has failed, and beside
 * those that are silent. The first that is connected wins, and the others are given up. The addresses of a
 * node's name are part of the race: the next node begins when all of them were begun with
 * (net_dial_when_late).
 */

#include "service/nodes.h"

#include <sys/queue.h>
#include <uv.h>

TAILQ_HEAD(node_attempts, node_attempt);

/* Embedded. Zeroed: never begun. */
struct node_dial {
    uv_loop_t *loop;
    uint64_t timeout_ms; /* per node */
    struct node_round round;
    struct node_attempts trying; /* in the order in which they were begun */
    /* Connected: the descriptor is the callee's; or negative, and `text` has what is wrong with each node. */
    void (*dialed)(struct node_dial *dial, int fd, const char *text);
};

/* Begin. The callback comes once, from the loop. 0 or -ENOMEM: then it does not come. */
int node_dial_start(struct node_dial *dial, uv_loop_t *loop, struct node_set *set, uint64_t timeout_ms,
                    void (*dialed)(struct node_dial *dial, int fd, const char *text));

/* Give up; no effect when it has ended or was never begun. */
void node_dial_cancel(struct node_dial *dial);

#endif
