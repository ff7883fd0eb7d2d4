/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/frame_reader.h"
#include "amqp/wire.h"
#include <amqp.h>
#include <assert.h>
#include <stdlib.h>

enum {
    HEADER_SIZE = 7,
    END_SIZE = 1,
    FIRST_HOLD = 256,
};

static_assert(HEADER_SIZE + END_SIZE == AMQP_FRAME_OVERHEAD, "a frame around its payload");

void amqp_frame_reader_init(struct amqp_frame_reader *r, uint32_t frame_max)
{
    *r = (struct amqp_frame_reader){.frame_max = frame_max};
}

static void let_go(struct amqp_frame_reader *r)
{
    free(r->held);
    r->held = NULL;
    r->held_len = 0;
    r->held_size = 0;
    r->given = 0;
}

void amqp_frame_reader_deinit(struct amqp_frame_reader *r)
{
    let_go(r);
}

static bool is_known_type(uint8_t type)
{
    return (type >= AMQP_FRAME_METHOD && type <= AMQP_FRAME_BODY) || type == AMQP_FRAME_HEARTBEAT;
}

/* Looks at a complete header. The size of the frame, or 0 with `*e` filled in. */
static size_t frame_size(const struct amqp_frame_reader *r, const uint8_t *header, struct amqp_exception *e)
{
    const uint32_t payload = amqp_get_u32(header + 3);
    if (payload > r->frame_max) {
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_FRAME_ERROR, 0,
                           "type %u: {frame_too_large,%u,%u}", header[0], payload,
                           r->frame_max - AMQP_FRAME_OVERHEAD);
        return 0;
    }
    if (!is_known_type(header[0])) {
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_FRAME_ERROR, 0, "type %u: unknown_frame",
                           header[0]);
        return 0;
    }
    return (size_t)payload + AMQP_FRAME_OVERHEAD;
}

/* Looks at a whole frame's end. */
static int finish(const uint8_t *bytes, size_t size, struct amqp_frame *frame, struct amqp_exception *e)
{
    if (bytes[size - 1] != AMQP_FRAME_END) {
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_FRAME_ERROR, 0,
                           "type %u: {invalid_frame_end_marker,%u}", bytes[0], bytes[size - 1]);
        return AMQP_FRAME_BAD;
    }
    *frame = (struct amqp_frame){
        .type = bytes[0],
        .channel = amqp_get_u16(bytes + 1),
        .payload = bytes + HEADER_SIZE,
        .size = (uint32_t)(size - AMQP_FRAME_OVERHEAD),
    };
    return AMQP_FRAME_WHOLE;
}

/* Holds `n` bytes more. At most twice of what came is allocated. */
static int hold(struct amqp_frame_reader *r, const uint8_t **data, size_t *len, size_t n)
{
    if (r->held_len + n > r->held_size) {
        const size_t least = r->held_len + n;
        const size_t size = least < FIRST_HOLD ? FIRST_HOLD : 2 * least;
        uint8_t *more = realloc(r->held, size);
        if (more == NULL)
            return AMQP_FRAME_NO_MEMORY;
        r->held = more;
        r->held_size = size;
    }
    memcpy(r->held + r->held_len, *data, n);
    r->held_len += n;
    *data += n;
    *len -= n;
    return AMQP_FRAME_MORE;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Goes on with a frame of which something is held. */
static int gather(struct amqp_frame_reader *r, const uint8_t **data, size_t *len, struct amqp_frame *frame,
                  struct amqp_exception *e)
{
    if (r->held_len < HEADER_SIZE) {
        const int rc = hold(r, data, len, least_of(HEADER_SIZE - r->held_len, *len));
        if (rc < 0 || r->held_len < HEADER_SIZE)
            return rc;
    }
    const size_t size = frame_size(r, r->held, e);
    if (size == 0)
        return AMQP_FRAME_BAD;
    const int rc = hold(r, data, len, least_of(size - r->held_len, *len));
    if (rc < 0 || r->held_len < size)
        return rc;
    r->given = size;
    return finish(r->held, size, frame, e);
}

int amqp_frame_reader_next(struct amqp_frame_reader *r, const uint8_t **data, size_t *len,
                           struct amqp_frame *frame, struct amqp_exception *e)
{
    if (r->given > 0)
        let_go(r);
    if (*len == 0)
        return AMQP_FRAME_MORE;
    if (r->held != NULL)
        return gather(r, data, len, frame, e);
    if (*len < HEADER_SIZE)
        return hold(r, data, len, *len);
    const size_t size = frame_size(r, *data, e);
    if (size == 0)
        return AMQP_FRAME_BAD;
    if (*len < size)
        return hold(r, data, len, *len);
    const uint8_t *bytes = *data;
    *data += size;
    *len -= size;
    return finish(bytes, size, frame, e);
}
