/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/scanner.h"
#include "tests/unit/amqp/reference_scanner.h"
#include "tests/unit/amqp/stream.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct log {
    const struct amqp_scanner *scanner;
    size_t count;
    struct amqp_connection_method methods[REFERENCE_METHODS_MAX];
};

static void log_method(void *ctx, const struct amqp_connection_method *method)
{
    struct log *log = ctx;
    assert_int_equal(log->scanner->boundary_off, method->end_off);
    assert_int_equal(log->scanner->fed_off, method->end_off);
    assert_true(log->count < REFERENCE_METHODS_MAX);
    log->methods[log->count++] = *method;
}

static void assert_reference(const struct amqp_scanner *s, const struct log *log, const uint8_t *data,
                             size_t len)
{
    static struct reference ref;
    reference_scan(&ref, s->direction, data, len);
    assert_true(reference_agrees(&ref, s, len));
    assert_int_equal(log->count, ref.method_count);
    for (size_t i = 0; i < log->count; i++)
        assert_true(reference_same_method(&log->methods[i], &ref.methods[i]));
}

/* Feeds [0, first), then pieces of `step` bytes, and compares after each of them. */
static void check_split(enum amqp_direction direction, const uint8_t *data, size_t len, size_t first,
                        size_t step)
{
    struct amqp_scanner s;
    static struct log log;
    log = (struct log){.scanner = &s};
    amqp_scanner_init(&s, direction);
    for (size_t at = 0, piece = first; at < len; at += piece, piece = step) {
        if (piece > len - at)
            piece = len - at;
        amqp_scanner_feed(&s, data + at, piece, log_method, &log);
        assert_reference(&s, &log, data, at + piece);
    }
}

static void check_every_split(enum amqp_direction direction, const struct stream *stream)
{
    for (size_t first = 0; first <= stream->len; first++)
        check_split(direction, stream->bytes, stream->len, first, stream->len);
    for (size_t step = 1; step <= 9; step++)
        check_split(direction, stream->bytes, stream->len, 0, step);
}

static void test_every_split_of_a_client(void **state)
{
    (void)state;
    struct stream stream = {0};
    stream_client_session(&stream);
    check_every_split(AMQP_FROM_CLIENT, &stream);
}

static void test_every_split_of_a_server(void **state)
{
    (void)state;
    struct stream stream = {0};
    stream_server_session(&stream);
    check_every_split(AMQP_FROM_SERVER, &stream);
}

static void scan_all(struct amqp_scanner *s, struct log *log, enum amqp_direction direction,
                     const struct stream *stream)
{
    *log = (struct log){.scanner = s};
    amqp_scanner_init(s, direction);
    amqp_scanner_feed(s, stream->bytes, stream->len, log_method, log);
}

/* The reference could share a mistake with the scanner; these numbers were counted by hand. */
static void test_what_a_client_session_shows(void **state)
{
    (void)state;
    struct stream stream = {0};
    struct amqp_scanner s;
    struct log log;
    stream_client_session(&stream);
    scan_all(&s, &log, AMQP_FROM_CLIENT, &stream);

    assert_int_equal(s.state, AMQP_SCANNER_FRAMES);
    assert_int_equal(s.boundary_off, stream.len);
    assert_int_equal(s.frames, 8);
    assert_int_equal(s.heartbeats, 2);
    assert_int_equal(s.seen, AMQP_SEEN_START_OK | AMQP_SEEN_TUNE_OK | AMQP_SEEN_OPEN | AMQP_SEEN_CLOSE);
    assert_int_equal(log.count, 4);
    assert_int_equal(log.methods[0].id, AMQP_CONNECTION_START_OK_METHOD);
    assert_int_equal(log.methods[0].frame_off, 8);
    assert_int_equal(log.methods[1].id, AMQP_CONNECTION_TUNE_OK_METHOD);
    assert_int_equal(log.methods[1].channel_max, 2047);
    assert_int_equal(log.methods[1].frame_max, 131072);
    assert_int_equal(log.methods[1].heartbeat_s, 60);
    assert_int_equal(log.methods[1].end_off - log.methods[1].frame_off, 20);
    assert_int_equal(log.methods[2].id, AMQP_CONNECTION_OPEN_METHOD);
    assert_int_equal(log.methods[2].frame_off, log.methods[1].end_off);
    assert_int_equal(log.methods[3].id, AMQP_CONNECTION_CLOSE_METHOD);
    assert_int_equal(log.methods[3].reply_code, 200);
    assert_int_equal(log.methods[3].channel_max, 0);
    assert_int_equal(log.methods[3].end_off, stream.len);
}

