/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_AMQP_HOSTILE_H
#define TESTS_SIM_AMQP_HOSTILE_H

/* What clients of a rig say that mean no good, so that nobody need find out how to say it. */

#include "tests/unit/amqp/rig.h"

/* HOSTILE, and a second one that is like it; LATECOMER has not logged in, and does so in its own way. */
enum { HOSTILE, BYSTANDER, LATECOMER, HOSTILE_TOO };

/* Bodies up to here are taken; they go in more than one frame. */
enum { HOSTILE_BODY_MAX = 6000 };

/* Who speaks, and how. */
struct hostile {
    struct rig *rig;
    unsigned client; /* HOSTILE or HOSTILE_TOO */
    bool is_civil; /* opens a channel before it uses it, and settles what it may have got: it lives longer */
};

/* At most 255 bytes as they are. */
void hostile_say_bytes(const struct hostile *hostile, const uint8_t *data, size_t len);

void hostile_open(const struct hostile *hostile, uint16_t channel);

/* A whole frame around a payload. */
void hostile_say_frame(const struct hostile *hostile, uint8_t type, uint8_t channel, const uint8_t *payload,
                       size_t len);

/* What is said about consumers and messages, about queues. */
void hostile_say_message_command(const struct hostile *hostile, uint8_t argument, uint8_t second);
void hostile_say_queue_command(const struct hostile *hostile, uint8_t argument);

/* Messages large enough for the limits of what is held, and for that of a body. */
void hostile_say_large(const struct hostile *hostile, uint8_t count, size_t len);

/* A direct reply-to address that was never given out. */
void hostile_say_forged(const struct hostile *hostile, uint8_t argument);

/* A step of the latecomer's on its way in, or when it is. */
void hostile_come_late(struct rig *rig, uint8_t argument);

#endif
