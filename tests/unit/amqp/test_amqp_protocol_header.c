/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/protocol_header.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_verdicts(void **state)
{
    static const struct {
        const char *bytes;
        enum amqp_protocol verdict;
    } cases[] = {
        {"AMQP\0\0\x09\x01", AMQP_PROTOCOL_0_9_1},   {"AMQP\x01\x01\0\x09", AMQP_PROTOCOL_0_9_1},
        {"AMQP\0\x01\0\0", AMQP_PROTOCOL_1_0},       {"AMQP\x02\x01\0\0", AMQP_PROTOCOL_1_0},
        {"AMQP\x03\x01\0\0", AMQP_PROTOCOL_1_0},     {"AMQP\x01\x01\0\0", AMQP_PROTOCOL_OTHER},
        {"AMQP\x04\x01\0\0", AMQP_PROTOCOL_OTHER},   {"AMQP\0\x01\0\x01", AMQP_PROTOCOL_OTHER},
        {"AMQP\0\x01\x01\0", AMQP_PROTOCOL_OTHER},   {"AMQP\0\x02\0\0", AMQP_PROTOCOL_OTHER},
        {"AMQP\x01\x01\x08\0", AMQP_PROTOCOL_OTHER}, {"AMQP\x01\x01\0\x0A", AMQP_PROTOCOL_OTHER},
        {"AMQP\0\0\x09\x02", AMQP_PROTOCOL_OTHER},   {"AMQPAMQP", AMQP_PROTOCOL_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
        for (size_t len = 0; len < AMQP_PROTOCOL_HEADER_SIZE; len++)
            assert_int_equal(amqp_protocol_header_check(bytes, len), AMQP_PROTOCOL_MORE);
        assert_int_equal(amqp_protocol_header_check(bytes, AMQP_PROTOCOL_HEADER_SIZE), cases[i].verdict);
    }
}

/* Whatever byte of the first four is wrong, and however: known with that byte, not before it. */
static void test_not_amqp_with_the_first_wrong_byte(void **state)
{
    (void)state;
    for (size_t at = 0; at < 4; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t bytes[AMQP_PROTOCOL_HEADER_SIZE];
            memcpy(bytes, amqp_protocol_header_0_9_1, sizeof(bytes));
            if (bytes[at] == value)
                continue;
            bytes[at] = (uint8_t)value;
            assert_int_equal(amqp_protocol_header_check(bytes, at), AMQP_PROTOCOL_MORE);
            for (size_t len = at + 1; len <= sizeof(bytes); len++)
                assert_int_equal(amqp_protocol_header_check(bytes, len), AMQP_PROTOCOL_NOT_AMQP);
        }
    }
}

static void test_what_follows_the_header_does_not_matter(void **state)
{
    (void)state;
    const uint8_t bytes[] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1, 0xFF, 0xFF};
    assert_int_equal(amqp_protocol_header_check(bytes, sizeof(bytes)), AMQP_PROTOCOL_0_9_1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_not_amqp_with_the_first_wrong_byte),
        cmocka_unit_test(test_what_follows_the_header_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
