/* SPDX-License-Identifier: Apache-2.0 */
#include "service/nodes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int node_set_add(struct node_set *set, const struct net_address *address)
{
    struct net_address *nodes = realloc(set->nodes, (set->count + 1) * sizeof(*nodes));

    if (nodes == NULL)
        return -ENOMEM;
    set->nodes = nodes;
    nodes[set->count++] = *address;
    return 0;
}

void node_set_deinit(struct node_set *set)
{
    free(set->nodes);
    *set = (struct node_set){0};
}

static void on_dialed(void *ctx, int fd, const char *text);

static int dial_node(struct node_dial *dial)
{
    return net_dial(&dial->dialer, dial->loop, &dial->set->nodes[dial->node], dial->timeout_ms, on_dialed,
                    dial);
}

static void on_dialed(void *ctx, int fd, const char *text)
{
    struct node_dial *dial = ctx;
    size_t used = strlen(dial->failure);

    dial->dialer = NULL;
    if (fd >= 0) {
        dial->dialed(dial, fd, text);
        return;
    }
    snprintf(dial->failure + used, sizeof(dial->failure) - used, "%s%s", used > 0 ? "; " : "", text);
    dial->node = (dial->node + 1) % dial->set->count;
    if (++dial->tried == dial->set->count || dial_node(dial) < 0)
        dial->dialed(dial, fd, dial->failure);
}

int node_dial_start(struct node_dial *dial, uv_loop_t *loop, struct node_set *set, uint64_t timeout_ms,
                    void (*dialed)(struct node_dial *dial, int fd, const char *text))
{
    *dial = (struct node_dial){
        .loop = loop, .set = set, .timeout_ms = timeout_ms, .node = set->next, .dialed = dialed};
    set->next = (set->next + 1) % set->count;
    return dial_node(dial);
}

void node_dial_cancel(struct node_dial *dial)
{
    if (dial->dialer != NULL)
        net_dial_cancel(dial->dialer);
    dial->dialer = NULL;
}
