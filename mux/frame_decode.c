/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/code.h"
#include "mux/frame.h"
#include "mux/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_IGNORABLE 0x80u

static int fail(struct mux_reader *reader, const char *what)
{
    reader->error = what;
    return -MUX_PROTOCOL_ERROR;
}

/* ── Payloads of control frames ── */

static struct mux_text rest_as_text(struct wire_cursor *c, size_t max)
{
    size_t n = wire_left(c) < max ? wire_left(c) : max;

    return (struct mux_text){.data = (const char *)wire_take(c, n), .len = n};
}

static int decode_hello(struct mux_reader *reader, struct wire_cursor *c, struct mux_hello *hello)
{
    const uint8_t *magic = wire_take(c, 4);

    if (magic == NULL || memcmp(magic, "AMVS", 4) != 0)
        return fail(reader, "HELLO without the magic AMVS");
    hello->version = (uint16_t)wire_uint(c, 2);
    hello->role = (uint8_t)wire_uint(c, 1);
    hello->max_frame = (uint32_t)wire_uint(c, 4);
    hello->instance = wire_uint(c, 8);
    hello->features = (uint32_t)wire_uint(c, 4);
    hello->name = rest_as_text(c, MUX_NAME_MAX);
    return c->bad ? fail(reader, "HELLO is too short") : 1;
}

static struct mux_text *attr_text(struct mux_attributes *a, uint64_t type)
{
    switch (type) {
    case MUX_ATTR_SERVICE: return &a->service;
    case MUX_ATTR_CLIENT_ADDRESS: return &a->client_address;
    case MUX_ATTR_CLIENT_PROCESS: return &a->client_process;
    case MUX_ATTR_GUEST_NAME: return &a->guest_name;
    case MUX_ATTR_HOST_NAME: return &a->host_name;
    case MUX_ATTR_VM_NAME: return &a->vm_name;
    case MUX_ATTR_POLICY: return &a->policy;
    default: return NULL;
    }
}

static int decode_attributes(struct mux_reader *reader, struct wire_cursor *c, struct mux_attributes *a)
{
    *a = (struct mux_attributes){0};
    while (wire_left(c) > 0) {
        uint64_t type = wire_uint(c, 2);
        size_t len = (size_t)wire_uint(c, 2);
        const uint8_t *value = wire_take(c, len);
        struct mux_text *text = attr_text(a, type);

        if (c->bad)
            return fail(reader, "attribute of OPEN runs past its end");
        if (len > MUX_ATTR_MAX)
            return fail(reader, "attribute of OPEN is longer than 255 bytes");
        if (text != NULL)
            *text = (struct mux_text){.data = (const char *)value, .len = len};
        if (type == MUX_ATTR_CID && len != 4)
            return fail(reader, "CID attribute of OPEN is not 4 bytes");
        if (type == MUX_ATTR_CID) {
            a->cid = (uint32_t)wire_get(value, 4);
            a->has_cid = true;
        }
    }
    return 1;
}

static int decode_open(struct mux_reader *reader, struct wire_cursor *c, struct mux_open *open)
{
    const uint8_t *token = wire_take(c, MUX_TOKEN_SIZE);

    if (token == NULL)
        return fail(reader, "OPEN is too short");
    memcpy(open->token, token, MUX_TOKEN_SIZE);
    open->attempt = (uint32_t)wire_uint(c, 4);
    open->resume = (reader->head[1] & MUX_FLAG_RESUME) != 0;
    open->received_offset = wire_uint(c, 8);
    open->received_digest = wire_uint(c, 8);
    open->sent_offset = wire_uint(c, 8);
    open->max_data = wire_uint(c, 8);
    if (c->bad)
        return fail(reader, "OPEN is too short");
    return decode_attributes(reader, c, &open->attributes);
}

static int decode_reset(struct mux_reader *reader, struct wire_cursor *c, struct mux_reset *reset)
{
    reset->code = (uint32_t)wire_uint(c, 4);
    if (c->bad)
        return fail(reader, "RESET is too short");
    reset->reason = rest_as_text(c, MUX_REASON_MAX);
    return 1;
}

static int decode_ping(struct mux_reader *reader, struct wire_cursor *c, uint8_t ping[MUX_PING_SIZE])
{
    const uint8_t *opaque = wire_take(c, MUX_PING_SIZE);

    if (opaque == NULL)
        return fail(reader, "PING or PONG is too short");
    memcpy(ping, opaque, MUX_PING_SIZE);
    return 1;
}

static int decode_control(struct mux_reader *reader, const uint8_t *payload, size_t len,
                          struct mux_frame *frame)
{
    struct wire_cursor c = {.p = payload, .end = payload + len};

    frame->type = reader->head[0];
    frame->session = (uint32_t)wire_get(reader->head + 4, 4);
    switch (frame->type) {
    case MUX_HELLO: return decode_hello(reader, &c, &frame->u.hello);
    case MUX_OPEN: return decode_open(reader, &c, &frame->u.open);
    case MUX_OPEN_OK:
        frame->u.open_ok.received_offset = wire_uint(&c, 8);
        frame->u.open_ok.received_digest = wire_uint(&c, 8);
        frame->u.open_ok.max_data = wire_uint(&c, 8);
        frame->u.open_ok.detach_timeout_ms = (uint32_t)wire_uint(&c, 4);
        return c.bad ? fail(reader, "OPEN_OK is too short") : 1;
    case MUX_MAX_DATA:
        frame->u.max_data.received_offset = wire_uint(&c, 8);
        frame->u.max_data.max_data = wire_uint(&c, 8);
        return c.bad ? fail(reader, "MAX_DATA is too short") : 1;
    case MUX_RESET: return decode_reset(reader, &c, &frame->u.reset);
    case MUX_PING:
    case MUX_PONG: return decode_ping(reader, &c, frame->u.ping);
    case MUX_GOAWAY: frame->u.goaway = rest_as_text(&c, MUX_REASON_MAX); return 1;
    default: return 1; /* DETACH: no payload */
    }
}

