/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static char context[256] = "no context";

void kit_context(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
}

void kit_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " [%s]\n", context);
    abort();
}
