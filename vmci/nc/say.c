/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/nc/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_SIZE 1024

static bool is_verbose;

void nc_say_verbosely(bool verbose)
{
    is_verbose = verbose;
}

/* One write for a line, as others may write there too. */
static void say(const char *format, va_list args)
{
    char line[LINE_SIZE];

    (void)vsnprintf(line, sizeof(line), format, args);
    (void)dprintf(STDERR_FILENO, "vmci-nc: %s\n", line);
}

void nc_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
}

void nc_note(const char *format, ...)
{
    va_list args;

    if (!is_verbose)
        return;
    va_start(args, format);
    say(format, args);
    va_end(args);
}
