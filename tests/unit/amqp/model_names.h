/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_MODEL_NAMES_H
#define TESTS_AMQP_MODEL_NAMES_H

/*
 * Which queues of the model broker are there, and whose. This is done by RabbitMQ's rules for names that
 * begin with "x" and those that the broker makes up; other queues are always there and everybody's: quorum
 * queues and streams where the name begins so, otherwise classic ones.
 *
 * RabbitMQ lets every channel of the connection use its exclusive queues. The model knows the session behind
 * a channel, and notes it as fatal when one's command reaches another one's exclusive queue: a trespass.
 *
 * RabbitMQ's crash is modelled: from when a stream is made, or a stream or quorum queue deleted, until that
 * is answered, no other channel may publish, commit or cancel, whatever it is about.
 */

#include "amqp/command.h"
#include <stdbool.h>

struct model_broker;

#define MODEL_NAMES 32

/* Sessions are numbers from 0. */
enum {
    MODEL_PROXY = -1,     /* on a channel: the proxy's own */
    MODEL_ANYBODY = -2,   /* of a queue: it is not exclusive */
    MODEL_ELSEWHERE = -3, /* of a queue: it is exclusive to another connection */
};

enum model_type { MODEL_CLASSIC, MODEL_QUORUM, MODEL_STREAM };

struct model_name {
    char text[256]; /* "": this entry is free */
    int owner;
    enum model_type type;
};

struct model_names {
    struct model_name list[MODEL_NAMES];
    unsigned made_up;
    bool refuses_deletes; /* with 403: the user may not */
    bool is_lenient; /* it does not die of what is said at the wrong time: the hub has given up waiting */

    /* Who is behind a channel that is opened, whether a session still goes on, and up to where its
     * deliveries may be acknowledged. */
    int (*session_of)(void *ctx, uint16_t channel);
    bool (*is_joined)(void *ctx, int session);
    uint64_t (*acks_due_to)(void *ctx, uint16_t channel);
    void *ctx;
};

/*
 * A method that names a queue. True: that was all, it is answered, or the channel closed. False: it is for
 * the queue to do, or there is nothing to it.
 */
bool model_names_handle(struct model_broker *model, uint16_t channel, const struct amqp_command *command,
                        void *decoded);

/* A command of that method is handled on a channel: notes as fatal what must not happen just then. */
void model_names_disturb(struct model_broker *model, uint16_t channel, uint32_t method);

/* A queue comes or goes by no doing of the clients'. False: there are MODEL_NAMES already. */
bool model_names_add(struct model_broker *model, const char *text, int owner);
void model_names_remove(struct model_broker *model, const char *text);

enum model_type model_names_type(const struct model_broker *model, const char *text);

/* The queue's owner. False: it is not there. */
bool model_names_owner(const struct model_broker *model, const char *text, int *owner);

/* How many there are of a session's. */
unsigned model_names_count(const struct model_broker *model, int owner);

#endif
