/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_QUEUE_TYPES_H
#define AMQP_QUEUE_TYPES_H

/*
 * Commands that RabbitMQ ends the connection for when the queue is of one type, and carries out when it is of
 * another. Such a command waits for a probe that begins after it came: a consume that can't succeed, whose
 * refusal tells the type. From the beginning of the probe until the broker has answered the command, nobody
 * who shares the connection may declare or delete a queue of that name (amqp_name.pins), so the type can't
 * change; nor can a stream go that is just being consumed, which ends a connection, too (506).
 */

#include "amqp/command.h"
#include "amqp/exception.h"
#include "amqp/names.h"
#include "amqp/queue_subject.h"

struct amqp_hub;

/* The lane, whose first unsent command of this kind the name has let pass, asks for the type. It may know the
 * answer at once (amqp/known_types.h). */
void amqp_types_ask(struct amqp_lane *lane, struct amqp_name *name, enum amqp_use_kind kind);

/* Those of the name whose answer is there may go on. False: there are none. */
bool amqp_types_resume_one(struct amqp_name *name);

/* The lane asks no more. */
void amqp_types_leave(struct amqp_lane *lane);

/* Whether what the lane has asked for, whose type it knows, must be sent in a hush (amqp/hush.h). */
bool amqp_types_need_hush(const struct amqp_asking *asking);

/* The pin of a lane whose type is known goes over to the command, which passes now, and its hush. */
void amqp_types_hand_over(struct amqp_lane *lane, struct amqp_use *use);

/* A command passes that does not need to know the type. */
void amqp_types_pin(struct amqp_name *name);

/* A command has been answered, or has failed. */
void amqp_types_unpin(struct amqp_hub *hub, struct amqp_name *name, enum amqp_use_kind kind);

/*
 * Judges a command about a queue whose type the lane knows, and notes consumers of streams. 0, or -1 with
 * `*e`.
 */
int amqp_types_judge(struct amqp_lane *lane, struct amqp_name *name, uint32_t method, const void *decoded,
                     struct amqp_exception *e);

/* The same for commands that name no queue: nack, reject, recover, and qos, which is noted. */
int amqp_types_judge_channel(struct amqp_lane *lane, uint32_t method, const void *decoded,
                             struct amqp_exception *e);

#endif
