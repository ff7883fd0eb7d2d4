/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/code.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void every_code_has_a_name_and_a_text(void **state)
{
    (void)state;
#define X(number, name, text)                                                                                \
    assert_int_equal(MUX_##name, number);                                                                    \
    assert_string_equal(mux_code_text(number), text);                                                        \
    assert_string_not_equal(mux_code_name(number), "unknown");
    MUX_CODES(X)
#undef X
    assert_string_equal(mux_code_name(MUX_CREDIT_EXCEEDED), "credit_exceeded");
    assert_string_equal(mux_code_name(MUX_BROKER_UNREACHABLE), "broker_unreachable");
    assert_string_equal(mux_code_name(MUX_OK), "ok");
}

static void names_stay_what_they_are(void **state)
{
    const char *first = mux_code_name(MUX_KILLED);

    (void)state;
    assert_ptr_equal(mux_code_name(MUX_KILLED), first);
    assert_string_equal(first, "killed");
}

static void a_number_from_a_newer_peer_has_no_name(void **state)
{
    (void)state;
    assert_string_equal(mux_code_name(999), "unknown");
    assert_string_equal(mux_code_name(0xffffffffu), "unknown");
    assert_string_equal(mux_code_text(999), "unknown reason");
    assert_string_equal(mux_code_text(0xffffffffu), "unknown reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_and_a_text),
        cmocka_unit_test(names_stay_what_they_are),
        cmocka_unit_test(a_number_from_a_newer_peer_has_no_name),
    };

    return cmocka_run_group_tests_name("mux.code", tests, NULL, NULL);
}
