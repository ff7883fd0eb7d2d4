/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_SCANNER_H
#define AMQP_SCANNER_H

/*
 * Finds the frame boundaries in one direction of an AMQP connection, without touching or keeping the bytes.
 *
 * A proxy that relays bytes feeds them to a scanner as well and so knows where it may put a frame of its own
 * (a heartbeat, a Connection.Close) and when connection-level methods went by. The scanner only watches. It
 * accepts whatever the framing allows and leaves judgement of the rest to the broker.
 *
 *   AMQP 0-9-1:  | type 1 | channel 2 | size 4 | payload (size) | 0xCE |
 *   AMQP 1.0:    | size 4 | doff 1 | type 1 | channel 2 | extended header, body (size - 8) |
 *
 *                       boundary_off          fed_off       frame_end_off
 *                            v                   v                v
 *   ...| frame | frame |     | frame in progress ...              |
 *
 * The cost is a small constant per frame and per call, whatever the payload. What is copied: a frame header
 * that is split, the first 16 bytes of a method on channel 0, in 1.0 the first 11 of each body. No
 * allocation, no errors: a stream without sense ends in BROKEN, one without known framing in OPAQUE, and in
 * both states the scanner just counts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum amqp_direction {
    AMQP_FROM_CLIENT, /* starts with a protocol header */
    AMQP_FROM_SERVER, /* starts with a frame, or a protocol header (1.0, or 0-9-1's refusal of a version) */
};

/* What the bytes after boundary_off are. OPAQUE and BROKEN are final. */
enum amqp_scanner_state {
    AMQP_SCANNER_START,       /* nothing known yet: no byte, or an incomplete protocol header */
    AMQP_SCANNER_FRAMES,      /* AMQP 0-9-1 frames */
    AMQP_SCANNER_SASL_FRAMES, /* AMQP 1.0, SASL layer; a header may follow at each boundary */
    AMQP_SCANNER_1_0_FRAMES,  /* AMQP 1.0, AMQP layer */
    AMQP_SCANNER_OPAQUE, /* unknown version, TLS layer, or anything after a server's refusal of the version */
    AMQP_SCANNER_BROKEN, /* not AMQP: see `fault` and `fault_off` */
};

enum amqp_scanner_fault {
    AMQP_FAULT_NONE,
    AMQP_FAULT_NOT_AMQP,     /* no protocol header where one is due */
    AMQP_FAULT_FRAME_TYPE,   /* frame type not 1, 2, 3, 8 (1.0: not the layer's own) */
    AMQP_FAULT_FRAME_END,    /* no 0xCE where the frame ends */
    AMQP_FAULT_SHORT_METHOD, /* a method on channel 0 too short for its ids or the fields reported */
    AMQP_FAULT_FRAME_SIZE,   /* 1.0: size below 8, or data offset below 2 or past the end */
    AMQP_FAULT_HEADER,       /* 1.0: after the SASL layer another header than that of the AMQP or TLS layer */
};

/* What has completely gone by in this direction: bits of `seen`. OPEN and CLOSE are either version's. */
enum amqp_seen {
    AMQP_SEEN_START = 1 << 0,
    AMQP_SEEN_START_OK = 1 << 1,
    AMQP_SEEN_SECURE = 1 << 2,
    AMQP_SEEN_SECURE_OK = 1 << 3,
    AMQP_SEEN_TUNE = 1 << 4,
    AMQP_SEEN_TUNE_OK = 1 << 5,
    AMQP_SEEN_OPEN = 1 << 6,
    AMQP_SEEN_OPEN_OK = 1 << 7,
    AMQP_SEEN_CLOSE = 1 << 8,
    AMQP_SEEN_CLOSE_OK = 1 << 9,
    AMQP_SEEN_SASL_HEADER = 1 << 10, /* this and the following: AMQP 1.0 */
    AMQP_SEEN_SASL_MECHANISMS = 1 << 11,
    AMQP_SEEN_SASL_INIT = 1 << 12,
    AMQP_SEEN_SASL_OUTCOME = 1 << 13,
    AMQP_SEEN_1_0_HEADER = 1 << 14,
};

#define AMQP_SCANNER_HEAD_SIZE 24 /* longest frame header and the first 16 bytes after it */

