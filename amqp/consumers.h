/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_CONSUMERS_H
#define AMQP_CONSUMERS_H

/*
 * The consumers of one channel. A consumer is what the client knows by its tag; a tap is what stands for it
 * at the broker, under an alias that is usually the same:
 *
 *     ASKED ─ consume-ok ─► LIVE ─ we say cancel ─► ENDING ─ cancel-ok ─► (gone)
 *
 * A consumer has one tap, and while it is being replaced two: the old one is cancelled once the new one
 * lives, so that no queue ever loses its last consumer. Aliases also keep a tag that a client uses again from
 * the broker: a quorum queue with messages of its last use unacknowledged ends the connection (541).
 */

#include "amqp/command.h"
#include "amqp/deliveries.h"
#include <uthash.h>

enum { AMQP_TAG_MAX = 255, AMQP_WIDE_MAX = 8 /* of a channel */ };

enum amqp_tap_state { AMQP_TAP_ASKED, AMQP_TAP_LIVE, AMQP_TAP_ENDING };

/* How messages come. */
struct amqp_terms {
    bool no_ack;       /* the broker expects no acknowledgements */
    uint16_t prefetch; /* how many may be unacknowledged; 0: any number */
};

struct amqp_tap {
    UT_hash_handle hh;          /* by alias, if it has one */
    STAILQ_ENTRY(amqp_tap) due; /* without one: in line for the tag that the broker makes up */
    enum amqp_tap_state state;
    bool tells_end; /* ENDING: the client waits for the cancel-ok */
    struct amqp_consumer *consumer;
    struct amqp_terms terms;
    uint64_t first;    /* of a wide one: tag of its first delivery; 0: none yet */
    uint64_t messages; /* likewise, all of its deliveries */
    uint64_t bytes;    /* likewise, the memory that they took */
    uint8_t alias_len;
    uint8_t alias[AMQP_TAG_MAX];
};

struct amqp_consumer {
    UT_hash_handle hh; /* by tag, as long as the client may use it */
    bool is_known;     /* it is in that hash */
    bool no_ack;       /* as the client said it, likewise the next two */
    bool is_exclusive;
    uint16_t prefetch;
    bool is_relayed; /* passed as it is, whatever happens */
    bool is_wide;    /* it is replaced by wider and narrower ones */
    LIST_ENTRY(amqp_consumer) entry;
    struct amqp_deliveries held;  /* wide: what the client has not acknowledged of it */
    struct amqp_command *consume; /* as the client said it; NULL: it can't be replaced */
    struct amqp_tap *tap;         /* NULL: it is gone */
    struct amqp_tap *next;        /* ASKED, to replace it; NULL: none */
    unsigned taps;                /* all of its */
    uint8_t tag_len;              /* 0: the broker will make one up */
    uint8_t tag[AMQP_TAG_MAX];
};

struct amqp_consumers {
    struct amqp_consumer *by_tag;
    struct amqp_tap *by_alias;
    STAILQ_HEAD(, amqp_tap) nameless; /* ASKED without an alias, in order */
    LIST_HEAD(, amqp_consumer) wide;
    unsigned wides;    /* in that list */
    unsigned proxied;  /* taps whose deliveries the proxy acknowledges */
    unsigned replaced; /* consumers with a next tap */
    unsigned serial;   /* of aliases */
    size_t cost;       /* memory, in bytes, but for that of `held` */
};

void amqp_consumers_init(struct amqp_consumers *all);
void amqp_consumers_clear(struct amqp_consumers *all);

static inline struct amqp_span amqp_consumer_tag(const struct amqp_consumer *consumer)
{
    return (struct amqp_span){.data = consumer->tag, .len = consumer->tag_len};
}

static inline struct amqp_span amqp_tap_alias(const struct amqp_tap *tap)
{
    return (struct amqp_span){.data = tap->alias, .len = tap->alias_len};
}

/* Whether the client believes that nothing is to be acknowledged, and the broker does not. */
static inline bool amqp_tap_is_proxied(const struct amqp_tap *tap)
{
    return tap->consumer->no_ack && !tap->terms.no_ack;
}

/* NULL: there is none. */
struct amqp_consumer *amqp_consumers_find(const struct amqp_consumers *all, struct amqp_span tag);
struct amqp_tap *amqp_consumers_find_tap(const struct amqp_consumers *all, struct amqp_span alias);

/*
 * A consumer without a tap; `tag` is not in use, or empty. Takes over `consume` on success; its other fields
 * are the caller's. NULL: out of memory.
 */
struct amqp_consumer *amqp_consumers_add(struct amqp_consumers *all, struct amqp_span tag,
                                         struct amqp_command *consume);

/* Whether there may be one more wide consumer; makes it one. */
static inline bool amqp_consumers_has_room(const struct amqp_consumers *all)
{
    return all->wides < AMQP_WIDE_MAX;
}
void amqp_consumers_widen(struct amqp_consumers *all, struct amqp_consumer *consumer);

/* The client has settled a delivery, or all up to one. */
void amqp_consumers_settled(struct amqp_consumers *all, uint64_t tag);
void amqp_consumers_settled_to(struct amqp_consumers *all, uint64_t tag);

/* All memory. */
size_t amqp_consumers_cost(const struct amqp_consumers *all);

/* Forgets what is needed for replacing the consumer. */
void amqp_consumers_fix(struct amqp_consumers *all, struct amqp_consumer *consumer);

/* The client may not use the tag any longer. The consumer is freed with its last tap. */
void amqp_consumers_withdraw(struct amqp_consumers *all, struct amqp_consumer *consumer);

/* A tap in ASKED; `alias` is not in use, or empty. NULL: out of memory; a consumer without taps is freed
 * then. */
struct amqp_tap *amqp_consumers_add_tap(struct amqp_consumers *all, struct amqp_consumer *consumer,
                                        struct amqp_span alias, struct amqp_terms terms);

/* The consumer's next tap lives: it is its tap now. Returns the old one, which is to be ended; NULL: it is
 * gone. */
struct amqp_tap *amqp_consumers_switch(struct amqp_consumers *all, struct amqp_consumer *consumer);

/* Frees a tap, and its consumer if that has no other and is withdrawn. */
void amqp_consumers_drop_tap(struct amqp_consumers *all, struct amqp_tap *tap);

/* The tag that the broker has made up for the first tap in line. NULL: nobody waits for one, or it is in use.
 */
struct amqp_tap *amqp_consumers_name(struct amqp_consumers *all, struct amqp_span tag);

/* Writes an alias that was never in use here. */
struct amqp_span amqp_consumers_fresh_alias(struct amqp_consumers *all, char text[32]);

/* Whether a tag could be taken for such an alias: no client's own may be used as one. */
bool amqp_consumers_is_alias(struct amqp_span tag);

#endif
