/* SPDX-License-Identifier: Apache-2.0 */
#include "service/config_impl.h"
#include "service/config_value.h"

#include <string.h>

#define HELP_COLUMN 30 /* where descriptions begin */
#define HELP_WIDTH  92

/* Writes words to fill lines of HELP_WIDTH; the cursor stands at `column`, later lines begin at `indent`. */
static void print_wrapped(FILE *out, const char *text, size_t column, size_t indent)
{
    bool line_start = true;

    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (!line_start && column + 1 + word > HELP_WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            line_start = true;
        }
        fprintf(out, "%s%.*s", line_start ? "" : " ", (int)word, text);
        column += word + !line_start;
        line_start = false;
        text += word + strspn(text + word, " ");
    }
    fputc('\n', out);
}

/* Writes a name and, beside or below it, its description. */
static void print_item(FILE *out, const char *name, const char *description)
{
    size_t column = strlen(name);

    fputs(name, out);
    if (column + 2 > HELP_COLUMN) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", (int)(HELP_COLUMN - column), "");
    print_wrapped(out, description, HELP_COLUMN, HELP_COLUMN);
}

/* Adds to a list of remarks, unless the remark is empty. */
static void add_remark(char *text, size_t size, const char *label, const char *remark)
{
    size_t used = strlen(text);

    if (remark[0] != '\0' && used < size)
        snprintf(text + used, size - used, "%s%s%s", used == 0 ? "" : "; ", label, remark);
}

/* The row's phrase and what follows from its type: "how long a client waits (at least 100ms; default: 10s)".
 */
static void describe(const struct config_setting *setting, char *text, size_t size)
{
    char remarks[CONFIG_WHY_MAX * 2] = "", allowed[CONFIG_WHY_MAX] = "";

    if (setting->type == CONFIG_TYPE_ENUM)
        config_value_expected(setting, allowed, sizeof(allowed));
    else
        config_value_range(setting, allowed, sizeof(allowed));
    add_remark(remarks, sizeof(remarks), "", setting->required ? "required" : "");
    add_remark(remarks, sizeof(remarks), "", setting->type == CONFIG_TYPE_LIST ? "may be repeated" : "");
    add_remark(remarks, sizeof(remarks), "", allowed);
    add_remark(remarks, sizeof(remarks), "default: ", setting->initial != NULL ? setting->initial : "");
    if (remarks[0] != '\0')
        snprintf(text, size, "%s (%s)", setting->help, remarks);
    else
        snprintf(text, size, "%s", setting->help);
}

static void print_settings(FILE *out, const struct config_setting *settings, const char *prefix)
{
    char name[CONFIG_WHERE_MAX], description[1024];

    for (; settings->type != CONFIG_TYPE_END; settings++) {
        const char *value = config_value_metavar(settings);
        snprintf(name, sizeof(name), "  %s%s%s%s", prefix, settings->name, value[0] != '\0' ? " " : "",
                 value);
        describe(settings, description, sizeof(description));
        print_item(out, name, description);
    }
}

static void print_section(FILE *out, const struct config_section *section)
{
    char prefix[CONFIG_WHERE_MAX];

    fprintf(out, "\nSection [%s %s] of FILE, ", section->name, section->metavar);
    print_wrapped(out, section->help, strlen(section->name) + strlen(section->metavar) + 21, 0);
    snprintf(prefix, sizeof(prefix), "--%s.%s.", section->name, section->metavar);
    print_settings(out, section->settings, prefix);
}

void config_print_help(FILE *out, const struct config_program *program)
{
    fprintf(out, "Usage: %s [--config FILE] [--SETTING VALUE]...\n\n", program->name);
    print_wrapped(out, program->summary, 0, 0);
    fprintf(out, "\nSettings, as flags or as lines NAME = VALUE of FILE; flags win:\n");
    print_settings(out, program->settings, "--");
    for (const struct config_section *section = program->sections; section != NULL && section->name != NULL;
         section++)
        print_section(out, section);
    fprintf(out, "\nOther flags:\n");
    print_settings(out, config_standard_settings, "--");
}
