/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_RULES_ARGUMENTS_H
#define AMQP_RULES_ARGUMENTS_H

/* The values of optional arguments that crash the process of a channel, and with it the connection (541). */

#include <amqp.h>
#include <stdbool.h>

enum amqp_arguments_verdict {
    AMQP_ARGUMENTS_SAFE,
    AMQP_ARGUMENTS_REFUSED, /* 406 from RabbitMQ 3.10 here; it need not see them, though */
    AMQP_ARGUMENTS_CRASH,   /* 541 */
};

/*
 * Of queue.declare, not passive: x-queue-master-locator; x-queue-type, which crashes where the broker is to
 * find a name and is refused where there is one; x-max-age without a number, which crashes for a stream.
 */
enum amqp_arguments_verdict amqp_queue_arguments_judge(const amqp_table_t *arguments, amqp_bytes_t name);

/* Of basic.consume: x-credit (which can leave a durable queue dead), x-stream-offset. */
bool amqp_consume_arguments_are_safe(const amqp_table_t *arguments);

#endif
