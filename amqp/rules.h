/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_RULES_H
#define AMQP_RULES_H

/*
 * What RabbitMQ closes a whole connection for although it is well formed: arguments that it does not
 * implement or that crash the process of a channel. rules.c is the list. A client that breaks a rule is
 * answered as RabbitMQ would have answered, and the broker never sees the command.
 *
 * These rules look at one command alone. What depends on the state of a channel is the channel's business.
 */

#include "amqp/command.h"
#include "amqp/exception.h"

struct amqp_rules {
    /* Types of exchanges that the operator allows beside direct, fanout, topic and headers; NULL at the end.
     * NULL: none. A type that the broker lacks ends the shared connection. */
    const char *const *exchange_types;

    /* Types of queues that clients may declare by x-queue-type; NULL at the end. NULL: all. RabbitMQ may
     * crash when streams and quorum queues come and go (DIRECT.md), which ends the shared connection. */
    const char *const *queue_types;

    uint64_t body_max; /* bytes of a body; of what is longer the assembler has kept no body */

    /* Whether the broker has issued this direct reply-to token ("amq.rabbitmq.reply-to.A.B") to a client of
     * ours: one that can't be decoded ends the shared connection. NULL: none is known. */
    bool (*is_reply_token)(void *ctx, struct amqp_span token);
    void *ctx;
};

/*
 * Whether the command, which has passed the assembler and is `decoded`, keeps all rules. Otherwise false and
 * `*e`: of connection scope, but for arguments that RabbitMQ refuses with 406.
 */
bool amqp_rules_check(const struct amqp_rules *rules, const struct amqp_command *command, const void *decoded,
                      struct amqp_exception *e);

/* Whether a queue name or routing key is a direct reply-to token: "amq.rabbitmq.reply-to." and more. */
bool amqp_is_reply_address(struct amqp_span name);

/* Whether it is the name under which direct replies are consumed: "amq.rabbitmq.reply-to". */
bool amqp_is_reply_queue(struct amqp_span name);

#endif
