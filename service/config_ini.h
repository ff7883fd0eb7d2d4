/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_INI_H
#define SERVICE_CONFIG_INI_H

/*
 * An INI file as a series of events with line numbers. inih takes the settings apart; what it does not tell
 * (lines, sections without settings, every bad line and why) is found here, before a line is given to it.
 */

#include <stdio.h>

struct config_ini_events {
    void (*section)(void *ctx, unsigned line,
                    const char *heading); /* "guest 101", without blanks around it */
    void (*setting)(void *ctx, unsigned line, const char *name, const char *value);
    void (*fault)(void *ctx, unsigned line, const char *what); /* the line is skipped */
};

/* Reads to the end of the file. Texts are valid during the call. 0, or -errno when reading failed or -ENOMEM.
 */
int config_ini_read(FILE *file, const struct config_ini_events *events, void *ctx);

#endif