static void test_what_a_server_session_shows(void **state)
{
    (void)state;
    struct stream stream = {0};
    struct amqp_scanner s;
    struct log log;
    stream_server_session(&stream);
    scan_all(&s, &log, AMQP_FROM_SERVER, &stream);

    assert_int_equal(s.frames, 9);
    assert_int_equal(s.heartbeats, 1);
    assert_int_equal(s.seen, AMQP_SEEN_START | AMQP_SEEN_TUNE | AMQP_SEEN_OPEN_OK | AMQP_SEEN_CLOSE_OK);
    assert_int_equal(log.count, 5);
    assert_int_equal(log.methods[0].frame_off, 0);
    assert_int_equal(log.methods[3].id, AMQP_CONNECTION_BLOCKED_METHOD);
    assert_int_equal(log.methods[4].id, AMQP_CONNECTION_CLOSE_OK_METHOD);
}

static void test_no_callback_is_needed(void **state)
{
    (void)state;
    struct stream stream = {0};
    struct amqp_scanner s;
    stream_client_session(&stream);
    amqp_scanner_init(&s, AMQP_FROM_CLIENT);
    amqp_scanner_feed(&s, NULL, 0, NULL, NULL);
    amqp_scanner_feed(&s, stream.bytes, stream.len, NULL, NULL);
    assert_int_equal(s.boundary_off, stream.len);
    assert_int_equal(s.seen & AMQP_SEEN_CLOSE, AMQP_SEEN_CLOSE);
}

#define LITERAL(text) (const uint8_t *)(text), sizeof(text) - 1
#define HEADER        "AMQP\0\0\x09\x01"

static void test_faults(void **state)
{
    static const struct {
        enum amqp_direction direction;
        const uint8_t *bytes;
        size_t len;
        enum amqp_scanner_fault fault;
        uint64_t fault_off;
    } cases[] = {
        {AMQP_FROM_CLIENT, LITERAL("GET / HTTP/1.1\r\n"), AMQP_FAULT_NOT_AMQP, 0},
        {AMQP_FROM_CLIENT, LITERAL("\x16\x03\x01\x02\0"), AMQP_FAULT_NOT_AMQP, 0},
        {AMQP_FROM_CLIENT, LITERAL("AMqp\0\0\x09\x01"), AMQP_FAULT_NOT_AMQP, 2},
        {AMQP_FROM_SERVER, LITERAL("AMZP"), AMQP_FAULT_NOT_AMQP, 2},
        {AMQP_FROM_SERVER, LITERAL("HTTP/1.1 400"), AMQP_FAULT_FRAME_TYPE, 0},
        {AMQP_FROM_CLIENT, LITERAL(HEADER "\x04"), AMQP_FAULT_FRAME_TYPE, 8},
        {AMQP_FROM_CLIENT, LITERAL(HEADER "\x00\0\0\0\0\0\0\xCE"), AMQP_FAULT_FRAME_TYPE, 8},
        {AMQP_FROM_CLIENT, LITERAL(HEADER "\x08\0\0\0\0\0\0\xCD"), AMQP_FAULT_FRAME_END, 15},
        {AMQP_FROM_CLIENT, LITERAL(HEADER "\x03\0\x01\0\0\0\x02\xCE\xCE\x01"), AMQP_FAULT_FRAME_END, 17},
        {AMQP_FROM_SERVER, LITERAL("\x08\0\0\0\0\0\0\xCE\x08\0\0\0\0\0\0\0"), AMQP_FAULT_FRAME_END, 15},
        {AMQP_FROM_CLIENT, LITERAL(HEADER "\x01\0\0\0\0\0\x03"), AMQP_FAULT_SHORT_METHOD, 8},
        {AMQP_FROM_SERVER, LITERAL("\x01\0\0\0\0\0\x0B\0\x0A\0\x1E\0\0\0\0\0\0\0\xCE"),
         AMQP_FAULT_SHORT_METHOD, 0},
        {AMQP_FROM_CLIENT, LITERAL(HEADER "\x01\0\0\0\0\0\x05\0\x0A\0\x32\0\xCE"), AMQP_FAULT_SHORT_METHOD,
         8},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amqp_scanner s;
        struct stream stream = {0};
        stream_bytes(&stream, cases[i].bytes, cases[i].len);
        check_every_split(cases[i].direction, &stream);

        amqp_scanner_init(&s, cases[i].direction);
        amqp_scanner_feed(&s, cases[i].bytes, cases[i].len, NULL, NULL);
        assert_int_equal(s.state, AMQP_SCANNER_BROKEN);
        assert_int_equal(s.fault, cases[i].fault);
        assert_int_equal(s.fault_off, cases[i].fault_off);
        assert_string_not_equal(amqp_scanner_fault_text(s.fault), amqp_scanner_fault_text(AMQP_FAULT_NONE));
    }
}

