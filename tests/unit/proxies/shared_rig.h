/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of connections with all that is behind it (shared.c, race.c), nodes of a fake broker, and sessions
 * that do no more than wait: they log in, ask for a vhost when they are told that they may, and note what
 * they hear.
 */
#ifndef SHARED_RIG_H
#define SHARED_RIG_H

#include "host-proxy/pool.h"
#include "tests/unit/proxies/fake_broker.h"

#define RIG_NODES   3u
#define RIG_CLIENTS 3u

struct rig_client {
    struct shared_waiter waiter;
    const char *vhost; /* NULL: it takes its time to say */
    enum pool_answer answer;
    struct amqp_hub *hub;
    struct amqp_hub *publishing;
    unsigned logins;
    unsigned hubs;
    unsigned refusals;
    struct amqp_exception why;
};

extern uv_loop_t rig_loop;
extern struct fake_node rig_nodes[RIG_NODES];
extern struct node_set rig_set;
extern struct pool rig_pool;
extern struct rig_client rig_clients[RIG_CLIENTS];
extern struct credentials *rig_alice;
extern unsigned rig_empties; /* calls of on_empty */

/* The loop and the nodes, none of which listens yet; for cmocka. */
int rig_set_up(void **state);

/* Ends what there is, and insists on an empty loop. */
int rig_tear_down(void **state);

/* The nodes are of these modes and listen; the pool may use that many of them. Unused connections are kept
 * for longer than any test takes. */
void rig_begin(unsigned count, enum fake_mode a, enum fake_mode b, enum fake_mode c);

/* The same for a pool that logs in by itself, as alice. */
void rig_begin_fixed(enum fake_mode mode);

/* Client `n` logs in as alice, and wants this vhost as soon as it may. */
void rig_login(unsigned n, const char *vhost);

/* It says now where it wants to go. */
void rig_open(unsigned n, const char *vhost);

/* Client `n` has gone. */
void rig_leave(unsigned n);

/* The loop runs until that is true; it fails when it is not after a long time. */
void rig_until(bool (*is_true)(void));

/* The loop runs for so long. */
void rig_pass(uint64_t ms);

/* Until the client has its hub: told of its login once, of its hub once, of nothing else. */
void rig_serves(unsigned n);

/* Until the client is refused, once; logins before that: so many. */
void rig_refuses(unsigned n, unsigned logins, uint16_t code);

/* Until no connection is left. */
void rig_until_empty(void);

#endif
