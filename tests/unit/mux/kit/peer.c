/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/peer.h"

#include "tests/unit/mux/kit/check.h"
#include "tests/unit/mux/kit/pattern.h"

#include <string.h>

#define DATA_MAX 60000u

void kit_peer_init(struct kit_peer *peer, struct mux_link *link)
{
    memset(peer, 0, sizeof(*peer));
    peer->link = link;
    mux_pool_init(&peer->pool);
    mux_batch_init(&peer->batch);
    mux_reader_init(&peer->reader, MUX_PAYLOAD_MAX);
}

void kit_peer_deinit(struct kit_peer *peer)
{
    mux_batch_clear(&peer->batch);
    mux_reader_deinit(&peer->reader);
    mux_pool_deinit(&peer->pool);
}

/* ── Speaking ── */

int kit_peer_say(struct kit_peer *peer, const uint8_t *bytes, size_t len, uint64_t now)
{
    int rc = 0;

    while (len > 0 && rc == 0) {
        uint8_t *room;
        size_t size;
        struct mux_chunk *chunk = mux_pool_reserve(&peer->pool, &room, &size);
        size_t n = len < size ? len : size;

        KIT_CHECK(chunk != NULL, "out of memory");
        memcpy(room, bytes, n);
        mux_pool_commit(&peer->pool, n);
        rc = mux_link_input(peer->link, chunk, room, n, now);
        mux_pool_recycle(&peer->pool);
        bytes += n;
        len -= n;
    }
    return rc;
}

int kit_peer_hello(struct kit_peer *peer, enum mux_role role, uint64_t now)
{
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];
    struct mux_hello hello = {.version = MUX_VERSION,
                              .role = (uint8_t)role,
                              .max_frame = MUX_PAYLOAD_MAX,
                              .instance = 7,
                              .name = mux_text("peer")};

    return kit_peer_say(peer, frame, mux_encode_hello(frame, &hello), now);
}

int kit_peer_open(struct kit_peer *peer, uint32_t session, const struct mux_open *open, uint64_t now)
{
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];

    return kit_peer_say(peer, frame, mux_encode_open(frame, session, open), now);
}

int kit_peer_open_ok(struct kit_peer *peer, uint32_t session, uint64_t received, uint64_t digest,
                     uint64_t max_data, uint64_t now)
{
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];
    struct mux_open_ok ok = {.received_offset = received,
                             .received_digest = digest,
                             .max_data = max_data,
                             .detach_timeout_ms = 60000};

    return kit_peer_say(peer, frame, mux_encode_open_ok(frame, session, &ok), now);
}

int kit_peer_max_data(struct kit_peer *peer, uint32_t session, uint64_t received, uint64_t max_data,
                      uint64_t now)
{
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];
    struct mux_max_data max = {.received_offset = received, .max_data = max_data};

    return kit_peer_say(peer, frame, mux_encode_max_data(frame, session, &max), now);
}

int kit_peer_reset(struct kit_peer *peer, uint32_t session, uint32_t code, const char *reason, uint64_t now)
{
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];

    return kit_peer_say(peer, frame, mux_encode_reset(frame, session, code, reason), now);
}

int kit_peer_ping(struct kit_peer *peer, uint8_t type, uint32_t session, const char payload[8], uint64_t now)
{
    uint8_t frame[MUX_HEADER_SIZE + MUX_CONTROL_MAX];
    uint8_t ping[MUX_PING_SIZE];

    memcpy(ping, payload, MUX_PING_SIZE);
    return kit_peer_say(peer, frame, mux_encode_ping(frame, type, session, ping), now);
}

int kit_peer_detach(struct kit_peer *peer, uint32_t session, uint64_t now)
{
    uint8_t frame[MUX_HEADER_SIZE];

    return kit_peer_say(peer, frame, mux_encode_detach(frame, session), now);
}

int kit_peer_data(struct kit_peer *peer, uint32_t session, uint64_t salt, uint64_t offset, size_t len,
                  bool fin, uint64_t now)
{
    static uint8_t frame[MUX_DATA_HEADER + DATA_MAX];

    KIT_CHECK(len <= DATA_MAX, "DATA of %zu bytes is more than this kit makes", len);
    mux_encode_data_header(frame, session, offset, (uint32_t)len, fin);
    kit_pattern_fill(salt, offset, frame + MUX_DATA_HEADER, len);
    return kit_peer_say(peer, frame, MUX_DATA_HEADER + len, now);
}

/* ── Listening ── */

