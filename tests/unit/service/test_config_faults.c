/* SPDX-License-Identifier: Apache-2.0 */
#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* One line of a file after two good ones, so that it is line 3, and the fault it must give. */
static void assert_line_fault(const char *line, const char *fault)
{
    struct test_config config;
    char file[6000], expected[512];

    snprintf(file, sizeof(file), "# good\nnodelay = no\n%s\n", line);
    snprintf(expected, sizeof(expected), "test.conf:3: %s\n", fault);
    assert_int_equal(test_load(&test_program, &config, file, NULL), -EINVAL);
    assert_string_equal(test_faults, expected);
}

static void bad_values(void **state)
{
    static const struct {
        const char *line, *fault;
    } cases[] = {
        {"workers = many", "workers 'many': expected a number, 1 to 64"},
        {"workers = 0", "workers '0': expected a number, 1 to 64"},
        {"workers = 65", "workers '65': expected a number, 1 to 64"},
        {"workers = -1", "workers '-1': expected a number, 1 to 64"},
        {"workers = +1", "workers '+1': expected a number, 1 to 64"},
        {"workers = 1k", "workers '1k': expected a number, 1 to 64"},
        {"workers = 99999999999999999999", "workers '99999999999999999999': expected a number, 1 to 64"},
        {"workers =", "workers '': expected a number, 1 to 64"},
        {"workers = 0x10", "workers '0x10': expected a number, 1 to 64"},
        {"window = 4095", "window '4095': expected a size such as 4096, 64k, 10M or 1G; at least 4k"},
        {"window = 1T", "window '1T': expected a size such as 4096, 64k, 10M or 1G; at least 4k"},
        {"window = 99999999999G", "window '99999999999G': too large"},
        {"timeout = 10", "timeout '10': expected a time such as 500ms, 10s, 2m or 1h; 100ms to 1h"},
        {"timeout = 0", "timeout '0': expected a time such as 500ms, 10s, 2m or 1h; 100ms to 1h"},
        {"timeout = 10 s", "timeout '10 s': expected a time such as 500ms, 10s, 2m or 1h; 100ms to 1h"},
        {"timeout = 2h", "timeout '2h': expected a time such as 500ms, 10s, 2m or 1h; 100ms to 1h"},
        {"nodelay2 = 1", "unknown setting 'nodelay2'; did you mean 'nodelay'?"},
        {"mode = Tunnel", "mode 'Tunnel': expected tunnel, direct or both"},
        {"listen = localhost", "listen 'localhost': 'localhost' is neither HOST:PORT nor unix:PATH"},
        {"listen = a:70000", "listen 'a:70000': port '70000' is not a number from 0 to 65535"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_line_fault(cases[i].line, cases[i].fault);
}

static void a_bool_takes_no_numbers(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(test_load(&test_program, &config, "nodelay = 1\n", NULL), -EINVAL);
    assert_string_equal(test_faults, "test.conf:1: nodelay '1': expected yes or no\n");
}

static void a_secret_is_not_repeated(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(test_load(&test_program, &config, "[guest 1]\nuser = open sesame\n", NULL), -EINVAL);
    assert_string_equal(test_faults, "test.conf:2: user '...': there is a blank in it\n");
}

static void a_number_past_its_type(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(test_load(&test_program, &config, "[guest 1]\nmax-sessions = 4294967296\n", NULL),
                     -EINVAL);
    assert_string_equal(test_faults, "test.conf:2: max-sessions '4294967296': too large\n");
    assert_int_equal(test_load(&test_program, &config, "[guest 1]\nmax-sessions = 4294967295\n", NULL), 0);
    assert_int_equal(config.guests[0].max_sessions, 4294967295U);
    config_free(&test_program, &config);
}

static void bad_lines(void **state)
{
    static const struct {
        const char *line, *fault;
    } cases[] = {
        {"lsten = a:1", "unknown setting 'lsten'; did you mean 'listen'?"},
        {"frobnicate = 1", "unknown setting 'frobnicate'; see --help"},
        {"config = x", "unknown setting 'config'; see --help"},
        {"workers", "neither [section] nor name = value"},
        {"= 5", "value without a name"},
        {"[guest 101", "section heading without ']'"},
        {"[guest 101] x", "text behind the ']' of a section heading"},
        {"[gest 101]\nvhost = /", "unknown section [gest 101]; did you mean [guest CID]?"},
        {"[test-prox]\nx = 1", "unknown section [test-prox]; did you mean [test-proxy]?"},
        {"[broker]\nx = 1", "unknown section [broker]; see --help"},
        {"[]\nx = 1", "unknown section []; see --help"},
        {"[guest]\nvhost = /", "section [guest] needs an argument: [guest CID]"},
        {"[guest a]\nvhost = /", "[guest a]: a CID is a number"},
        {"[test-proxy x]", "section [test-proxy] takes no argument"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_line_fault(cases[i].line, cases[i].fault);
}

static void a_line_that_is_too_long(void **state)
{
    char line[5000];

    (void)state;
    memset(line, 'x', sizeof(line) - 1);
    memcpy(line, "user = ", 7);
    line[sizeof(line) - 1] = '\0';
    assert_line_fault(line, "line longer than 4094 bytes");
}

static void a_nul_byte(void **state)
{
    struct test_config config;
    char *argv[] = {(char *)"x", (char *)"--config=nul.conf", NULL};
    FILE *file = fopen("nul.conf", "w");

    (void)state;
    assert_non_null(file);
    assert_int_equal(fwrite("user=a\0b\nhost=h\n", 1, 16, file), 16);
    fclose(file);
    assert_int_equal(test_load(&test_program, &config, NULL, argv[1], NULL), -EINVAL);
    assert_string_equal(test_faults, "nul.conf:1: NUL byte in the line\n");
    unlink("nul.conf");
}

static void what_is_given_twice(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(
        test_load(&test_program, &config,
                  "workers = 1\n[test-proxy]\nworkers = 2\n[guest 1]\nuser = a\nuser = b\n[guest 1]\n",
                  "--user=x", "--user=y", NULL),
        -EINVAL);
    assert_string_equal(test_faults, "test.conf:7: section [guest 1] is given twice, first in line 4\n"
                                     "--user: user is given twice, first at --user\n"
                                     "test.conf:3: workers is given twice, first at test.conf:1\n"
                                     "test.conf:6: user is given twice, first at test.conf:5\n");
}

static void a_flag_does_not_hide_a_fault_of_the_file(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(test_load(&test_program, &config, "workers = x\n", "--workers=2", NULL), -EINVAL);
    assert_string_equal(test_faults, "test.conf:1: workers 'x': expected a number, 1 to 64\n");
}

static void bad_flags(void **state)
{
    static const struct {
        const char *flag, *value, *fault;
    } cases[] = {
        {"--lsten", "a:1", "--lsten: unknown flag; did you mean --listen?"},
        {"--lsten=a:1", NULL, "--lsten: unknown flag; did you mean --listen?"},
        {"--chekc", NULL, "--chekc: unknown flag; did you mean --check?"},
        {"--frobnicate", NULL, "--frobnicate: unknown flag; see --help"},
        {"--workers", NULL, "--workers: needs a value"},
        {"--workers", "--nodelay", "--workers: needs a value"},
        {"--workers=", NULL, "--workers: workers '': expected a number, 1 to 64"},
        {"--nodelay=maybe", NULL, "--nodelay: nodelay 'maybe': expected yes or no"},
        {"--guest.101.vhosts=/", NULL, "--guest.101.vhosts: unknown flag; did you mean --guest.101.vhost?"},
        {"--guest.101.zzz=/", NULL, "--guest.101.zzz: unknown flag; see --help"},
        {"--guest.x.vhost=/", NULL, "--guest.x.vhost: guest 'x': a CID is a number"},
        {"--gast.101.vhost=/", NULL, "--gast.101.vhost: unknown flag: there is no section 'gast'"},
        {"--guest.101.max-sessions", "x", "--guest.101.max-sessions: max-sessions 'x': expected a number"},
        {"stray", NULL, "test-proxy: unexpected argument 'stray'; see --help"},
        {"-x", NULL, "test-proxy: unexpected argument '-x'; see --help"},
        {"--", NULL, "test-proxy: unexpected argument '--'; see --help"},
        {"--=x", NULL, "test-proxy: unexpected argument '--=x'; see --help"},
    };
    struct test_config config;
    char expected[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(test_load(&test_program, &config, NULL, cases[i].flag, cases[i].value, NULL),
                         -EINVAL);
        snprintf(expected, sizeof(expected), "%s\n", cases[i].fault);
        assert_string_equal(test_faults, expected);
    }
}

static void what_is_required_and_missing(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(
        test_load(&test_program_required, &config, "# no host\n[service mqtt]\n", "--service.x.name=1", NULL),
        -EINVAL);
    assert_string_equal(test_faults, "--service.x.name: unknown flag; see --help\n"
                                     "test-proxy: host is required (--host HOST)\n"
                                     "test.conf:2: listen is required (--service.mqtt.listen ADDRESS)\n");
    assert_int_equal(test_load(&test_program_required, &config, "host = h\n", NULL), 0);
    config_free(&test_program_required, &config);
}

static void all_faults_are_reported(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(test_load(&test_program, &config,
                               "worker = 1\nwindow = x\n[guest 101]\nmax-sessions = y\nnonsense\n[oops]\n",
                               "--timeout=z", NULL),
                     -EINVAL);
    assert_string_equal(test_faults,
                        "test.conf:1: unknown setting 'worker'; did you mean 'workers'?\n"
                        "test.conf:5: neither [section] nor name = value\n"
                        "test.conf:6: unknown section [oops]; see --help\n"
                        "test.conf:2: window 'x': expected a size such as 4096, 64k, 10M or 1G; at least 4k\n"
                        "--timeout: timeout 'z': expected a time such as 500ms, 10s, 2m or 1h; 100ms to 1h\n"
                        "test.conf:4: max-sessions 'y': expected a number\n");
    assert_null(config.listen.items); /* nothing to free */
    assert_null(config.guests);
}

static void the_program_looks_at_the_whole(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(test_load(&test_program, &config, "\nmode = direct\n[guest 101]\nmax-sessions = 13\n",
                               "--workers=13", NULL),
                     -EINVAL);
    assert_string_equal(test_faults, "test.conf:2: mode direct needs a user\n"
                                     "test-proxy: thirteen is unlucky\n"
                                     "test.conf:4: thirteen, even here\n");
    assert_int_equal(test_load(&test_program, &config, "mode = tunnel\n", "--mode=direct",
                               "--guest.101.max-sessions=13", NULL),
                     -EINVAL);
    assert_string_equal(test_faults, "--mode: mode direct needs a user\n"
                                     "--guest.101.max-sessions: thirteen, even here\n");
    assert_int_equal(test_load(&test_program, &config, "mode = direct\nuser = u\nworkers = x\n", NULL),
                     -EINVAL);
    assert_string_equal(test_faults, "test.conf:3: workers 'x': expected a number, 1 to 64\n");
}

static void files_that_can_not_be_read(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(test_load(&test_program, &config, NULL, "--config", "no/such.conf", NULL), -EINVAL);
    assert_string_equal(test_faults, "no/such.conf: can't be opened: No such file or directory\n");
    assert_int_equal(test_load(&test_program, &config, NULL, "--config=/", NULL), -EINVAL);
    assert_string_equal(test_faults, "/: can't be read: Is a directory\n");
    assert_int_equal(test_load(&test_program, &config, "# x\n", "--config=again", NULL), -EINVAL);
    assert_string_equal(test_faults, "--config: config is given twice, first at --config\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_values),
        cmocka_unit_test(a_bool_takes_no_numbers),
        cmocka_unit_test(a_secret_is_not_repeated),
        cmocka_unit_test(a_number_past_its_type),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(a_line_that_is_too_long),
        cmocka_unit_test(a_nul_byte),
        cmocka_unit_test(what_is_given_twice),
        cmocka_unit_test(a_flag_does_not_hide_a_fault_of_the_file),
        cmocka_unit_test(bad_flags),
        cmocka_unit_test(what_is_required_and_missing),
        cmocka_unit_test(all_faults_are_reported),
        cmocka_unit_test(the_program_looks_at_the_whole),
        cmocka_unit_test(files_that_can_not_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
