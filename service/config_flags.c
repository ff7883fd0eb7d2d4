/* SPDX-License-Identifier: Apache-2.0 */
#include "service/config_impl.h"
#include "service/config_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A flag taken apart: --SECTION.ARGUMENT.NAME=VALUE, or --NAME=VALUE. All in one block, owned. */
struct flag {
    char *text;     /* without dashes; holds the names below, each ended with NUL */
    char *section;  /* NULL: a plain setting */
    char *argument; /* NULL with section */
    char *name;
    const char *value; /* behind '='; NULL when there is none. In argv */
};

/* 0, or -1 when out of memory. The argument may hold dots itself, the names don't. */
static int split_flag(struct flag *flag, const char *arg)
{
    const char *equals = strchr(arg, '=');

    *flag = (struct flag){.value = equals != NULL ? equals + 1 : NULL};
    flag->text = equals != NULL ? strndup(arg, (size_t)(equals - arg)) : strdup(arg);
    if (flag->text == NULL)
        return -1;
    flag->name = flag->text;
    char *first = strchr(flag->text, '.'), *last = strrchr(flag->text, '.');
    if (first != NULL && first != last) {
        *first = *last = '\0';
        flag->section = flag->text;
        flag->argument = first + 1;
        flag->name = last + 1;
    }
    return 0;
}

static void fault_unknown(struct config_load *load, const char *given, const char *prefix,
                          const struct config_nearest *nearest)
{
    if (nearest->best != NULL)
        config_fault_at(load, given, "unknown flag; did you mean %s%s?", prefix, nearest->best);
    else
        config_fault_at(load, given, "unknown flag; see --help");
}

/* The group and setting of a plain flag; NULL after reporting that there is none. */
static const struct config_setting *resolve_plain(struct config_load *load, const char *given,
                                                  const char *name, size_t *group)
{
    struct config_nearest nearest;

    for (*group = CONFIG_GROUP_STANDARD; *group <= CONFIG_GROUP_PLAIN; (*group)++) {
        const struct config_setting *setting = config_find_setting(load->groups[*group].settings, name);
        if (setting != NULL)
            return setting;
    }
    config_nearest_init(&nearest, name);
    config_nearest_offer_all(&nearest, config_standard_settings);
    config_nearest_offer_all(&nearest, load->program->settings);
    fault_unknown(load, given, "--", &nearest);
    return NULL;
}

static const struct config_setting *resolve_in_section(struct config_load *load, const char *given,
                                                       const struct flag *flag, size_t *group)
{
    const struct config_section *section = config_find_section(load->program, flag->section);
    char prefix[CONFIG_WHERE_MAX], why[CONFIG_WHY_MAX] = "not accepted";
    struct config_nearest nearest;

    if (section == NULL) {
        config_fault_at(load, given, "unknown flag: there is no section '%s'", flag->section);
        return NULL;
    }
    if (section->check != NULL && section->check(flag->argument, why, sizeof(why)) != 0) {
        config_fault_at(load, given, "%s '%s': %s", section->name, flag->argument, why);
        return NULL;
    }
    const struct config_setting *setting = config_find_setting(section->settings, flag->name);
    if (setting == NULL) {
        config_nearest_init(&nearest, flag->name);
        config_nearest_offer_all(&nearest, section->settings);
        snprintf(prefix, sizeof(prefix), "--%s.%s.", section->name, flag->argument);
        fault_unknown(load, given, prefix, &nearest);
        return NULL;
    }
    *group = config_find_group(load, section, flag->argument, true);
    return setting;
}

/*
 * Reads the flag at argv[at], and its value from the next one when need be (a value that looks like a flag
 * must be given by '='). Returns how many were taken.
 */
static int read_flag(struct config_load *load, int argc, char *const *argv, int at)
{
    const char *arg = strcmp(argv[at], "-h") == 0 ? "--help" : argv[at];
    char given[CONFIG_WHERE_MAX];
    struct flag flag;
    size_t group;
    int taken = 1;

    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0' || arg[2] == '=') {
        config_fault_at(load, load->program->name, "unexpected argument '%s'; see --help", arg);
        return taken;
    }
    if (split_flag(&flag, arg + 2) != 0) {
        load->out_of_memory = true;
        return taken;
    }
    snprintf(given, sizeof(given), "%.*s", (int)strcspn(arg, "="), arg);
    const struct config_setting *setting = flag.section != NULL
                                               ? resolve_in_section(load, given, &flag, &group)
                                               : resolve_plain(load, given, flag.name, &group);
    if (setting == NULL) {
        /* Its value, if it is one, must not be taken for an argument. */
        taken += flag.value == NULL && at + 1 < argc && argv[at + 1][0] != '-';
    } else {
        if (flag.value == NULL && setting->type == CONFIG_TYPE_BOOL)
            flag.value = "yes";
        else if (flag.value == NULL && at + 1 < argc && strncmp(argv[at + 1], "--", 2) != 0)
            flag.value = argv[at + taken++];
        if (flag.value != NULL)
            config_add_entry(load, group, setting, flag.value, 0);
        else
            config_fault_at(load, given, "needs a value");
    }
    free(flag.text);
    return taken;
}

void config_read_flags(struct config_load *load, int argc, char *const *argv)
{
    for (int at = 1; at < argc;)
        at += read_flag(load, argc, argv, at);
}
