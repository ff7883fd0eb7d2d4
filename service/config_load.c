/* SPDX-License-Identifier: Apache-2.0 */
#include "service/config_impl.h"
#include "service/config_value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void config_load_init(struct config_load *load, const struct config_program *program, config_report report,
                      void *ctx)
{
    *load = (struct config_load){.program = program, .report = report, .report_ctx = ctx};
    load->groups = calloc(CONFIG_GROUP_FIRST_SECTION, sizeof(*load->groups));
    if (load->groups == NULL) {
        load->out_of_memory = true;
        return;
    }
    load->groups[CONFIG_GROUP_STANDARD].settings = config_standard_settings;
    load->groups[CONFIG_GROUP_PLAIN].settings = program->settings;
    load->group_count = CONFIG_GROUP_FIRST_SECTION;
}

void config_load_deinit(struct config_load *load)
{
    for (size_t i = 0; i < load->entry_count; i++)
        free(load->entries[i].text);
    for (size_t i = 0; i < load->group_count; i++)
        free(load->groups[i].argument);
    free(load->entries);
    free(load->groups);
    for (const struct config_setting *s = config_standard_settings; s->type != CONFIG_TYPE_END; s++)
        config_value_free(s, &load->standard);
}

static __attribute__((format(printf, 3, 0))) void vfault(struct config_load *load, const char *where,
                                                         const char *format, va_list args)
{
    char what[CONFIG_WHERE_MAX + CONFIG_WHY_MAX];

    if (load->out_of_memory)
        return; /* what is missing is missing for that reason */
    vsnprintf(what, sizeof(what), format, args);
    load->faults++;
    load->report(load->report_ctx, where, what);
}

void config_fault_at(struct config_load *load, const char *where, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfault(load, where, format, args);
    va_end(args);
}

const char *config_where_line(const struct config_load *load, unsigned line, char *where)
{
    snprintf(where, CONFIG_WHERE_MAX, "%s:%u", load->standard.file, line);
    return where;
}

/* The name of a setting as a flag, without dashes. */
static void flag_name(const struct config_load *load, size_t group, const struct config_setting *setting,
                      char *name)
{
    const struct config_group *owner = &load->groups[group];

    if (owner->section != NULL)
        snprintf(name, CONFIG_WHERE_MAX, "%s.%s.%s", owner->section->name, owner->argument, setting->name);
    else
        snprintf(name, CONFIG_WHERE_MAX, "%s", setting->name);
}

const char *config_where_entry(const struct config_load *load, const struct config_entry *entry, char *where)
{
    if (entry->line != 0)
        return config_where_line(load, entry->line, where);
    char name[CONFIG_WHERE_MAX];
    flag_name(load, entry->group, entry->setting, name);
    snprintf(where, CONFIG_WHERE_MAX, "--%.*s", CONFIG_WHERE_MAX - 3, name);
    return where;
}

void config_add_entry(struct config_load *load, size_t group, const struct config_setting *setting,
                      const char *text, unsigned line)
{
    struct config_entry *entries = reallocarray(load->entries, load->entry_count + 1, sizeof(*entries));
    char *copy = strdup(text);

    if (entries != NULL)
        load->entries = entries;
    if (entries == NULL || copy == NULL) {
        free(copy);
        load->out_of_memory = true;
        return;
    }
    entries[load->entry_count++] =
        (struct config_entry){.group = group, .setting = setting, .text = copy, .line = line};
}

static void store(struct config_load *load, const struct config_setting *setting, void *owner,
                  const char *text, uint64_t number)
{
    if (config_value_store(setting, owner, text, number) != 0)
        load->out_of_memory = true;
}

