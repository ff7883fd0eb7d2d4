/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections to the broker: which one a session belongs to.
 *
 * With the clients' own identities there is one for each user, password and vhost (and guest, if so
 * configured). A client's login is believed at once only while a connection made with the very same password
 * stands, and the broker has accepted that password lately. If that is a while ago it is asked again, by a
 * connection made for that alone; those who have joined are not touched by what it says. With a fixed
 * identity there is one for all, always. If publishing is to be apart, there is another one beside each for
 * that.
 */
#ifndef HOST_PROXY_POOL_H
#define HOST_PROXY_POOL_H

#include "host-proxy/channel_caps.h"
#include "host-proxy/shared.h"
#include "mux/uv/loop.h"
#include "mux/uv/tls.h"

struct pool_config {
    struct amqp_hub_config hub; /* but for the login and the name */
    struct credentials *fixed;  /* NULL: the clients' own. Referenced */
    const char *vhost;          /* with `fixed` */
    struct mux_uv_tls *tls;     /* NULL: plain TCP */
    bool per_guest;             /* one for each guest */
    bool is_split;              /* another one for publishing */
    uint64_t dial_timeout_ms;   /* per node */
    uint64_t keep_ms;           /* how long a connection that nobody uses is kept for those who come next */
    uint64_t believe_ms;        /* how long the broker's word on a user and password counts */
    const char *host_name;      /* for the name that the broker's tools show */
};

struct pool_ops {
    /* The last connection is gone. */
    void (*on_empty)(struct pool *pool);

    /* A connection is about to end by an error, and this member was the last to send something: `method`. */
    void (*on_suspect)(struct pool *pool, struct amqp_member *member, const char *method);
};

struct pool {
    struct mux_uv_loop *mux_loop;
    struct pool_config config;
    struct node_set *nodes;
    TAILQ_HEAD(, shared) shared; /* in use */
    TAILQ_HEAD(, shared) ended;  /* closing */
    struct log_limit failures;   /* of attempts to connect */
    struct channel_caps caps;    /* of users */
    unsigned numbers;            /* given to connections, for log lines */
    const struct pool_ops *ops;
};

/* `nodes` and `ops` outlive the pool, the config's texts too. */
void pool_init(struct pool *pool, struct mux_uv_loop *mux_loop, const struct pool_config *config,
               struct node_set *nodes, const struct pool_ops *ops);

/* With a fixed identity: begin to connect now, before anybody asks. 0 or -1: out of memory. */
int pool_start(struct pool *pool);

enum pool_answer { POOL_YES, POOL_LATER, POOL_NO_MEMORY };

/*
 * Are these credentials good? POOL_YES: a connection stands that was made with them, and the broker has said
 * so lately. POOL_LATER: it is asked, and the waiter will be told.
 */
enum pool_answer pool_login(struct pool *pool, struct shared_waiter *waiter, struct credentials *credentials,
                            const struct guest_entry *guest);

/* Where a session works. */
struct pool_hubs {
    struct amqp_hub *main;
    struct amqp_hub *publishing; /* NULL: it publishes there, too */
};

/* A session that is logged in wants this vhost. POOL_YES: join *hubs. POOL_LATER: the waiter will be told. */
enum pool_answer pool_open(struct pool *pool, struct shared_waiter *waiter, struct credentials *credentials,
                           const struct guest_entry *guest, struct amqp_span vhost, struct pool_hubs *hubs);

/* It was told that this one runs. As pool_open: it may have to wait for another one. */
enum pool_answer pool_join(struct pool *pool, struct shared_waiter *waiter, struct shared *shared,
                           struct pool_hubs *hubs);

/* The broker was asked about the user and password of `key`, for this guest; `is_good`: it accepts them. */
void pool_verified(struct pool *pool, const struct shared_key *key, bool is_good);

/* A member has left: connections that nobody uses are closed after a while. */
void pool_check_use(struct pool *pool);

/* Why there is no connection for this waiter. Valid until the loop goes on. */
const char *pool_failure(const struct shared_waiter *waiter);

/* End all in order; on_empty follows, from inside if there are none. */
void pool_end(struct pool *pool, const char *reason);

/* End all at once. */
void pool_abort(struct pool *pool);

static inline bool pool_is_empty(const struct pool *pool)
{
    return TAILQ_EMPTY(&pool->shared) && TAILQ_EMPTY(&pool->ended);
}

#endif
