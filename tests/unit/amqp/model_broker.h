/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_MODEL_BROKER_H
#define TESTS_AMQP_MODEL_BROKER_H

/*
 * A broker as far as a shared connection can be killed: it keeps account of channels, consumer tags and
 * transactions as RabbitMQ does, and notes the first thing that RabbitMQ would have closed the connection
 * for. Answers wait until they are let go, so that a test can put anything in between.
 *
 * queue.declare of a name beginning with "missing", passive, is a 404 on its channel, and so is publishing to
 * an exchange. Queues are those of model_queues.h.
 */

#include "amqp/assembler.h"
#include "amqp/front.h"
#include "tests/unit/amqp/model_names.h"
#include "tests/unit/amqp/model_queues.h"
#include <amqp.h>

#define MODEL_CHANNELS 64

enum model_state { MODEL_CLOSED, MODEL_OPEN, MODEL_CLOSING };

struct model_channel {
    enum model_state state;
    bool is_committing;
    bool is_fenced; /* the last thing said on it was channel.flow */
    bool is_marked; /* it is not as it was opened */
    bool is_confirming;
    bool is_making;        /* it makes a stream, or deletes one or a quorum queue: see model_names */
    uint64_t confirmed;    /* messages */
    unsigned unconfirmed;  /* likewise, while `is_unsure` */
    int session;           /* MODEL_PROXY: none */
    char last_queue[256];  /* that was declared */
    char named_queue[256]; /* by the command that is being handled */
    struct amqp_command_queue inbox; /* not handled yet, while `is_lazy` */
    struct amqp_assembler assembler;
    struct model_deliveries deliveries;
};

struct model_broker {
    struct model_broker
        *main; /* this is another connection to that one, for publishing only; NULL: it is not */
    struct amqp_front front;
    struct model_channel channels[MODEL_CHANNELS];
    struct amqp_command_queue answers; /* not let go yet */
    struct amqp_command_queue out;
    struct amqp_exception killed; /* code 0: it lives */
    unsigned opened;              /* channels opened in all */
    LIST_HEAD(, model_queue) queues;
    struct model_names names;
    bool is_unsure;    /* messages are not confirmed */
    bool is_lazy;      /* channels handle their commands when they are told to */
    char deleted[256]; /* the queue that is not made anew */
    unsigned commits;  /* tx.commit, for which RabbitMQ would close a channel without transactions */
    unsigned deletes;  /* queue.delete */
    unsigned made_up;  /* consumer tags */
    unsigned published;
    size_t published_bytes;
    unsigned in_a_row; /* publishes on one channel without another's frame between, at most */
    uint16_t last_channel;
    unsigned run;
};

void model_broker_init(struct model_broker *model);
void model_broker_deinit(struct model_broker *model);
void model_broker_feed(struct model_broker *model, const uint8_t *data, size_t len);
size_t model_broker_write(struct model_broker *model, uint8_t *buf, size_t size);

/* Lets a channel handle at most `n` of its commands, or all channels all. Returns how many they were. */
unsigned model_broker_run(struct model_broker *model, uint16_t channel, unsigned n);
unsigned model_broker_run_all(struct model_broker *model);

/* Lets at most `n` answers go. Returns how many went. */
unsigned model_broker_answer(struct model_broker *model, unsigned n);

/* It confirms on all channels what it has not yet. */
void model_broker_confirm(struct model_broker *model);

/* Whether there are any. */
bool model_broker_owes_confirms(const struct model_broker *model);

/* The broker closes a channel by itself, or the connection. */
void model_broker_close_channel(struct model_broker *model, uint16_t channel);
void model_broker_close(struct model_broker *model, const char *text);

unsigned model_broker_open_channels(const struct model_broker *model);

/* --- for model_queues --- */

/* Notes what RabbitMQ closes the connection for. */
void model_kill(struct model_broker *model, enum amqp_code code, uint32_t method, const char *text);

/* Puts an answer in line; content may be added to it. */
struct amqp_command *model_answer(struct model_broker *model, uint16_t channel, uint32_t method,
                                  void *decoded);

/* Closes a channel for an error of its own. */
void model_refuse_channel(struct model_broker *model, uint16_t channel, uint16_t code, uint32_t method,
                          const char *text);

#endif
