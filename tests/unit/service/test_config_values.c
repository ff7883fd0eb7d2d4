/* SPDX-License-Identifier: Apache-2.0 */
#include "config_fixture.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void load(struct test_config *config, const char *file)
{
    int result = test_load(&test_program, config, file, NULL);

    assert_string_equal(test_faults, "");
    assert_int_equal(result, 0);
}

static void defaults(void **state)
{
    struct test_config config;

    (void)state;
    load(&config, NULL);
    assert_null(config.user);
    assert_int_equal(config.listen.count, 2);
    assert_string_equal(config.listen.items[0], "127.0.0.1:5672");
    assert_string_equal(config.listen.items[1], "[::1]:5672");
    assert_int_equal(config.workers, 4);
    assert_int_equal(config.window, 256 * 1024);
    assert_int_equal(config.timeout_ms, 10000);
    assert_false(config.nodelay);
    assert_int_equal(config.mode, MODE_TUNNEL);
    assert_int_equal(config.guest_count, 0);
    assert_null(config.guests);
    config_free(&test_program, &config);
    assert_null(config.listen.items);
    config_free(&test_program, &config); /* it is empty now */
}

static void every_type_from_a_file(void **state)
{
    struct test_config config;

    (void)state;
    load(&config, "\xef\xbb\xbf# comment\n"
                  "user = a b ; comment\n"
                  "listen=unix:/run/a\r\n"
                  "\n"
                  "  listen : localhost:1\n"
                  "[test-proxy]\n"
                  "workers = 64\n"
                  "window = 10M\n"
                  "timeout = 1h\n"
                  "nodelay = on\n"
                  "mode = both\n"
                  "host =\n");
    assert_string_equal(config.user, "a b");
    assert_int_equal(config.listen.count, 2);
    assert_string_equal(config.listen.items[0], "unix:/run/a");
    assert_string_equal(config.listen.items[1], "localhost:1");
    assert_int_equal(config.workers, 64);
    assert_int_equal(config.window, 10 * 1024 * 1024);
    assert_int_equal(config.timeout_ms, 3600000);
    assert_true(config.nodelay);
    assert_int_equal(config.mode, MODE_BOTH);
    assert_string_equal(config.host, "");
    config_free(&test_program, &config);
}

static void every_type_from_flags(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(test_load(&test_program, &config, NULL, "--user", "a=b", "--listen", "unix:/a",
                               "--listen=unix:/b", "--workers=1", "--window", "4k", "--timeout=500ms",
                               "--nodelay", "--mode", "direct", "--host=", NULL),
                     0);
    assert_string_equal(config.user, "a=b");
    assert_int_equal(config.listen.count, 2);
    assert_string_equal(config.listen.items[1], "unix:/b");
    assert_int_equal(config.workers, 1);
    assert_int_equal(config.window, 4096);
    assert_int_equal(config.timeout_ms, 500);
    assert_true(config.nodelay);
    assert_int_equal(config.mode, MODE_DIRECT);
    assert_string_equal(config.host, "");
    config_free(&test_program, &config);
}

static void sizes_and_durations_have_suffixes(void **state)
{
    static const struct {
        const char *line;
        size_t window;
        uint64_t timeout_ms;
    } cases[] = {
        {"window = 4096", 4096, 10000},
        {"window = 3k", 0, 0},
        {"window = 65k", 65 * 1024, 10000},
        {"window = 3G", (size_t)3 << 30, 10000},
        {"timeout = 100ms", 256 * 1024, 100},
        {"timeout = 61s", 256 * 1024, 61000},
        {"timeout = 2m", 256 * 1024, 120000},
        {"timeout = 99ms", 0, 0},
        {"timeout = 3601s", 0, 0},
        {"window = 17179869183G", (size_t)17179869183 << 30, 10000},
        {"window = 17179869184G", 0, 0}, /* 2^64 */
    };
    struct test_config config;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int expected = cases[i].window == 0 ? -EINVAL : 0;
        assert_int_equal(test_load(&test_program, &config, cases[i].line, NULL), expected);
        if (expected == 0) {
            assert_int_equal(config.window, cases[i].window);
            assert_int_equal(config.timeout_ms, cases[i].timeout_ms);
        }
        config_free(&test_program, &config); /* empty after a failure */
    }
}

static void bools_have_three_pairs_of_words(void **state)
{
    static const char *const yes[] = {"yes", "true", "on"}, *const no[] = {"no", "false", "off"};
    struct test_config config;
    char line[32];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        snprintf(line, sizeof(line), "nodelay = %s", yes[i]);
        load(&config, line);
        assert_true(config.nodelay);
        config_free(&test_program, &config);
        snprintf(line, sizeof(line), "--nodelay=%s", no[i]);
        assert_int_equal(test_load(&test_program, &config, "nodelay = yes", line, NULL), 0);
        assert_false(config.nodelay);
        config_free(&test_program, &config);
    }
}

