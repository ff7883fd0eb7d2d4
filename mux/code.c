/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/code.h"

#include <ctype.h>
#include <stddef.h>

#define LOWER_MAX 24

const char *mux_code_text(unsigned code)
{
    switch (code) {
    case MUX_OK: return "ok";
#define X(number, name, text)                                                                                \
    case number: return text;
        MUX_CODES(X)
#undef X
    default: return "unknown reason";
    }
}

const char *mux_code_name(unsigned code)
{
    /* The enumerators are upper case; logs are lower case. Filled on first use, the same each time. */
    static const char *const upper[] = {
#define X(number, name, text) [number] = #name,
        MUX_CODES(X)
#undef X
    };
    static char lower[sizeof(upper) / sizeof(upper[0])][LOWER_MAX];

    if (code == MUX_OK)
        return "ok";
    if (code >= sizeof(upper) / sizeof(upper[0]))
        return "unknown";
    if (lower[code][0] == '\0')
        for (size_t i = 0; upper[code][i] != '\0' && i < LOWER_MAX - 1; i++)
            lower[code][i] = (char)tolower((unsigned char)upper[code][i]);
    return lower[code];
}
