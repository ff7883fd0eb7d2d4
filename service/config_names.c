/* SPDX-License-Identifier: Apache-2.0 */
#include "service/config_impl.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_COMPARED 64 /* longer names resemble nothing */

const struct config_setting *config_find_setting(const struct config_setting *settings, const char *name)
{
    for (; settings->type != CONFIG_TYPE_END; settings++)
        if (strcmp(settings->name, name) == 0)
            return settings;
    return NULL;
}

const struct config_section *config_find_section(const struct config_program *program, const char *name)
{
    for (const struct config_section *section = program->sections; section != NULL && section->name != NULL;
         section++)
        if (strcmp(section->name, name) == 0)
            return section;
    return NULL;
}

static size_t create_group(struct config_load *load, const struct config_section *section,
                           const char *argument)
{
    struct config_group *groups = reallocarray(load->groups, load->group_count + 1, sizeof(*groups));
    char *copy = strdup(argument);

    if (groups != NULL)
        load->groups = groups;
    if (groups == NULL || copy == NULL) {
        free(copy);
        load->out_of_memory = true;
        return 0;
    }
    groups[load->group_count] =
        (struct config_group){.section = section, .settings = section->settings, .argument = copy};
    return load->group_count++;
}

size_t config_find_group(struct config_load *load, const struct config_section *section, const char *argument,
                         bool create)
{
    for (size_t i = CONFIG_GROUP_FIRST_SECTION; i < load->group_count; i++)
        if (load->groups[i].section == section && strcmp(load->groups[i].argument, argument) == 0)
            return i;
    return create ? create_group(load, section, argument) : 0;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Levenshtein: how many characters to insert, delete or replace. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t b_length = strlen(b), row[NAME_MAX_COMPARED + 1];

    if (strlen(a) > NAME_MAX_COMPARED || b_length > NAME_MAX_COMPARED)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b_length; j++) {
            size_t replaced = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = smallest(replaced, row[j] + 1, row[j + 1] + 1);
        }
    }
    return row[b_length];
}

void config_nearest_init(struct config_nearest *nearest, const char *wanted)
{
    /* Past one slip in three characters it is another word. */
    *nearest = (struct config_nearest){.wanted = wanted, .distance = strlen(wanted) / 3 + 1};
}

void config_nearest_offer(struct config_nearest *nearest, const char *known)
{
    size_t distance = edit_distance(nearest->wanted, known);

    if (distance < nearest->distance || (distance == nearest->distance && nearest->best == NULL)) {
        nearest->best = known;
        nearest->distance = distance;
    }
}

void config_nearest_offer_all(struct config_nearest *nearest, const struct config_setting *settings)
{
    for (; settings->type != CONFIG_TYPE_END; settings++)
        config_nearest_offer(nearest, settings->name);
}
