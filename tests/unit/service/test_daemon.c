/* SPDX-License-Identifier: Apache-2.0 */
#include "service/daemon.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A daemon in a child process, its log lines, and what it tells systemd. */
struct fixture {
    char folder[64], notify_path[80];
    int notify; /* datagram socket in systemd's place */
    int log_end;
    pid_t pid;
    char log[8192];
    size_t log_length;
};

/* What the daemon of a test does; runs in the child only. */
struct child {
    struct service service;
    struct service_hooks hooks;
    uv_loop_t loop;
    uv_timer_t timer; /* stands for the daemon's handles */
    uv_timer_t forgotten;
    uv_work_t work;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    assert_non_null(fixture);
    strcpy(fixture->folder, "/tmp/test_daemon.XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->notify_path, sizeof(fixture->notify_path), "%s/notify", fixture->folder);
    strcpy(name.sun_path, fixture->notify_path);
    fixture->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fixture->notify, (struct sockaddr *)&name, sizeof(name)), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    close(fixture->notify);
    close(fixture->log_end);
    unlink(fixture->notify_path);
    rmdir(fixture->folder);
    free(fixture);
    return 0;
}

/* --- The child --- */

static void log_event(void *ctx, const char *event)
{
    (void)ctx;
    log_info(NULL, event);
}

static void drain_and_done(void *ctx)
{
    struct child *child = ctx;

    log_event(ctx, "drain called");
    service_done(&child->service);
    log_event(ctx, "drain returns"); /* before end is called */
}

static void drain_forever(void *ctx)
{
    log_event(ctx, "drain called");
}

static void reload(void *ctx)
{
    log_event(ctx, "reload called");
}

static void end(void *ctx)
{
    struct child *child = ctx;

    log_event(ctx, "end called");
    uv_close((uv_handle_t *)&child->timer, NULL);
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
}

static void on_timer_done(uv_timer_t *timer)
{
    service_done(timer->data);
}

static void on_timer_drain(uv_timer_t *timer)
{
    service_drain(timer->data);
    service_drain(timer->data);
}

static void child_init(struct child *child, uint64_t drain_timeout_ms)
{
    struct service_settings settings = {.log_level = LOG_LEVEL_DEBUG, .drain_timeout_ms = drain_timeout_ms};

    child->hooks.end = end;
    if (uv_loop_init(&child->loop) != 0 ||
        service_init(&child->service, &child->loop, &settings, &child->hooks, child) != 0)
        exit(99);
    uv_timer_init(&child->loop, &child->timer);
    child->timer.data = &child->service;
    uv_timer_start(&child->timer, on_timer, 10, 10);
}

static int child_run(struct child *child)
{
    int code = service_run(&child->service);

    return uv_loop_close(&child->loop) == 0 ? code : 98;
}

static int well_behaved(void)
{
    struct child child = {.hooks = {.drain = drain_and_done, .reload = reload}};

    child_init(&child, 60000);
    service_ready(&child.service);
    service_ready(&child.service);
    return child_run(&child);
}

static int without_reload(void)
{
    struct child child = {.hooks = {.drain = drain_and_done}};

    child_init(&child, 60000);
    service_ready(&child.service);
    return child_run(&child);
}

static int never_drained(void)
{
    struct child child = {.hooks = {.drain = drain_forever, .reload = reload}};

    child_init(&child, 60000);
    service_ready(&child.service);
    return child_run(&child);
}

static int drained_too_slowly(void)
{
    struct child child = {.hooks = {.drain = drain_forever}};

    child_init(&child, 100);
    service_ready(&child.service);
    return child_run(&child);
}

static int failed_at_start(void)
{
    struct child child = {.hooks = {.drain = drain_forever}};

    child_init(&child, 60000);
    service_fail(&child.service);
    service_done(&child.service); /* too late to matter */
    return child_run(&child);
}

static int done_by_itself(void)
{
    struct child child = {.hooks = {.drain = drain_forever}};

    child_init(&child, 60000);
    service_ready(&child.service);
    uv_timer_start(&child.timer, on_timer_done, 20, 0);
    return child_run(&child);
}