static void test_broken_stays_broken_and_goes_on_counting(void **state)
{
    (void)state;
    struct stream stream = {0};
    struct amqp_scanner s;
    struct log log;
    stream_client_session(&stream);
    const size_t good = stream.len;
    stream_bytes(&stream, "\x07", 1);
    stream_client_session(&stream);
    stream_method(&stream, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, NULL, 0);
    scan_all(&s, &log, AMQP_FROM_CLIENT, &stream);

    assert_int_equal(s.state, AMQP_SCANNER_BROKEN);
    assert_int_equal(s.fault_off, good);
    assert_int_equal(s.boundary_off, good);
    assert_int_equal(s.fed_off, stream.len);
    assert_int_equal(s.seen & AMQP_SEEN_CLOSE_OK, 0);
    assert_false(amqp_scanner_may_insert(&s, good));
    assert_int_equal(amqp_scanner_releasable_off(&s, 4096), stream.len);
}

static void test_opaque_streams(void **state)
{
    static const struct {
        enum amqp_direction direction;
        const char *header;
    } cases[] = {
        {AMQP_FROM_CLIENT, "AMQP\x01\x01\x08\0"}, /* 0-8 */
        {AMQP_FROM_CLIENT, "AMQP\x01\x01\0\x0A"}, /* 0-10 */
        {AMQP_FROM_CLIENT, "AMQP\x02\x01\0\0"},   /* 1.0, TLS */
        {AMQP_FROM_SERVER, "AMQP\0\0\x09\x01"},   /* the version is refused */
        {AMQP_FROM_SERVER, "AMQP\x02\x01\0\0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amqp_scanner s;
        struct log log;
        struct stream stream = {0};
        stream_bytes(&stream, cases[i].header, 8);
        stream_method(&stream, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, NULL, 0);
        check_every_split(cases[i].direction, &stream);
        scan_all(&s, &log, cases[i].direction, &stream);
        assert_int_equal(s.state, AMQP_SCANNER_OPAQUE);
        assert_int_equal(s.boundary_off, 8);
        assert_int_equal(log.count, 0);
        assert_false(amqp_scanner_may_insert(&s, 8));
        assert_int_equal(amqp_scanner_releasable_off(&s, 4096), stream.len);
    }
}

static void test_version_0_9_is_framed_like_0_9_1(void **state)
{
    (void)state;
    struct amqp_scanner s;
    struct log log;
    struct stream stream = {0};
    stream_header(&stream, 1, 1, 0, 9);
    stream_method(&stream, 0, AMQP_CONNECTION_START_OK_METHOD, "rest", 4);
    scan_all(&s, &log, AMQP_FROM_CLIENT, &stream);
    assert_int_equal(s.state, AMQP_SCANNER_FRAMES);
    assert_int_equal(s.seen, AMQP_SEEN_START_OK);
}

static void test_methods_that_are_not_reported(void **state)
{
    (void)state;
    struct amqp_scanner s;
    struct log log;
    struct stream stream = {0};
    stream_header(&stream, 0, 0, 9, 1);
    stream_method(&stream, 0, 0x0014000A, "\0", 1);                                   /* not of class 10 */
    stream_method(&stream, 1, AMQP_CONNECTION_CLOSE_METHOD, "\x01\x40\0\0\0\0\0", 7); /* not on channel 0 */
    stream_method(&stream, 256, AMQP_CONNECTION_CLOSE_METHOD, "\x01\x40\0\0\0\0\0", 7);
    stream_frame(&stream, 3, 0, "\0\x0A\0\x32\x01\x40\0\0\0\0\0", 11); /* not a method */
    stream_frame(&stream, 8, 0, "\0\x0A\0\x32\x01\x40\0\0\0\0\0", 11);
    scan_all(&s, &log, AMQP_FROM_CLIENT, &stream);
    assert_int_equal(s.boundary_off, stream.len);
    assert_int_equal(s.frames, 4);
    assert_int_equal(s.heartbeats, 1);
    assert_int_equal(log.count, 0);
    assert_int_equal(s.seen, 0);
}

/* Methods of the class that have no bit, real or not, are reported and leave `seen` alone. */
static void test_connection_methods_without_a_bit(void **state)
{
    static const uint16_t methods[] = {0, 9, 12, 19, 22, 52, 60, 61, 70, 71, 80, 0xFFFF};
    (void)state;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        struct amqp_scanner s;
        struct log log;
        struct stream stream = {0};
        stream_method(&stream, 0, 0x000A0000u | methods[i], NULL, 0);
        scan_all(&s, &log, AMQP_FROM_SERVER, &stream);
        assert_int_equal(log.count, 1);
        assert_int_equal(log.methods[0].id, 0x000A0000u | methods[i]);
        assert_int_equal(s.seen, 0);
    }
}

