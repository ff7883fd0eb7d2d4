/* SPDX-License-Identifier: Apache-2.0 */
#include "service/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Log lines go into a pipe, and come out of it as `text`. */
struct fixture {
    int read_end, write_end;
    char text[1 << 17];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int ends[2];

    assert_non_null(fixture);
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    fixture->read_end = ends[0];
    fixture->write_end = ends[1];
    log_set_fd(ends[1]);
    log_set_level(LOG_LEVEL_DEBUG);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    log_set_fd(STDERR_FILENO);
    close(fixture->read_end);
    close(fixture->write_end);
    free(fixture);
    return 0;
}

/* All that was logged since the last call. */
static const char *take_text(struct fixture *fixture)
{
    ssize_t length = read(fixture->read_end, fixture->text, sizeof(fixture->text) - 1);

    fixture->text[length > 0 ? length : 0] = '\0';
    return fixture->text;
}

/* The one line that was logged, without time, level and newline. */
static const char *take_line(struct fixture *fixture)
{
    const char *text = take_text(fixture);
    char *end = strchr(text, '\n');

    assert_non_null(end);
    assert_string_equal(end, "\n"); /* one line, and nothing behind it */
    *end = '\0';
    const char *level = strchr(text, ' ');
    assert_non_null(level);
    const char *rest = strchr(level + 1, ' ');
    assert_non_null(rest);
    return rest + 1;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t regex;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0)
        fail_msg("'%s' does not match '%s'", text, pattern);
    regfree(&regex);
}

static void a_line_has_time_level_object_event_and_fields(void **state)
{
    log_info("guest=101 session=7f3a…", "refused", LOG_UINT("code", 3), LOG_STR("reason", "session limit"));
    assert_matches(take_text(*state),
                   "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z info "
                   "guest=101 session=7f3a… refused code=3 reason=\"session limit\"\n$");
}

static void the_time_is_now_in_utc(void **state)
{
    struct tm tm = {0};
    time_t before = time(NULL);

    setenv("TZ", "Asia/Tokyo", 1);
    tzset();
    log_info(NULL, "now");
    assert_non_null(strptime(take_text(*state), "%Y-%m-%dT%H:%M:%S", &tm));
    time_t logged = timegm(&tm);
    assert_in_range(logged, before, before + 5);
    unsetenv("TZ");
}

static void object_and_fields_may_be_absent(void **state)
{
    log_info(NULL, "ready");
    assert_string_equal(take_line(*state), "ready");
}

static void each_level_has_its_word(void **state)
{
    log_error(NULL, "e");
    assert_matches(take_text(*state), "Z error e\n$");
    log_warning(NULL, "w");
    assert_matches(take_text(*state), "Z warning w\n$");
    log_info(NULL, "i");
    assert_matches(take_text(*state), "Z info i\n$");
    log_debug(NULL, "d");
    assert_matches(take_text(*state), "Z debug d\n$");
}

static unsigned evaluated;

static unsigned count_evaluation(void)
{
    return ++evaluated;
}

static void levels_that_are_off_cost_nothing(void **state)
{
    evaluated = 0;
    log_set_level(LOG_LEVEL_WARNING);
    log_debug(NULL, "off", LOG_UINT("n", count_evaluation()));
    log_info(NULL, "off", LOG_UINT("n", count_evaluation()));
    log_warning(NULL, "on", LOG_UINT("n", count_evaluation()));
    assert_string_equal(take_line(*state), "on n=1");
    assert_int_equal(evaluated, 1);
}

static void every_type_of_field(void **state)
{
    log_info(NULL, "x", LOG_UINT("u", UINT64_MAX), LOG_INT("i", INT64_MIN), LOG_TEXT("t", "abcdef", 3),
             LOG_ERROR("posix", -ECONNREFUSED), LOG_SUPPRESSED(7));
    assert_string_equal(take_line(*state), "x u=18446744073709551615 i=-9223372036854775808 t=abc "
                                           "posix=\"connection refused\" suppressed=7");
}

static void fields_without_a_value_are_left_out(void **state)
{
    log_info(NULL, "x", LOG_STR("none", NULL), LOG_SUPPRESSED(0), LOG_UINT("n", 1));
    assert_string_equal(take_line(*state), "x n=1");
}

