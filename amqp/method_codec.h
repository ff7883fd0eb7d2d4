/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_METHOD_CODEC_H
#define AMQP_METHOD_CODEC_H

/*
 * rabbitmq-c's decoder and encoder on commands. Only what passed amqp_method_check goes in, so neither fails
 * but for want of memory.
 */

#include "amqp/command.h"
#include <amqp.h>

/* The method's structure (amqp_queue_declare_t …) in `pool`. It refers to the command. NULL: no memory. */
void *amqp_command_decode(const struct amqp_command *command, amqp_pool_t *pool);

/*
 * Encodes the command's arguments anew from `decoded`, which may refer to them: what it did not understand of
 * the original (spare bits, odd booleans) is gone then. 0 or -1: no memory, nothing changed.
 */
int amqp_command_encode(struct amqp_command *command, void *decoded);

/*
 * A new command with the arguments of `decoded`, which may refer to those of `like` and be up to `more` bytes
 * longer. NULL: no memory.
 */
struct amqp_command *amqp_command_make_like(const struct amqp_command *like, void *decoded, size_t more);

/* A command without content, encoded from a structure of rabbitmq-c's, at most 1024 bytes. NULL: no memory.
 */
struct amqp_command *amqp_command_make(uint32_t method, void *decoded);

static inline amqp_bytes_t amqp_bytes_of(struct amqp_span span)
{
    return (amqp_bytes_t){.len = span.len, .bytes = (void *)(uintptr_t)span.data};
}

static inline struct amqp_span amqp_span_of(amqp_bytes_t bytes)
{
    return (struct amqp_span){.data = bytes.bytes, .len = bytes.len};
}

#endif
