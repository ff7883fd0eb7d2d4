/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_RULES_ARGUMENTS_H
#define AMQP_RULES_ARGUMENTS_H

/* The values of optional arguments that crash the process of a channel, and with it the connection (541). */

#include <amqp.h>
#include <stdbool.h>

/* Of queue.declare, not passive: x-queue-type, x-queue-master-locator, x-max-age. */
bool amqp_queue_arguments_are_safe(const amqp_table_t *arguments);

/* Of basic.consume: x-credit (which can leave a durable queue dead), x-stream-offset. */
bool amqp_consume_arguments_are_safe(const amqp_table_t *arguments);

#endif
