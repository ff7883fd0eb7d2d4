/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_HOSTILE_H
#define TESTS_FUZZ_HOSTILE_H

/* What clients of a rig say that mean no good, so that the fuzzer need not find out how to say it. */

#include "tests/unit/amqp/rig.h"

/* LATECOMER: it has not logged in, and does so in its own way. */
enum { HOSTILE, BYSTANDER, LATECOMER };

/* Bodies up to here are taken; they go in more than one frame. */
enum { HOSTILE_BODY_MAX = 6000 };

/* At most 255 bytes as they are. */
void hostile_say_bytes(struct rig *rig, const uint8_t *data, size_t len);

void hostile_open(struct rig *rig, uint16_t channel);

/* A whole frame around a payload. */
void hostile_say_frame(struct rig *rig, uint8_t type, uint8_t channel, const uint8_t *payload, size_t len);

/* What is said about consumers and messages, about queues. */
void hostile_say_message_command(struct rig *rig, uint8_t argument, uint8_t second);
void hostile_say_queue_command(struct rig *rig, uint8_t argument);

/* Messages large enough for the limits of what is held, and for that of a body. */
void hostile_say_large(struct rig *rig, uint8_t count, size_t len);

/* A direct reply-to address that was never given out. */
void hostile_say_forged(struct rig *rig, uint8_t argument);

/* A step of the latecomer's on its way in, or when it is. */
void hostile_come_late(struct rig *rig, uint8_t argument);

#endif
