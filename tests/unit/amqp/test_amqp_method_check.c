/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/content_check.h"
#include "amqp/method_check.h"
#include "amqp/table_check.h"
#include "amqp/utf8.h"
#include "tests/unit/amqp/frames.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SPAN(text) ((struct amqp_span){(const uint8_t *)(text), sizeof(text) - 1})

/* --- text --- */

static bool is_utf8(struct amqp_span s)
{
    return amqp_utf8_is_valid(s.data, s.len);
}

static void test_utf8(void **state)
{
    (void)state;
    assert_true(is_utf8(SPAN("plain \0 \x7F\n")));
    assert_true(
        is_utf8(SPAN("\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80"
                     "\xF4\x8F\xBF\xBF")));
    assert_false(is_utf8(SPAN("\x80")));
    assert_false(is_utf8(SPAN("\xC0\xAF")));
    assert_false(is_utf8(SPAN("\xC1\xBF")));
    assert_false(is_utf8(SPAN("\xE0\x9F\xBF")));
    assert_false(is_utf8(SPAN("\xED\xA0\x80")));
    assert_false(is_utf8(SPAN("\xF0\x8F\xBF\xBF")));
    assert_false(is_utf8(SPAN("\xF4\x90\x80\x80")));
    assert_false(is_utf8(SPAN("\xF5\x80\x80\x80")));
    assert_false(is_utf8(SPAN("a\xE2\x82")));
    assert_false(is_utf8(SPAN("\xE2\x82"
                              "a")));
}

/* --- tables --- */

static bool table_is_good(struct amqp_span entries)
{
    uint8_t bytes[512];
    assert_true(entries.len + 4 <= sizeof(bytes));
    amqp_put_u32(bytes, (uint32_t)entries.len);
    memcpy(bytes + 4, entries.data, entries.len);
    struct amqp_cursor c = amqp_cursor_over(bytes, 4 + entries.len);
    return amqp_table_check(&c) && amqp_cursor_done(&c);
}

static void test_every_type_of_field(void **state)
{
    (void)state;
    assert_true(table_is_good(SPAN("")));
    assert_true(table_is_good(SPAN("\0V")));
    assert_true(table_is_good(SPAN("\1at\2\1bb\xFF\1cB\xFF\1ds..\1eu..\1fI....\1gi....")));
    assert_true(table_is_good(SPAN("\1al........\1bL........\1cT........\1dD.....")));
    assert_true(table_is_good(SPAN("\1aS\0\0\0\2hi\1bx\0\0\0\1\0")));
    assert_true(table_is_good(SPAN("\1af\x7F\x7F\xFF\xFF\1bd\x7F\xEF\xFF\xFF\xFF\xFF\xFF\xFF")));
    assert_true(table_is_good(SPAN("\1aF\0\0\0\7\1bI\0\0\0\1\1cA\0\0\0\3t\1V")));
}

static void test_what_is_no_table(void **state)
{
    static const char *const unknown = "acCeghjkmnopqrvwyzXYZ0 ";
    (void)state;
    for (const char *type = unknown; *type != '\0'; type++) {
        const char entry[] = {1, 'k', *type, 0, 0, 0, 0, 0, 0, 0, 0};
        assert_false(table_is_good((struct amqp_span){(const uint8_t *)entry, sizeof(entry)}));
    }
    assert_false(table_is_good(SPAN("\5ab")));
    assert_false(table_is_good(SPAN("\1a")));
    assert_false(table_is_good(SPAN("\1aI\0\0\0")));
    assert_false(table_is_good(SPAN("\1aS\0\0\0\3hi")));
    assert_false(table_is_good(SPAN("\1aS\xFF\xFF\xFF\xFFhi")));
    assert_false(table_is_good(SPAN("\1aF\0\0\0\4\1bI\0")));
    assert_false(table_is_good(SPAN("\1aA\0\0\0\1I")));
    assert_false(table_is_good(SPAN("\1af\x7F\x80\0\0")));          /* infinity */
    assert_false(table_is_good(SPAN("\1af\xFF\xC0\0\0")));          /* NaN */
    assert_false(table_is_good(SPAN("\1ad\xFF\xF0\0\0\0\0\0\0")));  /* -infinity */
    assert_false(table_is_good(SPAN("\1aA\0\0\0\5f\x7F\x80\0\1"))); /* NaN in an array */
}

