/* SPDX-License-Identifier: Apache-2.0 */
#include "service/config_ini.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

struct reader {
    FILE *file;
    const struct config_ini_events *events;
    void *ctx;
    unsigned line;
    char *buffer; /* getline's */
    size_t buffer_size;
    int error; /* -errno of reading */
};

static void fault(struct reader *reader, const char *what)
{
    reader->events->fault(reader->ctx, reader->line, what);
}

static void fault_too_long(struct reader *reader, int limit)
{
    char what[64];

    snprintf(what, sizeof(what), "line longer than %d bytes", limit);
    fault(reader, what);
}

/* Cuts blanks off both ends, in place. */
static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

static void read_heading(struct reader *reader, char *text)
{
    char *end = strchr(text, ']');

    if (end == NULL) {
        fault(reader, "section heading without ']'");
        return;
    }
    char *rest = trim(end + 1);
    *end = '\0';
    if (*rest != '\0' && *rest != ';' && *rest != '#')
        fault(reader, "text behind the ']' of a section heading");
    else
        reader->events->section(reader->ctx, reader->line, trim(text + 1));
}

/* The next line without its end, blanks around it and byte-order mark; NULL at the end of the file. */
static char *next_line(struct reader *reader)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";

    errno = 0;
    ssize_t length = getline(&reader->buffer, &reader->buffer_size, reader->file);
    if (length < 0) {
        reader->error = errno != 0 ? -errno : 0;
        return NULL;
    }
    reader->line++;
    char *text = reader->buffer;
    if (strlen(text) != (size_t)length) {
        fault(reader, "NUL byte in the line");
        *text = '\0';
    }
    if (reader->line == 1 && strncmp(text, byte_order_mark, strlen(byte_order_mark)) == 0)
        text += strlen(byte_order_mark);
    return trim(text);
}

/* inih's reader: gives it the next well-formed setting, and nothing else. */
static char *read_setting(char *out, int out_size, void *ctx)
{
    struct reader *reader = ctx;
    char *text;

    while ((text = next_line(reader)) != NULL) {
        if (*text == '\0' || *text == ';' || *text == '#')
            continue;
        if (*text == '[')
            read_heading(reader, text);
        else if (strlen(text) + 2 > (size_t)out_size)
            fault_too_long(reader, out_size - 2);
        else if (strpbrk(text, "=:") == NULL)
            fault(reader, "neither [section] nor name = value");
        else if (*text == '=' || *text == ':')
            fault(reader, "value without a name");
        else
            return strcpy(out, text);
    }
    return NULL;
}

static int on_setting(void *ctx, const char *section, const char *name, const char *value)
{
    struct reader *reader = ctx;

    (void)section; /* headings are not given to inih */
    reader->events->setting(reader->ctx, reader->line, name, value);
    return 1;
}

int config_ini_read(FILE *file, const struct config_ini_events *events, void *ctx)
{
    struct reader reader = {.file = file, .events = events, .ctx = ctx};

#ifdef AMQPVSOCK_INIH_MAX_LINE
    ini_max_line = LINE_MAX_BYTES; /* Debian's inih; elsewhere what it was built with, 200 bytes or more */
#endif
    ini_parse_stream(read_setting, &reader, on_setting, &reader);
    free(reader.buffer);
    return reader.error;
}
