/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the session protocol: PROTOCOL.md. All integers are big-endian.
 *
 *     0      1       2          4           8          12
 *     ├ type ┼ flags ┼ reserved ┼ session   ┼ length   ┼ payload …
 *
 * Encoding writes whole control frames into the caller's memory. Decoding is a reader that is fed a byte
 * stream: control frames come out whole, DATA in whatever pieces arrive, each piece with its own offset, so
 * that payload is never gathered or copied.
 */
#ifndef MUX_FRAME_H
#define MUX_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUX_VERSION 1u

#define MUX_HEADER_SIZE 12u
#define MUX_DATA_HEADER 20u /* frame header and offset */
#define MUX_DATA_MAX    65536u
#define MUX_PAYLOAD_MAX (MUX_DATA_MAX + 64u) /* `max_frame` unless HELLO says otherwise */
#define MUX_CONTROL_MAX 4096u                /* payload of any frame but DATA */
#define MUX_TOKEN_SIZE  16u

/* Version 1 grants this much to the near edge before OPEN_OK: data follows OPEN without a round trip. */
#define MUX_INITIAL_CREDIT 65536u

#define MUX_PING_SIZE  8u
#define MUX_NAME_MAX   255u
#define MUX_REASON_MAX 511u
#define MUX_ATTR_MAX   255u /* length of an attribute's value */

enum mux_frame_type {
    MUX_HELLO = 1,
    MUX_OPEN = 2,
    MUX_OPEN_OK = 3,
    MUX_DATA = 4,
    MUX_MAX_DATA = 5,
    MUX_RESET = 6,
    MUX_PING = 7,
    MUX_PONG = 8,
    MUX_GOAWAY = 9,
    MUX_DETACH = 10,
};

#define MUX_FLAG_FIN    0x01u /* DATA */
#define MUX_FLAG_RESUME 0x01u /* OPEN */

/* Text or bytes inside somebody else's memory; not terminated. */
struct mux_text {
    const char *data;
    size_t len;
};

enum mux_role { MUX_ROLE_GUEST = 1, MUX_ROLE_HOST = 2, MUX_ROLE_AMQP = 3 };

struct mux_hello {
    uint16_t version;
    uint8_t role;       /* enum mux_role */
    uint32_t max_frame; /* largest payload this side takes, bytes */
    uint64_t instance;  /* random, new with every start of the process */
    uint32_t features;  /* none defined in version 1 */
    struct mux_text name;
};

/* Attributes of OPEN. Types from MUX_ATTR_HOST_FIRST on are the host's word: host-proxy drops them when a
 * guest sends them. */
enum mux_attr_type {
    MUX_ATTR_SERVICE = 1,
    MUX_ATTR_CLIENT_ADDRESS = 2,
    MUX_ATTR_CLIENT_PROCESS = 3,
    MUX_ATTR_GUEST_NAME = 4,
    MUX_ATTR_HOST_FIRST = 0x100,
    MUX_ATTR_HOST_NAME = 0x100,
    MUX_ATTR_CID = 0x101, /* u32 */
    MUX_ATTR_VM_NAME = 0x102,
    MUX_ATTR_POLICY = 0x103,
};

struct mux_attributes {
    struct mux_text service; /* empty: AMQP */
    struct mux_text client_address;
    struct mux_text client_process;
    struct mux_text guest_name;
    struct mux_text host_name;
    struct mux_text vm_name;
    struct mux_text policy;
    uint32_t cid;
    bool has_cid;
};

struct mux_open {
    uint8_t token[MUX_TOKEN_SIZE];
    uint32_t attempt;
    bool resume;
    uint64_t received_offset;
    uint64_t received_digest; /* of all bytes before received_offset (digest.h) */
    uint64_t sent_offset;     /* all that was ever sent lies before it */
    uint64_t max_data;
    struct mux_attributes attributes;
};

struct mux_open_ok {
    uint64_t received_offset;
    uint64_t received_digest;
    uint64_t max_data;
    uint32_t detach_timeout_ms;
};

struct mux_max_data {
    uint64_t received_offset;
    uint64_t max_data;
};

struct mux_reset {
    uint32_t code;
    struct mux_text reason;
};

/* One decoded frame, or one piece of a DATA frame. Pointers are into the reader's input, valid until it is
 * fed again. */
struct mux_frame {
    uint8_t type;
    uint32_t session;
    union {
        struct mux_hello hello;
        struct mux_open open;
        struct mux_open_ok open_ok;
        struct {
            uint64_t offset;
            const uint8_t *bytes;
            size_t len;
            bool fin; /* set with the last piece only */
        } data;
        struct mux_max_data max_data;
        struct mux_reset reset;
        uint8_t ping[MUX_PING_SIZE]; /* PING and PONG */
        struct mux_text goaway;
    } u;
};

/*
 * Encoders write one whole frame, header included, to `out` and return its size. `out` must have room for
 * MUX_HEADER_SIZE + MUX_CONTROL_MAX bytes, or for the size named. Texts longer than their limit are cut.
 */
size_t mux_encode_hello(uint8_t *out, const struct mux_hello *hello);
size_t mux_encode_open(uint8_t *out, uint32_t session, const struct mux_open *open);
size_t mux_encode_open_ok(uint8_t *out, uint32_t session, const struct mux_open_ok *ok);    /* 40 bytes */
size_t mux_encode_max_data(uint8_t *out, uint32_t session, const struct mux_max_data *max); /* 28 bytes */
size_t mux_encode_reset(uint8_t *out, uint32_t session, uint32_t code, const char *reason);
size_t mux_encode_ping(uint8_t *out, uint8_t type, uint32_t session,
                       const uint8_t ping[MUX_PING_SIZE]); /* 20 */
size_t mux_encode_goaway(uint8_t *out, const char *reason);
size_t mux_encode_detach(uint8_t *out, uint32_t session); /* 12 bytes */

/* Only the header and the offset, MUX_DATA_HEADER bytes; `len` bytes of payload are to follow. */
void mux_encode_data_header(uint8_t *out, uint32_t session, uint64_t offset, uint32_t len, bool fin);

struct mux_text mux_text(const char *string);

/* Copy to `out` as a string, cut to fit. Returns `out`. */
char *mux_text_copy(struct mux_text text, char *out, size_t size);

/* ── Reading ── */

enum mux_reader_state { MUX_READ_HEAD, MUX_READ_CONTROL, MUX_READ_DATA, MUX_READ_SKIP };

struct mux_reader {
    enum mux_reader_state state;
    uint8_t head[MUX_DATA_HEADER]; /* header of the frame under way, for DATA with the offset */
    uint32_t head_len;
    uint32_t left;    /* payload bytes still to come */
    uint64_t offset;  /* of the next piece, in DATA */
    uint8_t *control; /* heap, only while a control frame arrives in pieces */
    uint32_t control_len;
    uint32_t max_payload;
    const char *error; /* set with an error: what was wrong */
};

/* `max_payload`: what this side's HELLO announces as max_frame. */
void mux_reader_init(struct mux_reader *reader, uint32_t max_payload);
void mux_reader_deinit(struct mux_reader *reader);

/*
 * Decode the next frame from [*data, end) and move *data behind what was used.
 * Returns 1: *frame is set; 0: all input is used up; -MUX_PROTOCOL_ERROR (reader->error says what) or
 * -MUX_NO_MEMORY: the stream can't be read on. The memory of the previous frame's texts may be gone after the
 * call.
 */
int mux_reader_next(struct mux_reader *reader, const uint8_t **data, const uint8_t *end,
                    struct mux_frame *frame);

#endif