/* Nests arrays `depth` deep. */
static bool nested_is_good(unsigned depth)
{
    uint8_t bytes[4 + 2 + 5 * 100];
    uint8_t *at = bytes + 6;
    const size_t len = 2 + 5 * (size_t)depth;
    amqp_put_u32(bytes, (uint32_t)len);
    bytes[4] = 1;
    bytes[5] = 'k';
    for (unsigned i = 1; i <= depth; i++, at += 5) {
        at[0] = 'A';
        amqp_put_u32(at + 1, 5 * (depth - i));
    }
    struct amqp_cursor c = amqp_cursor_over(bytes, 4 + len);
    return amqp_table_check(&c);
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    assert_true(nested_is_good(1));
    assert_true(nested_is_good(AMQP_TABLE_DEPTH_MAX - 1));
    assert_false(nested_is_good(AMQP_TABLE_DEPTH_MAX));
}

static void test_finding_a_key(void **state)
{
    const struct amqp_span table = SPAN("\1aI\0\0\0\5\2CCA\0\0\0\7S\0\0\0\2xy\1aV");
    struct amqp_span value;
    (void)state;
    assert_int_equal(amqp_table_find(table, "a", &value), 'I');
    assert_int_equal(value.len, 4);
    assert_int_equal(value.data[3], 5);
    assert_int_equal(amqp_table_find(table, "CC", &value), 'A');
    struct amqp_cursor c = amqp_cursor_over(value.data, value.len);
    assert_int_equal(amqp_table_take_value(&c, &value), 'S');
    assert_memory_equal(value.data, "xy", 2);
    assert_int_equal(amqp_table_take_value(&c, &value), 0);
    assert_int_equal(amqp_table_find(table, "C", &value), 0);
}

/* --- methods --- */

static uint16_t check(uint32_t method, struct amqp_span arguments)
{
    struct amqp_exception e = {0};
    const bool good = amqp_method_check(amqp_method_spec(method), arguments, &e);
    assert_int_equal(good, e.code == AMQP_CODE_NONE);
    if (!good) {
        assert_int_equal(e.scope, AMQP_SCOPE_CONNECTION);
        assert_true(e.method == method || e.method == 0);
    }
    return e.code;
}

static void test_arguments_must_fit_exactly(void **state)
{
    const struct amqp_span declare = SPAN("\0\0\1q\x04\0\0\0\4\1kt\1");
    (void)state;
    assert_int_equal(check(AMQP_QUEUE_DECLARE_METHOD, declare), 0);
    for (size_t len = 0; len < declare.len; len++)
        assert_int_equal(check(AMQP_QUEUE_DECLARE_METHOD, (struct amqp_span){declare.data, len}), 501);
    assert_int_equal(check(AMQP_QUEUE_DECLARE_METHOD, SPAN("\0\0\1q\x04\0\0\0\0.")), 501);
    assert_int_equal(check(AMQP_TX_COMMIT_METHOD, SPAN("")), 0);
    assert_int_equal(check(AMQP_TX_COMMIT_METHOD, SPAN(".")), 501);
    assert_int_equal(check(AMQP_QUEUE_DECLARE_METHOD, SPAN("\0\0\1q\x04\0\0\0\4\1k?\1")), 502);
}

static void test_short_strings_are_utf8_but_for_publish(void **state)
{
    struct amqp_exception e;
    (void)state;
    assert_int_equal(check(AMQP_CHANNEL_OPEN_METHOD, SPAN("\2\xC3\xA9")), 0);
    assert_int_equal(check(AMQP_CHANNEL_OPEN_METHOD, SPAN("\1\xC3")), 501);
    assert_int_equal(check(AMQP_BASIC_PUBLISH_METHOD, SPAN("\0\0\1\xC3\1\xFF\0")), 0);
    amqp_method_check(amqp_method_spec(AMQP_CHANNEL_OPEN_METHOD), SPAN("\1\xC3"), &e);
    assert_string_equal(e.text, "FRAME_ERROR - Malformed UTF-8 in shortstr");
}