static int drained_by_itself(void)
{
    struct child child = {.hooks = {.drain = drain_forever}};

    child_init(&child, 500);
    uv_timer_start(&child.timer, on_timer_drain, 1, 0);
    return child_run(&child);
}

static int with_a_forgotten_handle(void)
{
    struct child child = {.hooks = {.drain = drain_and_done}};

    child_init(&child, 60000);
    uv_timer_init(&child.loop, &child.forgotten);
    uv_timer_start(&child.forgotten, on_timer, 10, 10);
    service_ready(&child.service);
    return child_run(&child);
}

static void sleep_long(uv_work_t *work)
{
    (void)work;
    sleep(60);
}

static int with_a_request_in_flight(void)
{
    struct child child = {.hooks = {.drain = drain_and_done}};

    child_init(&child, 60000);
    uv_queue_work(&child.loop, &child.work, sleep_long, NULL);
    service_ready(&child.service);
    return child_run(&child);
}

static int with_changed_settings(void)
{
    struct child child = {.hooks = {.drain = drain_forever}};
    struct service_settings changed = {.log_level = LOG_LEVEL_WARNING, .drain_timeout_ms = 50};

    child_init(&child, 60000);
    service_ready(&child.service);
    service_set(&child.service, &changed);
    return child_run(&child);
}

static int writing_to_a_closed_pipe(void)
{
    struct child child = {.hooks = {.drain = drain_and_done}};
    struct rlimit limit = {.rlim_cur = 64, .rlim_max = 128};
    int ends[2];

    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || pipe(ends) != 0)
        return 97;
    child_init(&child, 60000);
    close(ends[0]);
    if (write(ends[1], "x", 1) != -1) /* SIGPIPE would have ended us */
        return 96;
    close(ends[1]);
    getrlimit(RLIMIT_NOFILE, &limit);
    log_info(NULL, "limit", LOG_UINT("cur", limit.rlim_cur));
    service_ready(&child.service);
    return child_run(&child);
}

/* --- The parent --- */

static void start(struct fixture *fixture, int (*daemon)(void))
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    fixture->pid = fork();
    assert_true(fixture->pid >= 0);
    if (fixture->pid == 0) {
        alarm(60); /* no child outlives a broken test */
        setenv("NOTIFY_SOCKET", fixture->notify_path, 1);
        close(ends[0]);
        log_set_fd(ends[1]);
        exit(daemon());
    }
    close(ends[1]);
    fixture->log_end = ends[0];
}

/* Reads the log until the text comes up; 0 when it ended before. */
static int wait_for(struct fixture *fixture, const char *text)
{
    while (strstr(fixture->log, text) == NULL) {
        ssize_t length = read(fixture->log_end, fixture->log + fixture->log_length,
                              sizeof(fixture->log) - 1 - fixture->log_length);
        if (length <= 0)
            return 0;
        fixture->log_length += (size_t)length;
    }
    return 1;
}

