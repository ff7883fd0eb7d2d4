/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_LOG_LINE_H
#define SERVICE_LOG_LINE_H

/* A log line being written: bounded, and safe to hold what peers sent. Private to log.c. */

#include "service/log.h"

struct log_line {
    size_t length;
    bool cut; /* something did not fit: nothing more is added */
    char text[LOG_LINE_MAX];
};

/* Adds bytes as they are, all or none. */
void log_line_add(struct log_line *line, const char *bytes, size_t length);

/* Adds words of our own ("guest=101 session=7f3a…"), escaped where they hold what a line may not. */
void log_line_words(struct log_line *line, const char *words);

/* Adds a value: as it is when it is one plain word, otherwise quoted and escaped. Cut where the line is full.
 */
void log_line_value(struct log_line *line, const char *text, size_t length);

/* Adds " key=value". */
void log_line_field(struct log_line *line, const struct log_field *field);

/* Adds the newline, behind " …" when something was cut. */
void log_line_end(struct log_line *line);

#endif
