/* SPDX-License-Identifier: Apache-2.0 */
/* A link and the clock: pings, silence, handshakes that do not come. */
#include "tests/unit/mux/kit/link_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define INTERVAL 10000u
#define TIMEOUT  3000u

static int setup(void **state)
{
    struct link_fixture *f = link_fixture_create(false);

    link_fixture_hello(f);
    kit_peer_listen(&f->peer, NOW);
    kit_peer_expect(&f->peer, MUX_HELLO, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    link_fixture_destroy(*state);
    return 0;
}

static void without_settings_there_is_no_deadline(void **state)
{
    struct link_fixture *f = *state;

    assert_int_equal(mux_link_deadline(&f->link), UINT64_MAX);
    assert_int_equal(mux_link_tick(&f->link, NOW + 1000000000), 0);
}

static void a_silent_peer_is_pinged_then_given_up(void **state)
{
    struct link_fixture *f = *state;

    f->config.ping_interval_ms = INTERVAL;
    f->config.ping_timeout_ms = TIMEOUT;
    assert_int_equal(mux_link_deadline(&f->link), NOW + INTERVAL);
    assert_int_equal(mux_link_tick(&f->link, NOW + INTERVAL - 1), 0);
    assert_int_equal(kit_peer_listen(&f->peer, NOW), 0);
    assert_int_equal(mux_link_tick(&f->link, NOW + INTERVAL), 0);
    kit_peer_listen(&f->peer, NOW + INTERVAL);
    kit_peer_expect(&f->peer, MUX_PING, 0);
    assert_int_equal(mux_link_deadline(&f->link), NOW + INTERVAL + TIMEOUT);
    assert_int_equal(mux_link_tick(&f->link, NOW + INTERVAL + TIMEOUT - 1), 0);
    assert_int_equal(kit_peer_listen(&f->peer, NOW), 0); /* one ping, not one a tick */
    assert_int_equal(mux_link_tick(&f->link, NOW + INTERVAL + TIMEOUT), -MUX_IDLE_TIMEOUT);
    assert_string_equal(f->link.error, "no answer to PING, nothing heard for 13000 ms");
}

static void anything_heard_is_a_sign_of_life(void **state)
{
    struct link_fixture *f = *state;
    uint64_t now = NOW + INTERVAL;

    f->config.ping_interval_ms = INTERVAL;
    f->config.ping_timeout_ms = TIMEOUT;
    assert_int_equal(mux_link_tick(&f->link, now), 0);
    now += TIMEOUT - 1;
    assert_int_equal(kit_peer_say(&f->peer, (const uint8_t *)"\x08", 1, now), 0); /* not even a whole frame */
    assert_int_equal(mux_link_deadline(&f->link), now + INTERVAL);
    assert_int_equal(mux_link_tick(&f->link, now + 1), 0);
}

static void after_a_long_sleep_the_peer_is_asked_first(void **state)
{
    struct link_fixture *f = *state;
    uint64_t now = NOW + 100 * INTERVAL;

    f->config.ping_interval_ms = INTERVAL;
    f->config.ping_timeout_ms = TIMEOUT;
    assert_int_equal(mux_link_tick(&f->link, now), 0);
    assert_int_equal(kit_peer_ping(&f->peer, MUX_PONG, 0, "12345678", now + 10), 0);
    assert_int_equal(mux_link_tick(&f->link, now + TIMEOUT), 0);
}

static void without_pings_silence_is_measured(void **state)
{
    struct link_fixture *f = *state;

    f->config.idle_timeout_ms = 5000;
    assert_int_equal(mux_link_deadline(&f->link), NOW + 5000);
    assert_int_equal(mux_link_tick(&f->link, NOW + 4999), 0);
    assert_int_equal(mux_link_tick(&f->link, NOW + 5000), -MUX_IDLE_TIMEOUT);
    assert_string_equal(f->link.error, "nothing heard for 5000 ms");
}

static void the_earlier_of_two_timeouts_counts(void **state)
{
    struct link_fixture *f = *state;

    f->config.ping_interval_ms = INTERVAL;
    f->config.ping_timeout_ms = TIMEOUT;
    f->config.idle_timeout_ms = INTERVAL + 1;
    assert_int_equal(mux_link_deadline(&f->link), NOW + INTERVAL);
    assert_int_equal(mux_link_tick(&f->link, NOW + INTERVAL), 0);
    assert_int_equal(mux_link_deadline(&f->link), NOW + INTERVAL + 1);
    assert_int_equal(mux_link_tick(&f->link, NOW + INTERVAL + 1), -MUX_IDLE_TIMEOUT);
}

static void hello_must_come_in_time(void **state)
{
    struct link_fixture *f = link_fixture_create(false);

    (void)state;
    f->config.hello_timeout_ms = 1000;
    assert_int_equal(mux_link_deadline(&f->link), NOW + 1000);
    assert_int_equal(mux_link_tick(&f->link, NOW + 999), 0);
    assert_int_equal(mux_link_tick(&f->link, NOW + 1000), -MUX_IDLE_TIMEOUT);
    assert_string_equal(f->link.error, "no HELLO within the handshake timeout");
    link_fixture_hello(f);
    assert_int_equal(mux_link_deadline(&f->link), UINT64_MAX);
    link_fixture_destroy(f);
}

static void a_byte_now_and_then_is_no_hello(void **state)
{
    struct link_fixture *f = link_fixture_create(false);

    (void)state;
    f->config.hello_timeout_ms = 1000;
    assert_int_equal(kit_peer_say(&f->peer, (const uint8_t *)"\x01", 1, NOW + 999), 0);
    assert_int_equal(mux_link_tick(&f->link, NOW + 1000), -MUX_IDLE_TIMEOUT);
    link_fixture_destroy(f);
}

static void open_must_come_in_time(void **state)
{
    static const struct mux_open open = {.attempt = 1};
    struct link_fixture *f = *state;

    f->config.open_timeout_ms = 2000;
    assert_int_equal(mux_link_deadline(&f->link), NOW + 2000);
    assert_int_equal(kit_peer_ping(&f->peer, MUX_PING, 0, "12345678", NOW + 1500), 0);
    assert_int_equal(mux_link_tick(&f->link, NOW + 2000), -MUX_IDLE_TIMEOUT);
    assert_string_equal(f->link.error, "no OPEN within the handshake timeout");
    assert_int_equal(kit_peer_open(&f->peer, 1, &open, NOW + 1999), 0);
    assert_int_equal(mux_link_tick(&f->link, NOW + 2000), 0);
    assert_int_equal(mux_link_deadline(&f->link), UINT64_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(without_settings_there_is_no_deadline),
        TEST(a_silent_peer_is_pinged_then_given_up),
        TEST(anything_heard_is_a_sign_of_life),
        TEST(after_a_long_sleep_the_peer_is_asked_first),
        TEST(without_pings_silence_is_measured),
        TEST(the_earlier_of_two_timeouts_counts),
        cmocka_unit_test(hello_must_come_in_time),
        cmocka_unit_test(a_byte_now_and_then_is_no_hello),
        TEST(open_must_come_in_time),
    };

    return cmocka_run_group_tests_name("mux.link_time", tests, NULL, NULL);
}
