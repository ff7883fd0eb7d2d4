/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One AMQP connection to the broker, shared by sessions: it is dialled, logs in, and is dialled again for as
 * long as somebody wants it.
 *
 *     WAITING ─► TRYING ─► LOGGED_IN ─► RUNNING ─► any ──► ENDED
 *        ▲          │ nobody   │   a vhost     │
 *        └──────────┴ is there ┴── is known ───┘  (as long as somebody wants it)
 *
 * Its login is how the credentials of a client are verified: a connection is made with the user and password
 * that the client has given, and the client learns what the broker says. When the broker has accepted them
 * the client tells its vhost, and the same connection goes on there.
 *
 * Sessions that wait for something are its waiters. A waiter is told once for each thing that it waits for.
 */
#ifndef HOST_PROXY_SHARED_H
#define HOST_PROXY_SHARED_H

#include "host-proxy/credentials.h"
#include "host-proxy/guest_table.h"
#include "host-proxy/race.h"

#include <sys/queue.h>

struct pool;
struct shared;
struct shared_waiter;

enum shared_state {
    SHARED_WAITING,
    SHARED_TRYING,    /* its race runs */
    SHARED_LOGGED_IN, /* the broker has accepted user and password */
    SHARED_RUNNING,
    SHARED_ENDED, /* not to be used any more; it is closing */
};

enum shared_need {
    SHARED_NEEDS_LOGIN,   /* to know whether user and password are good */
    SHARED_NEEDS_NOTHING, /* it was told that they are, and has not chosen a vhost yet */
    SHARED_NEEDS_HUB,     /* to join */
};

struct shared_waiter_ops {
    /* User and password are good. */
    void (*on_login)(struct shared_waiter *waiter);

    /* This one runs: pool_join it. It is no waiter any more. */
    void (*on_running)(struct shared_waiter *waiter, struct shared *shared);

    /* The broker has refused, by this. It is no waiter any more. */
    void (*on_refused)(struct shared_waiter *waiter, const struct amqp_exception *e);
};

/* Embedded; zeroed but for `ops` before first use. */
struct shared_waiter {
    TAILQ_ENTRY(shared_waiter) entry;
    const struct shared_waiter_ops *ops;
    struct shared *shared; /* NULL: it does not wait */
    enum shared_need need;
};

enum shared_purpose {
    SHARED_FOR_ALL,
    SHARED_FOR_PUBLISHING, /* only: those who publish there do all else on another one */
};

/* What is the same for all who share a connection. */
struct shared_key {
    enum shared_purpose purpose;
    struct credentials *credentials; /* referenced */
    char guest[GUEST_NAME_MAX];      /* whose alone it is; "": anybody's */
    uint8_t vhost[255];
    uint8_t vhost_len;
    bool has_vhost; /* false: it will be the one that a waiter asks for first */
};

struct shared {
    TAILQ_ENTRY(shared) entry;
    struct pool *pool;
    struct shared_key key;
    enum shared_state state;
    TAILQ_HEAD(, shared_waiter) waiters;
    struct race race;           /* for a node that carries it */
    uint64_t believed_until_ms; /* so long its user and password are good without asking; 0: no */
    bool is_refused;            /* the broker would not have its user, or not in its vhost, last time */
    struct amqp_hub_config config;
    uv_timer_t timer; /* WAITING: until the next attempt; RUNNING and unused: how long it is kept */
    struct backoff backoff;
    char failure[256]; /* why it is not running, for those who wait in vain */
    unsigned number;   /* for log lines */
    char object[48];   /* for log lines */
    char name[AMQP_BACK_NAME_MAX];
};

/* Makes one and begins to dial. The key is taken over, also on failure. NULL: out of memory. */
struct shared *shared_create(struct pool *pool, const struct shared_key *key);

/* The waiter waits here, and nowhere else. */
void shared_add_waiter(struct shared *shared, struct shared_waiter *waiter, enum shared_need need);

/* It does not wait any more. The connection may end for want of anybody who wants it. */
void shared_remove_waiter(struct shared_waiter *waiter);

/* Go on to this vhost: it is not known yet. */
void shared_choose(struct shared *shared, struct amqp_span vhost);

/* In LOGGED_IN: it has verified a login, and another one carries the sessions of this vhost. It goes there
 * only to end in order; to break off a handshake is worth a warning to RabbitMQ. */
void shared_retire(struct shared *shared, struct amqp_span vhost);

/* Is anybody here: waiting or joined? */
bool shared_is_used(const struct shared *shared);

/* Unless it is used, close it when it has not been for a while. To be called when a member has left. */
void shared_check_use(struct shared *shared);

/* Somebody joins. */
void shared_keep(struct shared *shared);

/* End it in order. Members and waiters are told this reason. */
void shared_end(struct shared *shared, const char *reason);

/* End it at once. */
void shared_abort(struct shared *shared);

/* The hub, while LOGGED_IN or RUNNING. */
struct amqp_hub *shared_hub(const struct shared *shared);

/* The number of a hub's connection, for log lines. */
unsigned shared_number(struct amqp_hub *hub);

#endif