static void values_are_quoted_and_escaped_when_they_need_it(void **state)
{
    static const struct {
        const char *value, *shown;
    } cases[] = {
        {"word", "word"},
        {"127.0.0.1:5672", "127.0.0.1:5672"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"x\n2026-01-01T00:00:00.000Z error forged", "\"x\\n2026-01-01T00:00:00.000Z error forged\""},
        {"cr\rtab\t", "\"cr\\rtab\\t\""},
        {"\x1b[31mred\x7f", "\"\\x1b[31mred\\x7f\""},
        {"blåbær", "blåbær"},
        {"日本", "日本"},
        {"\xf0\x9f\x90\xb0", "\xf0\x9f\x90\xb0"},
        {"lone \xff\xc3", "\"lone \\xff\\xc3\""},              /* not UTF-8, and cut off */
        {"\xc0\x8a", "\"\\xc0\\x8a\""},                        /* overlong newline */
        {"\xe0\x80\x8a", "\"\\xe0\\x80\\x8a\""},               /* the same in three bytes */
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},               /* surrogate */
        {"\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\""},      /* past the last character */
        {"\xc2\x85next line", "\"\\xc2\\x85next line\""},      /* C1 control */
        {"\xe2\x80\xaegnp.exe", "\"\\xe2\\x80\\xaegnp.exe\""}, /* right-to-left override */
        {"\xe2\x80\xa8", "\"\\xe2\\x80\\xa8\""},               /* line separator */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[128];
        log_info(NULL, "x", LOG_STR("v", cases[i].value));
        snprintf(expected, sizeof(expected), "x v=%s", cases[i].shown);
        assert_string_equal(take_line(*state), expected);
    }
}

/* As of a peer that has not said it. */
static void a_text_of_no_bytes_may_be_nowhere(void **state)
{
    log_info(NULL, "x", LOG_TEXT("v", NULL, 0));
    assert_string_equal(take_line(*state), "x v=\"\"");
}

static void a_nul_inside_a_text_is_shown(void **state)
{
    log_info(NULL, "x", LOG_TEXT("v", "a\0b", 3));
    assert_string_equal(take_line(*state), "x v=\"a\\x00b\"");
}

static void no_byte_string_can_make_a_second_line_or_field(void **state)
{
    char value[257];

    for (unsigned first = 0; first < 256; first++) {
        for (unsigned i = 0; i < 256; i++)
            value[i] = (char)(first + i * 7);
        log_info(NULL, "x", LOG_TEXT("v", value, 256), LOG_UINT("end", 1));
        const char *line = take_line(*state);
        assert_memory_equal(line, "x v=\"", 5);
        const char *p = line + 5;
        while (*p != '"') { /* the closing quote: the first that no backslash hides */
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
            p += *p == '\\' ? 2 : 1;
        }
        assert_string_equal(p, "\" end=1");
    }
}

static void an_object_can_not_break_the_line(void **state)
{
    log_info("vm=a\nb session=\"x\"", "event");
    assert_string_equal(take_line(*state), "vm=a\\nb session=\"x\" event");
}

static void long_lines_are_cut_visibly(void **state)
{
    char value[3 * LOG_LINE_MAX];

    memset(value, 'a', sizeof(value));
    value[7] = ' ';
    log_info("guest=101", "x", LOG_TEXT("v", value, sizeof(value)), LOG_UINT("lost", 1));
    const char *text = take_text(*state);
    assert_int_equal(strlen(text), LOG_LINE_MAX);
    assert_matches(text, "^[^\n]* v=\"aaaaaaa a+\" …\n$");
}

static void whatever_the_length_a_line_ends_well(void **state)
{
    static char value[LOG_LINE_MAX];

    memset(value, 'a', sizeof(value));
    for (size_t length = LOG_LINE_MAX - 120; length < LOG_LINE_MAX; length++) {
        log_info(NULL, "x", LOG_TEXT("v", value, length), LOG_UINT("number", 123456),
                 LOG_STR("last", "\n\n"));
        const char *text = take_text(*state);
        assert_in_range(strlen(text), length, LOG_LINE_MAX);
        assert_matches(text,
                       "^[^\n]* x v=a+( number=123456)?( last=\"\\\\n\\\\n\"| last=(\"(\\\\n)*\")? …| …)\n$");
    }
}

/* The closing quote may be the last byte that there is room for. */
static void a_quoted_value_may_fill_the_line(void **state)
{
    static char value[LOG_LINE_MAX];

    memset(value, 'a', sizeof(value));
    value[1] = ' ';
    for (size_t length = LOG_LINE_MAX - 120; length < LOG_LINE_MAX; length++) {
        log_info(NULL, "x", LOG_TEXT("v", value, length), LOG_UINT("number", 123456), LOG_STR("last", "me"));
        const char *text = take_text(*state);
        assert_in_range(strlen(text), length, LOG_LINE_MAX);
        assert_matches(text, "^[^\n]* x v=\"a a+\"( number=123456)?( last=me| last=m? …| …)\n$");
    }
}

static void an_escape_is_never_cut_in_two(void **state)
{
    static char value[LOG_LINE_MAX];

    memset(value, '\x01', sizeof(value));
    log_info("o", "x", LOG_TEXT("v", value, sizeof(value)));
    assert_matches(take_text(*state), " v=\"(\\\\x01)+\" …\n$");
}