static void flags_win_over_the_file(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(test_load(&test_program, &config,
                               "listen = unix:/a\nlisten = unix:/b\nworkers = 2\nuser = file\n",
                               "--workers=3", "--listen=unix:/c", NULL),
                     0);
    assert_int_equal(config.workers, 3);
    assert_int_equal(config.listen.count, 1); /* the file's list is replaced, whole */
    assert_string_equal(config.listen.items[0], "unix:/c");
    assert_string_equal(config.user, "file");
    config_free(&test_program, &config);
}

static void sections_become_elements(void **state)
{
    struct test_config config;

    (void)state;
    load(&config, "[guest 101]\n"
                  "max-sessions = 5\n"
                  "vhost = /a\n"
                  "vhost = /b\n"
                  "[service mqtt]\n"
                  "listen = localhost:1883\n"
                  "[guest 102]\n" /* all by default */
                  "[  guest \t 103  ] ; comment\n"
                  "user = eve\n"
                  "[test-proxy]\n"
                  "user = us\n");
    assert_int_equal(config.guest_count, 3);
    assert_string_equal(config.guests[0].cid, "101");
    assert_int_equal(config.guests[0].max_sessions, 5);
    assert_int_equal(config.guests[0].vhosts.count, 2);
    assert_string_equal(config.guests[0].vhosts.items[1], "/b");
    assert_string_equal(config.guests[1].cid, "102");
    assert_int_equal(config.guests[1].max_sessions, 100);
    assert_int_equal(config.guests[1].vhosts.count, 0);
    assert_null(config.guests[1].user);
    assert_string_equal(config.guests[2].cid, "103");
    assert_string_equal(config.guests[2].user, "eve");
    assert_int_equal(config.service_count, 1);
    assert_string_equal(config.services[0].name, "mqtt");
    assert_string_equal(config.services[0].listen, "localhost:1883");
    assert_string_equal(config.user, "us");
    config_free(&test_program, &config);
    assert_null(config.guests);
    assert_int_equal(config.guest_count, 0);
}

static void settings_of_sections_are_flags_too(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(test_load(&test_program, &config, "[guest 101]\nmax-sessions = 5\nvhost = /a\n",
                               "--guest.101.max-sessions=6", "--guest.102.vhost", "/b",
                               "--service.a.b.listen=localhost:1", NULL),
                     0);
    assert_int_equal(config.guest_count, 2);
    assert_string_equal(config.guests[0].cid, "101");
    assert_int_equal(config.guests[0].max_sessions, 6);
    assert_string_equal(config.guests[0].vhosts.items[0], "/a");
    assert_string_equal(config.guests[1].cid, "102");
    assert_string_equal(config.guests[1].vhosts.items[0], "/b");
    assert_int_equal(config.service_count, 1);
    assert_string_equal(config.services[0].name, "a.b"); /* an argument may hold dots */
    config_free(&test_program, &config);
}

static void lines_may_be_long(void **state)
{
    struct test_config config;
    char line[4000] = "user = ";

    (void)state;
    memset(line + 7, 'x', 3000);
    load(&config, line);
    assert_int_equal(strlen(config.user), 3000);
    config_free(&test_program, &config);
}

static void an_indented_line_is_a_setting_of_its_own(void **state)
{
    struct test_config config;

    (void)state;
    load(&config, "user = a\n  host = b\n");
    assert_string_equal(config.user, "a");
    assert_string_equal(config.host, "b");
    config_free(&test_program, &config);
}

static void a_second_load_is_independent(void **state)
{
    struct test_config first, second;

    (void)state;
    load(&first, "user = one\n[guest 1]\n");
    load(&second, "user = two\n[guest 2]\n[guest 3]\n");
    assert_string_equal(first.user, "one");
    assert_int_equal(first.guest_count, 1);
    config_free(&test_program, &first);
    assert_string_equal(second.user, "two");
    assert_int_equal(second.guest_count, 2);
    config_free(&test_program, &second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_type_from_a_file),
        cmocka_unit_test(every_type_from_flags),
        cmocka_unit_test(sizes_and_durations_have_suffixes),
        cmocka_unit_test(bools_have_three_pairs_of_words),
        cmocka_unit_test(flags_win_over_the_file),
        cmocka_unit_test(sections_become_elements),
        cmocka_unit_test(settings_of_sections_are_flags_too),
        cmocka_unit_test(lines_may_be_long),
        cmocka_unit_test(an_indented_line_is_a_setting_of_its_own),
        cmocka_unit_test(a_second_load_is_independent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
