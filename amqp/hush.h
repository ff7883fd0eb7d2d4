/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_HUSH_H
#define AMQP_HUSH_H

/*
 * RabbitMQ 3.10 crashes the channel, and with it the connection, of whoever publishes, commits or cancels
 * while a quorum queue or a stream that this concerns is deleted, or a stream made: from when the broker
 * begins until it answers (541, 506). What a publish concerns can't be known, for it may go by any binding,
 * and there is no answer to it. So such commands are sent in a hush:
 *
 *     NONE ─ somebody asks ─► SETTLING ─ what was published is through ─► QUIET ─ all answered ─► NONE
 *
 * In SETTLING and QUIET nobody's publishes, commits and cancels are sent: they wait in their lanes. Each
 * channel on which one was sent lately is asked to say when it is through, by a channel.flow with active=1,
 * which changes nothing and is answered in its turn. In QUIET those go on who had asked. Who asks later waits
 * for the next hush, which begins no sooner than after as long as the last one took.
 *
 * A channel that does not answer for five seconds, while the connection is not blocked, is not waited for any
 * more; a command neither. Such a hush prevents nothing, but one channel must not keep all from publishing.
 */

#include "amqp/names.h"
#include "amqp/slots.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <stdint.h>

struct amqp_command;
struct amqp_hub;
struct amqp_lane;

struct amqp_hush {
    enum {
        AMQP_HUSH_NONE,
        AMQP_HUSH_SETTLING,
        AMQP_HUSH_QUIET,
    } state;
    TAILQ_HEAD(, amqp_asking) waiting; /* in AMQP_ASKING_HUSH */
    unsigned due;                      /* SETTLING: channels that have yet to say that they are through */
    bool is_short;                     /* memory was, so that some are yet to be asked */
    unsigned admitted;                 /* commands that may pass, or are not answered yet */
    unsigned given_up;                 /* likewise, for which nobody waits any more */
    uint64_t patience_ms;              /* SETTLING, QUIET: when those that are awaited are given up */
    uint64_t begun_ms;
    uint64_t until_ms; /* QUIET: it lasts at least so long */
    uint64_t rest_ms;  /* NONE: until then no other begins */
};

void amqp_hush_init(struct amqp_hush *hush);

/* Whether commands of this method wait. */
static inline bool amqp_hush_holds(const struct amqp_hush *hush, uint32_t method)
{
    return hush->state != AMQP_HUSH_NONE &&
           (method == AMQP_BASIC_PUBLISH_METHOD || method == AMQP_TX_COMMIT_METHOD ||
            method == AMQP_BASIC_CANCEL_METHOD);
}

/* The lane, which knows the type of its queue, asks for a hush; it is resumed in AMQP_ASKING_QUIET. */
void amqp_hush_ask(struct amqp_lane *lane);

/* The lane asks no more. */
void amqp_hush_leave(struct amqp_lane *lane);

/* A command that was sent in the hush has been answered, or has failed. */
void amqp_hush_answered(struct amqp_hub *hub);

/* A command is on its way to the broker. */
void amqp_hush_note_sent(struct amqp_hub *hub, const struct amqp_command *command);

/* What the broker says on a slot. True: it answers a question of ours, and is nobody else's business. */
bool amqp_hush_hear(struct amqp_slot *slot, uint32_t method);

/* The slot's channel is closed at the broker. */
void amqp_hush_slot_over(struct amqp_slot *slot);

/* Begins and ends hushes, lets those go on who have waited. May end members and destroy lanes. */
void amqp_hush_run(struct amqp_hub *hub);

/* When something is due: the next one that somebody waits for, or the end of patience. UINT64_MAX: nothing.
 */
uint64_t amqp_hush_deadline(const struct amqp_hub *hub);

/* The connection is lost: what its channels have yet to say, maybe to those in another hub's hush, is not
 * waited for. Its members have not been told yet. */
void amqp_hush_slots_lost(struct amqp_hub *hub);

/* The connection is lost, and all members are cut off. */
void amqp_hush_clear(struct amqp_hub *hub);

#endif
