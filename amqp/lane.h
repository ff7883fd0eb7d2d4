/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_LANE_H
#define AMQP_LANE_H

/*
 * One channel of a client, and the channel of the shared connection that stands for it: or two of them, if it
 * publishes on a connection apart (amqp/outlet.h). "The broker's Close-Ok" is then that to both, of which the
 * publishing one is closed first; when the broker closes one, the other one is closed before the client is
 * told.
 *
 *     FRESH ─ channel.open ─► OPEN ─── client's Close ───► CLOSING ─ broker's Close-Ok ─► (gone)
 *                              ├──── we refuse ─► ENDING ─ broker's Close-Ok ─┐
 *                              └──── broker's Close ─────────────────────────►┴► TOLD ─ client's Close-Ok ─►
 * (gone)
 *
 * When the client's Close crosses an end that it has not been told of, it is told of that first, and then its
 * Close is answered: ENDING ─ client's Close ─► CROSSED ─ broker's Close-Ok ─► TOLD, and CLOSING ─ broker's
 * Close ─► TOLD. So it is when the Close was held back behind what came before the end.
 *
 * And, when the whole client leaves, from OPEN to LEAVING ─ broker's Close-Ok ─► (gone). There the slot is
 * closed as soon as what was held back has been sent.
 *
 * The client's commands pass only in OPEN. In CLOSING, ENDING, CROSSED and LEAVING the slot is on its way
 * out; what the broker still answers to earlier commands is passed on, so a client sees the same as alone,
 * and hears of the end of a channel when all that it had there is free again.
 */

#include "amqp/assembler.h"
#include "amqp/intake.h"
#include "amqp/names.h"
#include "amqp/outlet.h"
#include "amqp/slots.h"
#include <uthash.h>

enum amqp_lane_state {
    AMQP_LANE_FRESH,
    AMQP_LANE_OPEN,
    AMQP_LANE_CLOSING,
    AMQP_LANE_ENDING,
    AMQP_LANE_CROSSED,
    AMQP_LANE_LEAVING,
    AMQP_LANE_TOLD,
};

struct amqp_member;

struct amqp_lane {
    UT_hash_handle hh;
    uint16_t number; /* the client's */
    enum amqp_lane_state state;
    struct amqp_member *member;
    struct amqp_slot *slot; /* on the main side; NULL in FRESH and TOLD, and once it is left */
    struct amqp_outlet outlet;
    struct amqp_assembler assembler;
    struct amqp_intake intake;
    struct amqp_command_queue held; /* must wait for an answer of the broker's, in order */
    struct amqp_wait wait;          /* for the queue that the first of them names */
    struct amqp_asking asking;      /* for the type of that queue */
    struct amqp_name *stream;       /* a stream that was consumed from here; NULL: none was */
    struct {
        uint16_t prefetch;         /* of the next consumer */
        uint16_t limit;            /* of all together ("global"); 0: none */
    } qos;                         /* as the client has set it */
    bool owes_close_ok;            /* the client's Close was held back, and forgotten over an end */
    bool is_committing;            /* tx.commit was sent, commit-ok is due */
    struct amqp_exception end;     /* ENDING, CROSSED: what the client will be told, if farewell is NULL */
    struct amqp_command *farewell; /* or this, the broker's Close; NULL: it has not said any */
};

/* What became of a command or a lane. */
enum {
    AMQP_LANE_GOES_ON = 0,
    AMQP_LANE_GONE = 1, /* the lane is finished: destroy it */
    AMQP_LANE_REFUSED =
        -1, /* *e is filled in: leave the lane's slots (amqp_lane_refuse), then tell the client */
    AMQP_LANE_FATAL = -2, /* *e is filled in: the client's connection ends over it at once */
};

/* Whether anything may still be sent on its slots: none of them is on its way out. */
static inline bool amqp_lane_speaks(const struct amqp_lane *lane)
{
    const struct amqp_slot *outlet = lane->outlet.slot;
    return (lane->state == AMQP_LANE_OPEN || lane->state == AMQP_LANE_LEAVING) && lane->slot != NULL &&
           lane->slot->state == AMQP_SLOT_OPEN && (outlet == NULL || outlet->state == AMQP_SLOT_OPEN);
}

struct amqp_lane *amqp_lane_create(struct amqp_member *member, uint16_t number); /* NULL: no memory */

/* Leaves its slots, with a Close to the broker if none was said yet. Frees the lane. */
void amqp_lane_destroy(struct amqp_lane *lane);

/* A command from the client, which is taken over. GOES_ON, REFUSED or FATAL. */
int amqp_lane_take(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e);

/* The client has broken a rule on this lane, by `e`. What it has said before is done first: if the broker
 * errs over that, the client hears of this and not of `e`, as it would alone. */
void amqp_lane_refuse(struct amqp_lane *lane, const struct amqp_exception *e);

/* The slot on which it publishes is nothing to it any more, and closed; the lane goes on. */
void amqp_lane_let_outlet_go(struct amqp_lane *lane);

/* The client leaves: what is held back is still sent, then its slots are closed. GOES_ON, or GONE: there are
 * none.
 */
int amqp_lane_leave(struct amqp_lane *lane);

/* A command from the broker other than channel.close and close-ok; taken over. GOES_ON or REFUSED: a command
 * that was held back until now breaks a rule. */
int amqp_lane_hear(struct amqp_lane *lane, enum amqp_side side, struct amqp_command *command,
                   struct amqp_exception *e);

/* What the first command held back has waited for may be over. GOES_ON or REFUSED. */
int amqp_lane_resume(struct amqp_lane *lane, struct amqp_exception *e);

/* The broker's channel.close, taken over; the slot on that side is no longer the lane's. NULL: there was no
 * memory to keep it, after a Close of our own. GOES_ON, GONE or FATAL. */
int amqp_lane_hear_close(struct amqp_lane *lane, enum amqp_side side, struct amqp_command *command,
                         struct amqp_exception *e);

/* Its close-ok; likewise. */
int amqp_lane_hear_close_ok(struct amqp_lane *lane, enum amqp_side side, struct amqp_exception *e);

#endif