/* Checks an entry and, when it counts, stores it. `first` is an earlier one of the same source, or NULL. */
static void take_entry(struct config_load *load, const struct config_entry *entry,
                       const struct config_entry *first, bool counts, void *owner)
{
    char where[CONFIG_WHERE_MAX], first_where[CONFIG_WHERE_MAX], why[CONFIG_WHY_MAX];
    const struct config_setting *setting = entry->setting;
    uint64_t number;

    config_where_entry(load, entry, where);
    if (first != NULL && setting->type != CONFIG_TYPE_LIST) {
        config_fault_at(load, where, "%s is given twice, first at %s", setting->name,
                        config_where_entry(load, first, first_where));
        counts = false;
    }
    if (config_value_parse(setting, entry->text, &number, why) != 0)
        config_fault_at(load, where, "%s '%s': %s", setting->name, setting->secret ? "..." : entry->text,
                        why);
    else if (counts)
        store(load, setting, owner, entry->text, number);
}

static void store_initial(struct config_load *load, const struct config_setting *setting, void *owner,
                          const char *text)
{
    char why[CONFIG_WHY_MAX];
    uint64_t number;

    if (config_value_parse(setting, text, &number, why) != 0)
        config_fault_at(load, load->program->name, "default of %s, '%s': %s", setting->name, text, why);
    else
        store(load, setting, owner, text, number);
}

static void take_initial(struct config_load *load, const struct config_setting *setting, void *owner)
{
    if (setting->type != CONFIG_TYPE_LIST) {
        store_initial(load, setting, owner, setting->initial);
        return;
    }
    char *items = strdup(setting->initial), *rest = items, *item;
    if (items == NULL)
        load->out_of_memory = true;
    while (items != NULL && (item = strsep(&rest, " ")) != NULL)
        if (*item != '\0')
            store_initial(load, setting, owner, item);
    free(items);
}

/* A required setting that nobody gave: of a section, that is to be said where the section begins. */
static void fault_missing(struct config_load *load, size_t group, const struct config_setting *setting)
{
    char where[CONFIG_WHERE_MAX], name[CONFIG_WHERE_MAX];

    flag_name(load, group, setting, name);
    if (load->groups[group].line != 0)
        config_where_line(load, load->groups[group].line, where);
    else
        snprintf(where, sizeof(where), "%s", load->program->name);
    config_fault_at(load, where, "%s is required (--%s %s)", setting->name, name,
                    config_value_metavar(setting));
}

/* Fills one member: from the flags, else from the file, else by default. What doesn't count is checked all
 * the same. */
static void assign_setting(struct config_load *load, size_t group, const struct config_setting *setting,
                           void *owner)
{
    const struct config_entry *first_flag = NULL, *first_line = NULL;

    for (size_t i = 0; i < load->entry_count; i++) {
        const struct config_entry *entry = &load->entries[i];
        if (entry->group != group || entry->setting != setting)
            continue;
        const struct config_entry **first = entry->line == 0 ? &first_flag : &first_line;
        bool counts = entry->line == 0 || first_flag == NULL; /* flags stand before lines */
        take_entry(load, entry, *first, counts, owner);
        if (*first == NULL)
            *first = entry;
    }
    if (first_flag != NULL || first_line != NULL)
        return;
    if (setting->initial != NULL)
        take_initial(load, setting, owner);
    else if (setting->required)
        fault_missing(load, group, setting);
}

/* The members are empty. */
static void assign_group(struct config_load *load, size_t group, void *owner)
{
    const struct config_setting *settings = load->groups[group].settings;

    for (const struct config_setting *setting = settings; setting->type != CONFIG_TYPE_END; setting++)
        assign_setting(load, group, setting, owner);
}

static void *member(void *owner, size_t offset)
{
    return (char *)owner + offset;
}

/* The array of a section in the config; pointers to structs all look alike on the systems that this runs on.
 */
static char *section_items(const struct config_section *section, void *config)
{
    return *(char **)member(config, section->items_offset);
}

static void set_section_items(const struct config_section *section, void *config, void *items, size_t count)
{
    memcpy(member(config, section->items_offset), &items, sizeof(void *));
    memcpy(member(config, section->count_offset), &count, sizeof(count));
}

