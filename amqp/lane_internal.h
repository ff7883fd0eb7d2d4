/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_LANE_INTERNAL_H
#define AMQP_LANE_INTERNAL_H

/* Between lane.c and lane_end.c. */

#include "amqp/lane.h"

/* Nothing that was held back will be sent any more; but a Close must be answered. */
void amqp_lane_forget(struct amqp_lane *lane);

/* Queues a command for the client. Takes it over. NULL: there was no memory to make it. */
void amqp_lane_tell(struct amqp_lane *lane, struct amqp_command *command);
void amqp_lane_tell_close_ok(struct amqp_lane *lane);

/* OPEN to CLOSING, with the client's Close, which is taken over. */
void amqp_lane_close(struct amqp_lane *lane, struct amqp_command *close);

/* In LEAVING: there is nothing more to send. */
void amqp_lane_let_go(struct amqp_lane *lane);

/* Its slots are nothing to it any more, and closed. */
void amqp_lane_let_slots_go(struct amqp_lane *lane);

#endif
