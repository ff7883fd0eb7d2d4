/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_FRAME_READER_H
#define AMQP_FRAME_READER_H

/*
 * Cuts a stream of AMQP 0-9-1 frames into whole ones.
 *
 *   | type 1 | channel 2 | size 4 | payload … | 0xCE |
 *
 * A frame that lies whole in the input is handed out in place; only one that is split is gathered, in a
 * buffer that grows with what has come, never with what a header merely announces, and is given back once
 * the frame is through. What is held is at most one frame.
 */

#include "amqp/exception.h"
#include <stddef.h>
#include <stdint.h>

#define AMQP_FRAME_OVERHEAD 8    /* header and end octet */
#define AMQP_FRAME_MIN_MAX  4096 /* the smallest frame_max there is (0-9-1, section 4.2.3) */

struct amqp_frame {
    uint8_t type;
    uint16_t channel;
    const uint8_t *payload;
    uint32_t size; /* of the payload */
};

/* Private, but for frame_max, which the owner sets when it has been negotiated. */
struct amqp_frame_reader {
    uint32_t frame_max; /* RabbitMQ allows a payload of this size, so 8 bytes more in all */
    uint8_t *held;      /* the beginning of a frame; NULL: at a boundary */
    size_t held_len;
    size_t held_size; /* allocated */
    size_t given;     /* bytes of `held` that the last frame handed out took; 0: it did not lie there */
};

enum {
    AMQP_FRAME_MORE = 0,       /* all input was taken */
    AMQP_FRAME_WHOLE = 1,      /* *frame is filled in */
    AMQP_FRAME_BAD = -1,       /* *e is filled in: 501. Nothing can be read behind it. */
    AMQP_FRAME_NO_MEMORY = -2, /* nothing was taken */
};

void amqp_frame_reader_init(struct amqp_frame_reader *r, uint32_t frame_max);
void amqp_frame_reader_deinit(struct amqp_frame_reader *r);

/*
 * Takes bytes from `*data`, `*len` long, up to the end of the next frame, and moves both forward. The payload
 * is valid until the next call, and as long as the input is.
 */
int amqp_frame_reader_next(struct amqp_frame_reader *r, const uint8_t **data, size_t *len,
                           struct amqp_frame *frame, struct amqp_exception *e);

/* Bytes held. */
static inline size_t amqp_frame_reader_held(const struct amqp_frame_reader *r)
{
    return r->held_size;
}

#endif
