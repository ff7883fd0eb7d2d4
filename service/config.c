/* SPDX-License-Identifier: Apache-2.0 */
#include "service/config.h"

#include "service/config_impl.h"
#include "service/log.h"

#include <errno.h>
#include <string.h>

#define EXIT_BAD_CONFIG 2

const struct config_setting config_standard_settings[] = {
    CONFIG_STRING(struct config_standard, file, .name = "config", .metavar = "FILE",
                  .help = "read settings from this file"),
    CONFIG_BOOL(struct config_standard, check, .name = "check",
                .help = "check file and flags, say all that is wrong, and exit"),
    CONFIG_BOOL(struct config_standard, help, .name = "help", .help = "print this text and exit"),
    CONFIG_BOOL(struct config_standard, version, .name = "version", .help = "print the version and exit"),
    CONFIG_END,
};

int config_load(const struct config_program *program, int argc, char *const *argv, void *config,
                config_report report, void *ctx)
{
    struct config_load load;

    config_load_init(&load, program, report, ctx);
    int error = config_load_all(&load, argc, argv, config);
    config_load_deinit(&load);
    return error;
}

void config_report_log(void *ctx, const char *where, const char *what)
{
    (void)ctx;
    log_error(NULL, "bad configuration", LOG_STR("at", where), LOG_STR("fault", what));
}

static void report_stderr(void *ctx, const char *where, const char *what)
{
    const struct config_program *program = ctx;

    if (strcmp(where, program->name) == 0)
        fprintf(stderr, "%s: %s\n", where, what);
    else
        fprintf(stderr, "%s: %s: %s\n", program->name, where, what);
}

static bool is_given(const char *flag, int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], flag) == 0)
            return true;
    return false;
}

int config_run(const struct config_program *program, int argc, char *const *argv, void *config)
{
    struct config_load load;

    /* These answer even where the rest is wrong. */
    if (is_given("--help", argc, argv) || is_given("-h", argc, argv)) {
        config_print_help(stdout, program);
        return 0;
    }
    if (is_given("--version", argc, argv)) {
        printf("%s %s\n", program->name, AMQPVSOCK_VERSION);
        return 0;
    }
    config_load_init(&load, program, report_stderr, (void *)program);
    int error = config_load_all(&load, argc, argv, config);
    bool check_only = load.standard.check;
    config_load_deinit(&load);
    if (error != 0) {
        if (error == -ENOMEM)
            report_stderr((void *)program, program->name, "out of memory");
        return EXIT_BAD_CONFIG;
    }
    if (check_only) {
        printf("%s: the configuration is good\n", program->name);
        config_free(program, config);
        return 0;
    }
    return CONFIG_RUN;
}
