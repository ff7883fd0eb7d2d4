/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_copy(const char *text, const char *expected)
{
    char out[AMQP_SHORT_STRING_MAX + 1];
    assert_int_equal(amqp_text_copy(out, sizeof(out), text), strlen(expected));
    assert_string_equal(out, expected);
}

static void test_good_text_is_kept(void **state)
{
    (void)state;
    assert_copy("", "");
    assert_copy(" ~plain~ ", " ~plain~ ");
    /* The first and last character of each length, and the neighbours of the surrogates. */
    assert_copy("\xC2\x80 \xDF\xBF", "\xC2\x80 \xDF\xBF");
    assert_copy("\xE0\xA0\x80 \xEF\xBF\xBF", "\xE0\xA0\x80 \xEF\xBF\xBF");
    assert_copy("\xED\x9F\xBF \xEE\x80\x80", "\xED\x9F\xBF \xEE\x80\x80");
    assert_copy("\xF0\x90\x80\x80 \xF4\x8F\xBF\xBF", "\xF0\x90\x80\x80 \xF4\x8F\xBF\xBF");
}

static void test_bad_bytes_are_replaced_one_by_one(void **state)
{
    (void)state;
    assert_copy("a\nb\x7F\x1B[0m", "a?b??[0m");
    assert_copy("\x80 \xBF \xFE \xFF", "? ? ? ?");
    assert_copy("\xC0\xAF", "??");           /* overlong */
    assert_copy("\xC1\xBF", "??");           /* overlong */
    assert_copy("\xE0\x9F\xBF", "???");      /* overlong */
    assert_copy("\xF0\x8F\xBF\xBF", "????"); /* overlong */
    assert_copy("\xED\xA0\x80", "???");      /* surrogate */
    assert_copy("\xF4\x90\x80\x80", "????"); /* past U+10FFFF */
    assert_copy("\xF5\x80\x80\x80", "????"); /* no such lead byte */
    assert_copy("\xC3(", "?(");              /* continuation missing */
    assert_copy("\xE2\x82(", "?"
                             "?(");     /* the third byte missing */
    assert_copy("\xE2\x82", "??");      /* ends in the middle */
    assert_copy("\xF0\x9F\x98", "???"); /* ends in the middle */
    assert_copy("\xC3", "?");           /* ends after the lead byte */
}

static void test_cut_between_characters(void **state)
{
    static const char text[] = "1\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z"; /* lengths 1 2 3 4 1 */
    static const size_t lengths[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    (void)state;
    for (size_t room = 0; room < sizeof(lengths) / sizeof(lengths[0]); room++) {
        char out[32];
        memset(out, 'x', sizeof(out));
        assert_int_equal(amqp_text_copy(out, room + 1, text), lengths[room]);
        assert_memory_equal(out, text, lengths[room]);
        assert_int_equal(out[lengths[room]], 0);
        assert_int_equal(out[room + 1], 'x');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_text_is_kept),
        cmocka_unit_test(test_bad_bytes_are_replaced_one_by_one),
        cmocka_unit_test(test_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