/* Makes the section's array, one element for each of its groups. */
static void assign_section(struct config_load *load, const struct config_section *section, void *config)
{
    size_t count = 0, filled = 0;

    for (size_t i = 0; i < load->group_count; i++)
        count += load->groups[i].section == section;
    char *items = count > 0 ? calloc(count, section->element_size) : NULL;
    if (items == NULL) {
        load->out_of_memory = load->out_of_memory || count > 0;
        return;
    }
    set_section_items(section, config, items, count);
    for (size_t i = 0; i < load->group_count; i++) {
        if (load->groups[i].section != section)
            continue;
        void *element = items + filled++ * section->element_size;
        char **argument = member(element, section->argument_offset);
        *argument = strdup(load->groups[i].argument);
        load->out_of_memory = load->out_of_memory || *argument == NULL;
        assign_group(load, i, element);
    }
}

static void clear_all(const struct config_program *program, void *config)
{
    for (const struct config_setting *s = program->settings; s->type != CONFIG_TYPE_END; s++)
        config_value_clear(s, config);
    for (const struct config_section *s = program->sections; s != NULL && s->name != NULL; s++)
        set_section_items(s, config, NULL, 0);
}

static void assign_all(struct config_load *load, void *config)
{
    assign_group(load, CONFIG_GROUP_PLAIN, config);
    for (const struct config_section *s = load->program->sections; s != NULL && s->name != NULL; s++)
        assign_section(load, s, config);
}

int config_load_all(struct config_load *load, int argc, char *const *argv, void *config)
{
    clear_all(load->program, config);
    if (load->out_of_memory)
        return -ENOMEM;
    config_read_flags(load, argc, argv);
    assign_group(load, CONFIG_GROUP_STANDARD, &load->standard);
    if (load->standard.file != NULL)
        config_read_file(load, load->standard.file);
    assign_all(load, config);
    if (load->faults == 0 && !load->out_of_memory && load->program->check != NULL)
        load->program->check(config, load);
    if (load->faults == 0 && !load->out_of_memory)
        return 0;
    config_free(load->program, config);
    return load->out_of_memory ? -ENOMEM : -EINVAL;
}

/* The entry that gave the setting its (last) value; NULL when none did. */
static const struct config_entry *find_origin(const struct config_load *load, const char *name)
{
    const struct config_entry *origin = NULL;
    char entry_name[CONFIG_WHERE_MAX];

    for (size_t i = 0; i < load->entry_count; i++) {
        const struct config_entry *entry = &load->entries[i];
        flag_name(load, entry->group, entry->setting, entry_name);
        if (strcmp(entry_name, name) == 0 && (origin == NULL || origin->line != 0 || entry->line == 0))
            origin = entry;
    }
    return origin;
}

void config_fault(struct config_load *load, const char *setting, const char *format, ...)
{
    const struct config_entry *origin = setting != NULL ? find_origin(load, setting) : NULL;
    char where[CONFIG_WHERE_MAX];
    va_list args;

    va_start(args, format);
    vfault(load, origin != NULL ? config_where_entry(load, origin, where) : load->program->name, format,
           args);
    va_end(args);
}

static void free_group(const struct config_setting *settings, void *owner)
{
    for (; settings->type != CONFIG_TYPE_END; settings++)
        config_value_free(settings, owner);
}

void config_free(const struct config_program *program, void *config)
{
    free_group(program->settings, config);
    for (const struct config_section *s = program->sections; s != NULL && s->name != NULL; s++) {
        size_t count = *(size_t *)member(config, s->count_offset);
        for (size_t i = 0; i < count; i++) {
            void *element = section_items(s, config) + i * s->element_size;
            free(*(char **)member(element, s->argument_offset));
            free_group(s->settings, element);
        }
        free(section_items(s, config));
        set_section_items(s, config, NULL, 0);
    }
}
