/* SPDX-License-Identifier: Apache-2.0 */
#include "service/config_value.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct suffix {
    const char *text;
    uint64_t factor;
};

/* The largest first; "" where a number may stand alone. */
static const struct suffix no_suffixes[] = {{"", 1}, {NULL, 0}};
static const struct suffix size_suffixes[] = {
    {"G", 1024 * 1024 * 1024}, {"M", 1024 * 1024}, {"k", 1024}, {"", 1}, {NULL, 0}};
static const struct suffix duration_suffixes[] = {
    {"h", 60 * 60 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};

static const struct config_choice yes_or_no[] = {{"yes", 1}, {"no", 0},  {"true", 1}, {"false", 0},
                                                 {"on", 1},  {"off", 0}, {NULL, 0}};

/* The member of `owner` that the setting fills. */
static void *slot(const struct config_setting *setting, void *owner)
{
    return (char *)owner + setting->offset;
}

static const struct suffix *suffixes_of(enum config_type type)
{
    if (type == CONFIG_TYPE_SIZE)
        return size_suffixes;
    return type == CONFIG_TYPE_DURATION ? duration_suffixes : no_suffixes;
}

static uint64_t largest(const struct config_setting *setting)
{
    if (setting->max > 0)
        return setting->max;
    if (setting->type == CONFIG_TYPE_UNSIGNED)
        return UINT_MAX;
    return setting->type == CONFIG_TYPE_SIZE ? SIZE_MAX : UINT64_MAX;
}

/* 0, or -ERANGE with the largest number there is. */
static int multiply(uint64_t *number, uint64_t factor)
{
    if (*number > UINT64_MAX / factor) {
        *number = UINT64_MAX;
        return -ERANGE;
    }
    *number *= factor;
    return 0;
}

/* Digits and a suffix. 0, -EINVAL when it is something else, -ERANGE when it is too large for uint64_t. */
static int parse_number(const char *text, const struct suffix *suffixes, uint64_t *number)
{
    char *end;

    if (*text < '0' || *text > '9')
        return -EINVAL; /* strtoumax would take blanks and signs */
    errno = 0;
    uint64_t digits = strtoumax(text, &end, 10);
    *number = digits; /* UINT64_MAX when too large */
    if (errno == ERANGE)
        return -ERANGE;
    for (const struct suffix *suffix = suffixes; suffix->text != NULL; suffix++)
        if (strcmp(end, suffix->text) == 0)
            return multiply(number, suffix->factor);
    return digits == 0 && *end == '\0' ? 0 : -EINVAL;
}

static int parse_choice(const char *text, const struct config_choice *choices, uint64_t *number)
{
    for (; choices->name != NULL; choices++) {
        if (strcmp(text, choices->name) == 0) {
            *number = (uint64_t)choices->value;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_by_type(const struct config_setting *setting, const char *text, uint64_t *number)
{
    switch (setting->type) {
    case CONFIG_TYPE_END:
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_LIST: return 0;
    case CONFIG_TYPE_UNSIGNED:
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_DURATION: break;
    case CONFIG_TYPE_BOOL: return parse_choice(text, yes_or_no, number);
    case CONFIG_TYPE_ENUM: return parse_choice(text, setting->choices, number);
    }
    int error = parse_number(text, suffixes_of(setting->type), number);
    if (error == 0 && (*number < setting->min || *number > largest(setting)))
        error = -ERANGE;
    return error;
}

int config_value_parse(const struct config_setting *setting, const char *text, uint64_t *number, char *why)
{
    *number = 0;
    int error = parse_by_type(setting, text, number);
    if (error == -ERANGE && setting->max == 0 && *number >= setting->min) {
        snprintf(why, CONFIG_WHY_MAX, "too large");
        return -EINVAL;
    }
    if (error != 0) {
        char expected[CONFIG_WHY_MAX - sizeof("expected ")];
        config_value_expected(setting, expected, sizeof(expected));
        snprintf(why, CONFIG_WHY_MAX, "expected %s", expected);
        return -EINVAL;
    }
    if (setting->check != NULL) {
        snprintf(why, CONFIG_WHY_MAX, "not accepted");
        if (setting->check(text, why, CONFIG_WHY_MAX) != 0)
            return -EINVAL;
    }
    return 0;
}

static int append(struct config_list *list, const char *text)
{
    char **items = reallocarray(list->items, list->count + 1, sizeof(*items));

    if (items == NULL)
        return -ENOMEM;
    list->items = items;
    items[list->count] = strdup(text);
    if (items[list->count] == NULL)
        return -ENOMEM;
    list->count++;
    return 0;
}

int config_value_store(const struct config_setting *setting, void *owner, const char *text, uint64_t number)
{
    void *member = slot(setting, owner);

    switch (setting->type) {
    case CONFIG_TYPE_END: break;
    case CONFIG_TYPE_STRING:
        config_value_free(setting, owner);
        *(char **)member = strdup(text);
        return *(char **)member != NULL ? 0 : -ENOMEM;
    case CONFIG_TYPE_LIST: return append(member, text);
    case CONFIG_TYPE_UNSIGNED: *(unsigned *)member = (unsigned)number; break;
    case CONFIG_TYPE_SIZE: *(size_t *)member = (size_t)number; break;
    case CONFIG_TYPE_DURATION: *(uint64_t *)member = number; break;
    case CONFIG_TYPE_BOOL: *(bool *)member = number != 0; break;
    case CONFIG_TYPE_ENUM: *(int *)member = (int)number; break;
    }
    return 0;
}

void config_value_clear(const struct config_setting *setting, void *owner)
{
    static const size_t sizes[] = {
        [CONFIG_TYPE_END] = 0,
        [CONFIG_TYPE_STRING] = sizeof(char *),
        [CONFIG_TYPE_LIST] = sizeof(struct config_list),
        [CONFIG_TYPE_UNSIGNED] = sizeof(unsigned),
        [CONFIG_TYPE_SIZE] = sizeof(size_t),
        [CONFIG_TYPE_DURATION] = sizeof(uint64_t),
        [CONFIG_TYPE_BOOL] = sizeof(bool),
        [CONFIG_TYPE_ENUM] = sizeof(int),
    };

    memset(slot(setting, owner), 0, sizes[setting->type]);
}

void config_value_free(const struct config_setting *setting, void *owner)
{
    void *member = slot(setting, owner);

    if (setting->type == CONFIG_TYPE_STRING)
        free(*(char **)member);
    if (setting->type == CONFIG_TYPE_LIST) {
        struct config_list *list = member;
        for (size_t i = 0; i < list->count; i++)
            free(list->items[i]);
        free(list->items);
    }
    config_value_clear(setting, owner);
}

/* Writes a number of the setting's type as one would type it: 65536 bytes as 64k. */
static void number_text(enum config_type type, uint64_t number, char *text, size_t size)
{
    const struct suffix *suffix = suffixes_of(type);

    while (suffix[1].text != NULL && (number % suffix->factor != 0 || number == 0))
        suffix++;
    snprintf(text, size, "%" PRIu64 "%s", number / suffix->factor, suffix->text);
}

static bool is_number(enum config_type type)
{
    return type == CONFIG_TYPE_UNSIGNED || type == CONFIG_TYPE_SIZE || type == CONFIG_TYPE_DURATION;
}

void config_value_range(const struct config_setting *setting, char *text, size_t size)
{
    char min[32], max[32];

    text[0] = '\0';
    if (!is_number(setting->type))
        return;
    number_text(setting->type, setting->min, min, sizeof(min));
    number_text(setting->type, setting->max, max, sizeof(max));
    if (setting->max > 0)
        snprintf(text, size, "%s to %s", min, max);
    else if (setting->min > 0)
        snprintf(text, size, "at least %s", min);
}

static void list_choices(const struct config_choice *choices, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (const struct config_choice *choice = choices; choice->name != NULL && used < size; choice++) {
        const char *joint = choice == choices ? "" : choice[1].name != NULL ? ", " : " or ";
        used += (size_t)snprintf(text + used, size - used, "%s%s", joint, choice->name);
    }
}

void config_value_expected(const struct config_setting *setting, char *text, size_t size)
{
    static const char *const kinds[] = {
        [CONFIG_TYPE_END] = "nothing",
        [CONFIG_TYPE_STRING] = "text",
        [CONFIG_TYPE_LIST] = "text",
        [CONFIG_TYPE_UNSIGNED] = "a number",
        [CONFIG_TYPE_SIZE] = "a size such as 4096, 64k, 10M or 1G",
        [CONFIG_TYPE_DURATION] = "a time such as 500ms, 10s, 2m or 1h",
        [CONFIG_TYPE_BOOL] = "yes or no",
        [CONFIG_TYPE_ENUM] = "one of the choices",
    };
    char range[80];

    if (setting->type == CONFIG_TYPE_ENUM) {
        list_choices(setting->choices, text, size);
        return;
    }
    config_value_range(setting, range, sizeof(range));
    const char *joint = range[0] == '\0' ? "" : setting->type == CONFIG_TYPE_UNSIGNED ? ", " : "; ";
    snprintf(text, size, "%s%s%s", kinds[setting->type], joint, range);
}

const char *config_value_metavar(const struct config_setting *setting)
{
    static const char *const by_type[] = {
        [CONFIG_TYPE_END] = "",      [CONFIG_TYPE_STRING] = "TEXT",
        [CONFIG_TYPE_LIST] = "TEXT", [CONFIG_TYPE_UNSIGNED] = "NUMBER",
        [CONFIG_TYPE_SIZE] = "SIZE", [CONFIG_TYPE_DURATION] = "TIME",
        [CONFIG_TYPE_BOOL] = "",     [CONFIG_TYPE_ENUM] = "WORD",
    };

    return setting->metavar != NULL ? setting->metavar : by_type[setting->type];
}
