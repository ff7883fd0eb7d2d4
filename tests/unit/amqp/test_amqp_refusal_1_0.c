/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/canned.h"
#include "amqp/refusal.h"
#include "tests/unit/amqp/stream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define LITERAL(text) (text), sizeof(text) - 1
#define REASON        "host can't be reached"

/* The messages as they are to look, byte by byte. */
#define SASL_HEADER "AMQP\x03\x01\0\0"
#define MECHANISMS                                                                                           \
    "\0\0\0\x2B\x02\x01\0\0\0\x53\x40\xC0\x1E\x01\xE0\x1B\x03\xA3\x09"                                       \
    "ANONYMOUS\x05PLAIN\x08"                                                                                 \
    "EXTERNAL"
#define OUTCOME "\0\0\0\x10\x02\x01\0\0\0\x53\x44\xC0\x03\x01\x50\0"
#define HEADER  "AMQP\0\x01\0\0"
#define OPEN                                                                                                 \
    "\0\0\0\x1A\x02\0\0\0\0\x53\x10\xC0\x0D\x01\xA1\x0A"                                                     \
    "amqp-vsock"
#define CLOSE                                                                                                \
    "\0\0\0\x4F\x02\0\0\0\0\x53\x18\xD0\0\0\0\x3F\0\0\0\x01\0\x53\x1D\xD0\0\0\0\x33\0\0\0\x02\xA3\x16"       \
    "amqp:connection:forced\xA1\x15" REASON

#define INIT                                                                                                 \
    "\0\0\0\x1A\x02\x01\0\0\0\x53\x41\xC0\x0D\x01\xA3\x09"                                                   \
    "ANONYMOUS\x40"
#define CLIENT_OPEN "\0\0\0\x11\x02\0\0\0\0\x53\x10\xC0\x04\x01\xA1\x01x"

static size_t write_all(struct amqp_refusal *r, uint8_t *buf)
{
    const size_t len = amqp_refusal_write(r, buf, AMQP_REFUSAL_WRITE_MAX);
    assert_int_not_equal(amqp_refusal_state(r), AMQP_REFUSAL_SENDING);
    return len;
}

/* Says `client` byte by byte, collects all that is answered, and compares. */
static void check_answers(const char *client, size_t client_len, const char *expected, size_t expected_len)
{
    struct amqp_refusal r;
    uint8_t heard[STREAM_SIZE];
    size_t len = 0;
    amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
    for (size_t i = 0; i < client_len; i++) {
        amqp_refusal_feed(&r, (const uint8_t *)client + i, 1);
        len += write_all(&r, heard + len);
    }
    assert_int_equal(len, expected_len);
    assert_memory_equal(heard, expected, expected_len);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
}

static void test_plain_layer(void **state)
{
    (void)state;
    check_answers(LITERAL(HEADER), LITERAL(HEADER OPEN CLOSE));
}

static void test_sasl_layer(void **state)
{
    (void)state;
    check_answers(LITERAL(SASL_HEADER INIT HEADER),
                  LITERAL(SASL_HEADER MECHANISMS OUTCOME HEADER OPEN CLOSE));
}

/* Each message waits for what it answers. */
static void test_turns_of_the_sasl_layer(void **state)
{
    (void)state;
    struct amqp_refusal r;
    uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
    amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
    amqp_refusal_feed(&r, (const uint8_t *)LITERAL(SASL_HEADER));
    assert_int_equal(write_all(&r, buf), sizeof(SASL_HEADER MECHANISMS) - 1);
    assert_string_equal(amqp_refusal_step_text(&r), "waiting for sasl-init");
    amqp_refusal_feed(&r, (const uint8_t *)LITERAL(INIT));
    assert_int_equal(write_all(&r, buf), sizeof(OUTCOME) - 1);
    assert_string_equal(amqp_refusal_step_text(&r), "waiting for the AMQP 1.0 header");
    amqp_refusal_feed(&r, (const uint8_t *)LITERAL(HEADER));
    assert_int_equal(write_all(&r, buf), sizeof(HEADER OPEN CLOSE) - 1);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
}

static void test_pipelining_client(void **state)
{
    (void)state;
    static const char client[] = SASL_HEADER INIT HEADER CLIENT_OPEN;
    static const char expected[] = SASL_HEADER MECHANISMS OUTCOME HEADER OPEN CLOSE;
    struct amqp_refusal r;
    uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
    amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
    amqp_refusal_feed(&r, (const uint8_t *)client, sizeof(client) - 1);
    assert_int_equal(write_all(&r, buf), sizeof(expected) - 1);
    assert_memory_equal(buf, expected, sizeof(expected) - 1);
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
}

