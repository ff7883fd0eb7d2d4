/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/canned.h"
#include "amqp/protocol_header.h"
#include "amqp/refusal.h"
#include "tests/unit/amqp/client_double.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define REASON "host can't be reached"

/* Lets the two talk, `piece` bytes of the client at a time, until nobody has anything to say. */
static void converse(struct amqp_refusal *r, struct client_double *c, size_t piece)
{
    for (;;) {
        uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
        const uint8_t *data;
        size_t len;
        switch (amqp_refusal_state(r)) {
        case AMQP_REFUSAL_SENDING:
            len = amqp_refusal_write(r, buf, sizeof(buf));
            assert_in_range(len, 1, sizeof(buf));
            assert_int_not_equal(amqp_refusal_state(r), AMQP_REFUSAL_SENDING);
            client_hear(c, buf, len);
            break;
        case AMQP_REFUSAL_WAITING:
            assert_int_equal(amqp_refusal_write(r, buf, sizeof(buf)), 0);
            len = client_say(c, piece, &data);
            if (len == 0)
                return;
            amqp_refusal_feed(r, data, len);
            break;
        case AMQP_REFUSAL_DONE: assert_int_equal(amqp_refusal_write(r, buf, sizeof(buf)), 0); return;
        }
    }
}

static void assert_told(const struct amqp_refusal *r, const struct client_double *c)
{
    assert_int_equal(amqp_refusal_state(r), AMQP_REFUSAL_DONE);
    assert_int_equal(c->close_code, 320);
    assert_string_equal(c->close_text, REASON);
    assert_int_equal(c->out_at, c->out.len);
}

static void test_before_start(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= 100; piece++) {
        struct amqp_refusal r;
        struct client_double c;
        amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
        assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_WAITING);
        client_init(&c, CLIENT_POLITE);
        converse(&r, &c, piece);
        assert_told(&r, &c);
        assert_int_equal(c.in_scanner.frames, 2);
    }
}

/* The bytes that came before the refusal began are in the scanner: any part of them. */
static void test_pipelining_client_at_every_position(void **state)
{
    (void)state;
    struct client_double all;
    client_init(&all, CLIENT_PIPELINES);
    for (size_t before = 0; before <= all.out.len; before++) {
        struct amqp_refusal r;
        struct amqp_scanner from_client, from_server;
        struct client_double c;
        const uint8_t *data;
        client_init(&c, CLIENT_PIPELINES);
        amqp_scanner_init(&from_client, AMQP_FROM_CLIENT);
        amqp_scanner_init(&from_server, AMQP_FROM_SERVER);
        amqp_scanner_feed(&from_client, all.out.bytes, client_say(&c, before, &data), NULL, NULL);
        amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
        amqp_refusal_take_over(&r, &from_client, &from_server, 0);
        converse(&r, &c, 7);
        assert_told(&r, &c);
        assert_int_equal(c.in_scanner.frames, 2);
    }
}

static void test_client_that_closes_first(void **state)
{
    (void)state;
    struct amqp_refusal r;
    struct client_double c;
    amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
    client_init(&c, CLIENT_IMPATIENT);
    converse(&r, &c, 1);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
    assert_int_equal(c.in_scanner.seen, AMQP_SEEN_START | AMQP_SEEN_CLOSE_OK);
}

/* Both sides of a connection as the proxies' scanners saw them. */
struct past {
    struct amqp_scanner from_client;
    struct amqp_scanner from_server;
};

static void past_init(struct past *past, const struct stream *client, size_t client_len,
                      const struct stream *server, size_t server_len)
{
    amqp_scanner_init(&past->from_client, AMQP_FROM_CLIENT);
    amqp_scanner_init(&past->from_server, AMQP_FROM_SERVER);
    amqp_scanner_feed(&past->from_client, client->bytes, client_len, NULL, NULL);
    amqp_scanner_feed(&past->from_server, server->bytes, server_len, NULL, NULL);
}

static void take_over(struct amqp_refusal *r, const struct past *past, uint64_t released_off)
{
    amqp_refusal_init(r, AMQP_REPLY_CONNECTION_FORCED, REASON);
    amqp_refusal_take_over(r, &past->from_client, &past->from_server, released_off);
}

static size_t len_of_first_frames(const struct stream *s, enum amqp_direction direction, uint64_t frames)
{
    struct amqp_scanner scanner;
    size_t len = 0;
    amqp_scanner_init(&scanner, direction);
    while (scanner.frames < frames)
        amqp_scanner_feed(&scanner, s->bytes + len++, 1, NULL, NULL);
    return len;
}

