/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_H
#define SERVICE_CONFIG_H

/*
 * A daemon's settings: one table row each. Keys of the configuration file, flags, checks and the help text
 * come from the rows.
 *
 *   struct guest_config {
 *       struct config_list listen;
 *       uint64_t connect_timeout_ms;
 *   };
 *   static const struct config_setting settings[] = {
 *       CONFIG_LIST(struct guest_config, listen, .name = "listen", .initial = "127.0.0.1:5672 [::1]:5672",
 *                   .metavar = "ADDRESS", .check = net_address_check, .help = "where clients connect"),
 *       CONFIG_DURATION(struct guest_config, connect_timeout_ms, .name = "connect-timeout", .initial = "10s",
 *                       .min = 100, .help = "how long a client waits for the host"),
 *       CONFIG_END,
 *   };
 *
 * The file is INI. Plain settings stand before the first section or in the section named after the program
 * ([guest-proxy]); both mean the same. A section with an argument, such as [guest 101], has a table of its
 * own and makes one element of an array. A line that begins with ; or # is a comment, and so is what follows
 * " ;" behind a value. Lists repeat their key.
 *
 * Each setting is a flag too: --name VALUE or --name=VALUE. A bool takes no separate value: --name means yes,
 * --name=no means no. A setting of a section is --SECTION.ARGUMENT.NAME, say --guest.101.max-sessions=5.
 * Flags win over the file, the file over the default; so a list given by flags replaces the file's list.
 * Every program also has the flags --config FILE, --check, --help and --version.
 *
 * All that is wrong is reported, not just the first: unknown names (with the nearest known one), what is
 * given twice and isn't a list, bad values, what is missing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
    CONFIG_TYPE_END,
    CONFIG_TYPE_STRING,   /* char *; NULL when unset */
    CONFIG_TYPE_LIST,     /* struct config_list; `initial` is split at blanks */
    CONFIG_TYPE_UNSIGNED, /* unsigned; decimal */
    CONFIG_TYPE_SIZE,     /* size_t, bytes; suffix k, M or G of 1024 */
    CONFIG_TYPE_DURATION, /* uint64_t, milliseconds; suffix ms, s, m or h is required, 0 needs none */
    CONFIG_TYPE_BOOL,     /* bool; yes/no, true/false, on/off */
    CONFIG_TYPE_ENUM,     /* int, from `choices` */
};

struct config_list {
    char **items; /* each ends with NUL; owned by the config */
    size_t count;
};

struct config_choice {
    const char *name; /* NULL ends the list */
    int value;
};

/* Looks at a value's text. 0, or negative with what is wrong and what is expected in `why`: "port 70000 is
 * above 65535". */
typedef int (*config_check)(const char *value, char *why, size_t why_size);

struct config_setting {
    enum config_type type; /* set by the row macros, with `offset` */
    size_t offset;         /* in the daemon's config, or in a section's element */
    const char *name;      /* words with dashes */
    const char *initial;   /* default, as it would be typed; NULL: unset, zero, no */
    const char *metavar;   /* what --help calls the value; NULL: by the type */
    const char *help;      /* a phrase, without default and range: those are added */
    uint64_t min, max;     /* numbers: inclusive range; max 0: no bound but the type's */
    const struct config_choice *choices;
    config_check check; /* for each text value, item of a list included; may be NULL */
    bool required;      /* a fault when neither file nor flags nor default give it */
    bool secret;        /* its value is not repeated in a fault */
};

/* Rows. The member must have the type that enum config_type names: anything else does not compile. */
#define CONFIG_STRING(owner, member, ...) CONFIG_ROW(CONFIG_TYPE_STRING, char *, owner, member, __VA_ARGS__)
#define CONFIG_LIST(owner, member, ...)                                                                      \
    CONFIG_ROW(CONFIG_TYPE_LIST, struct config_list, owner, member, __VA_ARGS__)
#define CONFIG_UNSIGNED(owner, member, ...)                                                                  \
    CONFIG_ROW(CONFIG_TYPE_UNSIGNED, unsigned, owner, member, __VA_ARGS__)
#define CONFIG_SIZE(owner, member, ...) CONFIG_ROW(CONFIG_TYPE_SIZE, size_t, owner, member, __VA_ARGS__)
#define CONFIG_DURATION(owner, member, ...)                                                                  \
    CONFIG_ROW(CONFIG_TYPE_DURATION, uint64_t, owner, member, __VA_ARGS__)
