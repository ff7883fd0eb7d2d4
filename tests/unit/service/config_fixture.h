/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_SERVICE_CONFIG_FIXTURE_H
#define TESTS_UNIT_SERVICE_CONFIG_FIXTURE_H

/* A program with a setting of each type, loaded from a file and flags of the test. */

#include "service/config.h"
#include "service/net.h"

#include <stddef.h>

struct test_guest {
    char *cid;
    unsigned max_sessions;
    struct config_list vhosts;
    char *user;
};

struct test_service {
    char *name;
    char *listen;
};

struct test_config {
    char *user;
    struct config_list listen;
    unsigned workers;
    size_t window;
    uint64_t timeout_ms;
    bool nodelay;
    int mode;
    char *host;
    struct test_guest *guests;
    size_t guest_count;
    struct test_service *services;
    size_t service_count;
};

enum test_mode { MODE_TUNNEL = 7, MODE_DIRECT = 9, MODE_BOTH = -1 };

extern const struct config_program test_program;
extern const struct config_program
    test_program_required; /* `host` must be given, and `listen` of each service */

/* The file of the latest load; faults show it as FILE. */
extern const char test_file[];

/*
 * Writes `file` (NULL: there is none and no --config), loads it with the flags (ended by NULL), and gives
 * what config_load gave. All faults are then in `test_faults`, one "WHERE: WHAT\n" each.
 */
int test_load(const struct config_program *program, struct test_config *config, const char *file, ...)
    __attribute__((sentinel));

extern char test_faults[8192];

#endif