/*
 * The client is anywhere in its session, mid-frame as a rule, and goes on with it; the server's words up to a
 * boundary were passed on, with a rest that is dropped.
 */
static void check_take_over(size_t server_frames, size_t dropped)
{
    struct stream client = {0}, server = {0};
    stream_client_session(&client);
    stream_server_session(&server);
    client.len = len_of_first_frames(&client, AMQP_FROM_CLIENT, 7); /* all but its Close */
    const size_t heard = len_of_first_frames(&server, AMQP_FROM_SERVER, server_frames);
    for (size_t before = AMQP_PROTOCOL_HEADER_SIZE; before <= client.len; before++) {
        struct past past;
        struct amqp_refusal r;
        struct client_double c;
        past_init(&past, &client, before, &server, heard + dropped);
        server.len = heard;
        client_resume(&c, &client, &server);
        c.out_at = before;
        take_over(&r, &past, heard);
        converse(&r, &c, 5);
        assert_told(&r, &c);
        assert_int_equal(c.in_scanner.frames, server_frames + 1);
    }
}

static void test_take_over_after_start(void **state)
{
    (void)state;
    check_take_over(1, 0);
    check_take_over(1, 3);
}

static void test_take_over_of_an_established_connection(void **state)
{
    (void)state;
    check_take_over(3, 0);
    check_take_over(5, 9);
    check_take_over(7, 1);
}

static void test_closes_that_cross(void **state)
{
    (void)state;
    struct stream client = {0}, server = {0};
    struct past past;
    struct amqp_refusal r;
    uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
    stream_client_session(&client);
    stream_server_session(&server);
    const size_t open = len_of_first_frames(&client, AMQP_FROM_CLIENT, 3);
    const size_t heard = len_of_first_frames(&server, AMQP_FROM_SERVER, 3);
    past_init(&past, &client, open, &server, heard);
    take_over(&r, &past, heard);

    assert_in_range(amqp_refusal_write(&r, buf, sizeof(buf)), AMQP_CANNED_CLOSE_OK_SIZE + 1,
                    AMQP_CANNED_CLOSE_MAX);
    assert_string_equal(amqp_refusal_step_text(&r), "waiting for Close-Ok");
    amqp_refusal_feed(&r, client.bytes + open, client.len - open);
    assert_string_equal(amqp_refusal_step_text(&r), "sending Close-Ok");
    assert_int_equal(amqp_refusal_write(&r, buf, sizeof(buf)), AMQP_CANNED_CLOSE_OK_SIZE);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
}

static void test_client_has_closed_already(void **state)
{
    (void)state;
    struct stream client = {0}, server = {0};
    struct past past;
    struct amqp_refusal r;
    uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
    stream_client_session(&client);
    stream_server_session(&server);

    const size_t heard = len_of_first_frames(&server, AMQP_FROM_SERVER, 8); /* all but Close-Ok */
    past_init(&past, &client, client.len, &server, heard);
    take_over(&r, &past, heard);
    assert_int_equal(amqp_refusal_write(&r, buf, sizeof(buf)), AMQP_CANNED_CLOSE_OK_SIZE);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);

    past_init(&past, &client, client.len, &server, server.len);
    take_over(&r, &past, server.len);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
}

/* The broker's own Close was passed on: the client knows why, and only its answer is missing. */
static void test_server_has_closed_already(void **state)
{
    (void)state;
    struct stream client = {0}, server = {0};
    struct past past;
    struct amqp_refusal r;
    stream_client_session(&client);
    stream_server_session(&server);
    client.len = len_of_first_frames(&client, AMQP_FROM_CLIENT, 3);
    server.len = len_of_first_frames(&server, AMQP_FROM_SERVER, 3);
    stream_method(&server, 0, AMQP_CONNECTION_CLOSE_METHOD, "\x01\x40\0\0\0\0\0", 7);
    past_init(&past, &client, client.len, &server, server.len);
    take_over(&r, &past, server.len);
    assert_string_equal(amqp_refusal_step_text(&r), "waiting for Close-Ok");

    stream_method(&client, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, NULL, 0);
    amqp_refusal_feed(&r, client.bytes + client.len - AMQP_CANNED_CLOSE_OK_SIZE, AMQP_CANNED_CLOSE_OK_SIZE);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
}

