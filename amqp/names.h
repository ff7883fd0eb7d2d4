/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_NAMES_H
#define AMQP_NAMES_H

/*
 * Names of queues, as far as they matter at the moment: because commands that name them are under way at the
 * broker, because a member owns an exclusive queue of that name, or because somebody waits for either. What
 * follows from it is in amqp/queues.h; here are the objects.
 *
 *     FREE ─ exclusive declare passes ─► CLAIMED ─ declare-ok ─► OWNED ─ delete-ok, found gone ─► FREE
 *                                           └──── refused ────────────────────────────────────────┘
 *
 * A name lives as long as it is referred to (ref and unref). Putting a name into the table can't fail.
 */

#include "amqp/cursor.h"
#include "amqp/errand.h"

#define AMQP_QUEUE_NAME_MAX 255

struct amqp_lane;
struct amqp_member;
struct amqp_name;
struct amqp_slot;

/* Whose exclusive queues: a member's, or those that nobody could delete. */
struct amqp_owner {
    TAILQ_HEAD(, amqp_name) names; /* CLAIMED and OWNED, the longest not looked at first */
    unsigned count;
    struct amqp_member *member; /* NULL: nobody's */
};

enum amqp_name_state {
    AMQP_NAME_FREE, /* no member of ours has an exclusive queue of that name */
    AMQP_NAME_CLAIMED,
    AMQP_NAME_OWNED,
};

/* What a command is to the queue that it names. */
enum amqp_use_kind {
    AMQP_USE_PLAIN,
    AMQP_USE_TYPED,          /* the queue's type decides what comes of it */
    AMQP_USE_DECLARE,        /* may make it */
    AMQP_USE_DECLARE_STREAM, /* may make a stream of it: typed, too */
    AMQP_USE_CLAIM,          /* may make it, exclusive */
    AMQP_USE_DELETE,         /* deletes it: typed, too */
    AMQP_USE_DELETE_CLASSIC, /* deletes it, which is a classic one */
};

static inline bool amqp_use_is_typed(enum amqp_use_kind kind)
{
    return kind == AMQP_USE_TYPED || kind == AMQP_USE_DECLARE_STREAM || kind == AMQP_USE_DELETE;
}

/* Whether the queue may come or go. */
static inline bool amqp_use_alters(enum amqp_use_kind kind)
{
    return kind != AMQP_USE_PLAIN && kind != AMQP_USE_TYPED;
}

static inline bool amqp_use_deletes(enum amqp_use_kind kind)
{
    return kind == AMQP_USE_DELETE || kind == AMQP_USE_DELETE_CLASSIC;
}

enum amqp_queue_type {
    AMQP_TYPE_NONE, /* there is no such queue, or it may not be used: the broker will say so */
    AMQP_TYPE_CLASSIC,
    AMQP_TYPE_QUORUM,
    AMQP_TYPE_STREAM,
    AMQP_TYPE_UNREADABLE, /* its messages are not for us; it may be deleted */
    AMQP_TYPE_UNKNOWN,    /* the broker did not tell */
};

/* A command that names a queue and was sent to the broker, which has not answered yet. */
struct amqp_use {
    STAILQ_ENTRY(amqp_use) entry;
    struct amqp_name *name;
    uint32_t method;
    enum amqp_use_kind kind;
    bool is_quiet;  /* it was nowait: the answer is not the client's */
    bool is_hushed; /* it was sent in a hush (amqp/hush.h) */
};

/* What a slot is about to do with queues. */
struct amqp_uses {
    STAILQ_HEAD(, amqp_use) queue; /* in the order they were sent */
    unsigned count;
    struct amqp_name *last; /* the queue that was declared last: RabbitMQ's "" */
};

/* A lane whose first command that is held back needs the name. */
struct amqp_wait {
    TAILQ_ENTRY(amqp_wait) entry;
    struct amqp_name *name; /* NULL: it does not wait for any */
    struct amqp_lane *lane;
    enum amqp_use_kind kind;
    unsigned since; /* checks of the name that had begun before */
    bool is_locked; /* a later check has found the queue in place */
};

/* A lane whose first command that is held back needs the type of the queue that it names. */
struct amqp_asking {
    TAILQ_ENTRY(amqp_asking) entry; /* in ASKED, TOLD and HUSH */
    enum {
        AMQP_ASKING_NOTHING,
        AMQP_ASKING_ASKED,
        AMQP_ASKING_TOLD,  /* is to be resumed */
        AMQP_ASKING_KNOWS, /* the command may pass, or be refused, if it needs no hush */
        AMQP_ASKING_HUSH,  /* it waits for one */
        AMQP_ASKING_QUIET, /* it may pass */
    } state;
    struct amqp_name *name; /* NULL in NOTHING */
    struct amqp_lane *lane;
    enum amqp_use_kind kind;
    unsigned since; /* probes of the name that had begun before */
    enum amqp_queue_type type;
};

