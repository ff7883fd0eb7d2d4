/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control frames that a session is to send on one link. Each kind is there once, with its latest value: a
 * newer MAX_DATA replaces an older one that has not left yet, so what waits here is bounded whatever the peer
 * does.
 */
#ifndef MUX_OUTBOX_H
#define MUX_OUTBOX_H

#include "mux/batch.h"
#include "mux/code.h"
#include "mux/frame.h"

/* In the order of sending. */
enum mux_outbox_bit {
    MUX_OUT_OPEN = 1 << 0,
    MUX_OUT_OPEN_OK = 1 << 1,
    MUX_OUT_MAX_DATA = 1 << 2,
    MUX_OUT_PONG = 1 << 3,
    MUX_OUT_PING = 1 << 4,
    MUX_OUT_RESET = 1 << 5,  /* the last frame */
    MUX_OUT_DETACH = 1 << 6, /* the last frame */
};

struct mux_outbox {
    unsigned pending; /* of mux_outbox_bit */
    uint32_t code;    /* RESET */
    char *reason;     /* RESET; heap */
    uint8_t *open;    /* the encoded OPEN; heap */
    size_t open_size;
    struct mux_open_ok open_ok;
    struct mux_max_data max_data;
    uint8_t ping[MUX_PING_SIZE];
    uint8_t pong[MUX_PING_SIZE];
};

void mux_outbox_clear(struct mux_outbox *outbox);

/* Queue OPEN for session `number`, encoded at once. 0 or -MUX_NO_MEMORY. */
int mux_outbox_open(struct mux_outbox *outbox, uint32_t number, const struct mux_open *open);

void mux_outbox_open_ok(struct mux_outbox *outbox, const struct mux_open_ok *ok);
void mux_outbox_max_data(struct mux_outbox *outbox, uint64_t received_offset, uint64_t max_data);
void mux_outbox_ping(struct mux_outbox *outbox, const uint8_t ping[MUX_PING_SIZE]);
void mux_outbox_pong(struct mux_outbox *outbox, const uint8_t pong[MUX_PING_SIZE]);

/* Queue RESET; what else waits is dropped, but for OPEN and its answer, by which the peer judges whether the
 * end is its own. `reason` is copied; when that fails the code's text is sent. */
void mux_outbox_reset(struct mux_outbox *outbox, uint32_t code, const char *reason);
void mux_outbox_detach(struct mux_outbox *outbox);

/* Add the frames to the batch. False: it is full, some are left. */
bool mux_outbox_pull(struct mux_outbox *outbox, struct mux_batch *batch, uint32_t number);

#endif