/* However far the broker got with its answers, ours begin where they ended. */
static void test_take_over_after_each_message(void **state)
{
    static const char client[] = SASL_HEADER INIT HEADER CLIENT_OPEN;
    static const char all[] = SASL_HEADER MECHANISMS OUTCOME HEADER OPEN CLOSE;
    static const size_t sizes[] = {sizeof(SASL_HEADER) - 1, sizeof(MECHANISMS) - 1, sizeof(OUTCOME) - 1,
                                   sizeof(HEADER) - 1,      sizeof(OPEN) - 1,       sizeof(CLOSE) - 1};
    size_t told = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct amqp_scanner from_client, from_server;
        struct amqp_refusal r;
        uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
        told += sizes[i];
        amqp_scanner_init(&from_client, AMQP_FROM_CLIENT);
        amqp_scanner_init(&from_server, AMQP_FROM_SERVER);
        amqp_scanner_feed(&from_client, (const uint8_t *)client, sizeof(client) - 1, NULL, NULL);
        amqp_scanner_feed(&from_server, (const uint8_t *)all, told, NULL, NULL);
        amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
        amqp_refusal_take_over(&r, &from_client, &from_server, told);
        assert_int_equal(write_all(&r, buf), sizeof(all) - 1 - told);
        assert_memory_equal(buf, all + told, sizeof(all) - 1 - told);
        assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
    }
}

/* Room for exactly the first n messages yields these. */
static void test_every_buffer_size(void **state)
{
    static const char client[] = SASL_HEADER INIT HEADER CLIENT_OPEN;
    static const char all[] = SASL_HEADER MECHANISMS OUTCOME HEADER OPEN CLOSE;
    static const size_t sizes[] = {sizeof(SASL_HEADER) - 1, sizeof(MECHANISMS) - 1, sizeof(OUTCOME) - 1,
                                   sizeof(HEADER) - 1,      sizeof(OPEN) - 1,       sizeof(CLOSE) - 1};
    size_t messages = 0, whole = 0;
    (void)state;
    for (size_t room = 0; room < sizeof(all); room++) {
        struct amqp_refusal r;
        uint8_t buf[sizeof(all)];
        while (messages < 6 && whole + sizes[messages] <= room)
            whole += sizes[messages++];
        amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
        amqp_refusal_feed(&r, (const uint8_t *)client, sizeof(client) - 1);
        memset(buf, 0x5A, sizeof(buf));
        assert_int_equal(amqp_refusal_write(&r, buf, room), whole);
        assert_memory_equal(buf, all, whole);
        assert_int_equal(buf[room], 0x5A);
    }
    assert_int_equal(whole, sizeof(all) - 1);
}

static void test_conditions(void **state)
{
    static const struct {
        uint16_t code;
        const char *condition;
    } cases[] = {
        {AMQP_REPLY_CONNECTION_FORCED, "\xA3\x16"
                                       "amqp:connection:forced\xA1"},
        {AMQP_REPLY_ACCESS_REFUSED, "\xA3\x18"
                                    "amqp:unauthorized-access\xA1"},
        {AMQP_REPLY_RESOURCE_ERROR, "\xA3\x1C"
                                    "amqp:resource-limit-exceeded\xA1"},
        {AMQP_REPLY_NOT_ALLOWED, "\xA3\x10"
                                 "amqp:not-allowed\xA1"},
        {541, "\xA3\x16"
              "amqp:connection:forced\xA1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amqp_refusal r;
        uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
        amqp_refusal_init(&r, cases[i].code, REASON);
        amqp_refusal_feed(&r, (const uint8_t *)LITERAL(HEADER));
        const size_t len = write_all(&r, buf);
        assert_non_null(memmem(buf, len, cases[i].condition, strlen(cases[i].condition)));
        assert_non_null(memmem(buf, len, LITERAL(REASON)));
    }
}

/* The longest answer fits the promised buffer and is well framed. */
static void test_longest_answer(void **state)
{
    (void)state;
    struct amqp_refusal r;
    struct amqp_scanner s;
    uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
    char text[300];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    amqp_refusal_init(&r, AMQP_REPLY_RESOURCE_ERROR, text);
    amqp_refusal_feed(&r, (const uint8_t *)LITERAL(SASL_HEADER INIT HEADER CLIENT_OPEN));
    const size_t len = write_all(&r, buf);
    amqp_scanner_init(&s, AMQP_FROM_SERVER);
    amqp_scanner_feed(&s, buf, len, NULL, NULL);
    assert_int_equal(s.state, AMQP_SCANNER_1_0_FRAMES);
    assert_int_equal(s.boundary_off, len);
    assert_true(s.seen & AMQP_SEEN_CLOSE);
}

static void test_garbage(void **state)
{
    (void)state;
    struct amqp_refusal r;
    uint8_t buf[AMQP_REFUSAL_WRITE_MAX];
    amqp_refusal_init(&r, AMQP_REPLY_CONNECTION_FORCED, REASON);
    amqp_refusal_feed(&r, (const uint8_t *)LITERAL(SASL_HEADER "\0\0\0\0\0\0\0\0"));
    assert_int_equal(amqp_refusal_state(&r), AMQP_REFUSAL_DONE);
    assert_int_equal(amqp_refusal_write(&r, buf, sizeof(buf)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_layer),
        cmocka_unit_test(test_sasl_layer),
        cmocka_unit_test(test_turns_of_the_sasl_layer),
        cmocka_unit_test(test_pipelining_client),
        cmocka_unit_test(test_take_over_after_each_message),
        cmocka_unit_test(test_every_buffer_size),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_longest_answer),
        cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