static int wait_for_exit(struct fixture *fixture)
{
    int status;

    wait_for(fixture, "never logged");
    assert_int_equal(waitpid(fixture->pid, &status, 0), fixture->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_logged(const struct fixture *fixture, const char *text)
{
    if (strstr(fixture->log, text) == NULL)
        fail_msg("'%s' is not in the log:\n%s", text, fixture->log);
}

static void assert_not_logged(const struct fixture *fixture, const char *text)
{
    if (strstr(fixture->log, text) != NULL)
        fail_msg("'%s' is in the log:\n%s", text, fixture->log);
}

static void assert_notified(const struct fixture *fixture, const char *expected)
{
    char text[256];
    ssize_t length = recv(fixture->notify, text, sizeof(text) - 1, 0);

    text[length > 0 ? length : 0] = '\0';
    assert_memory_equal(text, expected, strlen(expected) + 1);
}

static void stops_after_a_drain(struct fixture *fixture, int signal_number, const char *reason)
{
    start(fixture, well_behaved);
    assert_true(wait_for(fixture, " info ready version="));
    kill(fixture->pid, signal_number);
    assert_int_equal(wait_for_exit(fixture), 0);
    assert_logged(fixture, reason);
    const char *drain = strstr(fixture->log, "drain called"),
               *returned = strstr(fixture->log, "drain returns");
    const char *ended = strstr(fixture->log, "end called"), *stopped = strstr(fixture->log, "stopped code=0");
    assert_true(drain != NULL && returned != NULL && ended != NULL && stopped != NULL);
    assert_true(drain < returned && returned < ended && ended < stopped);
    assert_not_logged(fixture, "warning");
    assert_null(strstr(strstr(fixture->log, " ready ") + 1, " ready "));
    assert_notified(fixture, "READY=1");
    assert_notified(fixture, "STOPPING=1");
}

static void sigterm_drains_and_ends(void **state)
{
    stops_after_a_drain(*state, SIGTERM, " info stopping reason=SIGTERM drain_timeout_ms=60000\n");
}

static void sigint_drains_and_ends(void **state)
{
    stops_after_a_drain(*state, SIGINT, " info stopping reason=SIGINT drain_timeout_ms=60000\n");
}

static void a_drain_has_a_time_limit(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, drained_too_slowly);
    assert_true(wait_for(fixture, " ready "));
    kill(fixture->pid, SIGTERM);
    assert_int_equal(wait_for_exit(fixture), 0);
    assert_logged(fixture, "drain called");
    assert_logged(fixture, " warning drain time is up drain_timeout_ms=100\n");
    assert_logged(fixture, "end called");
}

static void a_second_signal_ends_at_once(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, never_drained);
    assert_true(wait_for(fixture, " ready "));
    kill(fixture->pid, SIGTERM);
    assert_true(wait_for(fixture, "drain called"));
    kill(fixture->pid, SIGINT);
    assert_int_equal(wait_for_exit(fixture), 1);
    assert_logged(fixture, "stopped at once by a second signal signal=SIGINT");
    assert_not_logged(fixture, "end called");
}

static void sighup_reloads(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, well_behaved);
    assert_true(wait_for(fixture, " ready "));
    kill(fixture->pid, SIGHUP);
    assert_true(wait_for(fixture, "reload called"));
    kill(fixture->pid, SIGTERM);
    assert_int_equal(wait_for_exit(fixture), 0);
    assert_notified(fixture, "READY=1");
    char text[128];
    ssize_t length = recv(fixture->notify, text, sizeof(text) - 1, 0);
    assert_true(length > 28);
    assert_memory_equal(text, "RELOADING=1\nMONOTONIC_USEC=", 27);
    assert_notified(fixture, "READY=1");
    assert_notified(fixture, "STOPPING=1");
}

static void sighup_without_reload_is_survived(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, without_reload);
    assert_true(wait_for(fixture, " ready "));
    kill(fixture->pid, SIGHUP);
    assert_true(wait_for(fixture, "reload not possible now"));
    kill(fixture->pid, SIGTERM);
    assert_int_equal(wait_for_exit(fixture), 0);
}

static void sighup_during_a_drain_does_not_reload(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, never_drained);
    assert_true(wait_for(fixture, " ready "));
    kill(fixture->pid, SIGTERM);
    assert_true(wait_for(fixture, "drain called"));
    kill(fixture->pid, SIGHUP);
    assert_true(wait_for(fixture, "reload not possible now"));
    kill(fixture->pid, SIGTERM);
    assert_int_equal(wait_for_exit(fixture), 1);
    assert_not_logged(fixture, "reload called");
}

static void a_failed_start_ends_with_1(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, failed_at_start);
    assert_int_equal(wait_for_exit(fixture), 1);
    assert_logged(fixture, "end called");
    assert_logged(fixture, "stopped code=1");
    assert_not_logged(fixture, "drain called");
    assert_not_logged(fixture, " ready ");
}

static void done_needs_no_signal(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, done_by_itself);
    assert_int_equal(wait_for_exit(fixture), 0);
    assert_logged(fixture, "end called");
    assert_not_logged(fixture, "drain called");
}

