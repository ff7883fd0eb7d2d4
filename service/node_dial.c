/* SPDX-License-Identifier: Apache-2.0 */
#include "service/node_dial.h"

#include <errno.h>
#include <stdlib.h>

struct node_attempt {
    TAILQ_ENTRY(node_attempt) entry;
    struct node_dial *dial;
    struct node *node;
    struct net_dialer *dialer; /* NULL: it has ended */
};

static void remove_attempt(struct node_attempt *attempt)
{
    TAILQ_REMOVE(&attempt->dial->trying, attempt, entry);
    if (attempt->dialer != NULL)
        net_dial_cancel(attempt->dialer);
    free(attempt);
}

void node_dial_cancel(struct node_dial *dial)
{
    while (!TAILQ_EMPTY(&dial->trying))
        remove_attempt(TAILQ_FIRST(&dial->trying));
    node_round_end(&dial->round);
}

static void on_dialed(void *ctx, int fd, const char *text);
static void on_late(void *ctx);

/* 0 or -ENOMEM. */
static int try_node(struct node_dial *dial, struct node *node)
{
    struct node_attempt *attempt = calloc(1, sizeof(*attempt));

    if (attempt == NULL)
        return -ENOMEM;
    attempt->dial = dial;
    attempt->node = node;
    int rc = net_dial(&attempt->dialer, dial->loop, &node->address, dial->timeout_ms, on_dialed, attempt);
    if (rc < 0) {
        free(attempt);
        return rc;
    }
    net_dial_when_late(attempt->dialer, on_late);
    TAILQ_INSERT_TAIL(&dial->trying, attempt, entry);
    return 0;
}

/* Begins with the next node, unless none is left or memory is short. */
static void try_next(struct node_dial *dial)
{
    struct node *node = node_round_next(&dial->round);

    if (node != NULL)
        (void)try_node(dial, node);
}

/* Silent nodes are avoided from now on, not only when another has won: others dial the same nodes. */
static void on_late(void *ctx)
{
    struct node_attempt *attempt = ctx;

    node_avoid(attempt->node, uv_now(attempt->dial->loop));
    try_next(attempt->dial);
}

static void win(struct node_attempt *winner, int fd, const char *text)
{
    struct node_dial *dial = winner->dial;

    node_trust(winner->node);
    node_dial_cancel(dial);
    dial->dialed(dial, fd, text);
}

static void on_dialed(void *ctx, int fd, const char *text)
{
    struct node_attempt *attempt = ctx;
    struct node_dial *dial = attempt->dial;

    attempt->dialer = NULL;
    if (fd >= 0) {
        win(attempt, fd, text);
        return;
    }
    node_round_failed(&dial->round, attempt->node, text, uv_now(dial->loop));
    remove_attempt(attempt);
    try_next(dial);
    if (!TAILQ_EMPTY(&dial->trying))
        return;
    node_dial_cancel(dial);
    dial->dialed(dial, fd, dial->round.failures);
}

int node_dial_start(struct node_dial *dial, uv_loop_t *loop, struct node_set *set, uint64_t timeout_ms,
                    void (*dialed)(struct node_dial *dial, int fd, const char *text))
{
    *dial = (struct node_dial){.loop = loop, .timeout_ms = timeout_ms, .dialed = dialed};
    TAILQ_INIT(&dial->trying);
    int rc = node_round_begin(&dial->round, set, uv_now(loop));
    if (rc == 0)
        rc = try_node(dial, node_round_next(&dial->round));
    if (rc < 0)
        node_dial_cancel(dial);
    return rc;
}
