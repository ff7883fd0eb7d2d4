/* SPDX-License-Identifier: Apache-2.0 */
#include "config_fixture.h"

#include "service/daemon.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char out[8192], err[8192];

/* Sends a standard stream to a file, and back. */
static int divert(int stream)
{
    int kept = dup(stream),
        file = open(stream == STDOUT_FILENO ? "out.txt" : "err.txt", O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(kept >= 0 && file >= 0);
    assert_int_equal(dup2(file, stream), stream);
    close(file);
    return kept;
}

static void restore(int stream, int kept, char *text, size_t size)
{
    ssize_t length = pread(stream, text, size - 1, 0);

    text[length > 0 ? length : 0] = '\0';
    assert_int_equal(dup2(kept, stream), stream);
    close(kept);
    unlink(stream == STDOUT_FILENO ? "out.txt" : "err.txt");
}

/* config_run with these flags; what it printed is in `out` and `err`. */
static int run(struct test_config *config, const char *const *flags)
{
    char *argv[16] = {(char *)"/usr/bin/test-proxy"};
    int argc = 1;

    while (*flags != NULL)
        argv[argc++] = (char *)*flags++;
    fflush(stdout);
    int kept_out = divert(STDOUT_FILENO), kept_err = divert(STDERR_FILENO);
    int result = config_run(&test_program, argc, argv, config);
    fflush(stdout);
    restore(STDOUT_FILENO, kept_out, out, sizeof(out));
    restore(STDERR_FILENO, kept_err, err, sizeof(err));
    return result;
}

#define FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void good_settings_run(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(run(&config, FLAGS("--workers=2")), CONFIG_RUN);
    assert_int_equal(config.workers, 2);
    assert_string_equal(out, "");
    assert_string_equal(err, "");
    config_free(&test_program, &config);
}

static void bad_settings_end_with_2(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(run(&config, FLAGS("--workers=0", "stray")), 2);
    assert_string_equal(out, "");
    assert_string_equal(err, "test-proxy: unexpected argument 'stray'; see --help\n"
                             "test-proxy: --workers: workers '0': expected a number, 1 to 64\n");
}

static void check_says_good_or_bad(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(run(&config, FLAGS("--check", "--workers=2")), 0);
    assert_string_equal(out, "test-proxy: the configuration is good\n");
    assert_string_equal(err, "");
    assert_int_equal(run(&config, FLAGS("--workers=99", "--check")), 2);
    assert_string_equal(out, "");
    assert_string_equal(err, "test-proxy: --workers: workers '99': expected a number, 1 to 64\n");
}

static void version(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(run(&config, FLAGS("--nonsense", "--version")), 0);
    assert_string_equal(out, "test-proxy " AMQPVSOCK_VERSION "\n");
    assert_string_equal(err, "");
}

static void help(void **state)
{
    struct test_config config;

    (void)state;
    assert_int_equal(run(&config, FLAGS("--nonsense", "--help")), 0);
    assert_string_equal(err, "");
    assert_string_equal(
        out, "Usage: test-proxy [--config FILE] [--SETTING VALUE]...\n"
             "\n"
             "Does nothing, for as long as it is asked to, and is here to have a help text that is long\n"
             "enough to be wrapped.\n"
             "\n"
             "Settings, as flags or as lines NAME = VALUE of FILE; flags win:\n"
             "  --user NAME                 who we are\n"
             "  --listen ADDRESS            where clients connect (may be repeated; default:\n"
             "                              127.0.0.1:5672 [::1]:5672)\n"
             "  --workers NUMBER            how many there are (1 to 64; default: 4)\n"
             "  --window SIZE               what a session may hold (at least 4k; default: 256k)\n"
             "  --timeout TIME              how long to wait (100ms to 1h; default: 10s)\n"
             "  --nodelay                   send at once\n"
             "  --mode WORD                 how it travels (tunnel, direct or both; default: tunnel)\n"
             "  --host HOST                 where to go\n"
             "\n"
             "Section [guest CID] of FILE, what one guest may do\n"
             "  --guest.CID.max-sessions NUMBER\n"
             "                              how many sessions it may have (default: 100)\n"
             "  --guest.CID.vhost VHOST     where it may go (may be repeated)\n"
             "  --guest.CID.user NAME       who it is\n"
             "\n"
             "Section [service NAME] of FILE, a protocol beside AMQP\n"
             "  --service.NAME.listen ADDRESS\n"
             "                              where its clients connect (required)\n"
             "\n"
             "Other flags:\n"
             "  --config FILE               read settings from this file\n"
             "  --check                     check file and flags, say all that is wrong, and exit\n"
             "  --help                      print this text and exit\n"
             "  --version                   print the version and exit\n");
    char first[sizeof(out)];
    strcpy(first, out);
    assert_int_equal(run(&config, FLAGS("-h")), 0);
    assert_string_equal(out, first);
}

static void faults_can_be_logged(void **state)
{
    int ends[2];
    char text[512];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_set_fd(ends[1]);
    config_report_log(NULL, "a.conf:3", "unknown setting 'x'");
    log_set_fd(STDERR_FILENO);
    ssize_t length = read(ends[0], text, sizeof(text) - 1);
    text[length > 0 ? length : 0] = '\0';
    assert_non_null(strstr(text, " error bad configuration at=a.conf:3 fault=\"unknown setting 'x'\"\n"));
    close(ends[0]);
    close(ends[1]);
}

/* The rows that every daemon has, inside another struct. */
struct daemon_config {
    unsigned before;
    struct service_settings service;
};

static void the_settings_of_every_daemon(void **state)
{
    static const struct config_setting rows[] = {SERVICE_SETTINGS(struct daemon_config, service), CONFIG_END};
    static const struct config_program program = {.name = "d", .summary = "s", .settings = rows};
    char *argv[] = {(char *)"d", (char *)"--log-level=debug", (char *)"--drain-timeout=0", NULL};
    struct daemon_config config;

    (void)state;
    assert_int_equal(config_run(&program, 1, argv, &config), CONFIG_RUN);
    assert_int_equal(config.service.log_level, LOG_LEVEL_INFO);
    assert_int_equal(config.service.drain_timeout_ms, 10000);
    config_free(&program, &config);
    assert_int_equal(config_run(&program, 3, argv, &config), CONFIG_RUN);
    assert_int_equal(config.service.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(config.service.drain_timeout_ms, 0);
    config_free(&program, &config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_settings_run),
        cmocka_unit_test(bad_settings_end_with_2),
        cmocka_unit_test(check_says_good_or_bad),
        cmocka_unit_test(version),
        cmocka_unit_test(help),
        cmocka_unit_test(faults_can_be_logged),
        cmocka_unit_test(the_settings_of_every_daemon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
