/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_INTAKE_TERMS_H
#define AMQP_INTAKE_TERMS_H

/* What the broker is asked for, in the place of what a client asked for: the table in DIRECT.md, "Slow
 * consumers". */

#include "amqp/intake.h"
#include <amqp.h>
#include <amqp_framing.h>

/* Whether it is passed as it is: for replies, which come to those who asked and must be taken with no_ack,
 * and for a stream, which would begin at its offset again. */
bool amqp_consume_is_relayed(const amqp_basic_consume_t *consume);

/* Whether another consumer of the queue may take its place, so that nobody notices. */
bool amqp_consumer_can_be_replaced(struct amqp_lane *lane, const struct amqp_consumer *consumer,
                                   struct amqp_span queue);

/* What a consumer gets at first, in the mode that the channel is in or about to be in; `is_fixed`: it can't
 * be replaced. */
struct amqp_terms amqp_terms_at_first(const struct amqp_lane *lane, const struct amqp_consumer *consumer,
                                      bool is_fixed);

/* What a wide consumer should have now instead of the tap that it has. */
struct amqp_terms amqp_terms_now(const struct amqp_lane *lane, const struct amqp_tap *tap);

/* Whether a wide consumer's client may wait for a message that it does not get: it holds as many as the tap
 * may deliver. */
bool amqp_tap_is_full(const struct amqp_tap *tap);

#endif