/* One direction. Embedded by the caller, copied freely, holds nothing to release. For callers read-only. */
struct amqp_scanner {
    uint64_t fed_off;       /* bytes fed so far */
    uint64_t boundary_off;  /* just after the last complete frame or protocol header */
    uint64_t frame_end_off; /* where the frame in progress ends; boundary_off while that is not known */
    uint64_t fault_off;     /* BROKEN: the first byte that makes no sense */
    uint64_t frames;        /* complete frames that were not heartbeats (1.0: not empty) */
    uint64_t heartbeats;    /* complete heartbeat frames (1.0: empty frames) */
    uint16_t seen;          /* enum amqp_seen */
    uint8_t direction;      /* enum amqp_direction */
    uint8_t state;          /* enum amqp_scanner_state */
    uint8_t fault;          /* enum amqp_scanner_fault */

    /* Private. */
    uint8_t head_len;                     /* bytes of the frame in progress that were looked at */
    uint8_t head_need;                    /* how many are to be looked at before the rest is skipped */
    uint8_t head[AMQP_SCANNER_HEAD_SIZE]; /* those bytes */
};

/* A connection.* method that has gone by on channel 0 of AMQP 0-9-1. Fields that the method lacks are 0. */
struct amqp_connection_method {
    uint32_t id;          /* class << 16 | method, as rabbitmq-c's AMQP_CONNECTION_…_METHOD */
    uint32_t frame_max;   /* tune, tune-ok: bytes */
    uint16_t channel_max; /* tune, tune-ok */
    uint16_t heartbeat_s; /* tune, tune-ok: seconds */
    uint16_t reply_code;  /* close */
    uint64_t frame_off;   /* its frame is [frame_off, end_off) of this direction */
    uint64_t end_off;
};

/*
 * Called from inside amqp_scanner_feed, once per method, in order, when the frame is complete: then fed_off
 * == boundary_off == end_off. `method` is gone when the call returns. It may read the scanner, but not feed,
 * reinitialise or free it.
 */
typedef void amqp_scanner_method_cb(void *ctx, const struct amqp_connection_method *method);

/* Starts at offset 0 of a connection. */
void amqp_scanner_init(struct amqp_scanner *s, enum amqp_direction direction);

/*
 * Takes the next `len` bytes of the stream, split from the former anywhere, and reports the methods that end
 * in them. `on_method` may be NULL. However a stream is split, the sequence of methods and the scanner's
 * public state after the last byte are the same.
 */
void amqp_scanner_feed(struct amqp_scanner *s, const uint8_t *data, size_t len,
                       amqp_scanner_method_cb *on_method, void *ctx);

/* Bytes of the frame in progress, header and end octet included; 0 while its header is incomplete. */
static inline uint64_t amqp_scanner_frame_size(const struct amqp_scanner *s)
{
    return s->frame_end_off - s->boundary_off;
}

/* True while the scanner knows where frames end. */
static inline bool amqp_scanner_has_frames(const struct amqp_scanner *s)
{
    return s->state >= AMQP_SCANNER_FRAMES && s->state <= AMQP_SCANNER_1_0_FRAMES;
}

/*
 * The offset up to which a relay may pass on what it fed, if it wants to be able to stop at a frame boundary
 * at any time: boundary_off as a rule. fed_off when holding back makes no sense: framing unknown or lost, or
 * the frame in progress is larger than `cap_bytes`, the most that the relay is ready to hold. Never shrinks
 * as long as `cap_bytes` doesn't grow.
 */
uint64_t amqp_scanner_releasable_off(const struct amqp_scanner *s, uint64_t cap_bytes);

/*
 * True when a frame of the relay's own may follow the bytes before `released_off`, those that it has passed
 * on. The bytes that it still holds, [released_off, fed_off), come after that frame or are dropped. Says
 * nothing about whether the peer expects such a frame: see `seen`.
 */
static inline bool amqp_scanner_may_insert(const struct amqp_scanner *s, uint64_t released_off)
{
    return amqp_scanner_has_frames(s) && released_off == s->boundary_off;
}

/* Short English text for logs. Static storage. */
const char *amqp_scanner_fault_text(enum amqp_scanner_fault fault);

#endif
