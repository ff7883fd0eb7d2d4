/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that are right: each kind round trip, the bytes on the wire, and a stream of all of them cut
 * anywhere. */
#include "mux/code.h"
#include "mux/frame.h"
#include "tests/unit/mux/kit/rng.h"
#include "tests/unit/mux/kit/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FRAME_MAX (MUX_HEADER_SIZE + MUX_CONTROL_MAX)

/* Decode what must be exactly one control frame. */
static struct mux_frame decode(struct mux_reader *reader, const uint8_t *bytes, size_t size)
{
    const uint8_t *data = bytes;
    struct mux_frame frame;
    struct mux_frame more;

    mux_reader_init(reader, MUX_PAYLOAD_MAX);
    assert_int_equal(mux_reader_next(reader, &data, bytes + size, &frame), 1);
    assert_ptr_equal(data, bytes + size);
    assert_int_equal(mux_reader_next(reader, &data, bytes + size, &more), 0);
    return frame;
}

static void assert_text(struct mux_text text, const char *expected)
{
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.data, expected, text.len);
}

/* ── Each kind ── */

static void hello(void **state)
{
    struct mux_hello in = {.version = 1,
                           .role = MUX_ROLE_AMQP,
                           .max_frame = 0x12345678,
                           .instance = 0x1122334455667788u,
                           .features = 0x80000001u,
                           .name = mux_text("rack-7")};
    uint8_t bytes[FRAME_MAX];
    struct mux_reader reader;
    struct mux_frame out = decode(&reader, bytes, mux_encode_hello(bytes, &in));

    (void)state;
    assert_int_equal(out.type, MUX_HELLO);
    assert_int_equal(out.session, 0);
    assert_int_equal(out.u.hello.version, in.version);
    assert_int_equal(out.u.hello.role, in.role);
    assert_int_equal(out.u.hello.max_frame, in.max_frame);
    assert_int_equal(out.u.hello.instance, in.instance);
    assert_int_equal(out.u.hello.features, in.features);
    assert_text(out.u.hello.name, "rack-7");
    assert_memory_equal(bytes + MUX_HEADER_SIZE, "AMVS\x00\x01\x03", 7);
}

static struct mux_open full_open(void)
{
    struct mux_open open = {.attempt = 0xfffffffeu,
                            .resume = true,
                            .received_offset = 0x0123456789abcdefu,
                            .received_digest = 0xf0e1d2c3b4a59687u,
                            .sent_offset = 0x8000000000000001u,
                            .max_data = UINT64_MAX,
                            .attributes = {.service = mux_text("mqtt"),
                                           .client_address = mux_text("[::1]:5000"),
                                           .client_process = mux_text("java"),
                                           .guest_name = mux_text("vm1"),
                                           .host_name = mux_text("hv3"),
                                           .vm_name = mux_text("v"),
                                           .policy = mux_text("p"),
                                           .cid = 0x80000065u,
                                           .has_cid = true}};

    for (uint8_t i = 0; i < MUX_TOKEN_SIZE; i++)
        open.token[i] = (uint8_t)(0xf0 + i);
    return open;
}

static void open_with_everything(void **state)
{
    struct mux_open in = full_open();
    uint8_t bytes[FRAME_MAX];
    struct mux_reader reader;
    struct mux_frame out = decode(&reader, bytes, mux_encode_open(bytes, 0xdeadbeefu, &in));
    struct mux_attributes *a = &out.u.open.attributes;

    (void)state;
    assert_int_equal(out.type, MUX_OPEN);
    assert_int_equal(out.session, 0xdeadbeefu);
    assert_memory_equal(out.u.open.token, in.token, MUX_TOKEN_SIZE);
    assert_int_equal(out.u.open.attempt, in.attempt);
    assert_true(out.u.open.resume);
    assert_int_equal(out.u.open.received_offset, in.received_offset);
    assert_int_equal(out.u.open.received_digest, in.received_digest);
    assert_int_equal(out.u.open.sent_offset, in.sent_offset);
    assert_int_equal(out.u.open.max_data, in.max_data);
    assert_text(a->service, "mqtt");
    assert_text(a->client_address, "[::1]:5000");
    assert_text(a->client_process, "java");
    assert_text(a->guest_name, "vm1");
    assert_text(a->host_name, "hv3");
    assert_text(a->vm_name, "v");
    assert_text(a->policy, "p");
    assert_true(a->has_cid);
    assert_int_equal(a->cid, 0x80000065u);
}

static void open_with_nothing(void **state)
{
    struct mux_open in = {.attempt = 1};
    uint8_t bytes[FRAME_MAX];
    struct mux_reader reader;
    size_t size = mux_encode_open(bytes, 1, &in);
    struct mux_frame out = decode(&reader, bytes, size);

    (void)state;
    assert_int_equal(size, MUX_HEADER_SIZE + 52);
    assert_false(out.u.open.resume);
    assert_false(out.u.open.attributes.has_cid);
    assert_int_equal(out.u.open.attributes.service.len, 0);
}