#define CONFIG_BOOL(owner, member, ...) CONFIG_ROW(CONFIG_TYPE_BOOL, bool, owner, member, __VA_ARGS__)
#define CONFIG_ENUM(owner, member, ...) CONFIG_ROW(CONFIG_TYPE_ENUM, int, owner, member, __VA_ARGS__)
#define CONFIG_END                                                                                           \
    {                                                                                                        \
        .type = CONFIG_TYPE_END                                                                              \
    }

#define CONFIG_ROW(t, ctype, owner, member, ...)                                                             \
    {                                                                                                        \
        .type = (t), .offset = CONFIG_AT(ctype, owner, member), __VA_ARGS__                                  \
    }
#define CONFIG_AT(ctype, owner, member) _Generic(&((owner *)0)->member, ctype * : offsetof(owner, member))

/* A section with an argument: [name ARGUMENT]. Elements are in order of appearance, those of flags first. */
struct config_section {
    const char *name;                      /* "guest"; NULL ends the table */
    const char *metavar;                   /* what --help calls the argument: "CID" */
    const char *help;                      /* a phrase */
    config_check check;                    /* for the argument; may be NULL */
    const struct config_setting *settings; /* ends with CONFIG_END; offsets are in the element */
    size_t element_size;                   /* set by CONFIG_SECTION, with the offsets below */
    size_t argument_offset;                /* of a char * in the element: the argument's text */
    size_t items_offset;                   /* of a pointer to elements in the config */
    size_t count_offset;                   /* of a size_t in the config */
};

/*
 * struct guest_service { char *name; char *listen; };
 * struct guest_config { struct guest_service *services; size_t services_count; };
 *
 * CONFIG_SECTION(struct guest_config, services, services_count, struct guest_service, name,
 *                .name = "service", .metavar = "NAME", .settings = service_settings)
 */
#define CONFIG_SECTION(owner, items, items_count, element, argument, ...)                                    \
    {                                                                                                        \
        .items_offset = CONFIG_AT(element *, owner, items),                                                  \
        .count_offset = CONFIG_AT(size_t, owner, items_count), .element_size = sizeof(element),              \
        .argument_offset = CONFIG_AT(char *, element, argument), __VA_ARGS__                                 \
    }

struct config_load;

struct config_program {
    const char *name;                      /* "guest-proxy" */
    const char *summary;                   /* one sentence for --help */
    const struct config_setting *settings; /* ends with CONFIG_END */
    const struct config_section *sections; /* ends with .name = NULL; NULL: none */
    /* Looks at the whole when each part is well; reports by config_fault. May be NULL. */
    void (*check)(const void *config, struct config_load *load);
};

/*
 * For a program's `check`: reports a fault at the place where `setting` was given (file and line, or flag).
 * Settings of sections are named as their flags are: "guest.101.max-sessions". NULL: the fault is of no
 * single setting.
 */
void config_fault(struct config_load *load, const char *setting, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Told each fault. `where`: "FILE:LINE", "FILE", "--flag" or the program's name; `what` is wrong. */
typedef void (*config_report)(void *ctx, const char *where, const char *what);

/*
 * Fills the config from defaults, file and flags, without a word on stdout. Members without a row are left
 * alone; what the others held is overwritten, not freed. May be called again at any time, into another
 * struct: that is how to reload. `argv` is main's, with the program's name first. 0; -EINVAL after reporting
 * every fault; or -ENOMEM. The config is empty on failure and need not be freed.
 */
int config_load(const struct config_program *program, int argc, char *const *argv, void *config,
                config_report report, void *ctx);

/* A config_report that logs each fault as an error: for reload. ctx is not used. */
void config_report_log(void *ctx, const char *where, const char *what);

#define CONFIG_RUN (-1)

/*
 * What main calls: loads the config; does --help, --version and --check itself; prints faults on stderr as
 * "guest-proxy: FILE:LINE: what". Returns CONFIG_RUN, and the config is then the caller's to free, or the
 * exit code: 0 after --help, --version and a good --check, 2 when something is wrong. Nothing is to be freed
 * then.
 */
int config_run(const struct config_program *program, int argc, char *const *argv, void *config);

/* Frees what the config holds, elements of sections included, and zeroes it. */
void config_free(const struct config_program *program, void *config);

#endif
