/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_LOG_H
#define SERVICE_LOG_H

/*
 * Structured log lines on stderr, one write(2) each:
 *
 *   2026-03-01T12:00:00.123Z info guest=101 session=7f3a… refused code=3 reason="session limit"
 *   time                     level object                 event   fields
 *
 *   log_info("guest=101 session=7f3a…", "refused", LOG_UINT("code", code), LOG_STR("reason", text));
 *
 * When stderr is the journal (JOURNAL_STREAM, see systemd.exec(5)) the line starts with a priority such as
 * <6> and carries no time. A value that holds more than plain word characters is put in quotes, with quotes,
 * backslashes, control bytes, bytes that are not UTF-8 and invisible direction marks escaped: what a peer
 * sent can't forge a line or a field. Lines are at most LOG_LINE_MAX bytes; what is left out shows as "…".
 *
 * A reader of stderr that does not keep up costs the daemon a few milliseconds once; after that lines are
 * dropped until one fits again, and then a line says how many were lost.
 *
 * One thread only. The functions keep errno.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_MAX 2048 /* bytes, newline included */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Sets what is logged: this level and the ones before it. LOG_LEVEL_INFO until set. */
void log_set_level(enum log_level level);

/* Sends lines to another descriptor, which stays the caller's. Until called, lines go to stderr. */
void log_set_fd(int fd);

/* Private to the macros below: the level that log_set_level set. */
extern enum log_level log_threshold;

/* --- Fields. Keys are literals of ours: lower-case words with dashes or underscores. --- */

enum log_field_type { LOG_FIELD_END, LOG_FIELD_TEXT, LOG_FIELD_UINT, LOG_FIELD_INT, LOG_FIELD_SKIP };

struct log_field {
    const char *key;
    enum log_field_type type;
    size_t length; /* of text, in bytes */
    union {
        const char *text;
        uint64_t uint;
        int64_t sint;
    } value;
};

/* A string that ends with NUL; NULL leaves the field out. */
#define LOG_STR(k, v) log_field_str(k, v)
/* Text of a given length, such as bytes of a peer; need not end with NUL. */
#define LOG_TEXT(k, v, n)                                                                                    \
    ((struct log_field){.key = (k), .type = LOG_FIELD_TEXT, .length = (n), .value.text = (v)})
#define LOG_UINT(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_UINT, .value.uint = (v)})
#define LOG_INT(k, v)  ((struct log_field){.key = (k), .type = LOG_FIELD_INT, .value.sint = (v)})
/* The text of a libuv error code; that is, also of -errno: error="connection refused". */
#define LOG_ERROR(k, v) log_field_error(k, v)
/* suppressed=N, left out when 0: for the count that log_limit_pass gives. */
#define LOG_SUPPRESSED(n) log_field_suppressed(n)

struct log_field log_field_str(const char *key, const char *text);
struct log_field log_field_error(const char *key, int code);
struct log_field log_field_suppressed(uint64_t count);

/* --- Lines. log_xxx(OBJECT, EVENT, FIELD...): OBJECT is "key=value key=value" of our own making, or NULL.
 * --- */

#define log_error(object, ...)   LOG_AT(LOG_LEVEL_ERROR, object, __VA_ARGS__)
#define log_warning(object, ...) LOG_AT(LOG_LEVEL_WARNING, object, __VA_ARGS__)
#define log_info(object, ...)    LOG_AT(LOG_LEVEL_INFO, object, __VA_ARGS__)
#define log_debug(object, ...)   LOG_AT(LOG_LEVEL_DEBUG, object, __VA_ARGS__)

/* For a level known only at run time. The fields are evaluated only when the line is written. */
#define LOG_AT(level, object, event, ...)                                                                    \
    do {                                                                                                     \
        if ((level) <= log_threshold)                                                                        \
            log_write((level), (object), (event),                                                            \
                      (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.type = LOG_FIELD_END}});        \
    } while (0)

/* Writes the line, whatever the level set. `fields` ends with one of type LOG_FIELD_END. */
void log_write(enum log_level level, const char *object, const char *event, const struct log_field *fields);

/* --- Events that may come in floods --- */

/* At most `burst` lines in each `interval_ms`. Static or embedded: {.burst = 5, .interval_ms = 10000}. */
struct log_limit {
    unsigned burst;
    uint64_t interval_ms;
    uint64_t started_ms; /* when the current interval began */
    unsigned passed;     /* lines let through in it */
    uint64_t suppressed; /* lines held back since the last one let through */
};

/*
 * Whether a line may be written now. When it may, *suppressed is how many were held back since the last one.
 *
 *   if (log_limit_pass(&limit, uv_now(loop), &suppressed))
 *       log_warning(object, "bad hello", LOG_SUPPRESSED(suppressed));
 */
bool log_limit_pass(struct log_limit *limit, uint64_t now_ms, uint64_t *suppressed);

#endif
