/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_MODEL_QUEUES_H
#define TESTS_AMQP_MODEL_QUEUES_H

/*
 * The queues of the model broker: messages, consumers with their prefetch, what is unacknowledged. The
 * default exchange leads to them; a queue is there as soon as its name is used.
 *
 * Names that begin with "auto" are auto-delete. On those that begin with "quorum" RabbitMQ's crash is
 * modelled: a consumer tag that is used again while messages of its last use are unacknowledged.
 */

#include "amqp/command.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <stdbool.h>

struct model_broker;

struct model_message {
    TAILQ_ENTRY(model_message) entry; /* in its queue, or unacknowledged on a channel */
    struct amqp_command *content;
    struct model_queue *queue;
    uint64_t number; /* of its publishing: where it goes when it is requeued */
    bool is_redelivered;
    uint64_t tag;       /* unacknowledged: its delivery tag */
    char consumer[256]; /* likewise; "": it was got */
};
TAILQ_HEAD(model_messages, model_message);

struct model_consumer {
    TAILQ_ENTRY(model_consumer) entry; /* in its queue, the next one to be served first */
    char tag[256];
    uint16_t channel;
    bool is_confirmed; /* consume-ok has gone out */
    bool no_ack;
    bool is_exclusive;
    unsigned prefetch; /* 0: any number */
    unsigned unacked;
};

struct model_queue {
    LIST_ENTRY(model_queue) entry;
    char name[256];
    struct model_messages messages;
    TAILQ_HEAD(, model_consumer) consumers;
};

/* A channel's part in it. */
struct model_deliveries {
    uint64_t last_tag;
    unsigned prefetch; /* of the next consumer */
    unsigned limit;    /* of all consumers together; 0: none */
    struct model_messages unacked;
    unsigned unacked_count;
};

void model_publish(struct model_broker *model, const struct amqp_command *command);
void model_consume(struct model_broker *model, uint16_t channel, const amqp_basic_consume_t *consume);
void model_consume_ok_gone(struct model_broker *model, uint16_t channel, struct amqp_span tag);
void model_cancel(struct model_broker *model, uint16_t channel, const amqp_basic_cancel_t *cancel);
void model_qos(struct model_broker *model, uint16_t channel, const amqp_basic_qos_t *qos);
void model_get(struct model_broker *model, uint16_t channel, const amqp_basic_get_t *get);

/* basic.ack, nack or reject: `requeue` false: the messages are gone. */
void model_settle(struct model_broker *model, uint16_t channel, uint32_t method, uint64_t tag, bool multiple,
                  bool requeue);

/* Notes as fatal that something unacknowledged of a channel is of a stream. */
void model_die_by_stream(struct model_broker *model, uint16_t channel, uint32_t method);

/* Everything unacknowledged of a channel is requeued; model_push delivers it again. */
void model_recover(struct model_broker *model, uint16_t channel);
void model_push(struct model_broker *model);

/* The channel is gone: its consumers too, and its unacknowledged messages are requeued. */
void model_leave_queues(struct model_broker *model, uint16_t channel);

/* Somebody else deletes the queue, which is not made anew. */
void model_delete_queue(struct model_broker *model, const char *name);

/* It goes, and its consumers with it, who are told. */
void model_drop_queue(struct model_broker *model, const char *name);

struct model_consumer *model_find_consumer(struct model_broker *model, uint16_t channel);
unsigned model_queue_depth(struct model_broker *model, const char *name); /* ready messages */
unsigned model_queue_consumers(struct model_broker *model, const char *name);

void model_queues_clear(struct model_broker *model);

#endif
