/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_QUEUE_SUBJECT_H
#define AMQP_QUEUE_SUBJECT_H

#include "amqp/command.h"
#include "amqp/names.h"

/*
 * Which queue a command of a client's is about, found as RabbitMQ finds it: CR and LF are nothing in the
 * names of declare, delete, bind and unbind; an empty name is the queue that the channel has declared last.
 */
enum amqp_subject_how {
    AMQP_SUBJECT_NONE,  /* it names no queue, or one that can't be there */
    AMQP_SUBJECT_NAMED, /* by `text` */
    AMQP_SUBJECT_LAST,  /* the last one declared */
    AMQP_SUBJECT_LOST,  /* likewise, but none was declared on the channel */
    AMQP_SUBJECT_NEW,   /* the broker will find a name */
};

struct amqp_subject {
    enum amqp_subject_how how;
    enum amqp_use_kind kind;
    size_t len;
    uint8_t text[AMQP_QUEUE_NAME_MAX];
};

void amqp_subject_find(const struct amqp_command *command, struct amqp_subject *subject);

/* Clears `nowait` in the decoded method, if it has one. Whether it was set. */
bool amqp_subject_take_nowait(uint32_t method, void *decoded);

/* The method that is answered by `answer`, of those that name queues; 0: none. */
uint32_t amqp_subject_answered_by(uint32_t answer);

#endif