/* rabbitmq-c knows the layouts too: what it encodes must pass, and what passes it must be able to decode. */
static void test_layouts_agree_with_the_codec(void **state)
{
    unsigned known = 0;
    (void)state;
    for (uint32_t class = 10; class <= 90; class += 5) {
        for (uint32_t id = 1; id <= 130; id++) {
            const struct amqp_method_spec *spec = amqp_method_spec(class << 16 | id);
            uint8_t arguments[64] = {0};
            struct amqp_exception e;
            size_t len = 0;
            if (spec == NULL || (class == AMQP_CLASS_CONNECTION && id >= 70)) /* update_secret: not in it */
                continue;
            while (len <= 40 && !amqp_method_check(spec, (struct amqp_span){arguments, len}, &e))
                len++;
            assert_true(len <= 40); /* zeros are empty strings and tables */
            amqp_pool_t pool;
            void *decoded = NULL;
            init_amqp_pool(&pool, 1024);
            const int rc = amqp_decode_method(spec->id, &pool, (amqp_bytes_t){len, arguments}, &decoded);
            assert_int_equal(rc, AMQP_STATUS_OK);
            uint8_t again[64];
            assert_int_equal(amqp_encode_method(spec->id, decoded, (amqp_bytes_t){sizeof(again), again}),
                             len);
            assert_memory_equal(again, arguments, len);
            empty_amqp_pool(&pool);
            known++;
        }
    }
    assert_int_equal(known, 64);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(amqp_method_name(AMQP_QUEUE_DECLARE_METHOD), "queue.declare");
    assert_string_equal(amqp_method_name(AMQP_BASIC_NACK_METHOD), "basic.nack");
    assert_string_equal(amqp_method_name(60 << 16 | 200), "unknown method"); /* basic.credit */
    assert_null(amqp_method_spec(0));
    assert_null(amqp_method_spec(UINT32_MAX));
}

/* --- properties --- */

static void assert_property(struct amqp_span properties, enum amqp_property which, const char *value)
{
    struct amqp_span found;
    assert_true(amqp_properties_find(properties, which, &found));
    assert_int_equal(found.len, strlen(value));
    assert_memory_equal(found.data, value, found.len);
}

static void test_properties(void **state)
{
    const struct amqp_span all = SPAN("\xFF\xFC\1a\1b\0\0\0\0\2\5\1c\1d\1e\1f........\1g\1h\1i\1j");
    const struct amqp_span one = SPAN("\2\0\1d");
    struct amqp_span value;
    (void)state;
    assert_true(amqp_properties_check(all));
    assert_property(all, AMQP_PROPERTY_CONTENT_TYPE, "a");
    assert_property(all, AMQP_PROPERTY_HEADERS, "");
    assert_property(all, AMQP_PROPERTY_DELIVERY_MODE, "\2");
    assert_property(all, AMQP_PROPERTY_REPLY_TO, "d");
    assert_property(all, AMQP_PROPERTY_TIMESTAMP, "........");
    assert_property(all, AMQP_PROPERTY_CLUSTER_ID, "j");
    assert_true(amqp_properties_check(one));
    assert_property(one, AMQP_PROPERTY_REPLY_TO, "d");
    assert_false(amqp_properties_find(one, AMQP_PROPERTY_HEADERS, &value));
    assert_false(amqp_properties_find(one, AMQP_PROPERTY_APP_ID, &value));
    assert_true(amqp_properties_check(SPAN("\0\2"))); /* bit 1 means nothing */
}

static void test_properties_that_can_not_be_found(void **state)
{
    struct amqp_span value;
    (void)state;
    assert_false(amqp_properties_find(SPAN(""), AMQP_PROPERTY_REPLY_TO, &value));
    assert_false(amqp_properties_find(SPAN("\2\0\2d"), AMQP_PROPERTY_REPLY_TO, &value));
    assert_false(amqp_properties_find(SPAN("\x82\0\4d\1d"), AMQP_PROPERTY_REPLY_TO, &value));
    assert_false(amqp_properties_find(SPAN("\2\1\1d"), AMQP_PROPERTY_REPLY_TO, &value));
}

static void test_properties_that_do_not_match_their_flags(void **state)
{
    (void)state;
    assert_false(amqp_properties_check(SPAN("")));
    assert_false(amqp_properties_check(SPAN("\0")));
    assert_false(amqp_properties_check(SPAN("\0\0.")));
    assert_false(amqp_properties_check(SPAN("\0\1\0\0")));
    assert_false(amqp_properties_check(SPAN("\x80\0")));
    assert_false(amqp_properties_check(SPAN("\x80\0\3ab")));
    assert_false(amqp_properties_check(SPAN("\0\x40.......")));
    assert_false(amqp_properties_check(SPAN("\x20\0\0\0\0\1.")));
    assert_false(amqp_properties_check(SPAN("\x20\0\0\0\0\x03\1k?")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_every_type_of_field),
        cmocka_unit_test(test_what_is_no_table),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_finding_a_key),
        cmocka_unit_test(test_arguments_must_fit_exactly),
        cmocka_unit_test(test_short_strings_are_utf8_but_for_publish),
        cmocka_unit_test(test_layouts_agree_with_the_codec),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_properties_that_can_not_be_found),
        cmocka_unit_test(test_properties_that_do_not_match_their_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