/* The fields that are reported are enough; the rest is for those who are meant. */
static void test_shortest_methods(void **state)
{
    (void)state;
    struct amqp_scanner s;
    struct log log;
    struct stream stream = {0};
    stream_method(&stream, 0, AMQP_CONNECTION_TUNE_METHOD, "\0\x01\0\0\x10\0\0\x05", 8);
    stream_method(&stream, 0, AMQP_CONNECTION_CLOSE_METHOD, "\x01\x40", 2);
    stream_method(&stream, 0, AMQP_CONNECTION_UNBLOCKED_METHOD, NULL, 0);
    scan_all(&s, &log, AMQP_FROM_SERVER, &stream);
    assert_int_equal(log.count, 3);
    assert_int_equal(log.methods[0].channel_max, 1);
    assert_int_equal(log.methods[0].frame_max, 4096);
    assert_int_equal(log.methods[0].heartbeat_s, 5);
    assert_int_equal(log.methods[1].reply_code, 320);
}

/* Byte by byte: a relay that passes on what it may never has a part of a small frame out. */
static void test_release_holds_back_the_frame_in_progress(void **state)
{
    (void)state;
    struct stream stream = {0};
    struct amqp_scanner s;
    stream_client_session(&stream);
    amqp_scanner_init(&s, AMQP_FROM_CLIENT);
    for (size_t i = 0; i < stream.len; i++) {
        amqp_scanner_feed(&s, stream.bytes + i, 1, NULL, NULL);
        const uint64_t released = amqp_scanner_releasable_off(&s, STREAM_SIZE);
        assert_int_equal(released, s.boundary_off);
        assert_int_equal(amqp_scanner_may_insert(&s, released), i + 1 >= 8);
        if (released > 0)
            assert_false(amqp_scanner_may_insert(&s, released - 1));
    }
}

static void test_release_lets_large_frames_flow(void **state)
{
    (void)state;
    static const uint8_t body[100];
    struct stream stream = {0};
    struct amqp_scanner s;
    stream_frame(&stream, 3, 1, body, sizeof(body));
    amqp_scanner_init(&s, AMQP_FROM_SERVER);

    amqp_scanner_feed(&s, stream.bytes, 6, NULL, NULL);
    assert_int_equal(amqp_scanner_frame_size(&s), 0);
    assert_int_equal(amqp_scanner_releasable_off(&s, 107), 0);
    amqp_scanner_feed(&s, stream.bytes + 6, 1, NULL, NULL);
    assert_int_equal(amqp_scanner_frame_size(&s), 108);
    assert_int_equal(amqp_scanner_releasable_off(&s, 108), 0);
    assert_int_equal(amqp_scanner_releasable_off(&s, 107), 7);
    assert_false(amqp_scanner_may_insert(&s, 7));
    amqp_scanner_feed(&s, stream.bytes + 7, 101, NULL, NULL);
    assert_int_equal(amqp_scanner_frame_size(&s), 0);
    assert_int_equal(amqp_scanner_releasable_off(&s, 107), 108);
    assert_true(amqp_scanner_may_insert(&s, 108));
}

static void test_the_largest_frame(void **state)
{
    (void)state;
    static const uint8_t zeroes[1 << 16];
    struct amqp_scanner s;
    amqp_scanner_init(&s, AMQP_FROM_SERVER);
    amqp_scanner_feed(&s, LITERAL("\x03\xFF\xFF\xFF\xFF\xFF\xFF"), NULL, NULL);
    assert_true(amqp_scanner_frame_size(&s) == UINT64_C(0x100000007));
    for (uint64_t left = UINT64_C(0xFFFFFFFF); left > 0;) {
        const size_t piece = left < sizeof(zeroes) ? (size_t)left : sizeof(zeroes);
        amqp_scanner_feed(&s, zeroes, piece, NULL, NULL);
        assert_int_equal(s.frames, 0);
        left -= piece;
    }
    amqp_scanner_feed(&s, LITERAL("\xCE"), NULL, NULL);
    assert_int_equal(s.frames, 1);
    assert_true(s.boundary_off == UINT64_C(0x100000007));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split_of_a_client),
        cmocka_unit_test(test_every_split_of_a_server),
        cmocka_unit_test(test_what_a_client_session_shows),
        cmocka_unit_test(test_what_a_server_session_shows),
        cmocka_unit_test(test_no_callback_is_needed),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_broken_stays_broken_and_goes_on_counting),
        cmocka_unit_test(test_opaque_streams),
        cmocka_unit_test(test_version_0_9_is_framed_like_0_9_1),
        cmocka_unit_test(test_methods_that_are_not_reported),
        cmocka_unit_test(test_connection_methods_without_a_bit),
        cmocka_unit_test(test_shortest_methods),
        cmocka_unit_test(test_release_holds_back_the_frame_in_progress),
        cmocka_unit_test(test_release_lets_large_frames_flow),
        cmocka_unit_test(test_the_largest_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
