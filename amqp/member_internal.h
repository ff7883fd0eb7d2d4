/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_MEMBER_INTERNAL_H
#define AMQP_MEMBER_INTERNAL_H

/* Between member.c, member_end.c and member_down.c. */

#include "amqp/member.h"

/* Nothing that is in line for the client will be written. */
void amqp_member_drop_down(struct amqp_member *member);

/* Tells the client, unless it was told: what it asked for, or what it did. */
void amqp_member_tell_end(struct amqp_member *member, uint64_t now);

/* JOINED to ENDING. */
void amqp_member_begin_end(struct amqp_member *member, uint64_t now);

/* The broker has said something for a member: if it ends, there may be more to come before its client is
 * told. */
void amqp_member_answered(struct amqp_member *member);

/* If it is the only one to be read while memory is short, another one may be. */
void amqp_member_favour_no_more(struct amqp_member *member);

/* The lane is finished. */
void amqp_member_drop_lane(struct amqp_member *member, struct amqp_lane *lane);

#endif