static void a_signal_during_a_drain_that_was_asked_for_is_the_first(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, drained_by_itself);
    assert_true(wait_for(fixture, "drain called"));
    kill(fixture->pid, SIGTERM);
    assert_int_equal(wait_for_exit(fixture), 0);
    assert_logged(fixture, "stopping reason=\"asked to\"");
    assert_logged(fixture, "drain time is up");
}

static void a_forgotten_handle_is_closed_and_told(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, with_a_forgotten_handle);
    assert_true(wait_for(fixture, " ready "));
    kill(fixture->pid, SIGTERM);
    assert_int_equal(wait_for_exit(fixture), 0);
    assert_logged(fixture, " warning handles left open at the end handles=1\n");
}

static void a_request_in_flight_does_not_hold_the_end_up(void **state)
{
    struct fixture *fixture = *state;
    uint64_t started_ms = uv_hrtime() / 1000000;

    start(fixture, with_a_request_in_flight);
    assert_true(wait_for(fixture, " ready "));
    kill(fixture->pid, SIGTERM);
    assert_int_equal(wait_for_exit(fixture), 0);
    assert_in_range(uv_hrtime() / 1000000 - started_ms, 900, 10000);
    assert_logged(fixture, "stopped code=0");
}

static void settings_can_change(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, with_changed_settings);
    assert_true(wait_for(fixture, " ready "));
    kill(fixture->pid, SIGTERM);
    assert_int_equal(wait_for_exit(fixture), 0);
    assert_not_logged(fixture, " info stopping");
    assert_logged(fixture, "drain time is up drain_timeout_ms=50");
}

static void sigpipe_is_ignored_and_the_descriptor_limit_raised(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, writing_to_a_closed_pipe);
    assert_true(wait_for(fixture, " ready "));
    assert_logged(fixture, "limit cur=128");
    kill(fixture->pid, SIGTERM);
    assert_int_equal(wait_for_exit(fixture), 0);
}

static void a_name_is_as_wanted_or_the_machine_s(void **state)
{
    char name[64], machine[64], cut[4];

    (void)state;
    assert_int_equal(gethostname(machine, sizeof(machine)), 0);
    assert_string_equal(service_name(name, sizeof(name), "rack-7"), "rack-7");
    assert_string_equal(service_name(name, sizeof(name), NULL), machine);
    assert_string_equal(service_name(cut, sizeof(cut), "rack-7"), "rac");
}

static void names_are_checked(void **state)
{
    char why[80] = "";
    char name[SERVICE_NAME_MAX + 1];

    (void)state;
    memset(name, 'n', sizeof(name));
    name[SERVICE_NAME_MAX] = '\0';
    assert_true(service_name_check(name, why, sizeof(why)) < 0);
    assert_string_equal(why, "64 bytes: a name has 63 at most");
    assert_int_equal(service_name_check(name + 1, why, sizeof(why)), 0);
    assert_true(service_name_check("", why, sizeof(why)) < 0);
}

static void each_run_has_a_number_of_its_own(void **state)
{
    (void)state;
    assert_true(service_instance() != service_instance());
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(sigterm_drains_and_ends),
        TEST(sigint_drains_and_ends),
        TEST(a_drain_has_a_time_limit),
        TEST(a_second_signal_ends_at_once),
        TEST(sighup_reloads),
        TEST(sighup_without_reload_is_survived),
        TEST(sighup_during_a_drain_does_not_reload),
        TEST(a_failed_start_ends_with_1),
        TEST(done_needs_no_signal),
        TEST(a_signal_during_a_drain_that_was_asked_for_is_the_first),
        TEST(a_forgotten_handle_is_closed_and_told),
        TEST(a_request_in_flight_does_not_hold_the_end_up),
        TEST(settings_can_change),
        TEST(sigpipe_is_ignored_and_the_descriptor_limit_raised),
        cmocka_unit_test(a_name_is_as_wanted_or_the_machine_s),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(each_run_has_a_number_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
