/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input: | server's past (bits 0-5: frames passed on, bit 6: bytes of the next one too, bit 7: AMQP 1.0) |
 * client's bytes before the refusal begins | seed of splits and buffer sizes | client's stream … |
 *
 * Whatever the client says, what it hears in all, the server's past included, must be well framed and in
 * order, each message once, and DONE must be final.
 */

#include "amqp/protocol_header.h"
#include "amqp/refusal.h"
#include "tests/unit/amqp/require.h"
#include "tests/unit/amqp/stream.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PREFIX_SIZE = 3 };

struct run {
    struct amqp_refusal refusal;
    struct amqp_scanner client; /* what the client has said */
    struct amqp_scanner heard;  /* what it was given */
    size_t written;             /* by the refusal */
    uint32_t seed;
};

static uint32_t next_random(struct run *run, uint32_t below)
{
    run->seed = run->seed * 1664525u + 1013904223u;
    return (run->seed >> 16) % below;
}

static uint64_t server_past(struct amqp_scanner *heard, uint8_t past)
{
    struct stream server = {0};
    const uint64_t frames = past & 0x3F;
    size_t at = 0;
    amqp_scanner_init(heard, AMQP_FROM_SERVER);
    if (past & 0x80)
        stream_1_0_session(&server, 1);
    else
        stream_server_session(&server);
    while (at < server.len && heard->frames < frames)
        amqp_scanner_feed(heard, server.bytes + at++, 1, NULL, NULL);
    for (int i = 0; past & 0x40 && i < 9 && at < server.len; i++)
        amqp_scanner_feed(heard, server.bytes + at++, 1, NULL, NULL);
    return at;
}

/* One message at the wrong moment is a message that no client library understands. */
static void require_good_timing(const struct run *run, uint16_t before)
{
    const uint16_t news = (uint16_t)(run->heard.seen & ~before);
    if (run->heard.state == AMQP_SCANNER_FRAMES) {
        REQUIRE(!(news & AMQP_SEEN_CLOSE) || run->client.seen & AMQP_SEEN_START_OK);
        REQUIRE(!(news & AMQP_SEEN_CLOSE_OK) || run->client.seen & AMQP_SEEN_CLOSE);
    }
    REQUIRE(!(news & AMQP_SEEN_SASL_OUTCOME) || run->client.seen & AMQP_SEEN_SASL_INIT);
    REQUIRE(!(news & AMQP_SEEN_1_0_HEADER) || run->client.seen & AMQP_SEEN_1_0_HEADER);
}

static void write_some(struct run *run, size_t room)
{
    uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
    const enum amqp_refusal_state before = amqp_refusal_state(&run->refusal);
    const uint16_t seen = run->heard.seen;
    REQUIRE(amqp_refusal_step_text(&run->refusal) != NULL);
    const size_t len = amqp_refusal_write(&run->refusal, buf, room);
    REQUIRE(len <= room);
    REQUIRE(len == 0 || before == AMQP_REFUSAL_SENDING);
    REQUIRE(room < sizeof(buf) || amqp_refusal_state(&run->refusal) != AMQP_REFUSAL_SENDING);
    if (len == 0)
        return;
    run->written += len;
    REQUIRE(run->written <= sizeof(buf));
    REQUIRE(amqp_scanner_has_frames(&run->heard) || run->heard.fed_off == 0);
    amqp_scanner_feed(&run->heard, buf, len, NULL, NULL);
    REQUIRE(run->heard.state != AMQP_SCANNER_BROKEN);
    REQUIRE(run->heard.boundary_off == run->heard.fed_off);
    if (run->heard.state == AMQP_SCANNER_OPAQUE) /* the version was refused */
        REQUIRE(run->heard.fed_off == AMQP_PROTOCOL_HEADER_SIZE);
    require_good_timing(run, seen);
}

static void step(struct run *run, const uint8_t *data, size_t len)
{
    const enum amqp_refusal_state before = amqp_refusal_state(&run->refusal);
    amqp_refusal_feed(&run->refusal, data, len);
    amqp_scanner_feed(&run->client, data, len, NULL, NULL);
    if (before == AMQP_REFUSAL_DONE)
        REQUIRE(amqp_refusal_state(&run->refusal) == AMQP_REFUSAL_DONE);
    write_some(run, next_random(run, AMQP_REFUSAL_WRITE_MAX + 1));
}

static void begin(struct run *run, const uint8_t *data, const uint8_t *stream, size_t before)
{
    const uint64_t released_off = server_past(&run->heard, data[0]);
    run->written = 0;
    run->seed = data[2];
    amqp_scanner_init(&run->client, AMQP_FROM_CLIENT);
    amqp_scanner_feed(&run->client, stream, before, NULL, NULL);
    amqp_refusal_init(&run->refusal, 320, (const char[]){"why \xFF not"});
    amqp_refusal_take_over(&run->refusal, &run->client, &run->heard, released_off);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX_SIZE)
        return 0;
    const uint8_t *stream = data + PREFIX_SIZE;
    const size_t len = size - PREFIX_SIZE;
    size_t at = data[1] < len ? data[1] : len;
    struct run run;
    begin(&run, data, stream, at);
    write_some(&run, AMQP_REFUSAL_WRITE_MAX);
    while (at < len) {
        size_t piece = next_random(&run, 40);
        if (piece > len - at)
            piece = len - at;
        step(&run, stream + at, piece);
        at += piece;
    }
    write_some(&run, AMQP_REFUSAL_WRITE_MAX);
    return 0;
}
