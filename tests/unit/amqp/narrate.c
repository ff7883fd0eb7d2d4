/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/narrate.h"
#include "amqp/method_spec.h"
#include "amqp/wire.h"
#include <amqp.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

enum { ARGUMENTS_MAX = 48 };

bool narration_is_on;

void narrate(const char *format, ...)
{
    va_list arguments;
    if (!narration_is_on)
        return;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
}

static void put_octets(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len && i < ARGUMENTS_MAX; i++)
        printf(isgraph(data[i]) ? "%c" : "\\%x", data[i]);
    puts(len > ARGUMENTS_MAX ? "…" : "");
}

static void narrate_method(const char *who, const char *does, uint16_t channel, const uint8_t *payload,
                           size_t len)
{
    printf("%-13s %-7s %2u: %s ", who, does, channel, amqp_method_name(len >= 4 ? amqp_get_u32(payload) : 0));
    put_octets(payload + 4, len >= 4 ? len - 4 : 0);
    fflush(stdout);
}

void narrate_frame(const char *who, const char *does, const struct amqp_frame *frame)
{
    if (!narration_is_on)
        return;
    if (frame->type == AMQP_FRAME_METHOD)
        narrate_method(who, does, frame->channel, frame->payload, frame->size);
    else
        narrate("%-13s %-7s %2u: a frame of type %u, %zu bytes\n", who, does, frame->channel, frame->type,
                (size_t)frame->size);
}

void narrate_command(const char *who, const char *does, uint16_t channel, const struct amqp_command *command)
{
    if (narration_is_on)
        narrate_method(who, does, channel, command->payload, command->payload_len);
}
