/* SPDX-License-Identifier: Apache-2.0 */
#include "service/config_impl.h"
#include "service/config_ini.h"
#include "service/config_value.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NO_GROUP SIZE_MAX /* behind a bad heading: settings are skipped, the heading was reported */

struct file {
    struct config_load *load;
    size_t group; /* of the section being read */
};

static void on_fault(void *ctx, unsigned line, const char *what)
{
    struct file *file = ctx;
    char where[CONFIG_WHERE_MAX];

    config_fault_at(file->load, config_where_line(file->load, line, where), "%s", what);
}

static void fault_unknown_section(struct config_load *load, unsigned line, const char *heading,
                                  const char *name)
{
    struct config_nearest nearest;
    char where[CONFIG_WHERE_MAX];

    config_where_line(load, line, where);
    config_nearest_init(&nearest, name);
    config_nearest_offer(&nearest, load->program->name);
    for (const struct config_section *s = load->program->sections; s != NULL && s->name != NULL; s++)
        config_nearest_offer(&nearest, s->name);
    if (nearest.best == NULL) {
        config_fault_at(load, where, "unknown section [%s]; see --help", heading);
        return;
    }
    const struct config_section *section = config_find_section(load->program, nearest.best);
    config_fault_at(load, where, "unknown section [%s]; did you mean [%s%s%s]?", heading, nearest.best,
                    section != NULL ? " " : "", section != NULL ? section->metavar : "");
}

/* The section's group, now begun at this line; NO_GROUP after reporting what is wrong with the heading. */
static size_t begin_section(struct config_load *load, unsigned line, const struct config_section *section,
                            const char *argument)
{
    char where[CONFIG_WHERE_MAX], why[CONFIG_WHY_MAX] = "not accepted";

    config_where_line(load, line, where);
    if (*argument == '\0') {
        config_fault_at(load, where, "section [%s] needs an argument: [%s %s]", section->name, section->name,
                        section->metavar);
        return NO_GROUP;
    }
    if (section->check != NULL && section->check(argument, why, sizeof(why)) != 0) {
        config_fault_at(load, where, "[%s %s]: %s", section->name, argument, why);
        return NO_GROUP;
    }
    size_t index = config_find_group(load, section, argument, true);
    if (index == 0)
        return NO_GROUP; /* out of memory */
    struct config_group *group = &load->groups[index];
    if (group->line != 0)
        config_fault_at(load, where, "section [%s %s] is given twice, first in line %u", section->name,
                        argument, group->line);
    else
        group->line = line;
    return index;
}

static void on_section(void *ctx, unsigned line, const char *heading)
{
    struct file *file = ctx;
    struct config_load *load = file->load;
    char name[CONFIG_WHERE_MAX], where[CONFIG_WHERE_MAX];
    size_t name_length = strcspn(heading, " \t");
    const char *argument = heading + name_length + strspn(heading + name_length, " \t");

    snprintf(name, sizeof(name), "%.*s", (int)name_length, heading);
    const struct config_section *section = config_find_section(load->program, name);
    if (section != NULL) {
        file->group = begin_section(load, line, section, argument);
    } else if (strcmp(name, load->program->name) == 0) {
        file->group = CONFIG_GROUP_PLAIN;
        if (*argument != '\0')
            config_fault_at(load, config_where_line(load, line, where), "section [%s] takes no argument",
                            name);
    } else {
        file->group = NO_GROUP;
        fault_unknown_section(load, line, heading, name);
    }
}

static void on_setting(void *ctx, unsigned line, const char *name, const char *value)
{
    struct file *file = ctx;
    struct config_nearest nearest;
    char where[CONFIG_WHERE_MAX];

    if (file->group == NO_GROUP)
        return;
    const struct config_setting *settings = file->load->groups[file->group].settings;
    const struct config_setting *setting = config_find_setting(settings, name);
    if (setting != NULL) {
        config_add_entry(file->load, file->group, setting, value, line);
        return;
    }
    config_where_line(file->load, line, where);
    config_nearest_init(&nearest, name);
    config_nearest_offer_all(&nearest, settings);
    if (nearest.best != NULL)
        config_fault_at(file->load, where, "unknown setting '%s'; did you mean '%s'?", name, nearest.best);
    else
        config_fault_at(file->load, where, "unknown setting '%s'; see --help", name);
}

void config_read_file(struct config_load *load, const char *path)
{
    static const struct config_ini_events events = {
        .section = on_section, .setting = on_setting, .fault = on_fault};
    struct file file = {.load = load, .group = CONFIG_GROUP_PLAIN};
    FILE *stream = fopen(path, "re");

    if (stream == NULL) {
        config_fault_at(load, path, "can't be opened: %s", strerror(errno));
        return;
    }
    int error = config_ini_read(stream, &events, &file);
    if (error != 0)
        config_fault_at(load, path, "can't be read: %s", strerror(-error));
    fclose(stream);
}