static void set_journal_stream(int fd, unsigned inode_offset)
{
    struct stat status;
    char text[64];

    assert_int_equal(fstat(fd, &status), 0);
    snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)status.st_dev,
             (uintmax_t)status.st_ino + inode_offset);
    setenv("JOURNAL_STREAM", text, 1);
}

static void the_journal_gets_priorities_and_no_time(void **state)
{
    struct fixture *fixture = *state;

    set_journal_stream(fixture->write_end, 0);
    log_set_fd(fixture->write_end);
    log_error(NULL, "e");
    log_warning("guest=1", "w");
    log_info(NULL, "i");
    log_debug(NULL, "d");
    unsetenv("JOURNAL_STREAM");
    assert_string_equal(take_text(fixture), "<3>error e\n<4>warning guest=1 w\n<6>info i\n<7>debug d\n");
}

static void a_stream_that_is_not_the_journal_gets_the_time(void **state)
{
    struct fixture *fixture = *state;

    set_journal_stream(fixture->write_end, 1);
    log_set_fd(fixture->write_end);
    log_info(NULL, "i");
    setenv("JOURNAL_STREAM", "nonsense", 1);
    log_set_fd(fixture->write_end);
    log_info(NULL, "i");
    unsetenv("JOURNAL_STREAM");
    assert_matches(take_text(fixture), "^[0-9-]+T[^ ]+Z info i\n[0-9-]+T[^ ]+Z info i\n$");
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void a_reader_that_stops_costs_lines_and_not_time(void **state)
{
    struct fixture *fixture = *state;
    unsigned written = 20000, seen = 0, lost = 0;
    uint64_t started_ms = now_ms();

    fcntl(fixture->write_end, F_SETFL, 0); /* as a shell's pipe: a write that doesn't fit would block */
    for (unsigned i = 0; i < written; i++)
        log_info(NULL, "x", LOG_UINT("n", i));
    assert_true(now_ms() - started_ms < 5000);
    take_text(fixture);
    for (const char *p = fixture->text; (p = strstr(p, " x n=")) != NULL; p++)
        seen++;
    assert_in_range(seen, 1, written - 1);

    log_info(NULL, "after");
    const char *text = take_text(fixture);
    assert_matches(text, "^[^ ]+ warning log lines lost count=[0-9]+\n[^ ]+ info after\n$");
    assert_int_equal(sscanf(strstr(text, "count="), "count=%u", &lost), 1);
    assert_int_equal(seen + lost, written);
}

static void a_reader_that_is_gone_is_no_error(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    log_set_fd(ends[1]);
    log_info(NULL, "into the void");
    log_set_fd(-1);
    log_info(NULL, "into less");
    close(ends[1]);
}

static void errno_is_kept(void **state)
{
    (void)state;
    log_set_fd(-1);
    errno = EXDEV;
    log_info(NULL, "x");
    assert_int_equal(errno, EXDEV);
}

static void a_limit_lets_a_burst_through_in_each_interval(void **state)
{
    struct log_limit limit = {.burst = 2, .interval_ms = 1000};
    uint64_t suppressed = 99;

    (void)state;
    assert_true(log_limit_pass(&limit, 5000, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_true(log_limit_pass(&limit, 5100, &suppressed));
    for (unsigned i = 0; i < 123; i++)
        assert_false(log_limit_pass(&limit, 5200, &suppressed));
    assert_false(log_limit_pass(&limit, 5999, &suppressed));
    assert_true(log_limit_pass(&limit, 6000, &suppressed));
    assert_int_equal(suppressed, 124);
    assert_true(log_limit_pass(&limit, 6001, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_false(log_limit_pass(&limit, 6002, &suppressed));
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_line_has_time_level_object_event_and_fields),
        TEST(the_time_is_now_in_utc),
        TEST(object_and_fields_may_be_absent),
        TEST(each_level_has_its_word),
        TEST(levels_that_are_off_cost_nothing),
        TEST(every_type_of_field),
        TEST(fields_without_a_value_are_left_out),
        TEST(values_are_quoted_and_escaped_when_they_need_it),
        TEST(a_text_of_no_bytes_may_be_nowhere),
        TEST(a_nul_inside_a_text_is_shown),
        TEST(no_byte_string_can_make_a_second_line_or_field),
        TEST(an_object_can_not_break_the_line),
        TEST(long_lines_are_cut_visibly),
        TEST(whatever_the_length_a_line_ends_well),
        TEST(a_quoted_value_may_fill_the_line),
        TEST(an_escape_is_never_cut_in_two),
        TEST(the_journal_gets_priorities_and_no_time),
        TEST(a_stream_that_is_not_the_journal_gets_the_time),
        TEST(a_reader_that_stops_costs_lines_and_not_time),
        TEST(a_reader_that_is_gone_is_no_error),
        TEST(errno_is_kept),
        TEST(a_limit_lets_a_burst_through_in_each_interval),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
