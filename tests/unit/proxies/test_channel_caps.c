/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of limits that can't be asked for. */
#include "host-proxy/channel_caps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_MS 3600000u

static struct channel_caps caps;

static struct amqp_span span(const char *text)
{
    return (struct amqp_span){.data = (const uint8_t *)text, .len = strlen(text)};
}

static int setup(void **state)
{
    (void)state;
    caps = (struct channel_caps){0};
    return 0;
}

static void test_which_errors(void **state)
{
    struct amqp_exception e;

    (void)state;
    amqp_exception_set(
        &e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_ALLOWED, 0,
        "number of channels opened for user 'a' has reached the maximum allowed user limit of (5)");
    assert_int_equal(channel_caps_limit(&e), 5);
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_ALLOWED, 0,
                       "number of channels opened for user 'a' is too high");
    assert_int_equal(channel_caps_limit(&e), UINT16_MAX);
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_ALLOWED, 0,
                       "number of channels opened: limit of (99999999999999999999)");
    assert_int_equal(channel_caps_limit(&e), UINT16_MAX);
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_ALLOWED, 0,
                       "number of channels opened: limit of (0)");
    assert_int_equal(channel_caps_limit(&e), 1);
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_ALLOWED, 0,
                       "attempt to reuse consumer tag 't'");
    assert_int_equal(channel_caps_limit(&e), 0);
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0,
                       "number of channels opened for user 'a' is not to my liking");
    assert_int_equal(channel_caps_limit(&e), 0);
}

static void test_each_user_and_guest(void **state)
{
    (void)state;
    channel_caps_note(&caps, span("alice"), "", 5, 1);
    channel_caps_note(&caps, span("alice"), "guest=7", 3, 1);
    channel_caps_note(&caps, span(""), "", 9, 1);
    assert_int_equal(channel_caps_find(&caps, span("alice"), "", 1), 5);
    assert_int_equal(channel_caps_find(&caps, span("alice"), "guest=7", 1), 3);
    assert_int_equal(channel_caps_find(&caps, span(""), "", 1), 9);
    assert_int_equal(channel_caps_find(&caps, span("alic"), "", 1), 0);
    assert_int_equal(channel_caps_find(&caps, span("alice"), "guest=8", 1), 0);
}

static void test_the_last_one_counts_for_an_hour(void **state)
{
    (void)state;
    channel_caps_note(&caps, span("alice"), "", 5, 1);
    channel_caps_note(&caps, span("alice"), "", 4, 1000);
    assert_int_equal(channel_caps_find(&caps, span("alice"), "", 1000 + HOUR_MS - 1), 4);
    assert_int_equal(channel_caps_find(&caps, span("alice"), "", 1000 + HOUR_MS), 0);
}

/* 0 would be as many as the broker offers. */
static void test_a_user_that_may_have_none(void **state)
{
    (void)state;
    channel_caps_note(&caps, span("alice"), "", 0, 1);
    assert_int_equal(channel_caps_find(&caps, span("alice"), "", 1), 1);
}

static void test_more_users_than_it_can_hold(void **state)
{
    char name[16];

    (void)state;
    for (unsigned n = 0; n <= CHANNEL_CAPS_MAX; n++) {
        snprintf(name, sizeof(name), "user%u", n);
        channel_caps_note(&caps, span(name), "", (uint16_t)(n + 1), n + 1);
    }
    assert_int_equal(channel_caps_find(&caps, span("user0"), "", CHANNEL_CAPS_MAX), 0);
    assert_int_equal(channel_caps_find(&caps, span("user1"), "", CHANNEL_CAPS_MAX), 2);
    assert_int_equal(channel_caps_find(&caps, span(name), "", CHANNEL_CAPS_MAX), CHANNEL_CAPS_MAX + 1);
}

static void test_names_that_are_too_long(void **state)
{
    static char name[257];

    (void)state;
    memset(name, 'n', 256);
    channel_caps_note(&caps, span(name), "", 5, 1);
    assert_int_equal(channel_caps_find(&caps, span(name), "", 1), 0);
    name[255] = '\0';
    channel_caps_note(&caps, span(name), "", 5, 1);
    assert_int_equal(channel_caps_find(&caps, span(name), "", 1), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_which_errors, setup),
        cmocka_unit_test_setup(test_each_user_and_guest, setup),
        cmocka_unit_test_setup(test_the_last_one_counts_for_an_hour, setup),
        cmocka_unit_test_setup(test_a_user_that_may_have_none, setup),
        cmocka_unit_test_setup(test_more_users_than_it_can_hold, setup),
        cmocka_unit_test_setup(test_names_that_are_too_long, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
