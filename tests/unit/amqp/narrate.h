/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_NARRATE_H
#define TESTS_AMQP_NARRATE_H

/* Tells what happens between clients, a hub and its broker, for who wants to know why a play has failed. */

#include "amqp/command.h"
#include "amqp/frame_reader.h"
#include <stdbool.h>

/* Off at first. On, lines go to standard output, and none is lost when the process aborts. */
extern bool narration_is_on;

void narrate(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "client 0 says on 1: channel.open …": the method's name, and the beginning of its arguments. */
void narrate_frame(const char *who, const char *does, const struct amqp_frame *frame);
void narrate_command(const char *who, const char *does, uint16_t channel, const struct amqp_command *command);

#endif