static void open_ok(void **state)
{
    struct mux_open_ok in = {.received_offset = 5,
                             .received_digest = 0x8102030405060708u,
                             .max_data = 1u << 20,
                             .detach_timeout_ms = 60000};
    uint8_t bytes[FRAME_MAX];
    struct mux_reader reader;
    size_t size = mux_encode_open_ok(bytes, 9, &in);
    struct mux_frame out = decode(&reader, bytes, size);

    (void)state;
    assert_int_equal(size, 40);
    assert_int_equal(out.type, MUX_OPEN_OK);
    assert_int_equal(out.session, 9);
    assert_int_equal(out.u.open_ok.received_offset, in.received_offset);
    assert_int_equal(out.u.open_ok.received_digest, in.received_digest);
    assert_int_equal(out.u.open_ok.max_data, in.max_data);
    assert_int_equal(out.u.open_ok.detach_timeout_ms, in.detach_timeout_ms);
}

static void max_data(void **state)
{
    struct mux_max_data in = {.received_offset = UINT64_MAX - 1, .max_data = 3};
    uint8_t bytes[FRAME_MAX];
    struct mux_reader reader;
    size_t size = mux_encode_max_data(bytes, 9, &in);
    struct mux_frame out = decode(&reader, bytes, size);

    (void)state;
    assert_int_equal(size, 28);
    assert_int_equal(out.type, MUX_MAX_DATA);
    assert_int_equal(out.u.max_data.received_offset, in.received_offset);
    assert_int_equal(out.u.max_data.max_data, in.max_data);
}

static void reset_ping_goaway_detach(void **state)
{
    static const uint8_t opaque[MUX_PING_SIZE] = {1, 2, 3, 0, 255, 6, 7, 8};
    uint8_t bytes[FRAME_MAX];
    struct mux_reader reader;
    struct mux_frame out = decode(&reader, bytes, mux_encode_reset(bytes, 3, MUX_KILLED, "by hand"));

    (void)state;
    assert_int_equal(out.type, MUX_RESET);
    assert_int_equal(out.u.reset.code, MUX_KILLED);
    assert_text(out.u.reset.reason, "by hand");
    out = decode(&reader, bytes, mux_encode_ping(bytes, MUX_PONG, 0, opaque));
    assert_int_equal(out.type, MUX_PONG);
    assert_memory_equal(out.u.ping, opaque, MUX_PING_SIZE);
    out = decode(&reader, bytes, mux_encode_ping(bytes, MUX_PING, 8, opaque));
    assert_int_equal(out.type, MUX_PING);
    assert_int_equal(out.session, 8);
    out = decode(&reader, bytes, mux_encode_goaway(bytes, ""));
    assert_int_equal(out.type, MUX_GOAWAY);
    assert_int_equal(out.u.goaway.len, 0);
    out = decode(&reader, bytes, mux_encode_detach(bytes, 4));
    assert_int_equal(out.type, MUX_DETACH);
    assert_int_equal(out.session, 4);
}

