/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_OUTLET_H
#define AMQP_OUTLET_H

/*
 * Where a channel publishes when that is done on a connection of its own: a second slot, on the publishing
 * hub, from the channel's first basic.publish or confirm.select on. Everything else is said on the main one.
 *
 * A channel's commands are done in the order in which they were said, on whichever side: before the first one
 * on the other side passes, all that was said on this side must be known to be done. That is so when its
 * answers are there, or its confirms; where there are none a fence asks for it: channel.flow with active=1,
 * which changes nothing, and which RabbitMQ answers when it has done all before it.
 *
 *                  ┌── publish: all answered, or a fence ──►┐
 *     the main side                                        the publishing side
 *                  └◄── anything else: confirmed, or a fence ──┘
 *
 * Acknowledgements are not waited for: they take away what was delivered, and nothing that is published can
 * be in their way. One that gives something back is, and one that will be refused.
 *
 * What can't be taken apart binds a channel to the main side for good: transactions, which acknowledgements
 * are a part of, and a consumer of amq.rabbitmq.reply-to, whose requests must be published beside it. So is
 * every channel of a member that has no publishing hub.
 */

#include "amqp/command.h"
#include "amqp/deliveries.h"
#include "amqp/exception.h"
#include "amqp/seat.h"

struct amqp_lane;

/* What was said on one side and is not known to be done. */
struct amqp_debt {
    unsigned due;  /* answers that come when it is done */
    bool is_loose; /* behind the last that will be answered, something was said that won't be */
};

struct amqp_outlet {
    struct amqp_slot *slot; /* NULL: nothing is published apart, or not yet */
    enum amqp_side side;    /* of the client's last command */
    bool is_bound;          /* all is said on the main side */
    bool is_confirming;     /* confirm.select was said */
    bool has_fence;         /* a fence is to be answered, on `side` */
    unsigned flows;         /* answers to the client's own channel.flow that come before it */
    struct amqp_debt debts[AMQP_SIDES];
    uint64_t published;                 /* on the publishing side, to be confirmed */
    struct amqp_deliveries unconfirmed; /* of these, those that are not yet */
};

void amqp_outlet_init(struct amqp_lane *lane);
void amqp_outlet_deinit(struct amqp_lane *lane);

/* Where a command of the client's belongs. */
enum amqp_side amqp_outlet_side(const struct amqp_lane *lane, const struct amqp_command *command);

/* Whether a command, the client's next one, may pass as far as the other side is concerned; what must be
 * asked for that is. 1, 0, or -1 with `*e`. */
int amqp_outlet_is_ready(struct amqp_lane *lane, const struct amqp_command *command,
                         struct amqp_exception *e);

/* It passes, on the main side: what binds the channel does. 0 or -1 with `*e`. */
int amqp_outlet_pass_by(struct amqp_lane *lane, const struct amqp_command *command, struct amqp_exception *e);

/* It passes, on the publishing side. Takes it over. 0 or -1 with `*e`. */
int amqp_outlet_send(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e);

/* A command, the client's or ours, was queued on the main slot. */
void amqp_outlet_note(struct amqp_lane *lane, const struct amqp_command *command);

/* An acknowledgement that the broker will refuse is about to be. */
void amqp_outlet_expect_refusal(struct amqp_lane *lane);

/* What the broker says, on either side; made such as the client knows it. False: it is not for the client. */
bool amqp_outlet_hear(struct amqp_lane *lane, enum amqp_side side, struct amqp_command *command);

/* Whether all that was published is known to be done, and confirmed if that is due. */
bool amqp_outlet_is_done(const struct amqp_lane *lane);

/* Whether a fence on this side is to be answered. */
bool amqp_outlet_has_fence(const struct amqp_lane *lane, enum amqp_side side);

#endif
