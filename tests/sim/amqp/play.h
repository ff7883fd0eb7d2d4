/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_AMQP_PLAY_H
#define TESTS_SIM_AMQP_PLAY_H

/*
 * A play: | settings | manners | a program of steps, | step | argument | bytes … | … |.
 *
 * Clients share a connection to the model broker, which is as strict as RabbitMQ, or have one more for
 * publishing. HOSTILE and HOSTILE_TOO say whatever the play has, frames or garbage, and read or don't.
 * BYSTANDER works on one channel, on an exclusive queue. LATECOMER has not logged in yet. The broker takes
 * its time with commands and answers, runs channels in any order, closes channels and deletes queues by
 * itself.
 *
 * Whatever happens, nothing that RabbitMQ would close the connection for may come out, and nothing that
 * touches BYSTANDER's queue, who must not notice; all are answered in order (tests/unit/amqp/ledger.h), what
 * is unacknowledged must be known exactly, and in the end nothing may be left. Nor when a connection is lost,
 * the broker has lost its mind, or a client is gone.
 */

#include <stddef.h>
#include <stdint.h>

/* The first byte of a play, a bit for each of the settings. */
enum {
    PLAY_PAIR = 1,       /* clients publish on a connection of its own */
    PLAY_VHOST_LATE = 2, /* hubs are told their vhost when they have logged in */
    PLAY_NONE_KEPT = 4,
    PLAY_NO_BELIEF = 8, /* in types of queues */
    PLAY_CLASSIC = 16,  /* queues only */
    PLAY_LITTLE = 32,   /* memory */
    PLAY_PATIENCE = 64, /* the hostile ones are read when they should be */
    PLAY_DOUBT = 128,   /* the broker confirms when it is told to */
};

/* The second byte: how the hostile ones are. */
enum {
    PLAY_CIVIL = 1,     /* HOSTILE keeps to the protocol, but for its raw frames */
    PLAY_CIVIL_TOO = 2, /* so does HOSTILE_TOO */
    PLAY_TWO = 4,       /* there is HOSTILE_TOO */
};

/* In the first byte of a step: it is HOSTILE_TOO's. */
enum { PLAY_BY_OTHER = 128 };

/*
 * Steps: what it is, but for that bit, modulo PLAY_STEPS; an argument; bytes. Those that say bytes or frames
 * have as many bytes as their argument says, of which the first is the channel of a frame; a message command
 * has one, RAVE all that are left.
 */
#define PLAY_STEPS_ARE(X)                                                                                    \
    X(BYTES, "says bytes")                                                                                   \
    X(METHOD_FRAME, "says a method frame")                                                                   \
    X(HEADER_FRAME, "says a header frame")                                                                   \
    X(BODY_FRAME, "says a body frame")                                                                       \
    X(OPEN, "opens a channel")                                                                               \
    X(PUMP_WITHOUT_ANSWERS, "all goes on but answers")                                                       \
    X(ANSWER, "some answers go out")                                                                         \
    X(CLOSE_CHANNEL, "the broker closes a channel")                                                          \
    X(SET_READING, "the brokers read, or don't")                                                             \
    X(QUEUE_COMMAND, "names a queue")                                                                        \
    X(SET_LAZY, "the brokers take their time, or don't")                                                     \
    X(RUN, "a channel does some commands")                                                                   \
    X(REMOVE_EXCLUSIVE, "the broker loses an exclusive queue")                                               \
    X(PUMP, "all goes on")                                                                                   \
    X(SET_DEAF, "reads, or doesn't")                                                                         \
    X(DELETE_QUEUE, "somebody else deletes a queue")                                                         \
    X(MESSAGE_COMMAND, "is about messages")                                                                  \
    X(HAPPEN, "something happens")                                                                           \
    X(COME_LATE, "the latecomer takes a step")                                                               \
    X(DECIDE, "somebody decides something")                                                                  \
    X(RAVE, "a broker says what it should not")

enum play_step {
#define X(name, text) PLAY_##name,
    PLAY_STEPS_ARE(X)
#undef X
        PLAY_STEPS
};

/* The length of the step there, which has all `left` bytes at most. */
size_t play_step_len(const uint8_t *step, size_t left);

/* Aborts when something is not as it must be. */
void play(const uint8_t *data, size_t size);

#endif
