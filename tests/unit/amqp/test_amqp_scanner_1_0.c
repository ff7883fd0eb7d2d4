/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/scanner.h"
#include "tests/unit/amqp/reference_scanner.h"
#include "tests/unit/amqp/stream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LITERAL(text) (text), sizeof(text) - 1
#define SASL          "AMQP\x03\x01\0\0"
#define PLAIN         "AMQP\0\x01\0\0"

static void check_every_split(enum amqp_direction direction, const struct stream *stream)
{
    static struct reference ref;
    for (size_t step = 0; step <= stream->len; step++) {
        struct amqp_scanner s;
        size_t piece =
            step % 2 == 0 ? step / 2 : 1 + step / 2; /* a first piece of any size, then steps of one */
        amqp_scanner_init(&s, direction);
        for (size_t at = 0; at < stream->len; at += piece, piece = 1) {
            if (piece > stream->len - at)
                piece = stream->len - at;
            amqp_scanner_feed(&s, stream->bytes + at, piece, NULL, NULL);
            reference_scan(&ref, direction, stream->bytes, at + piece);
            assert_true(reference_agrees(&ref, &s, at + piece));
        }
    }
}

static void scan_all(struct amqp_scanner *s, enum amqp_direction direction, const struct stream *stream)
{
    amqp_scanner_init(s, direction);
    amqp_scanner_feed(s, stream->bytes, stream->len, NULL, NULL);
}

static void test_a_session_from_each_side(void **state)
{
    (void)state;
    for (int from_server = 0; from_server <= 1; from_server++) {
        struct stream stream = {0};
        struct amqp_scanner s;
        const enum amqp_direction direction = from_server ? AMQP_FROM_SERVER : AMQP_FROM_CLIENT;
        const unsigned sasl =
            from_server ? AMQP_SEEN_SASL_MECHANISMS | AMQP_SEEN_SASL_OUTCOME : AMQP_SEEN_SASL_INIT;
        stream_1_0_session(&stream, from_server);
        check_every_split(direction, &stream);
        scan_all(&s, direction, &stream);
        assert_int_equal(s.state, AMQP_SCANNER_1_0_FRAMES);
        assert_int_equal(s.boundary_off, stream.len);
        assert_int_equal(s.heartbeats, 1);
        assert_int_equal(s.frames, from_server ? 6 : 5);
        assert_int_equal(s.seen, sasl | AMQP_SEEN_SASL_HEADER | AMQP_SEEN_1_0_HEADER | AMQP_SEEN_OPEN |
                                     AMQP_SEEN_CLOSE);
    }
}

static void test_performatives_count_in_their_own_layer_only(void **state)
{
    (void)state;
    struct stream stream = {0};
    struct amqp_scanner s;
    stream_bytes(&stream, LITERAL(SASL));
    stream_1_0_frame(&stream, 2, 1, LITERAL("\0\x53\x10\x45")); /* open, but of the SASL type */
    stream_bytes(&stream, LITERAL(PLAIN));
    stream_1_0_frame(&stream, 2, 0, LITERAL("\0\x53\x41\x45")); /* sasl-init, but of the AMQP type */
    stream_1_0_frame(&stream, 2, 0, LITERAL("\0\x80\0\0\0\0\0\0\x01\x10"));
    stream_1_0_frame(&stream, 2, 0,
                     LITERAL("\0\xA3\x0F"
                             "amqp:close:list"));
    stream_1_0_frame(&stream, 2, 0, LITERAL("\0\x53"));
    check_every_split(AMQP_FROM_CLIENT, &stream);
    scan_all(&s, AMQP_FROM_CLIENT, &stream);
    assert_int_equal(s.seen, AMQP_SEEN_SASL_HEADER | AMQP_SEEN_1_0_HEADER);
    assert_int_equal(s.frames, 5);
    assert_int_equal(s.boundary_off, stream.len);
}

static void test_shortest_performatives(void **state)
{
    (void)state;
    struct stream stream = {0};
    struct amqp_scanner s;
    stream_bytes(&stream, LITERAL(PLAIN));
    stream_1_0_frame(&stream, 2, 0, LITERAL("\0\x70\0\0\0\0\0\0\0\x18")); /* leaves 0x18 behind */
    stream_1_0_frame(&stream, 2, 0, LITERAL("\0\x80\0\0\0\0\0\0\0"));     /* where this one ends too soon */
    check_every_split(AMQP_FROM_CLIENT, &stream);
    scan_all(&s, AMQP_FROM_CLIENT, &stream);
    assert_int_equal(s.seen, AMQP_SEEN_1_0_HEADER);

    stream_1_0_frame(&stream, 2, 0, LITERAL("\0\x53\x10"));
    stream_1_0_frame(&stream, 2, 0, LITERAL("\0\x80\0\0\0\0\0\0\0\x18"));
    scan_all(&s, AMQP_FROM_CLIENT, &stream);
    assert_int_equal(s.seen, AMQP_SEEN_1_0_HEADER | AMQP_SEEN_OPEN | AMQP_SEEN_CLOSE);
}

