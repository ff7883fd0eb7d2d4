/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_IMPL_H
#define SERVICE_CONFIG_IMPL_H

/*
 * How a config is loaded: flags and file are read into entries (config_flags.c, config_file.c), and then each
 * row of the tables looks for its own (config_load.c). Nothing is put into the config before all entries are
 * known.
 */

#include "service/config.h"

#include <stdio.h>

#define CONFIG_WHERE_MAX 512 /* bytes of a place, NUL included */

/* Settings that are stored together: the flags that every program has, the plain ones, or one section's
 * element. */
struct config_group {
    const struct config_section *section; /* NULL for the first two */
    const struct config_setting *settings;
    char *argument; /* of the section, owned */
    unsigned line;  /* of the section's heading; 0: not in the file (so far) */
};

enum { CONFIG_GROUP_STANDARD, CONFIG_GROUP_PLAIN, CONFIG_GROUP_FIRST_SECTION };

/* A setting as it was given. */
struct config_entry {
    size_t group;
    const struct config_setting *setting;
    char *text;    /* owned */
    unsigned line; /* in the file; 0: it is a flag */
};

struct config_standard {
    char *file;
    bool check, help, version;
};

extern const struct config_setting config_standard_settings[];

struct config_load {
    const struct config_program *program;
    config_report report;
    void *report_ctx;
    struct config_standard standard;
    struct config_group *groups;
    size_t group_count;
    struct config_entry *entries; /* in the order they were given, flags first */
    size_t entry_count;
    unsigned faults;
    bool out_of_memory; /* something is missing above: the load fails */
};

/* --- config_load.c --- */

/* Prepares an empty load, and frees one. */
void config_load_init(struct config_load *load, const struct config_program *program, config_report report,
                      void *ctx);
void config_load_deinit(struct config_load *load);

/* Reads flags and file, fills the config. As config_load. */
int config_load_all(struct config_load *load, int argc, char *const *argv, void *config);

/* Reports a fault at a place. */
void config_fault_at(struct config_load *load, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes "FILE:LINE", or "--flag" when line is 0. Returns `where`, of CONFIG_WHERE_MAX bytes. */
const char *config_where_line(const struct config_load *load, unsigned line, char *where);
const char *config_where_entry(const struct config_load *load, const struct config_entry *entry, char *where);

/* Adds an entry, with a copy of the text. */
void config_add_entry(struct config_load *load, size_t group, const struct config_setting *setting,
                      const char *text, unsigned line);

/* --- config_names.c: finding names, and the nearest known one --- */

const struct config_setting *config_find_setting(const struct config_setting *settings, const char *name);
const struct config_section *config_find_section(const struct config_program *program, const char *name);

/* The group of the section and argument, made when it does not exist and `create`; 0 when there is none. */
size_t config_find_group(struct config_load *load, const struct config_section *section, const char *argument,
                         bool create);

struct config_nearest {
    const char *wanted;
    const char *best; /* NULL when nothing offered is near */
    size_t distance;
};

/* Starts to look for what resembles `wanted`; then each known name is offered. */
void config_nearest_init(struct config_nearest *nearest, const char *wanted);
void config_nearest_offer(struct config_nearest *nearest, const char *known);
void config_nearest_offer_all(struct config_nearest *nearest, const struct config_setting *settings);

/* --- config_flags.c and config_file.c --- */

void config_read_flags(struct config_load *load, int argc, char *const *argv);
void config_read_file(struct config_load *load, const char *path);

/* --- config_help.c --- */

void config_print_help(FILE *out, const struct config_program *program);

#endif
