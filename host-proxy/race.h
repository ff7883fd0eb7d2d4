/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of a broker, tried for one AMQP connection. The first that accepts the login carries it, and the
 * others are given up.
 *
 *     IDLE ─► TRYING ─► WON ──► (lost) ──► IDLE        any ─► ENDED
 *                └─ every node has failed, or one has refused ─► IDLE
 *
 * The nodes are tried in the order of a node_round: the next one when one has failed, and also beside it when
 * nothing was heard of any for RACE_HURRY_MS. So a node from which no packet comes, or which accepts
 * connections and is silent, keeps nobody from the others. As soon as one has begun the handshake no more are
 * tried beside it: it is alive, and may have much to do.
 */
#ifndef HOST_PROXY_RACE_H
#define HOST_PROXY_RACE_H

#include "amqp/uv/hub_stream.h"
#include "mux/uv/tls.h"
#include "service/nodes.h"

#include <sys/queue.h>

#define RACE_HURRY_MS 300u

struct race;
struct race_attempt;

/* Each may end the race. */
struct race_ops {
    /* A node has accepted user and password: race_hub. */
    void (*on_login)(struct race *race);
    void (*on_running)(struct race *race);

    /* As in amqp_uv_hub_ops. */
    void (*on_suspect)(struct race *race, struct amqp_member *member, const struct amqp_method_spec *method);
    void (*on_hush_given_up)(struct race *race);

    /* The connection is lost, or none came about: `e` has the broker's words, or what was wrong with each
     * node. It may be started again at once. */
    void (*on_down)(struct race *race, const struct amqp_exception *e);

    /* After race_end: the memory is the owner's again. */
    void (*on_closed)(struct race *race);
};

struct race_config {
    struct mux_uv_loop *mux_loop;
    struct node_set *nodes;
    struct mux_uv_tls *tls;   /* NULL: plain TCP */
    uint64_t dial_timeout_ms; /* per node */
    const struct amqp_hub_config *hub;
};

enum race_state { RACE_IDLE, RACE_TRYING, RACE_WON, RACE_ENDED };

TAILQ_HEAD(race_attempts, race_attempt);

struct race {
    const struct race_ops *ops;
    struct race_config config;
    enum race_state state;
    struct race_attempts trying;
    struct race_attempt *winner; /* NULL: none, or lost */
    uint16_t opened;             /* channels that the last winner had when it was lost */
    unsigned handles;            /* the timer, and attempts that are not closed yet */
    uv_timer_t hurry;            /* TRYING */
    struct node_round round;     /* TRYING; round.failures: what is wrong with those that have failed since */
};

/* What the config points to, and `ops`, must outlive it. */
void race_init(struct race *race, const struct race_config *config, const struct race_ops *ops);

/* In IDLE: begin. 0, or -1: out of memory, and no callback comes. */
int race_start(struct race *race);

/* The winner's hub, on_login to on_down. NULL: there is none. */
struct amqp_uv_hub *race_hub(const struct race *race);

/* Who that is: "rabbit-a:5672 (192.0.2.1:5672)". */
const char *race_peer(const struct race *race);

/* End it in order, as amqp_uv_hub_close does; of the callbacks only on_closed follows, later. Idempotent. */
void race_end(struct race *race, const char *reason);

/* Likewise, at once. */
void race_abort(struct race *race, const char *reason);

/* The race of a hub. */
struct race *race_of(struct amqp_hub *hub);

/* Is that what the broker says to a user that it will not have, in this vhost or at all? */
bool race_is_refusal(const struct amqp_exception *e);

#endif
