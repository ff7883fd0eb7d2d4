/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_SLOTS_H
#define AMQP_SLOTS_H

/*
 * The channel numbers of the shared connection. The broker ends it for a number that is opened while it is
 * not quite closed, so a number is given out again only when all is said about the last use of it:
 *
 *     FREE ─► OPEN ─ our Close queued ────► CLOSING ─ Close-Ok heard ──────────► FREE
 *                └── the broker's Close ─► ANSWERING ─ our Close-Ok written ─► FREE
 *
 * One that is as it was when it was opened can be given out again without being closed (amqp/kept.h):
 *
 *     OPEN ─ our fence queued ─► FENCED ─ its answer heard ─► KEPT ─ taken ─► OPEN
 *
 * When both closes cross, Close-Ok is heard first and said then: CLOSING ─ the broker's Close ─► CROSSED ─
 * Close-Ok heard, ours queued ─► ANSWERING. The other way round RabbitMQ may end the channel before its own
 * Close-Ok is written, and it is never said. RabbitMQ may say Close twice (an error behind an error), but
 * wants one Close-Ok. What it says between the last Close-Ok and the next open-ok is late.
 */

#include "amqp/assembler.h"
#include "amqp/names.h"

enum amqp_slot_state {
    AMQP_SLOT_FREE,
    AMQP_SLOT_OPEN,      /* from the moment channel.open is queued */
    AMQP_SLOT_FENCED,    /* the fence must be heard */
    AMQP_SLOT_KEPT,      /* nobody's, open at the broker */
    AMQP_SLOT_CLOSING,   /* Close-Ok must be heard */
    AMQP_SLOT_ANSWERING, /* Close-Ok must be written */
    AMQP_SLOT_CROSSED,   /* Close-Ok must be heard, and then ours be queued */
};

/* Who takes a slot. */
enum amqp_slot_user {
    AMQP_SLOT_CLIENTS,
    AMQP_SLOT_OURS, /* errands; some are kept free for them */
};

/* What a hush wants to know of a slot (amqp/hush.h). */
struct amqp_settling {
    bool is_stirred;    /* a publish, commit or cancel was sent that may not be through */
    bool is_committing; /* tx.commit is not answered */
    bool is_asked;      /* the hush's own channel.flow is not answered, awaited or given up */
    uint16_t flows;     /* channel.flow that are not answered */
    uint16_t before;    /* FLOW, or asked: that many will be answered before the one that is meant */
    enum {
        AMQP_SETTLING_NOTHING,
        AMQP_SETTLING_FLOW, /* flow-ok */
        AMQP_SETTLING_END,  /* commit-ok, or the end of the channel */
    } awaits;
};

struct amqp_errand_channel;
struct amqp_lane;
struct amqp_seat;

struct amqp_slot {
    TAILQ_ENTRY(amqp_slot) entry; /* while free or kept */
    uint16_t number;
    enum amqp_slot_state state;
    enum amqp_slot_user user;
    bool has_answered; /* open-ok was heard */
    bool is_marked;    /* what was said on it has changed what it is */
    uint64_t opened_ms;
    uint64_t kept_ms;                    /* KEPT: since when */
    struct amqp_seat *seat;              /* whose it is until it is free again; NULL: nobody's, or our own */
    struct amqp_errand_channel *errands; /* of our own; NULL: a client's, or free */
    struct amqp_lane *lane;              /* NULL: what the broker says is of no interest any more */
    struct amqp_assembler assembler;
    struct amqp_settling settling;
    struct amqp_uses uses;      /* queues that it names; empty when the broker has closed it */
    struct amqp_command *spare; /* made when it was opened, so that closing it never fails; NULL: used.
                                   CROSSED: what our Close-Ok will be made of */
};

struct amqp_slots {
    struct amqp_slot *slots; /* by number - 1 */
    uint16_t count;
    uint16_t used;
    uint16_t ours;                /* of those used, our own */
    uint16_t reserved;            /* kept free for us, those used by us included */
    TAILQ_HEAD(, amqp_slot) free; /* the longest free first */
};

/* Numbers 1 to `count`, of which `reserved` at most are kept from clients. 0 or -1: out of memory. */
int amqp_slots_init(struct amqp_slots *slots, uint16_t count, uint16_t reserved);
void amqp_slots_deinit(struct amqp_slots *slots);

/* Whether amqp_slots_take will find one. */
bool amqp_slots_has_free(const struct amqp_slots *slots, enum amqp_slot_user user);

/* A number to open, state OPEN. NULL: all are taken, or out of memory. */
struct amqp_slot *amqp_slots_take(struct amqp_slots *slots, enum amqp_slot_user user, uint64_t now);

/* The slot of a number, if it is in use. */
static inline struct amqp_slot *amqp_slots_find(const struct amqp_slots *slots, uint16_t number)
{
    struct amqp_slot *slot = number != 0 && number <= slots->count ? &slots->slots[number - 1] : NULL;
    return slot != NULL && slot->state != AMQP_SLOT_FREE ? slot : NULL;
}

/* How many the broker has opened, and not closed yet as far as is known. */
uint16_t amqp_slots_count_opened(const struct amqp_slots *slots);

/* Whether a Close of the broker's makes sense; else it is the second one. */
static inline bool amqp_slot_may_be_closed(const struct amqp_slot *slot)
{
    return slot->state == AMQP_SLOT_OPEN || slot->state == AMQP_SLOT_FENCED ||
           slot->state == AMQP_SLOT_KEPT || slot->state == AMQP_SLOT_CLOSING;
}

/* Our Close is queued, the broker's was heard, and so on. Those that return something say whether the slot is
 * free now. After a Close or Close-Ok was heard, ours must be queued if it is ANSWERING. */
void amqp_slot_fence_queued(struct amqp_slot *slot);
void amqp_slot_fence_heard(struct amqp_slot *slot); /* OPEN, and nobody's */
void amqp_slot_close_queued(struct amqp_slot *slot);
void amqp_slot_close_heard(struct amqp_slot *slot, bool ours_was_purged);
bool amqp_slot_close_ok_heard(struct amqp_slots *slots, struct amqp_slot *slot);
void amqp_slot_close_ok_written(struct amqp_slots *slots, struct amqp_slot *slot);

#endif
