/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that are wrong, and those that only look it: every error of the reader, whole and in pieces. */
#include "mux/code.h"
#include "mux/frame.h"
#include "mux/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* OPEN without attributes. */
#define OPEN_FIXED 52

struct stream {
    uint8_t bytes[2 * (MUX_HEADER_SIZE + MUX_CONTROL_MAX)];
    size_t len;
};

static void add_header(struct stream *s, uint8_t type, uint32_t length)
{
    uint8_t *p = s->bytes + s->len;

    memset(p, 0, MUX_HEADER_SIZE);
    p[0] = type;
    wire_put(p + 4, 5, 4);
    wire_put(p + 8, length, 4);
    s->len += MUX_HEADER_SIZE;
}

/* A frame with `length` bytes of payload, those of `payload` first and zeros after. */
static struct stream frame_of(uint8_t type, uint32_t length, const void *payload, size_t payload_len)
{
    struct stream s = {0};

    add_header(&s, type, length);
    if (payload_len > 0)
        memcpy(s.bytes + s.len, payload, payload_len);
    s.len += length;
    return s;
}

/* Read all of it, in pieces of at most `step` bytes. Returns the number of frames, or the error. */
static int read_all(struct mux_reader *reader, const struct stream *s, size_t step, struct mux_frame *last)
{
    int frames = 0;

    mux_reader_init(reader, MUX_PAYLOAD_MAX);
    for (size_t from = 0; from < s->len; from += step) {
        const uint8_t *data = s->bytes + from;
        const uint8_t *end = s->bytes + (from + step < s->len ? from + step : s->len);
        int rc;

        while ((rc = mux_reader_next(reader, &data, end, last)) > 0)
            frames++;
        if (rc < 0)
            return rc;
    }
    return frames;
}

/* However it is cut, this stream is an error with this explanation. */
static void assert_error(const struct stream *s, const char *error)
{
    static const size_t steps[] = {1, 7, 12, 13, 1000, sizeof(s->bytes)};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct mux_reader reader;
        struct mux_frame frame;

        assert_int_equal(read_all(&reader, s, steps[i], &frame), -MUX_PROTOCOL_ERROR);
        assert_string_equal(reader.error, error);
        mux_reader_deinit(&reader);
    }
}

/* However it is cut, this stream is so many frames. */
static void assert_frames(const struct stream *s, int count, struct mux_reader *reader,
                          struct mux_frame *last)
{
    static const size_t steps[] = {1, 7, 12, 13, 1000, sizeof(s->bytes)};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (i > 0)
            mux_reader_deinit(reader);
        assert_int_equal(read_all(reader, s, steps[i], last), count);
    }
}

