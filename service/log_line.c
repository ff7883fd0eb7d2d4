/* SPDX-License-Identifier: Apache-2.0 */
#include "service/log_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CUT_MARK " …"
/* What must still fit when everything else is in: a closing quote, the mark and the newline. */
#define LINE_ROOM (LOG_LINE_MAX - 1 - (sizeof(CUT_MARK) - 1) - 1)

/* One character or one bad byte of a text, and how it is shown. */
struct unit {
    size_t taken;     /* bytes of the text */
    size_t length;    /* bytes of `shown` */
    char shown[16];   /* itself, or escaped: at most \xNN for each of four bytes */
    bool breaks_word; /* a value with it needs quotes */
};

/* A closing quote may stand beyond LINE_ROOM. */
static size_t room_in(const struct log_line *line)
{
    return line->length < LINE_ROOM ? LINE_ROOM - line->length : 0;
}

void log_line_add(struct log_line *line, const char *bytes, size_t length)
{
    if (line->cut || length > room_in(line)) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->length, bytes, length);
    line->length += length;
}

/* The length of the UTF-8 character that begins here (RFC 3629), and its number; 0 when there is none. */
static size_t utf8_decode(const unsigned char *text, size_t length, uint32_t *character)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000}; /* by length: rules out overlong forms */
    size_t size = text[0] < 0xc0 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : text[0] < 0xf8 ? 4 : 0;

    if (size == 0 || size > length)
        return 0;
    *character = text[0] & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        *character = *character << 6 | (text[i] & 0x3fU);
    }
    if (*character < smallest[size] || *character > 0x10ffff ||
        (*character >= 0xd800 && *character <= 0xdfff))
        return 0;
    return size;
}

/* Characters beyond ASCII that are not seen, or that change how others are seen: controls, direction, breaks.
 */
static bool deceives(uint32_t character)
{
    return character <= 0x9f || character == 0xad || character == 0x61c ||
           (character >= 0x200b && character <= 0x200f) || (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2060 && character <= 0x206f) || character == 0xfeff;
}

static void show_itself(struct unit *unit, const char *text, size_t size)
{
    memcpy(unit->shown, text, size);
    unit->taken = unit->length = size;
}

static void show_hex(struct unit *unit, const unsigned char *text, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        const char escape[] = {'\\', 'x', digits[text[i] >> 4], digits[text[i] & 0xf]};
        memcpy(unit->shown + i * sizeof(escape), escape, sizeof(escape));
    }
    unit->taken = size;
    unit->length = size * 4;
    unit->breaks_word = true;
}

static void show_ascii(struct unit *unit, char c)
{
    static const char from[] = "\"\\\n\r\t", to[] = "\"\\nrt";
    const char *known = strchr(from, c);

    if (known != NULL) {
        const char escape[] = {'\\', to[known - from]};
        show_itself(unit, escape, sizeof(escape));
        unit->taken = 1;
        unit->breaks_word = true;
    } else {
        show_itself(unit, &c, 1);
        unit->breaks_word = c == ' ' || c == '=';
    }
}

static struct unit next_unit(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    struct unit unit = {0};
    uint32_t character;

    if (bytes[0] < 0x80) {
        bool control = bytes[0] == 0x7f || (bytes[0] < 0x20 && strchr("\n\r\t", text[0]) == NULL);
        if (control || bytes[0] == '\0')
            show_hex(&unit, bytes, 1);
        else
            show_ascii(&unit, text[0]);
        return unit;
    }
    size_t size = utf8_decode(bytes, length, &character);
    if (size == 0)
        show_hex(&unit, bytes, 1);
    else if (deceives(character))
        show_hex(&unit, bytes, size);
    else
        show_itself(&unit, text, size);
    return unit;
}

/* How many bytes from here on are ASCII that is shown as it is and breaks no word: nearly all that is logged.
 */
static size_t plain_run(const char *text, size_t length)
{
    size_t n = 0;

    while (n < length && text[n] > ' ' && text[n] < 0x7f && text[n] != '"' && text[n] != '\\' &&
           text[n] != '=')
        n++;
    return n;
}

/* Adds such bytes, as many as fit. How many there were. */
static size_t add_plain_run(struct log_line *line, const char *text, size_t length)
{
    const size_t n = plain_run(text, length);
    const size_t room = room_in(line);

    if (n == 0) /* perhaps there is not even a text */
        return 0;
    log_line_add(line, text, n < room ? n : room);
    line->cut = line->cut || n > room;
    return n;
}

static bool is_word(const char *text, size_t length)
{
    for (size_t i = plain_run(text, length); i < length;) {
        struct unit unit = next_unit(text + i, length - i);
        if (unit.breaks_word)
            return false;
        i += unit.taken;
    }
    return length > 0;
}

void log_line_value(struct log_line *line, const char *text, size_t length)
{
    bool quoted = !is_word(text, length);

    if (quoted)
        log_line_add(line, "\"", 1);
    bool opened = quoted && !line->cut;
    for (size_t i = add_plain_run(line, text, length); i < length && !line->cut;) {
        struct unit unit = next_unit(text + i, length - i);
        log_line_add(line, unit.shown, unit.length);
        i += unit.taken;
        i += add_plain_run(line, text + i, length - i);
    }
    if (opened)
        line->text[line->length++] = '"'; /* LINE_ROOM leaves room for it */
}

void log_line_words(struct log_line *line, const char *words)
{
    size_t length = strlen(words);

    for (size_t i = add_plain_run(line, words, length); i < length && !line->cut;) {
        struct unit unit = next_unit(words + i, length - i);
        if (strchr(" =\"", words[i]) != NULL)
            log_line_add(line, words + i, 1);
        else
            log_line_add(line, unit.shown, unit.length);
        i += unit.taken;
        i += add_plain_run(line, words + i, length - i);
    }
}

void log_line_field(struct log_line *line, const struct log_field *field)
{
    char number[24];
    const char *value = number;
    size_t length = 0;

    switch (field->type) {
    case LOG_FIELD_END:
    case LOG_FIELD_SKIP: return;
    case LOG_FIELD_TEXT:
        value = field->value.text;
        length = field->length;
        break;
    case LOG_FIELD_UINT:
        length = (size_t)snprintf(number, sizeof(number), "%" PRIu64, field->value.uint);
        break;
    case LOG_FIELD_INT:
        length = (size_t)snprintf(number, sizeof(number), "%" PRId64, field->value.sint);
        break;
    }
    size_t start = line->length;
    log_line_add(line, " ", 1);
    log_line_add(line, field->key, strlen(field->key));
    log_line_add(line, "=", 1);
    bool key_fits = !line->cut;
    log_line_value(line, value, length);
    if (!key_fits || (line->cut && field->type != LOG_FIELD_TEXT))
        line->length = start; /* half a key or number would mislead */
}

void log_line_end(struct log_line *line)
{
    if (line->cut) {
        memcpy(line->text + line->length, CUT_MARK, sizeof(CUT_MARK) - 1);
        line->length += sizeof(CUT_MARK) - 1;
    }
    line->text[line->length++] = '\n';
}