static void data_on_the_wire(void **state)
{
    static const uint8_t expected[MUX_DATA_HEADER] = {4, 1,     0, 0, 0, 0, 1, 2, 0, 0,
                                                      0, 8 + 3, 0, 0, 0, 0, 0, 0, 3, 4};
    uint8_t bytes[MUX_DATA_HEADER];

    (void)state;
    mux_encode_data_header(bytes, 0x102, 0x304, 3, true);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void texts_are_cut_to_their_limits(void **state)
{
    char text[1000];
    uint8_t bytes[FRAME_MAX];
    struct mux_reader reader;
    struct mux_hello hello_in = {.version = 1, .name = {.data = text, .len = sizeof(text) - 1}};
    struct mux_open open_in = {.attributes.service = {.data = text, .len = sizeof(text) - 1}};
    struct mux_frame out;
    char copy[8];

    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    out = decode(&reader, bytes, mux_encode_hello(bytes, &hello_in));
    assert_int_equal(out.u.hello.name.len, MUX_NAME_MAX);
    out = decode(&reader, bytes, mux_encode_open(bytes, 1, &open_in));
    assert_int_equal(out.u.open.attributes.service.len, MUX_ATTR_MAX);
    out = decode(&reader, bytes, mux_encode_reset(bytes, 1, 1, text));
    assert_int_equal(out.u.reset.reason.len, MUX_REASON_MAX);
    out = decode(&reader, bytes, mux_encode_goaway(bytes, text));
    assert_int_equal(out.u.goaway.len, MUX_REASON_MAX);
    assert_string_equal(mux_text_copy(out.u.goaway, copy, sizeof(copy)), "xxxxxxx");
    assert_string_equal(mux_text_copy(mux_text(NULL), copy, sizeof(copy)), "");
}

/* ── A stream of all kinds ── */

/* All kinds one after another, DATA among them with and without bytes and FIN. */
static size_t all_kinds(uint8_t *out)
{
    static const uint8_t opaque[MUX_PING_SIZE] = "12345678";
    struct mux_hello hello_in = {
        .version = 1, .role = 2, .max_frame = MUX_PAYLOAD_MAX, .name = mux_text("n")};
    struct mux_open open_in = full_open();
    struct mux_open_ok ok = {.received_offset = 1, .max_data = 2, .detach_timeout_ms = 3};
    struct mux_max_data max = {.received_offset = 4, .max_data = 5};
    size_t n = mux_encode_hello(out, &hello_in);

    n += mux_encode_open(out + n, 1, &open_in);
    mux_encode_data_header(out + n, 1, 1000, 30, false);
    memset(out + n + MUX_DATA_HEADER, 'd', 30);
    n += MUX_DATA_HEADER + 30;
    n += mux_encode_open_ok(out + n, 1, &ok);
    mux_encode_data_header(out + n, 1, 1030, 1, true);
    out[n + MUX_DATA_HEADER] = 'e';
    n += MUX_DATA_HEADER + 1;
    n += mux_encode_max_data(out + n, 1, &max);
    mux_encode_data_header(out + n, 2, 0, 0, true);
    n += MUX_DATA_HEADER;
    n += mux_encode_ping(out + n, MUX_PING, 0, opaque);
    n += mux_encode_detach(out + n, 2);
    n += mux_encode_goaway(out + n, "");
    n += mux_encode_reset(out + n, 1, 3, "why");
    n += mux_encode_detach(out + n, 1);
    return n;
}

/* Read the stream in the pieces that `cuts` (ascending, ended by `size`) make: all its frames must come out.
 * Each piece is a copy of its own, so that a sanitizer sees any look past its end. */
static void feed(const uint8_t *stream, size_t size, const size_t *cuts)
{
    uint8_t bytes[4096];
    struct kit_transcript transcript;
    struct mux_reader reader;
    size_t from = 0;

    kit_transcript_init(&transcript, bytes);
    mux_reader_init(&reader, MUX_PAYLOAD_MAX);
    for (; from < size; from = *cuts++) {
        size_t n = *cuts - from;
        uint8_t *piece = test_malloc(n > 0 ? n : 1);
        const uint8_t *data = piece;
        struct mux_frame frame;
        int rc;

        memcpy(piece, stream + from, n);
        while ((rc = mux_reader_next(&reader, &data, piece + n, &frame)) > 0)
            kit_transcript_add(&transcript, &frame, &reader);
        assert_int_equal(rc, 0);
        assert_ptr_equal(data, piece + n);
        test_free(piece);
    }
    mux_reader_deinit(&reader);
    assert_int_equal(transcript.len, size);
    assert_memory_equal(transcript.bytes, stream, size);
}

static void cut_at_every_byte(void **state)
{
    uint8_t stream[2048];
    size_t size = all_kinds(stream);

    (void)state;
    for (size_t at = 0; at <= size; at++) {
        const size_t cuts[] = {at, size};

        feed(stream, size, cuts);
    }
}

static void byte_by_byte(void **state)
{
    uint8_t stream[2048];
    size_t cuts[2048];
    size_t size = all_kinds(stream);

    (void)state;
    for (size_t i = 0; i < size; i++)
        cuts[i] = i + 1;
    feed(stream, size, cuts);
}

static void cut_anywhere(void **state)
{
    struct kit_rng rng = {.state = 3};
    uint8_t stream[2048];
    size_t cuts[2049];
    size_t size = all_kinds(stream);

    (void)state;
    for (int i = 0; i < 500; i++) {
        size_t at = 0;

        for (size_t k = 0; at < size; k++) {
            at += (size_t)kit_size(&rng, 100);
            cuts[k] = at < size ? at : size;
        }
        feed(stream, size, cuts);
    }
}

static void a_piece_of_data_carries_its_own_offset(void **state)
{
    uint8_t bytes[MUX_DATA_HEADER + 10] = {0};
    const uint8_t *data = bytes;
    struct mux_reader reader;
    struct mux_frame frame;

    (void)state;
    mux_encode_data_header(bytes, 1, 500, 10, true);
    mux_reader_init(&reader, MUX_PAYLOAD_MAX);
    assert_int_equal(mux_reader_next(&reader, &data, bytes + MUX_DATA_HEADER + 4, &frame), 1);
    assert_int_equal(frame.u.data.offset, 500);
    assert_int_equal(frame.u.data.len, 4);
    assert_ptr_equal(frame.u.data.bytes, bytes + MUX_DATA_HEADER); /* not copied */
    assert_false(frame.u.data.fin);
    assert_int_equal(mux_reader_next(&reader, &data, bytes + sizeof(bytes), &frame), 1);
    assert_int_equal(frame.u.data.offset, 504);
    assert_int_equal(frame.u.data.len, 6);
    assert_true(frame.u.data.fin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello),
        cmocka_unit_test(open_with_everything),
        cmocka_unit_test(open_with_nothing),
        cmocka_unit_test(open_ok),
        cmocka_unit_test(max_data),
        cmocka_unit_test(reset_ping_goaway_detach),
        cmocka_unit_test(data_on_the_wire),
        cmocka_unit_test(texts_are_cut_to_their_limits),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(a_piece_of_data_carries_its_own_offset),
    };

    return cmocka_run_group_tests_name("mux.frame", tests, NULL, NULL);
}
