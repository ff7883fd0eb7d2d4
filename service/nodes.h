/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_NODES_H
#define SERVICE_NODES_H

/*
 * Addresses that are equally good, such as the nodes of a cluster. They are taken in turn; when one can't be
 * reached the next is tried, until each was tried once.
 */

#include "service/net.h"

#include <stddef.h>
#include <uv.h>

struct node_set {
    struct net_address *nodes;
    size_t count;
    size_t next; /* whose turn it is */
};

/* 0 or -ENOMEM, nothing added. A zeroed set is empty. */
int node_set_add(struct node_set *set, const struct net_address *address);
void node_set_deinit(struct node_set *set);

/* One connection to a set: the attempts to make it. Embedded. */
struct node_dial {
    uv_loop_t *loop;
    struct node_set *set;
    uint64_t timeout_ms;       /* per node */
    size_t tried;              /* nodes that failed */
    size_t node;               /* the one that is tried now */
    struct net_dialer *dialer; /* NULL: not dialling */
    char failure[256];         /* what each node said, as far as it fits */
    /* Connected: the descriptor is the callee's; or negative, and `text` has what each node said. */
    void (*dialed)(struct node_dial *dial, int fd, const char *text);
};

/* Begin. The callback comes once, from the loop. 0 or -ENOMEM: then it does not come. */
int node_dial_start(struct node_dial *dial, uv_loop_t *loop, struct node_set *set, uint64_t timeout_ms,
                    void (*dialed)(struct node_dial *dial, int fd, const char *text));

/* Give up; no effect when it has ended or was never begun. */
void node_dial_cancel(struct node_dial *dial);

#endif
