/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_COMMAND_H
#define AMQP_COMMAND_H

/*
 * One method with the content that belongs to it: what a channel transports as a unit. It is assembled from
 * the frames of one connection (amqp/assembler.h) and cut into frames again for another, whose frame_max may
 * differ and where frames of other channels may lie in between.
 */

#include "amqp/cursor.h"
#include "amqp/method_spec.h"
#include <sys/queue.h>

struct amqp_command {
    STAILQ_ENTRY(amqp_command) entry; /* its owner's */
    const struct amqp_method_spec *spec;
    uint16_t channel;     /* where it goes; its owner's */
    bool is_quiet;        /* an answer that the client did not ask for */
    uint32_t payload_len; /* of the method frame: id and arguments */
    uint32_t header_len;  /* of the content header's payload; 0: there is no content */
    uint8_t *content;     /* the content header's payload, and the body behind it; NULL: neither is there */
    uint64_t body_size;   /* announced by the header */
    size_t body_len;      /* there already */
    size_t body_room;     /* allocated */
    uint32_t cut;         /* frames cut off: 0 none, 1 the method, 2 the header too */
    size_t body_cut;      /* bytes of the body that were cut off */
    uint8_t payload[];
};

STAILQ_HEAD(amqp_command_queue, amqp_command);

/*
 * A command with a method frame's payload, copied: at least 4 bytes, the id first; `spec` belongs to the id.
 * NULL: out of memory.
 */
struct amqp_command *amqp_command_create(const struct amqp_method_spec *spec, const uint8_t *payload,
                                         size_t len);
void amqp_command_destroy(struct amqp_command *command); /* NULL is ignored */

/* Gives it a content header, copied; at least 12 bytes. 0 or -1: out of memory, nothing changed. */
int amqp_command_set_header(struct amqp_command *command, const uint8_t *payload, size_t len);

/* Adds to the body, at most as much as is missing. 0 or -1: out of memory, nothing changed. */
int amqp_command_add_body(struct amqp_command *command, const uint8_t *data, size_t len);

static inline struct amqp_span amqp_command_arguments(const struct amqp_command *command)
{
    return (struct amqp_span){.data = command->payload + 4, .len = command->payload_len - 4};
}

/* What lies behind the body size in the header. */
static inline struct amqp_span amqp_command_properties(const struct amqp_command *command)
{
    return (struct amqp_span){.data = command->content + 12, .len = command->header_len - 12};
}

/* The body, as much as there is. */
static inline struct amqp_span amqp_command_body(const struct amqp_command *command)
{
    return (struct amqp_span){.data = command->content + command->header_len, .len = command->body_len};
}

/*
 * Puts another string in place of the one that the arguments begin with, as consumer tags do. Nothing of the
 * command may have been written; it may move. 0 or -1: out of memory, nothing changed.
 */
int amqp_command_retag(struct amqp_command **command, struct amqp_span tag);

/* Memory that it takes. */
static inline size_t amqp_command_cost(const struct amqp_command *command)
{
    return sizeof(*command) + command->payload_len + command->header_len + command->body_room;
}

/* The longest frame but for the body's, header and end octet included: the least frame_max it goes through.
 */
size_t amqp_command_min_frame(const struct amqp_command *command);

/*
 * Writes its next frames to buf[0, size), whole ones and as many as fit, for `command->channel`. Body frames
 * are cut to `frame_max` and to the room there is, but never to pieces under AMQP_COMMAND_PIECE_MIN while
 * more is due. Returns the bytes written. The command must be complete. A method or header longer than
 * frame_max goes out as it is, as RabbitMQ does it; there must be room for it in a whole buffer.
 */
size_t amqp_command_write(struct amqp_command *command, uint32_t frame_max, uint8_t *buf, size_t size);

#define AMQP_COMMAND_PIECE_MIN 2048

/* Whether all of it has been written. */
bool amqp_command_written(const struct amqp_command *command);

/* Whether some but not all of it has been written: no other frame of its channel may be put in between. */
bool amqp_command_begun(const struct amqp_command *command);

void amqp_command_queue_clear(struct amqp_command_queue *queue);

#endif
