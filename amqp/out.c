/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/out.h"
#include "amqp/frame_reader.h"
#include "amqp/wire.h"
#include <amqp.h>
#include <stdlib.h>

enum { FIRST_ROOM = 64, METHOD_AT = 7, ARGUMENTS_AT = METHOD_AT + 4 };

void amqp_out_init(struct amqp_out *out)
{
    *out = (struct amqp_out){.data = NULL};
}

void amqp_out_deinit(struct amqp_out *out)
{
    free(out->data);
    amqp_out_init(out);
}

int amqp_out_add(struct amqp_out *out, const void *bytes, size_t len)
{
    if (len == 0)
        return 0;
    if (out->len + len > out->room) {
        const size_t room = 2 * out->room + len + FIRST_ROOM;
        uint8_t *data = realloc(out->data, room);
        if (data == NULL)
            return -1;
        out->data = data;
        out->room = room;
    }
    memcpy(out->data + out->len, bytes, len);
    out->len += len;
    return 0;
}

int amqp_out_add_method(struct amqp_out *out, uint32_t method, void *decoded)
{
    uint8_t frame[AMQP_FRAME_MIN_MAX];
    const amqp_bytes_t arguments = {.len = sizeof(frame) - ARGUMENTS_AT - 1, .bytes = frame + ARGUMENTS_AT};
    const int len = amqp_encode_method(method, decoded, arguments);
    if (len < 0)
        return -1;
    frame[0] = AMQP_FRAME_METHOD;
    amqp_put_u16(frame + 1, 0);
    amqp_put_u32(frame + 3, 4 + (uint32_t)len);
    amqp_put_u32(frame + METHOD_AT, method);
    frame[ARGUMENTS_AT + len] = AMQP_FRAME_END;
    return amqp_out_add(out, frame, ARGUMENTS_AT + (size_t)len + 1);
}

size_t amqp_out_take(struct amqp_out *out, uint8_t *buf, size_t size)
{
    const size_t n = out->len < size ? out->len : size;
    if (n == 0)
        return 0;
    memcpy(buf, out->data, n);
    memmove(out->data, out->data + n, out->len - n);
    out->len -= n;
    if (out->len == 0)
        amqp_out_deinit(out);
    return n;
}