/* ── The byte stream ── */

void mux_reader_init(struct mux_reader *reader, uint32_t max_payload)
{
    *reader = (struct mux_reader){.max_payload = max_payload};
}

void mux_reader_deinit(struct mux_reader *reader)
{
    free(reader->control);
    reader->control = NULL;
}

/* The header is there: choose how to go on. */
static int begin_frame(struct mux_reader *reader)
{
    uint8_t type = reader->head[0];

    reader->left = (uint32_t)wire_get(reader->head + 8, 4);
    if (reader->left > reader->max_payload)
        return fail(reader, "frame is larger than max_frame");
    if (type == MUX_DATA) {
        if (reader->left < 8)
            return fail(reader, "DATA is too short");
        return 0; /* its offset belongs to the head */
    }
    if (type >= MUX_HELLO && type <= MUX_DETACH) {
        if (reader->left > MUX_CONTROL_MAX)
            return fail(reader, "control frame is longer than 4096 bytes");
        reader->state = MUX_READ_CONTROL;
        return 0;
    }
    if ((type & UNKNOWN_IGNORABLE) == 0)
        return fail(reader, "unknown frame type");
    reader->state = MUX_READ_SKIP;
    return 0;
}

static int read_head(struct mux_reader *reader, const uint8_t **data, const uint8_t *end)
{
    while (*data < end) {
        bool is_data = reader->head_len >= MUX_HEADER_SIZE;
        size_t want = (is_data ? MUX_DATA_HEADER : MUX_HEADER_SIZE) - reader->head_len;
        size_t n = (size_t)(end - *data) < want ? (size_t)(end - *data) : want;

        memcpy(reader->head + reader->head_len, *data, n);
        reader->head_len += (uint32_t)n;
        *data += n;
        if (reader->head_len == MUX_HEADER_SIZE) {
            int rc = begin_frame(reader);

            if (rc < 0 || reader->state != MUX_READ_HEAD)
                return rc;
        } else if (reader->head_len == MUX_DATA_HEADER) {
            reader->left -= 8;
            reader->offset = wire_get(reader->head + MUX_HEADER_SIZE, 8);
            reader->state = MUX_READ_DATA;
            return 0;
        }
    }
    return 0;
}

static void end_frame(struct mux_reader *reader)
{
    reader->state = MUX_READ_HEAD;
    reader->head_len = 0;
}

static int read_control(struct mux_reader *reader, const uint8_t **data, const uint8_t *end,
                        struct mux_frame *frame)
{
    size_t have = (size_t)(end - *data);
    size_t n = have < reader->left ? have : reader->left;
    const uint8_t *payload = *data;

    if (n < reader->left || reader->control_len > 0) {
        /* In pieces: gather them. */
        if (reader->control == NULL)
            reader->control = malloc(MUX_CONTROL_MAX);
        if (reader->control == NULL)
            return -MUX_NO_MEMORY;
        memcpy(reader->control + reader->control_len, *data, n);
        reader->control_len += (uint32_t)n;
        payload = reader->control;
    }
    *data += n;
    reader->left -= (uint32_t)n;
    if (reader->left > 0)
        return 0;
    n = payload == reader->control ? reader->control_len : n;
    end_frame(reader);
    reader->control_len = 0;
    return decode_control(reader, payload, n, frame);
}

static int read_data(struct mux_reader *reader, const uint8_t **data, const uint8_t *end,
                     struct mux_frame *frame)
{
    size_t have = (size_t)(end - *data);
    size_t n = have < reader->left ? have : reader->left;

    reader->left -= (uint32_t)n;
    frame->type = MUX_DATA;
    frame->session = (uint32_t)wire_get(reader->head + 4, 4);
    frame->u.data.offset = reader->offset;
    frame->u.data.bytes = *data;
    frame->u.data.len = n;
    frame->u.data.fin = reader->left == 0 && (reader->head[1] & MUX_FLAG_FIN) != 0;
    reader->offset += n;
    *data += n;
    if (reader->left == 0)
        end_frame(reader);
    return 1;
}

int mux_reader_next(struct mux_reader *reader, const uint8_t **data, const uint8_t *end,
                    struct mux_frame *frame)
{
    int rc = 0;

    if (reader->state == MUX_READ_HEAD && reader->control != NULL) {
        free(reader->control); /* of the frame before, which the caller is done with */
        reader->control = NULL;
    }
    while (rc == 0) {
        /* A frame without payload is complete before the next byte: only READ_HEAD and READ_SKIP need input.
         */
        if (*data == end && (reader->state == MUX_READ_HEAD || reader->left > 0))
            return 0;
        switch (reader->state) {
        case MUX_READ_HEAD: rc = read_head(reader, data, end); break;
        case MUX_READ_CONTROL: rc = read_control(reader, data, end, frame); break;
        case MUX_READ_DATA: rc = read_data(reader, data, end, frame); break;
        case MUX_READ_SKIP: {
            size_t have = (size_t)(end - *data);
            size_t n = have < reader->left ? have : reader->left;

            *data += n;
            reader->left -= (uint32_t)n;
            if (reader->left == 0)
                end_frame(reader);
            break;
        }
        }
    }
    return rc;
}
