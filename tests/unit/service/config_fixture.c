/* SPDX-License-Identifier: Apache-2.0 */
#include "config_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const char test_file[] = "test.conf";
char test_faults[8192];

static const struct config_choice modes[] = {
    {"tunnel", MODE_TUNNEL}, {"direct", MODE_DIRECT}, {"both", MODE_BOTH}, {NULL, 0}};

static int check_cid(const char *value, char *why, size_t why_size)
{
    if (strspn(value, "0123456789") == strlen(value))
        return 0;
    snprintf(why, why_size, "a CID is a number");
    return -EINVAL;
}

#define TEST_SETTINGS                                                                                        \
    CONFIG_STRING(struct test_config, user, .name = "user", .metavar = "NAME", .help = "who we are"),        \
        CONFIG_LIST(struct test_config, listen, .name = "listen", .metavar = "ADDRESS",                      \
                    .initial = "127.0.0.1:5672 [::1]:5672", .check = net_address_check,                      \
                    .help = "where clients connect"),                                                        \
        CONFIG_UNSIGNED(struct test_config, workers, .name = "workers", .initial = "4", .min = 1, .max = 64, \
                        .help = "how many there are"),                                                       \
        CONFIG_SIZE(struct test_config, window, .name = "window", .initial = "256k", .min = 4096,            \
                    .help = "what a session may hold"),                                                      \
        CONFIG_DURATION(struct test_config, timeout_ms, .name = "timeout", .initial = "10s", .min = 100,     \
                        .max = 3600000, .help = "how long to wait"),                                         \
        CONFIG_BOOL(struct test_config, nodelay, .name = "nodelay", .help = "send at once"),                 \
        CONFIG_ENUM(struct test_config, mode, .name = "mode", .initial = "tunnel", .choices = modes,         \
                    .help = "how it travels")

static int check_user(const char *value, char *why, size_t why_size)
{
    if (strchr(value, ' ') == NULL)
        return 0;
    snprintf(why, why_size, "there is a blank in it");
    return -1;
}

static const struct config_setting settings[] = {
    TEST_SETTINGS,
    CONFIG_STRING(struct test_config, host, .name = "host", .metavar = "HOST", .help = "where to go"),
    CONFIG_END,
};

static const struct config_setting settings_required[] = {
    TEST_SETTINGS,
    CONFIG_STRING(struct test_config, host, .name = "host", .metavar = "HOST", .help = "where to go",
                  .required = true),
    CONFIG_END,
};

static const struct config_setting guest_settings[] = {
    CONFIG_UNSIGNED(struct test_guest, max_sessions, .name = "max-sessions", .initial = "100",
                    .help = "how many sessions it may have"),
    CONFIG_LIST(struct test_guest, vhosts, .name = "vhost", .metavar = "VHOST", .help = "where it may go"),
    CONFIG_STRING(struct test_guest, user, .name = "user", .metavar = "NAME", .help = "who it is",
                  .check = check_user, .secret = true),
    CONFIG_END,
};

static const struct config_setting service_settings[] = {
    CONFIG_STRING(struct test_service, listen, .name = "listen", .metavar = "ADDRESS",
                  .check = net_address_check, .help = "where its clients connect", .required = true),
    CONFIG_END,
};

static const struct config_section sections[] = {
    CONFIG_SECTION(struct test_config, guests, guest_count, struct test_guest, cid, .name = "guest",
                   .metavar = "CID", .help = "what one guest may do", .check = check_cid,
                   .settings = guest_settings),
    CONFIG_SECTION(struct test_config, services, service_count, struct test_service, name, .name = "service",
                   .metavar = "NAME", .help = "a protocol beside AMQP", .settings = service_settings),
    {.name = NULL},
};

static void check_whole(const void *ctx, struct config_load *load)
{
    const struct test_config *config = ctx;

    if (config->mode == MODE_DIRECT && config->user == NULL)
        config_fault(load, "mode", "mode direct needs a user");
    if (config->workers == 13)
        config_fault(load, NULL, "thirteen is unlucky");
    if (config->guest_count > 0 && config->guests[0].max_sessions == 13)
        config_fault(load, "guest.101.max-sessions", "%s", "thirteen, even here");
}

const struct config_program test_program = {
    .name = "test-proxy",
    .summary =
        "Does nothing, for as long as it is asked to, and is here to have a help text that is long enough to "
        "be wrapped.",
    .settings = settings,
    .sections = sections,
    .check = check_whole,
};

const struct config_program test_program_required = {
    .name = "test-proxy",
    .summary = "Needs a host.",
    .settings = settings_required,
    .sections = sections,
};

static void collect(void *ctx, const char *where, const char *what)
{
    char *faults = ctx;
    size_t used = strlen(faults);

    snprintf(faults + used, sizeof(test_faults) - used, "%s: %s\n", where, what);
}

int test_load(const struct config_program *program, struct test_config *config, const char *file, ...)
{
    char *argv[32] = {(char *)"test-proxy", (char *)"--config", (char *)test_file};
    int argc = file != NULL ? 3 : 1;
    va_list flags;

    if (file != NULL) {
        FILE *stream = fopen(test_file, "w");
        assert_non_null(stream);
        assert_true(fputs(file, stream) >= 0);
        assert_int_equal(fclose(stream), 0);
    }
    va_start(flags, file);
    while ((argv[argc] = va_arg(flags, char *)) != NULL)
        assert_true(++argc < 32);
    va_end(flags);
    test_faults[0] = '\0';
    memset(config, 0xa5, sizeof(*config)); /* what was there before must not matter */
    int result = config_load(program, argc, argv, config, collect, test_faults);
    if (file != NULL)
        unlink(test_file);
    return result;
}
