/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/frame_reader.h"
#include "tests/unit/amqp/frames.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct frames stream;

static const struct {
    uint8_t type;
    uint16_t channel;
    const char *payload;
} expected[] = {
    {AMQP_FRAME_METHOD, 1, "a method"},
    {AMQP_FRAME_HEARTBEAT, 0, ""},
    {AMQP_FRAME_BODY, 65535, "\xCE\xCE\xCE\x01\x02\x03"},
    {AMQP_FRAME_HEADER, 7, "the header of a content"},
};

enum { EXPECTED = sizeof(expected) / sizeof(expected[0]) };

static int setup(void **state)
{
    (void)state;
    stream.len = 0;
    for (int i = 0; i < EXPECTED; i++)
        frames_raw(&stream, expected[i].type, expected[i].channel, expected[i].payload,
                   strlen(expected[i].payload));
    return 0;
}

static void assert_is(const struct amqp_frame *frame, int i)
{
    assert_true(i < EXPECTED);
    assert_int_equal(frame->type, expected[i].type);
    assert_int_equal(frame->channel, expected[i].channel);
    assert_int_equal(frame->size, strlen(expected[i].payload));
    assert_memory_equal(frame->payload, expected[i].payload, frame->size);
}

/* Feeds one piece and returns how many frames were seen in all. */
static int feed(struct amqp_frame_reader *r, const uint8_t *data, size_t len, int seen)
{
    struct amqp_exception e;
    struct amqp_frame frame;
    int rc;
    while ((rc = amqp_frame_reader_next(r, &data, &len, &frame, &e)) == AMQP_FRAME_WHOLE)
        assert_is(&frame, seen++);
    assert_int_equal(rc, AMQP_FRAME_MORE);
    assert_int_equal(len, 0);
    return seen;
}

static void test_whole_frames_are_read_in_place(void **state)
{
    struct amqp_frame_reader r;
    (void)state;
    amqp_frame_reader_init(&r, 4096);
    assert_int_equal(feed(&r, stream.bytes, stream.len, 0), EXPECTED);
    assert_int_equal(amqp_frame_reader_held(&r), 0);
    amqp_frame_reader_deinit(&r);
}

static void test_cut_at_every_pair_of_bytes(void **state)
{
    (void)state;
    for (size_t a = 0; a <= stream.len; a++) {
        for (size_t b = a; b <= stream.len; b++) {
            struct amqp_frame_reader r;
            amqp_frame_reader_init(&r, 4096);
            int seen = feed(&r, stream.bytes, a, 0);
            seen = feed(&r, stream.bytes + a, b - a, seen);
            seen = feed(&r, stream.bytes + b, stream.len - b, seen);
            assert_int_equal(seen, EXPECTED);
            assert_int_equal(amqp_frame_reader_held(&r), 0);
            amqp_frame_reader_deinit(&r);
        }
    }
}

static void assert_bad(const uint8_t *data, size_t len, const char *text)
{
    for (size_t step = 1; step <= len; step = step == 1 ? len : len + 1) {
        struct amqp_exception e = {0};
        struct amqp_frame_reader r;
        struct amqp_frame frame;
        int rc = AMQP_FRAME_MORE;
        amqp_frame_reader_init(&r, 4096);
        for (size_t at = 0; at < len && rc == AMQP_FRAME_MORE; at += step) {
            const uint8_t *piece = data + at;
            size_t left = step;
            rc = amqp_frame_reader_next(&r, &piece, &left, &frame, &e);
        }
        assert_int_equal(rc, AMQP_FRAME_BAD);
        assert_int_equal(e.code, AMQP_CODE_FRAME_ERROR);
        assert_int_equal(e.scope, AMQP_SCOPE_CONNECTION);
        assert_non_null(strstr(e.text, text));
        amqp_frame_reader_deinit(&r);
    }
}

static void test_what_is_no_frame(void **state)
{
    static const uint8_t type[] = {4, 0, 1, 0, 0, 0, 0};
    static const uint8_t large[] = {3, 0, 1, 0, 0, 0x10, 0x01};
    static const uint8_t huge[] = {3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF};
    static const uint8_t end[] = {8, 0, 0, 0, 0, 0, 0, 0xCD};
    (void)state;
    assert_bad(type, sizeof(type), "unknown_frame");
    assert_bad(large, sizeof(large), "frame_too_large,4097,4088");
    assert_bad(huge, sizeof(huge), "frame_too_large,4294967295");
    assert_bad(end, sizeof(end), "invalid_frame_end_marker,205");
}

static void test_an_announced_size_takes_no_memory(void **state)
{
    static const uint8_t header[] = {3, 0, 1, 0, 0x40, 0, 0, 'x'};
    const uint8_t *data = header;
    size_t len = sizeof(header);
    struct amqp_exception e;
    struct amqp_frame_reader r;
    struct amqp_frame frame;
    (void)state;
    amqp_frame_reader_init(&r, 1 << 30);
    assert_int_equal(amqp_frame_reader_next(&r, &data, &len, &frame, &e), AMQP_FRAME_MORE);
    assert_true(amqp_frame_reader_held(&r) <= 256);
    amqp_frame_reader_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_whole_frames_are_read_in_place, setup),
        cmocka_unit_test_setup(test_cut_at_every_pair_of_bytes, setup),
        cmocka_unit_test(test_what_is_no_frame),
        cmocka_unit_test(test_an_announced_size_takes_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