static void test_silence_where_words_would_be_garbage(void **state)
{
    (void)state;
    struct stream client = {0}, server = {0}, other = {0};
    struct past past;
    struct amqp_refusal r;
    stream_client_session(&client);
    stream_server_session(&server);
    const size_t heard = len_of_first_frames(&server, AMQP_FROM_SERVER, 3);
    client.len = len_of_first_frames(&client, AMQP_FROM_CLIENT, 3);

    /* In the middle of a frame that was passed on in part. */
    past_init(&past, &client, client.len, &server, heard + 9);
    take_over(&r, &past, heard + 9);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);

    /* After bytes that made no sense. */
    server.len = heard;
    stream_bytes(&server, "\xFF", 1);
    past_init(&past, &client, client.len, &server, server.len);
    take_over(&r, &past, heard);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);

    /* The broker refused the version. */
    stream_header(&other, 0, 0, 9, 1);
    past_init(&past, &client, client.len, &other, other.len);
    take_over(&r, &past, other.len);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);

    /* Client and broker speak different versions. */
    other.bytes[5] = 1;
    other.bytes[6] = other.bytes[7] = 0;
    past_init(&past, &client, client.len, &other, other.len);
    take_over(&r, &past, other.len);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);

    /* The server speaks while the client has not said what it wants. */
    past_init(&past, &client, AMQP_PROTOCOL_HEADER_SIZE - 1, &other, other.len);
    take_over(&r, &past, other.len);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
}

static void test_garbage_from_the_client(void **state)
{
    (void)state;
    struct stream client = {0};
    stream_client_session(&client);
    for (size_t good = AMQP_PROTOCOL_HEADER_SIZE; good <= client.len; good++) {
        struct amqp_refusal r;
        uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
        static const uint8_t garbage[STREAM_SIZE];
        amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
        amqp_refusal_feed(&r, client.bytes, good);
        amqp_refusal_write(&r, buf, sizeof(buf));
        amqp_refusal_feed(&r, garbage, sizeof(garbage));
        assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
        amqp_refusal_feed(&r, client.bytes, client.len);
        assert_int_equal(amqp_refusal_write(&r, buf, sizeof(buf)), 0);
        assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
    }
}

static void test_other_protocols_get_our_header(void **state)
{
    static const struct {
        const char *bytes;
        size_t known_at; /* bytes after which the mismatch is certain */
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 1},
        {"AMQX", 4},
        {"AMQP\x01\x01\x08\0", 8},
        {"AMQP\x02\x01\0\0", 8},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amqp_refusal r;
        uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
        const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
        amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
        amqp_refusal_feed(&r, bytes, cases[i].known_at - 1);
        assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_WAITING);
        amqp_refusal_feed(&r, bytes + cases[i].known_at - 1, 1);
        assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_SENDING);
        assert_int_equal(amqp_refusal_write(&r, buf, 7), 0);
        assert_int_equal(amqp_refusal_write(&r, buf, AMQP_PROTOCOL_HEADER_SIZE), AMQP_PROTOCOL_HEADER_SIZE);
        assert_memory_equal(buf, amqp_protocol_header_0_9_1, AMQP_PROTOCOL_HEADER_SIZE);
        assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
    }
}

/* A buffer that is too small delays, and whole messages alone are written, in order. */
static void test_small_buffers(void **state)
{
    (void)state;
    struct client_double all;
    uint8_t expected[AMQP_REFUSAL_WRITE_MAX];
    client_init(&all, CLIENT_PIPELINES);
    const size_t start = amqp_canned_start(expected, sizeof(expected));
    const size_t close = amqp_canned_close(expected + start, sizeof(expected) - start, 320, REASON);
    for (size_t size = 0; size <= start + close; size++) {
        struct amqp_refusal r;
        uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
        amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
        amqp_refusal_feed(&r, all.out.bytes, all.out.len);
        const size_t first = amqp_refusal_write(&r, buf, size);
        assert_int_equal(first, size < start ? 0 : size < start + close ? start : start + close);
        const size_t second = amqp_refusal_write(&r, buf + first, sizeof(buf) - first);
        assert_int_equal(first + second, start + close);
        assert_memory_equal(buf, expected, start + close);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_start),
        cmocka_unit_test(test_pipelining_client_at_every_position),
        cmocka_unit_test(test_client_that_closes_first),
        cmocka_unit_test(test_take_over_after_start),
        cmocka_unit_test(test_take_over_of_an_established_connection),
        cmocka_unit_test(test_closes_that_cross),
        cmocka_unit_test(test_client_has_closed_already),
        cmocka_unit_test(test_server_has_closed_already),
        cmocka_unit_test(test_silence_where_words_would_be_garbage),
        cmocka_unit_test(test_garbage_from_the_client),
        cmocka_unit_test(test_other_protocols_get_our_header),
        cmocka_unit_test(test_small_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
