/* SPDX-License-Identifier: Apache-2.0 */
#include "service/log.h"

#include "service/log_line.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define SLOW_READER_MS 5 /* how long a line waits for a reader that has kept up so far */

enum destination { DESTINATION_UNKNOWN, DESTINATION_PLAIN, DESTINATION_JOURNAL };

enum log_level log_threshold = LOG_LEVEL_INFO;

static int log_fd = STDERR_FILENO;
static enum destination destination = DESTINATION_UNKNOWN;
static uint64_t lines_lost; /* since the last line that went out */

static const struct {
    const char *name;
    const char *priority; /* sd-daemon(3) */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", "<3>"},
    [LOG_LEVEL_WARNING] = {"warning", "<4>"},
    [LOG_LEVEL_INFO] = {"info", "<6>"},
    [LOG_LEVEL_DEBUG] = {"debug", "<7>"},
};

void log_set_level(enum log_level level)
{
    log_threshold = level;
}

void log_set_fd(int fd)
{
    log_fd = fd;
    destination = DESTINATION_UNKNOWN;
    lines_lost = 0;
}

struct log_field log_field_str(const char *key, const char *text)
{
    if (text == NULL)
        return (struct log_field){.type = LOG_FIELD_SKIP};
    return LOG_TEXT(key, text, strlen(text));
}

struct log_field log_field_error(const char *key, int code)
{
    return log_field_str(key, uv_strerror(code));
}

struct log_field log_field_suppressed(uint64_t count)
{
    if (count == 0)
        return (struct log_field){.type = LOG_FIELD_SKIP};
    return LOG_UINT("suppressed", count);
}

/* systemd.exec(5): JOURNAL_STREAM names device and inode of the stream that leads to the journal. */
static enum destination find_destination(int fd)
{
    const char *journal = getenv("JOURNAL_STREAM");
    uintmax_t device, inode;
    struct stat status;

    if (journal == NULL || sscanf(journal, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) != 2)
        return DESTINATION_PLAIN;
    if (fstat(fd, &status) != 0 || status.st_dev != device || status.st_ino != inode)
        return DESTINATION_PLAIN;
    return DESTINATION_JOURNAL;
}

static void add_time(struct log_line *line)
{
    static char whole[sizeof("2026-03-01T12:00:00")]; /* of second `at`: many lines are of the same one */
    static time_t at;
    char text[sizeof("2026-03-01T12:00:00.123Z ")];
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != at) {
        at = now.tv_sec;
        gmtime_r(&at, &utc);
        strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &utc);
    }
    int length = snprintf(text, sizeof(text), "%s.%03dZ ", whole, (int)(now.tv_nsec / 1000000));
    log_line_add(line, text, (size_t)length);
}

static void begin_line(struct log_line *line, enum log_level level)
{
    line->length = 0;
    line->cut = false;
    if (destination == DESTINATION_UNKNOWN)
        destination = find_destination(log_fd);
    if (destination == DESTINATION_JOURNAL)
        log_line_add(line, levels[level].priority, strlen(levels[level].priority));
    else
        add_time(line);
    log_line_words(line, levels[level].name);
}

/* 0, or -1 when the line is lost. A pipe or socket that poll calls writable takes a line of ours whole. */
static int send_line(const struct log_line *line)
{
    struct pollfd out = {.fd = log_fd, .events = POLLOUT};

    if (poll(&out, 1, lines_lost > 0 ? 0 : SLOW_READER_MS) != 1 || (out.revents & POLLOUT) == 0)
        return -1;
    return write(log_fd, line->text, line->length) == (ssize_t)line->length ? 0 : -1;
}

static int send_lost_notice(void)
{
    struct log_field count = LOG_UINT("count", lines_lost);
    struct log_line line;

    begin_line(&line, LOG_LEVEL_WARNING);
    log_line_words(&line, " log lines lost");
    log_line_field(&line, &count);
    log_line_end(&line);
    return send_line(&line);
}

void log_write(enum log_level level, const char *object, const char *event, const struct log_field *fields)
{
    int saved_errno = errno;
    struct log_line line;

    begin_line(&line, level);
    if (object != NULL) {
        log_line_add(&line, " ", 1);
        log_line_words(&line, object);
    }
    log_line_add(&line, " ", 1);
    log_line_words(&line, event);
    for (const struct log_field *field = fields; field->type != LOG_FIELD_END; field++)
        log_line_field(&line, field);
    log_line_end(&line);

    if (lines_lost > 0 && send_lost_notice() == 0)
        lines_lost = 0;
    if (lines_lost > 0 || send_line(&line) != 0)
        lines_lost++;
    errno = saved_errno;
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_ms, uint64_t *suppressed)
{
    if (now_ms - limit->started_ms >= limit->interval_ms) {
        limit->started_ms = now_ms;
        limit->passed = 0;
    }
    if (limit->passed >= limit->burst) {
        limit->suppressed++;
        return false;
    }
    limit->passed++;
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}
