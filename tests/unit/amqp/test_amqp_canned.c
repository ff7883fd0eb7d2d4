/* SPDX-License-Identifier: Apache-2.0 */

/* What we encode, decoded again by rabbitmq-c as a client would. */

#include "amqp/canned.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static amqp_pool_t pool;

static int set_up(void **state)
{
    (void)state;
    init_amqp_pool(&pool, 4096);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    empty_amqp_pool(&pool);
    return 0;
}

static uint32_t number(const uint8_t *p, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | p[i];
    return value;
}

/* Checks the frame around a method on channel 0 and decodes it. */
static void *decode(uint8_t *frame, size_t len, amqp_method_number_t id)
{
    void *decoded = NULL;
    assert_true(len >= 12);
    assert_int_equal(frame[0], AMQP_FRAME_METHOD);
    assert_int_equal(number(frame + 1, 2), 0);
    assert_int_equal(number(frame + 3, 4), len - 8);
    assert_int_equal(number(frame + 7, 4), id);
    assert_int_equal(frame[len - 1], AMQP_FRAME_END);
    const amqp_bytes_t arguments = {.len = len - 12, .bytes = frame + 11};
    assert_int_equal(amqp_decode_method(id, &pool, arguments, &decoded), AMQP_STATUS_OK);
    return decoded;
}

static void assert_bytes(amqp_bytes_t bytes, const char *expected)
{
    assert_int_equal(bytes.len, strlen(expected));
    assert_memory_equal(bytes.bytes, expected, bytes.len);
}

static const amqp_field_value_t *find(const amqp_table_t *table, const char *key)
{
    for (int i = 0; i < table->num_entries; i++) {
        const amqp_bytes_t name = table->entries[i].key;
        if (name.len == strlen(key) && memcmp(name.bytes, key, name.len) == 0)
            return &table->entries[i].value;
    }
    fail_msg("no %s in the table", key);
    return NULL;
}

static void test_start(void **state)
{
    static const char *const capabilities[] = {
        "publisher_confirms",     "exchange_exchange_bindings", "basic.nack",
        "consumer_cancel_notify", "connection.blocked",         "authentication_failure_close",
    };
    static const char *const properties[] = {"product", "version", "platform", "information"};
    uint8_t frame[AMQP_CANNED_START_MAX];
    (void)state;
    const size_t len = amqp_canned_start(frame, sizeof(frame));
    const amqp_connection_start_t *start = decode(frame, len, AMQP_CONNECTION_START_METHOD);

    assert_int_equal(start->version_major, 0);
    assert_int_equal(start->version_minor, 9);
    assert_bytes(start->mechanisms, "PLAIN AMQPLAIN EXTERNAL ANONYMOUS");
    assert_bytes(start->locales, "en_US");
    for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
        const amqp_field_value_t *value = find(&start->server_properties, properties[i]);
        assert_int_equal(value->kind, AMQP_FIELD_KIND_UTF8);
        assert_true(value->value.bytes.len > 0);
    }
    const amqp_field_value_t *table = find(&start->server_properties, "capabilities");
    assert_int_equal(table->kind, AMQP_FIELD_KIND_TABLE);
    for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
        const amqp_field_value_t *value = find(&table->value.table, capabilities[i]);
        assert_int_equal(value->kind, AMQP_FIELD_KIND_BOOLEAN);
        assert_true(value->value.boolean);
    }
}

static void test_close(void **state)
{
    uint8_t frame[AMQP_CANNED_CLOSE_MAX];
    (void)state;
    const size_t len = amqp_canned_close(frame, sizeof(frame), 320, "gone \xE2\x82\xAC");
    const amqp_connection_close_t *close = decode(frame, len, AMQP_CONNECTION_CLOSE_METHOD);
    assert_int_equal(close->reply_code, 320);
    assert_bytes(close->reply_text, "gone \xE2\x82\xAC");
    assert_int_equal(close->class_id, 0);
    assert_int_equal(close->method_id, 0);
}

/* Texts around the limit, ending in a character of three bytes. */
static void test_close_cuts_long_text(void **state)
{
    uint8_t frame[AMQP_CANNED_CLOSE_MAX];
    (void)state;
    for (size_t plain = 250; plain <= 260; plain++) {
        char text[300];
        memset(text, 'x', plain);
        strcpy(text + plain, "\xE2\x82\xAC");
        const size_t expected = plain + 3 <= 255 ? plain + 3 : plain <= 255 ? plain : 255;
        const size_t len = amqp_canned_close(frame, sizeof(frame), 541, text);
        const amqp_connection_close_t *close = decode(frame, len, AMQP_CONNECTION_CLOSE_METHOD);
        assert_int_equal(close->reply_text.len, expected);
        assert_memory_equal(close->reply_text.bytes, text, expected);
    }
}

static void test_close_cleans_text(void **state)
{
    uint8_t frame[AMQP_CANNED_CLOSE_MAX];
    (void)state;
    const size_t len = amqp_canned_close(frame, sizeof(frame), 320, "a\nb\xFF");
    const amqp_connection_close_t *close = decode(frame, len, AMQP_CONNECTION_CLOSE_METHOD);
    assert_bytes(close->reply_text, "a?b?");
}

static void test_frames_of_fixed_size(void **state)
{
    uint8_t frame[AMQP_CANNED_CLOSE_OK_SIZE];
    (void)state;
    assert_int_equal(amqp_canned_close_ok(frame, sizeof(frame)), AMQP_CANNED_CLOSE_OK_SIZE);
    assert_non_null(decode(frame, AMQP_CANNED_CLOSE_OK_SIZE, AMQP_CONNECTION_CLOSE_OK_METHOD));
    assert_int_equal(amqp_canned_heartbeat(frame, sizeof(frame)), AMQP_CANNED_HEARTBEAT_SIZE);
    assert_memory_equal(frame, "\x08\0\0\0\0\0\0\xCE", AMQP_CANNED_HEARTBEAT_SIZE);
}

static size_t longest_close(uint8_t *buf, size_t size)
{
    char text[256];
    memset(text, 'x', 255);
    text[255] = '\0';
    return amqp_canned_close(buf, size, 320, text);
}

/* Nothing is written past the buffer, and a frame that does not fit is not there in part. */
static void test_every_buffer_size(void **state)
{
    static const struct {
        size_t (*write)(uint8_t *buf, size_t size);
        size_t max;
        bool is_exact;
    } cases[] = {
        {amqp_canned_start, AMQP_CANNED_START_MAX, false},
        {longest_close, AMQP_CANNED_CLOSE_MAX, true},
        {amqp_canned_close_ok, AMQP_CANNED_CLOSE_OK_SIZE, true},
        {amqp_canned_heartbeat, AMQP_CANNED_HEARTBEAT_SIZE, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t buf[AMQP_CANNED_START_MAX + 1];
        const size_t len = cases[i].write(buf, cases[i].max);
        assert_in_range(len, 1, cases[i].max);
        assert_true(len == cases[i].max || !cases[i].is_exact);
        for (size_t size = 0; size <= cases[i].max; size++) {
            memset(buf, 0x5A, sizeof(buf));
            assert_int_equal(cases[i].write(buf, size), size < len ? 0 : len);
            for (size_t at = size; at < sizeof(buf); at++)
                assert_int_equal(buf[at], 0x5A);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_close_cuts_long_text),
        cmocka_unit_test(test_close_cleans_text),
        cmocka_unit_test(test_frames_of_fixed_size),
        cmocka_unit_test(test_every_buffer_size),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
