/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_MODEL_BROKER_H
#define TESTS_AMQP_MODEL_BROKER_H

/*
 * A broker as far as a shared connection can be killed: it keeps account of channels, consumer tags and
 * transactions as RabbitMQ does, and notes the first thing that RabbitMQ would have closed the connection
 * for. Answers wait until they are let go, so that a test can put anything in between.
 *
 * queue.declare of a name beginning with "missing", passive, is a 404 on its channel. What is published on a
 * channel with a consumer is delivered there.
 */

#include "amqp/assembler.h"
#include "amqp/front.h"
#include "amqp/tags.h"
#include <amqp.h>

#define MODEL_CHANNELS 64

enum model_state { MODEL_CLOSED, MODEL_OPEN, MODEL_CLOSING };

struct model_channel {
    enum model_state state;
    bool is_committing;
    char consumer[256]; /* the last one's tag */
    struct amqp_tags tags;
    struct amqp_assembler assembler;
    uint64_t deliveries;
};

struct model_broker {
    struct amqp_front front;
    struct model_channel channels[MODEL_CHANNELS];
    struct amqp_command_queue answers; /* not let go yet */
    struct amqp_command_queue out;
    struct amqp_exception killed; /* code 0: it lives */
    unsigned opened;              /* channels opened in all */
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

/* Lets at most `n` answers go. Returns how many went. */
unsigned model_broker_answer(struct model_broker *model, unsigned n);

/* The broker closes a channel by itself, or the connection. */
void model_broker_close_channel(struct model_broker *model, uint16_t channel);
void model_broker_close(struct model_broker *model, const char *text);

/* It cancels the last consumer of a channel. */
void model_broker_cancel(struct model_broker *model, uint16_t channel);

unsigned model_broker_open_channels(const struct model_broker *model);

#endif
