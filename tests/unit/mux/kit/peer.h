/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side of a mux_link, played by the test frame by frame: it says whatever it is told to, honest or
 * not, and takes what the link says apart again.
 */
#ifndef KIT_PEER_H
#define KIT_PEER_H

#include "mux/link.h"

#define KIT_PEER_FRAMES 256u

/* One frame the link has said. */
struct kit_frame {
    uint8_t type;
    uint32_t session;
    uint64_t offset;          /* DATA */
    size_t len;               /* DATA */
    bool fin;                 /* DATA */
    uint64_t received_offset; /* OPEN, OPEN_OK, MAX_DATA */
    uint64_t received_digest; /* OPEN, OPEN_OK */
    uint64_t sent_offset;     /* OPEN */
    uint64_t max_data;        /* OPEN, OPEN_OK, MAX_DATA */
    uint32_t attempt;         /* OPEN */
    bool resume;              /* OPEN */
    uint32_t code;            /* RESET */
    uint8_t bytes[64];        /* DATA: the first of them; PING, PONG: 8 */
    char text[256];           /* RESET, GOAWAY: the reason; HELLO: the name; OPEN: the service */
};

struct kit_peer {
    struct mux_link *link;
    struct mux_pool pool;
    struct mux_batch batch;
    struct mux_reader reader;
    struct kit_frame frames[KIT_PEER_FRAMES]; /* a ring */
    unsigned first;
    unsigned count;
};

/* `link` is not owned. */
void kit_peer_init(struct kit_peer *peer, struct mux_link *link);

/* All chunks must have come back: asserted by the pool. */
void kit_peer_deinit(struct kit_peer *peer);

/* Say bytes, or a frame. The return value is mux_link_input's. */
int kit_peer_say(struct kit_peer *peer, const uint8_t *bytes, size_t len, uint64_t now);
int kit_peer_hello(struct kit_peer *peer, enum mux_role role, uint64_t now);
int kit_peer_open(struct kit_peer *peer, uint32_t session, const struct mux_open *open, uint64_t now);
int kit_peer_open_ok(struct kit_peer *peer, uint32_t session, uint64_t received, uint64_t digest,
                     uint64_t max_data, uint64_t now);
int kit_peer_max_data(struct kit_peer *peer, uint32_t session, uint64_t received, uint64_t max_data,
                      uint64_t now);
int kit_peer_reset(struct kit_peer *peer, uint32_t session, uint32_t code, const char *reason, uint64_t now);
int kit_peer_ping(struct kit_peer *peer, uint8_t type, uint32_t session, const char payload[8], uint64_t now);
int kit_peer_detach(struct kit_peer *peer, uint32_t session, uint64_t now);

/* DATA with the bytes that belong at `offset` of the stream with this salt (pattern.h); len <= 60000. */
int kit_peer_data(struct kit_peer *peer, uint32_t session, uint64_t salt, uint64_t offset, size_t len,
                  bool fin, uint64_t now);

/* Take all that the link has to say now. Returns the number of bytes. */
size_t kit_peer_listen(struct kit_peer *peer, uint64_t now);

/* The next frame heard; it must be there and be of this type for this session. Valid until the next listen.
 */
const struct kit_frame *kit_peer_expect(struct kit_peer *peer, enum mux_frame_type type, uint32_t session);

/* No frame is left that was heard. */
void kit_peer_expect_none(struct kit_peer *peer);

/* The type of the next frame heard, 0: none. */
uint8_t kit_peer_next_type(const struct kit_peer *peer);

#endif
