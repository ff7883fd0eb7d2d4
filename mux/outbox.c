/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/outbox.h"

#include <stdlib.h>
#include <string.h>

void mux_outbox_clear(struct mux_outbox *outbox)
{
    free(outbox->open);
    free(outbox->reason);
    *outbox = (struct mux_outbox){0};
}

int mux_outbox_open(struct mux_outbox *outbox, uint32_t number, const struct mux_open *open)
{
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];
    size_t size = mux_encode_open(frame, number, open);
    uint8_t *copy = malloc(size);

    if (copy == NULL)
        return -MUX_NO_MEMORY;
    memcpy(copy, frame, size);
    free(outbox->open);
    outbox->open = copy;
    outbox->open_size = size;
    outbox->pending |= MUX_OUT_OPEN;
    return 0;
}

void mux_outbox_open_ok(struct mux_outbox *outbox, const struct mux_open_ok *ok)
{
    outbox->open_ok = *ok;
    outbox->pending |= MUX_OUT_OPEN_OK;
}

void mux_outbox_max_data(struct mux_outbox *outbox, uint64_t received_offset, uint64_t max_data)
{
    outbox->max_data = (struct mux_max_data){.received_offset = received_offset, .max_data = max_data};
    outbox->pending |= MUX_OUT_MAX_DATA;
}

void mux_outbox_ping(struct mux_outbox *outbox, const uint8_t ping[MUX_PING_SIZE])
{
    memcpy(outbox->ping, ping, MUX_PING_SIZE);
    outbox->pending |= MUX_OUT_PING;
}

void mux_outbox_pong(struct mux_outbox *outbox, const uint8_t pong[MUX_PING_SIZE])
{
    memcpy(outbox->pong, pong, MUX_PING_SIZE);
    outbox->pending |= MUX_OUT_PONG;
}

void mux_outbox_reset(struct mux_outbox *outbox, uint32_t code, const char *reason)
{
    free(outbox->reason);
    outbox->reason = strdup(reason);
    outbox->code = code;
    outbox->pending = (outbox->pending & (MUX_OUT_OPEN | MUX_OUT_OPEN_OK)) | MUX_OUT_RESET;
}

void mux_outbox_detach(struct mux_outbox *outbox)
{
    outbox->pending |= MUX_OUT_DETACH;
}

/* Encode the frame of one kind to `out`, which has room for the largest. Returns its size. */
static size_t encode(const struct mux_outbox *outbox, unsigned bit, uint32_t number, uint8_t *out)
{
    switch (bit) {
    case MUX_OUT_OPEN: memcpy(out, outbox->open, outbox->open_size); return outbox->open_size;
    case MUX_OUT_OPEN_OK: return mux_encode_open_ok(out, number, &outbox->open_ok);
    case MUX_OUT_MAX_DATA: return mux_encode_max_data(out, number, &outbox->max_data);
    case MUX_OUT_PONG: return mux_encode_ping(out, MUX_PONG, number, outbox->pong);
    case MUX_OUT_PING: return mux_encode_ping(out, MUX_PING, number, outbox->ping);
    case MUX_OUT_RESET:
        return mux_encode_reset(out, number, outbox->code,
                                outbox->reason != NULL ? outbox->reason : mux_code_text(outbox->code));
    default: return mux_encode_detach(out, number);
    }
}

bool mux_outbox_pull(struct mux_outbox *outbox, struct mux_batch *batch, uint32_t number)
{
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];

    while (outbox->pending != 0) {
        unsigned bit = outbox->pending & -outbox->pending;
        size_t size = encode(outbox, bit, number, frame);
        uint8_t *area = mux_batch_area(batch, size);

        if (area == NULL)
            return false;
        memcpy(area, frame, size);
        outbox->pending &= ~bit;
        if (bit == MUX_OUT_OPEN) {
            free(outbox->open);
            outbox->open = NULL;
        }
    }
    return true;
}
