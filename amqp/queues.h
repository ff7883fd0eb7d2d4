/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_QUEUES_H
#define AMQP_QUEUES_H

/*
 * Who may use which queue when. To RabbitMQ an exclusive queue belongs to the shared connection, so that all
 * who share it could use it; here it belongs to the member that declared it. For the broker handles channels
 * side by side, this holds of every name at any time:
 *
 *   - While an exclusive declare of it is under way, or a member owns it, only that member's commands that
 *     name it are under way. An exclusive declare waits until all others are answered.
 *   - While it is being deleted, no other channel's declares and deletes of it are under way.
 *
 * So every command that names a queue is noted until it is answered, and has an answer: nowait is turned off
 * towards the broker, and the answer kept from the client. Who meets an owned name waits for a check whether
 * the queue is still there (it may have gone by itself), then is refused with 405, or goes on. Who waits for
 * a name waits in line.
 *
 * When a member ends its queues are checked, deleted if they are still ours, and only then is it over.
 */

#include "amqp/command.h"
#include "amqp/exception.h"
#include "amqp/names.h"
#include "amqp/queue_subject.h"

struct amqp_hub;
struct amqp_member;

/* Commands of one channel that name a queue and are not answered yet: past it they wait. */
#define AMQP_USES_MAX 16

/* Exclusive queues of a member, where the configuration says 0. */
#define AMQP_EXCLUSIVE_MAX_DEFAULT 1024

/* What a hub knows of queues. */
struct amqp_queues {
    struct amqp_names names;
    struct amqp_owner orphans; /* queues whose owner has gone and that could not be deleted */
};

void amqp_queues_init(struct amqp_queues *queues, uint32_t seed);

/* Whether the first command that a lane has not sent yet must wait for its queue. It may be asked again. */
bool amqp_queues_must_wait(struct amqp_lane *lane, const struct amqp_command *command);

/* The command, which need not wait, goes to the broker; `decoded` may be changed. 0, or -1 with `*e`. */
int amqp_queues_pass(struct amqp_lane *lane, const struct amqp_command *command, void *decoded,
                     struct amqp_exception *e);

/* The lane waits no more, and forgets what it knew. */
void amqp_queues_forget(struct amqp_lane *lane);

/*
 * The same for a consume of the proxy's own on the lane's slot; the answer will be quiet. 0, or -1: not now,
 * or no memory. With no_ack (`is_typed`) a stream would end the connection, so it waits for the type in the
 * place of the lane's next command, and the lane is resumed when it is worth another try; otherwise it does
 * so only if the lane's mode is to change.
 */
int amqp_queues_use(struct amqp_lane *lane, const struct amqp_command *consume, bool is_typed);

/* The lane waits for nothing of that kind. */
void amqp_queues_leave(struct amqp_lane *lane);

/* The queue that a command without a name would be about now; false: none that is known. */
bool amqp_queues_last(const struct amqp_slot *slot, struct amqp_subject *subject);

/* What the broker says on a member's slot. False: it is not for the client's eyes. */
bool amqp_queues_hear(struct amqp_hub *hub, struct amqp_slot *slot, const struct amqp_command *command);

/* The broker has closed the slot: what was under way there has failed. */
void amqp_queues_slot_over(struct amqp_hub *hub, struct amqp_slot *slot);

/* Lets those go on whose wait is over. May end members and destroy lanes. */
void amqp_queues_run(struct amqp_hub *hub);

/*
 * Deletes the member's exclusive queues; none of its slots is in use. True: there are none. False:
 * amqp_member_released comes when they are gone.
 */
bool amqp_queues_release(struct amqp_hub *hub, struct amqp_member *member);

/* The connection is lost, and the member's queues with it. */
void amqp_queues_abandon(struct amqp_member *member);

/* The connection is lost: nothing is left of it. No member may own anything. */
void amqp_queues_clear(struct amqp_hub *hub);

/* --- between queues.c, queue_uses.c and exclusive.c --- */

/* A command passes: `use`, filled in but for its place in the line, is taken over. */
void amqp_uses_begin(struct amqp_slot *slot, struct amqp_use *use);

/* Whether the exclusive queue of that name, there or being declared, is the member's. */
static inline bool amqp_member_owns(const struct amqp_member *member, const struct amqp_name *name)
{
    return name->owner != NULL && name->owner->member == member;
}

/* How many exclusive queues a member may have. */
unsigned amqp_queues_max(const struct amqp_hub *hub);

/* Finds out whether the queue of an OWNED name is still there, unless that is under way. */
void amqp_queues_check(struct amqp_hub *hub, struct amqp_name *name);

/* Checks `n` queues of an owner's that has many, those first that were not looked at for the longest time,
 * lest queues that went by themselves add up. */
void amqp_queues_look_after(struct amqp_hub *hub, struct amqp_owner *owner, unsigned n);

/* Something has changed for those who wait. */
void amqp_queues_changed(struct amqp_hub *hub, struct amqp_name *name);

#endif