static void frames_that_end_too_early(void **state)
{
    static const struct {
        uint8_t type;
        uint32_t enough;
        const char *error;
    } cases[] = {
        {MUX_HELLO, 23, "HELLO is too short"},       {MUX_OPEN, OPEN_FIXED, "OPEN is too short"},
        {MUX_OPEN_OK, 28, "OPEN_OK is too short"},   {MUX_DATA, 8, "DATA is too short"},
        {MUX_MAX_DATA, 16, "MAX_DATA is too short"}, {MUX_RESET, 4, "RESET is too short"},
        {MUX_PING, 8, "PING or PONG is too short"},  {MUX_PONG, 8, "PING or PONG is too short"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mux_reader reader;
        struct mux_frame frame;
        struct stream s = frame_of(cases[i].type, cases[i].enough, "AMVS", 4);

        assert_frames(&s, 1, &reader, &frame);
        assert_int_equal(frame.type, cases[i].type);
        mux_reader_deinit(&reader);
        for (uint32_t length = cases[i].type == MUX_HELLO ? 4 : 0; length < cases[i].enough; length++) {
            s = frame_of(cases[i].type, length, "AMVS", length < 4 ? length : 4);
            assert_error(&s, cases[i].error);
        }
    }
}

static void hello_needs_its_magic(void **state)
{
    struct stream s = frame_of(MUX_HELLO, 23, "AMVX", 4);

    (void)state;
    assert_error(&s, "HELLO without the magic AMVS");
    s = frame_of(MUX_HELLO, 3, "AMV", 3);
    assert_error(&s, "HELLO without the magic AMVS");
    s = frame_of(MUX_HELLO, 0, NULL, 0);
    assert_error(&s, "HELLO without the magic AMVS");
}

/* OPEN with these bytes where the attributes are. */
static struct stream open_with(const void *attributes, size_t len)
{
    uint8_t payload[OPEN_FIXED + 300] = {0};

    memcpy(payload + OPEN_FIXED, attributes, len);
    return frame_of(MUX_OPEN, OPEN_FIXED + (uint32_t)len, payload, OPEN_FIXED + len);
}

static void attributes_stay_inside_their_frame(void **state)
{
    uint8_t long_one[4 + 256] = {0, 1, 1, 0};
    struct stream s = open_with("\0\1\0\5abcd", 8);

    (void)state;
    assert_error(&s, "attribute of OPEN runs past its end");
    for (size_t n = 1; n < 4; n++) {
        s = open_with("\0\1\0", n);
        assert_error(&s, "attribute of OPEN runs past its end");
    }
    s = open_with("\0\1\xff\xff", 4);
    assert_error(&s, "attribute of OPEN runs past its end");
    s = open_with(long_one, sizeof(long_one));
    assert_error(&s, "attribute of OPEN is longer than 255 bytes");
    s = open_with("\1\1\0\3abc", 7);
    assert_error(&s, "CID attribute of OPEN is not 4 bytes");
    s = open_with("\1\1\0\0", 4);
    assert_error(&s, "CID attribute of OPEN is not 4 bytes");
}

static void unknown_and_empty_attributes_are_no_error(void **state)
{
    struct mux_reader reader;
    struct mux_frame frame;
    struct stream s = open_with("\x70\0\0\2xy\0\1\0\0\0\2\0\1z\xff\xff\0\0", 19);

    (void)state;
    assert_frames(&s, 1, &reader, &frame);
    assert_int_equal(frame.u.open.attributes.service.len, 0);
    assert_int_equal(frame.u.open.attributes.client_address.len, 1);
    assert_int_equal(frame.u.open.attributes.client_address.data[0], 'z');
    mux_reader_deinit(&reader);
}

static void a_repeated_attribute_replaces_the_one_before(void **state)
{
    struct mux_reader reader;
    struct mux_frame frame;
    struct stream s = open_with("\0\1\0\1a\0\1\0\2bc", 11);

    (void)state;
    assert_frames(&s, 1, &reader, &frame);
    assert_int_equal(frame.u.open.attributes.service.len, 2);
    assert_memory_equal(frame.u.open.attributes.service.data, "bc", 2);
    mux_reader_deinit(&reader);
}

static void lengths_are_limited(void **state)
{
    struct stream s = {0};

    (void)state;
    add_header(&s, MUX_DATA, MUX_PAYLOAD_MAX + 1);
    assert_error(&s, "frame is larger than max_frame");
    s = (struct stream){0};
    add_header(&s, MUX_DATA, UINT32_MAX);
    assert_error(&s, "frame is larger than max_frame");
    s = (struct stream){0};
    add_header(&s, 0xff, MUX_PAYLOAD_MAX + 1);
    assert_error(&s, "frame is larger than max_frame");
    for (uint8_t type = MUX_HELLO; type <= MUX_DETACH; type++) {
        if (type == MUX_DATA)
            continue;
        s = (struct stream){0};
        add_header(&s, type, MUX_CONTROL_MAX + 1);
        assert_error(&s, "control frame is longer than 4096 bytes");
    }
}

static void the_longest_control_frame_passes(void **state)
{
    struct mux_reader reader;
    struct mux_frame frame;
    struct stream s = frame_of(MUX_RESET, MUX_CONTROL_MAX, "\0\0\0\7why", 7);

    (void)state;
    assert_frames(&s, 1, &reader, &frame);
    assert_int_equal(frame.u.reset.code, 7);
    assert_int_equal(frame.u.reset.reason.len, MUX_REASON_MAX); /* the rest is ignored */
    mux_reader_deinit(&reader);
}

static void unknown_types_are_errors_below_128(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 128; type++) {
        struct stream s = {0};

        if (type >= MUX_HELLO && type <= MUX_DETACH)
            continue;
        add_header(&s, (uint8_t)type, 0);
        assert_error(&s, "unknown frame type");
    }
}

