/* SPDX-License-Identifier: Apache-2.0 */
/* host-proxy's settings as a whole: what --check finds that no setting shows alone. */
#include "host-proxy/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FLAGS(...) ((const char *const[]){"host-proxy", __VA_ARGS__, NULL})

static struct host_config config;
static char faults[2048];

static void note(void *ctx, const char *where, const char *what)
{
    const size_t used = strlen(faults);

    (void)ctx;
    snprintf(faults + used, sizeof(faults) - used, "%s: %s\n", where, what);
}

static int load(const char *const *flags)
{
    int count = 0;

    while (flags[count] != NULL)
        count++;
    faults[0] = '\0';
    return config_load(&host_program, count, (char *const *)flags, &config, note, NULL);
}

static void assert_good(const char *const *flags)
{
    if (load(flags) != 0)
        fail_msg("%s", faults);
    config_free(&host_program, &config);
}

/* One fault, reported at that flag, with that in its text. */
static void assert_fault(const char *flag, const char *text, const char *const *flags)
{
    assert_int_equal(load(flags), -EINVAL);
    if (strncmp(faults, flag, strlen(flag)) != 0 || strstr(faults, text) == NULL ||
        strchr(faults, '\n')[1] != '\0')
        fail_msg("%sis not just %s: …%s…", faults, flag, text);
}

static void test_good(void **state)
{
    (void)state;
    assert_good(FLAGS("--upstream", "tunnel://proxy:5680"));
    assert_good(FLAGS("--upstream", "amqp://a,b", "--connections", "per-guest"));
    assert_good(FLAGS("--upstream", "amqp://a,b", "--connections", "split"));
    assert_good(FLAGS("--upstream", "amqps://a"));
    assert_good(FLAGS("--upstream", "amqp://u:p@a/v", "--identity", "fixed"));
}

static void test_identity(void **state)
{
    (void)state;
    assert_fault("--upstream", "unless identity = fixed", FLAGS("--upstream", "amqp://u:p@a"));
    assert_fault("--upstream", "unless identity = fixed", FLAGS("--upstream", "amqp://a/v"));
    assert_fault("--upstream", "needs a user", FLAGS("--upstream", "amqp://a", "--identity", "fixed"));
    assert_fault("--upstream", "a password there or in",
                 FLAGS("--upstream", "amqp://u@a", "--identity", "fixed"));
    assert_fault("--upstream", "there is a password in the upstream and a password-file",
                 FLAGS("--upstream", "amqp://u:p@a", "--identity", "fixed", "--password-file", "/dev/null"));
    assert_fault("--upstream", "can't read the password from /nonexistent: No such file",
                 FLAGS("--upstream", "amqp://u@a", "--identity", "fixed", "--password-file", "/nonexistent"));
}

static void test_tunnel_has_none_of_direct_mode(void **state)
{
    (void)state;
    assert_fault("--identity", "direct mode", FLAGS("--upstream", "tunnel://a:1", "--identity", "fixed"));
    assert_fault("--connections", "direct mode",
                 FLAGS("--upstream", "tunnel://a:1", "--connections", "per-guest"));
    assert_fault("--password-file", "direct mode",
                 FLAGS("--upstream", "tunnel://a:1", "--password-file", "/dev/null"));
}

/* Who names files for TLS must not find out later that there was none. */
static void test_files_without_tls(void **state)
{
    (void)state;
    assert_fault("--tls-ca", "amqps://", FLAGS("--upstream", "amqp://a", "--tls-ca", "/dev/null"));
    assert_fault("--tls-cert", "amqps://", FLAGS("--upstream", "amqp://a", "--tls-cert", "/dev/null"));
    assert_fault("--tls-key", "amqps://", FLAGS("--upstream", "tunnel://a:1", "--tls-key", "/dev/null"));
}

static void test_files_of_tls(void **state)
{
    (void)state;
    assert_fault("host-proxy", "/nonexistent can't be used for TLS: No such file",
                 FLAGS("--upstream", "amqps://a", "--tls-ca", "/nonexistent"));
    assert_fault("host-proxy", "/dev/null can't be used for TLS",
                 FLAGS("--upstream", "amqps://a", "--tls-cert", "/dev/null"));
}

static void test_limits(void **state)
{
    (void)state;
    assert_fault("--window", "256k", FLAGS("--upstream", "amqp://a", "--window", "128k"));
    assert_good(FLAGS("--upstream", "tunnel://a:1", "--window", "128k"));
    assert_fault("--prefetch-wide", "less than prefetch, which is 250",
                 FLAGS("--upstream", "amqp://a", "--prefetch-wide", "249"));
    assert_good(FLAGS("--upstream", "amqp://a", "--prefetch-wide", "20", "--prefetch", "20"));
    assert_fault("--exclusive-queues-per-session", "1 to 1000000",
                 FLAGS("--upstream", "amqp://a", "--exclusive-queues-per-session", "0"));
    assert_fault("--queue-type", "expected classic, quorum or stream",
                 FLAGS("--upstream", "amqp://a", "--queue-type", "classic", "--queue-type", "quorums"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_tunnel_has_none_of_direct_mode),
        cmocka_unit_test(test_files_without_tls),
        cmocka_unit_test(test_files_of_tls),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