/* Whether the command may pass, or be refused, so far as this goes. */
static inline bool amqp_asking_is_over(const struct amqp_asking *asking)
{
    return asking->state == AMQP_ASKING_KNOWS || asking->state == AMQP_ASKING_QUIET;
}

struct amqp_name {
    LIST_ENTRY(amqp_name) bucket;   /* while is_listed */
    TAILQ_ENTRY(amqp_name) changed; /* while is_changed */
    TAILQ_ENTRY(amqp_name) owned;   /* in the owner's list */
    unsigned refs;                  /* whatever points to it */
    enum amqp_name_state state;
    struct amqp_owner *owner; /* NULL in FREE */
    unsigned uses;            /* commands under way */
    struct amqp_slot *user;   /* the one slot that they are all on; NULL: several, or none */
    unsigned claims;          /* of the uses, those that claim */
    unsigned pins;    /* commands that need the type, from asking for it: nothing else may alter now */
    unsigned alters;  /* uses that alter, those that need the type from asking for it */
    unsigned deletes; /* of these, those that delete */
    struct amqp_slot *alterer; /* the one slot that these are on; NULL: several, or none */
    TAILQ_HEAD(, amqp_wait) waits;
    struct amqp_errand errand; /* under way in CHECKING and DELETING */
    enum { AMQP_NAME_IDLE, AMQP_NAME_CHECKING, AMQP_NAME_DELETING } errand_state;
    unsigned checks;      /* that have begun */
    unsigned claims_done; /* that the broker has answered, or refused */
    unsigned claims_then; /* claims_done when the last check began */
    TAILQ_HEAD(, amqp_asking) asking;
    TAILQ_HEAD(, amqp_asking) told;
    struct amqp_errand probe;
    bool is_probing;
    bool is_altered;              /* since the probe began */
    unsigned probes;              /* that have begun */
    TAILQ_ENTRY(amqp_name) known; /* while is_remembered (amqp/known_types.h) */
    bool is_remembered;
    bool is_known; /* `type` was told at `known_ms`, and nothing has altered since */
    enum amqp_queue_type type;
    uint64_t known_ms;
    bool is_changed; /* its waits have to be looked at */
    bool is_listed;  /* in the table; not: the broker has not found it yet */
    uint8_t len;
    uint8_t text[];
};

enum { AMQP_NAME_BUCKETS = 1024 };

struct amqp_names {
    LIST_HEAD(, amqp_name) buckets[AMQP_NAME_BUCKETS];
    TAILQ_HEAD(, amqp_name) changed;
    TAILQ_HEAD(, amqp_name) known; /* the one told first first */
    unsigned known_count;
    uint32_t seed;
};

void amqp_names_init(struct amqp_names *names, uint32_t seed);

/* The name of a text, with a reference; NULL: none is known. */
struct amqp_name *amqp_names_look_up(struct amqp_names *names, struct amqp_span text);

/* The name of a text of at most AMQP_QUEUE_NAME_MAX bytes, with a reference; made if there is none. NULL: no
 * memory. */
struct amqp_name *amqp_names_get(struct amqp_names *names, struct amqp_span text);

/* One that the broker is to find, with a reference; not in the table. NULL: no memory. */
struct amqp_name *amqp_name_create_blank(void);

/* The broker has found it: puts it into the table. It must be blank. */
void amqp_names_fill_in(struct amqp_names *names, struct amqp_name *name, struct amqp_span text);

struct amqp_name *amqp_name_ref(struct amqp_name *name);
void amqp_name_unref(struct amqp_name *name); /* NULL is ignored */

static inline struct amqp_span amqp_name_text(const struct amqp_name *name)
{
    return (struct amqp_span){.data = name->text, .len = name->len};
}

/* Whether clients can't make up such a name: "amq.". */
bool amqp_name_is_reserved(struct amqp_span text);

/* A use that alters begins on a slot, or has ended. Others are ignored. */
void amqp_name_alter_begins(struct amqp_name *name, enum amqp_use_kind kind, struct amqp_slot *slot);
void amqp_name_alter_ended(struct amqp_name *name, enum amqp_use_kind kind);

void amqp_owner_init(struct amqp_owner *owner, struct amqp_member *member);

/* FREE to CLAIMED; CLAIMED or OWNED to FREE; to another owner. */
void amqp_name_take(struct amqp_name *name, struct amqp_owner *owner);
void amqp_name_free(struct amqp_name *name);
void amqp_name_give(struct amqp_name *name, struct amqp_owner *owner);

void amqp_uses_init(struct amqp_uses *uses);

#endif
