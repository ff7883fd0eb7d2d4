/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_ASSEMBLER_H
#define AMQP_ASSEMBLER_H

/*
 * Puts the frames of one channel together to commands, and refuses what RabbitMQ would refuse: what goes in
 * is any whole frame of a channel other than 0, what comes out is sound in itself (method known, its fields
 * and the properties decodable, content complete).
 *
 *            method without content                 body complete, or empty
 *          ┌──────────►─────────┐   ┌──────────────────────────►────────────────────────┐
 *     METHOD ──── method with content ───► HEADER ──── header ───► BODY ──── body ───► command
 *
 * A body over the limit is taken and thrown away, frame by frame; the command comes without it then, and is
 * refused in its turn (amqp_rules_check).
 */

#include "amqp/command.h"
#include "amqp/exception.h"
#include "amqp/frame_reader.h"

struct amqp_assembler {
    struct amqp_command *partial; /* waits for content; NULL: a method is due */
    uint64_t dropped;             /* bytes thrown away of a body over the limit */
};

struct amqp_assembler_rules {
    uint8_t sender;         /* AMQP_BY_CLIENT or AMQP_BY_SERVER: whose methods are whitelisted */
    bool checks_properties; /* a client's are checked here and now; a server's only by whoever reads them */
    uint64_t body_max;      /* bytes of a body that is kept */
};

enum {
    AMQP_ASSEMBLER_MORE = 0,
    AMQP_ASSEMBLER_COMMAND = 1,
    AMQP_ASSEMBLER_REFUSED = -1,   /* *e is filled in, of connection scope: reset */
    AMQP_ASSEMBLER_NO_MEMORY = -2, /* the frame was not taken */
};

void amqp_assembler_init(struct amqp_assembler *a);

/* Drops what is incomplete. It can be used again. */
void amqp_assembler_reset(struct amqp_assembler *a);

/* Takes a frame. On COMMAND, `*command` is the caller's; its body is complete, or longer than body_max and
 * not there at all. */
int amqp_assembler_feed(struct amqp_assembler *a, const struct amqp_assembler_rules *rules,
                        const struct amqp_frame *frame, struct amqp_command **command,
                        struct amqp_exception *e);

/* Memory that the incomplete command takes. */
static inline size_t amqp_assembler_cost(const struct amqp_assembler *a)
{
    return a->partial != NULL ? amqp_command_cost(a->partial) : 0;
}

#endif