static void unknown_types_are_skipped_from_128_on(void **state)
{
    (void)state;
    for (unsigned type = 128; type < 256; type++) {
        struct mux_reader reader;
        struct mux_frame frame;
        struct stream s = frame_of((uint8_t)type, type * 16, "\1\1\1", 3);

        add_header(&s, (uint8_t)type, 0);
        add_header(&s, MUX_DETACH, 0);
        assert_frames(&s, 1, &reader, &frame);
        assert_int_equal(frame.type, MUX_DETACH);
        assert_int_equal(frame.session, 5);
        mux_reader_deinit(&reader);
    }
}

static void reserved_bytes_and_foreign_flags_are_ignored(void **state)
{
    struct mux_reader reader;
    struct mux_frame frame;
    struct stream s = {0};

    (void)state;
    add_header(&s, MUX_DETACH, 0);
    s.bytes[1] = 0xff;
    s.bytes[2] = 0xff;
    s.bytes[3] = 0xff;
    assert_frames(&s, 1, &reader, &frame);
    mux_reader_deinit(&reader);
}

static void longer_payloads_than_known_are_no_error(void **state)
{
    struct mux_reader reader;
    struct mux_frame frame;
    struct stream s = frame_of(MUX_MAX_DATA, 30, "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2", 16);

    (void)state;
    add_header(&s, MUX_DETACH, 0);
    assert_frames(&s, 2, &reader, &frame);
    mux_reader_deinit(&reader);
}

static void gathered_memory_is_given_back(void **state)
{
    struct mux_reader reader;
    struct mux_frame frame;
    struct stream s = frame_of(MUX_RESET, 100, NULL, 0);
    const uint8_t *data = s.bytes;

    (void)state;
    mux_reader_init(&reader, MUX_PAYLOAD_MAX);
    assert_int_equal(mux_reader_next(&reader, &data, s.bytes + 50, &frame), 0);
    assert_non_null(reader.control);
    assert_int_equal(mux_reader_next(&reader, &data, s.bytes + s.len, &frame), 1);
    assert_int_equal(mux_reader_next(&reader, &data, s.bytes + s.len, &frame), 0);
    assert_null(reader.control); /* an idle connection holds no buffer */
    mux_reader_deinit(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_that_end_too_early),
        cmocka_unit_test(hello_needs_its_magic),
        cmocka_unit_test(attributes_stay_inside_their_frame),
        cmocka_unit_test(unknown_and_empty_attributes_are_no_error),
        cmocka_unit_test(a_repeated_attribute_replaces_the_one_before),
        cmocka_unit_test(lengths_are_limited),
        cmocka_unit_test(the_longest_control_frame_passes),
        cmocka_unit_test(unknown_types_are_errors_below_128),
        cmocka_unit_test(unknown_types_are_skipped_from_128_on),
        cmocka_unit_test(reserved_bytes_and_foreign_flags_are_ignored),
        cmocka_unit_test(longer_payloads_than_known_are_no_error),
        cmocka_unit_test(gathered_memory_is_given_back),
    };

    return cmocka_run_group_tests_name("mux.frame_errors", tests, NULL, NULL);
}