static void note_data(struct kit_frame *note, const struct mux_frame *frame)
{
    size_t n = frame->u.data.len < sizeof(note->bytes) ? frame->u.data.len : sizeof(note->bytes);

    note->offset = frame->u.data.offset;
    note->len = frame->u.data.len;
    note->fin = frame->u.data.fin;
    if (n > 0)
        memcpy(note->bytes, frame->u.data.bytes, n);
}

static void note_open(struct kit_frame *note, const struct mux_open *open)
{
    note->received_offset = open->received_offset;
    note->received_digest = open->received_digest;
    note->sent_offset = open->sent_offset;
    note->max_data = open->max_data;
    note->attempt = open->attempt;
    note->resume = open->resume;
    mux_text_copy(open->attributes.service, note->text, sizeof(note->text));
}

static void note(struct kit_peer *peer, const struct mux_frame *frame)
{
    struct kit_frame *note = &peer->frames[(peer->first + peer->count) % KIT_PEER_FRAMES];

    KIT_CHECK(peer->count < KIT_PEER_FRAMES, "more frames than the test looks at");
    peer->count++;
    *note = (struct kit_frame){.type = frame->type, .session = frame->session};
    switch (frame->type) {
    case MUX_HELLO: mux_text_copy(frame->u.hello.name, note->text, sizeof(note->text)); break;
    case MUX_OPEN: note_open(note, &frame->u.open); break;
    case MUX_OPEN_OK:
        note->received_offset = frame->u.open_ok.received_offset;
        note->received_digest = frame->u.open_ok.received_digest;
        note->max_data = frame->u.open_ok.max_data;
        break;
    case MUX_DATA: note_data(note, frame); break;
    case MUX_MAX_DATA:
        note->received_offset = frame->u.max_data.received_offset;
        note->max_data = frame->u.max_data.max_data;
        break;
    case MUX_RESET:
        note->code = frame->u.reset.code;
        mux_text_copy(frame->u.reset.reason, note->text, sizeof(note->text));
        break;
    case MUX_PING:
    case MUX_PONG: memcpy(note->bytes, frame->u.ping, MUX_PING_SIZE); break;
    case MUX_GOAWAY: mux_text_copy(frame->u.goaway, note->text, sizeof(note->text)); break;
    default: break;
    }
}

static void hear(struct kit_peer *peer, const uint8_t *data, size_t len)
{
    const uint8_t *end = data + len;
    struct mux_frame frame;
    int rc;

    while ((rc = mux_reader_next(&peer->reader, &data, end, &frame)) > 0)
        note(peer, &frame);
    KIT_CHECK(rc == 0, "the link said something malformed: %s", peer->reader.error);
}

size_t kit_peer_listen(struct kit_peer *peer, uint64_t now)
{
    static uint8_t heard[MUX_BATCH_BYTES + MUX_BATCH_AREA]; /* in one piece, so that DATA frames are */
    size_t total = 0;

    while (mux_link_output(peer->link, &peer->batch, now)) {
        size_t n = 0;

        KIT_CHECK(peer->batch.bytes <= sizeof(heard), "a batch of %zu bytes", peer->batch.bytes);
        while (peer->batch.bytes > 0) {
            const struct iovec *iov = &peer->batch.iov[peer->batch.first];

            memcpy(heard + n, iov->iov_base, iov->iov_len);
            n += iov->iov_len;
            mux_batch_written(&peer->batch, iov->iov_len);
        }
        hear(peer, heard, n);
        total += n;
    }
    return total;
}

const struct kit_frame *kit_peer_expect(struct kit_peer *peer, enum mux_frame_type type, uint32_t session)
{
    const struct kit_frame *frame = &peer->frames[peer->first];

    KIT_CHECK(peer->count > 0, "frame type %d for session %u was expected, there is none", type, session);
    KIT_CHECK(frame->type == type && frame->session == session,
              "frame type %d for session %u was expected, got type %u for session %u", type, session,
              frame->type, frame->session);
    peer->first = (peer->first + 1) % KIT_PEER_FRAMES;
    peer->count--;
    return frame;
}

void kit_peer_expect_none(struct kit_peer *peer)
{
    KIT_CHECK(peer->count == 0, "frame type %u for session %u was not expected",
              peer->frames[peer->first].type, peer->frames[peer->first].session);
}

uint8_t kit_peer_next_type(const struct kit_peer *peer)
{
    return peer->count > 0 ? peer->frames[peer->first].type : 0;
}