/* A frame size that spells "AMQP" is a size once the SASL layer is over. */
static void test_a_frame_as_long_as_the_header_reads(void **state)
{
    (void)state;
    struct stream stream = {0};
    struct amqp_scanner s;
    stream_bytes(&stream, LITERAL(PLAIN));
    stream_bytes(&stream, LITERAL("AMQP\x02\0\0\0"));
    check_every_split(AMQP_FROM_CLIENT, &stream);
    scan_all(&s, AMQP_FROM_CLIENT, &stream);
    assert_int_equal(s.state, AMQP_SCANNER_1_0_FRAMES);
    assert_int_equal(s.boundary_off, 8);
    assert_int_equal(amqp_scanner_frame_size(&s), 0x414D5150);
}

static void test_tls_layer_is_opaque(void **state)
{
    (void)state;
    struct stream stream = {0};
    struct amqp_scanner s;
    stream_bytes(&stream, LITERAL(SASL "AMQP\x02\x01\0\0"
                                       "\x16\x03\x01"));
    check_every_split(AMQP_FROM_CLIENT, &stream);
    scan_all(&s, AMQP_FROM_CLIENT, &stream);
    assert_int_equal(s.state, AMQP_SCANNER_OPAQUE);
    assert_int_equal(s.boundary_off, 16);
}

static void test_release_at_boundaries_of_every_layer(void **state)
{
    (void)state;
    struct stream stream = {0};
    struct amqp_scanner s;
    stream_1_0_session(&stream, 0);
    amqp_scanner_init(&s, AMQP_FROM_CLIENT);
    for (size_t i = 0; i < stream.len; i++) {
        amqp_scanner_feed(&s, stream.bytes + i, 1, NULL, NULL);
        assert_int_equal(amqp_scanner_releasable_off(&s, STREAM_SIZE), s.boundary_off);
        assert_int_equal(amqp_scanner_may_insert(&s, s.boundary_off), i + 1 >= 8);
    }
    assert_int_equal(s.boundary_off, stream.len);
}

static void test_faults(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum amqp_scanner_fault fault;
        uint64_t fault_off;
    } cases[] = {
        {LITERAL(PLAIN "\0\0\0\x07\x02\0\0\0"), AMQP_FAULT_FRAME_SIZE, 8},
        {LITERAL(PLAIN "\0\0\0\x08\x01\0\0\0"), AMQP_FAULT_FRAME_SIZE, 8},
        {LITERAL(PLAIN "\0\0\0\x0B\x03\0\0\0"), AMQP_FAULT_FRAME_SIZE, 8},
        {LITERAL(PLAIN "\0\0\0\x08\x02\0\0\0\0\0\0\0\x02\0\0\0"), AMQP_FAULT_FRAME_SIZE, 16},
        {LITERAL(PLAIN "\0\0\0\x08\x02\x01\0\0"), AMQP_FAULT_FRAME_TYPE, 8},
        {LITERAL(SASL "\0\0\0\x08\x02\0\0\0"), AMQP_FAULT_FRAME_TYPE, 8},
        {LITERAL(SASL "AMQP\x03\x01\0\0"), AMQP_FAULT_HEADER, 8},
        {LITERAL(SASL "AMQP\0\0\x09\x01"), AMQP_FAULT_HEADER, 8},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stream stream = {0};
        struct amqp_scanner s;
        stream_bytes(&stream, cases[i].bytes, cases[i].len);
        check_every_split(AMQP_FROM_SERVER, &stream);
        scan_all(&s, AMQP_FROM_SERVER, &stream);
        assert_int_equal(s.state, AMQP_SCANNER_BROKEN);
        assert_int_equal(s.fault, cases[i].fault);
        assert_int_equal(s.fault_off, cases[i].fault_off);
        assert_int_equal(amqp_scanner_releasable_off(&s, STREAM_SIZE), stream.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_from_each_side),
        cmocka_unit_test(test_performatives_count_in_their_own_layer_only),
        cmocka_unit_test(test_shortest_performatives),
        cmocka_unit_test(test_a_frame_as_long_as_the_header_reads),
        cmocka_unit_test(test_tls_layer_is_opaque),
        cmocka_unit_test(test_release_at_boundaries_of_every_layer),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
