/* SPDX-License-Identifier: Apache-2.0 */
#include "service/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define END_LIMIT_MS 1000 /* for close callbacks, once everything was told to close */

const struct config_choice service_log_levels[] = {
    {"error", LOG_LEVEL_ERROR},
    {"warning", LOG_LEVEL_WARNING},
    {"info", LOG_LEVEL_INFO},
    {"debug", LOG_LEVEL_DEBUG},
    {NULL, 0},
};

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warning(NULL, "descriptor limit not raised", LOG_ERROR("error", -errno));
    else
        log_debug(NULL, "descriptor limit", LOG_UINT("descriptors", limit.rlim_cur));
}

/* The timer's one job at a time is the next step of the daemon's life. */
static void next_step(struct service *service, uv_timer_cb step, uint64_t after_ms)
{
    uv_timer_start(&service->timer, step, after_ms, 0);
}

static void on_end_limit(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void on_end(uv_timer_t *timer)
{
    struct service *service = timer->data;

    /* From here the loop ends by itself, as soon as the daemon's handles are closed. */
    next_step(service, on_end_limit, END_LIMIT_MS);
    uv_unref((uv_handle_t *)&service->timer);
    uv_unref((uv_handle_t *)&service->sigterm);
    uv_unref((uv_handle_t *)&service->sigint);
    uv_unref((uv_handle_t *)&service->sighup);
    service->hooks->end(service->ctx);
}

static void finish(struct service *service, int exit_code)
{
    if (service->state == SERVICE_ENDING)
        return;
    service->state = SERVICE_ENDING;
    service->exit_code = exit_code;
    next_step(service, on_end, 0);
}

static void on_drain_limit(uv_timer_t *timer)
{
    struct service *service = timer->data;

    log_warning(NULL, "drain time is up", LOG_UINT("drain_timeout_ms", service->drain_timeout_ms));
    finish(service, EXIT_SUCCESS);
}

static void on_drain(uv_timer_t *timer)
{
    struct service *service = timer->data;

    next_step(service, on_drain_limit, service->drain_timeout_ms);
    service->hooks->drain(service->ctx);
}

static void begin_drain(struct service *service, const char *reason)
{
    if (service->state >= SERVICE_DRAINING)
        return;
    service->state = SERVICE_DRAINING;
    log_info(NULL, "stopping", LOG_STR("reason", reason),
             LOG_UINT("drain_timeout_ms", service->drain_timeout_ms));
    sd_notify(0, "STOPPING=1");
    next_step(service, on_drain, 0);
}

static void on_stop_signal(uv_signal_t *handle, int number)
{
    struct service *service = handle->data;
    const char *name = number == SIGTERM ? "SIGTERM" : "SIGINT";

    if (++service->stop_signals > 1) {
        log_warning(NULL, "stopped at once by a second signal", LOG_STR("signal", name));
        _exit(EXIT_FAILURE);
    }
    begin_drain(service, name);
}

static void on_reload_signal(uv_signal_t *handle, int number)
{
    struct service *service = handle->data;

    (void)number;
    if (service->hooks->reload == NULL || service->state != SERVICE_READY) {
        log_info(NULL, "reload not possible now", LOG_STR("signal", "SIGHUP"));
        return;
    }
    log_info(NULL, "reloading", LOG_STR("signal", "SIGHUP"));
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(uv_hrtime() / 1000));
    service->hooks->reload(service->ctx);
    sd_notify(0, "READY=1");
}

static int watch(struct service *service, uv_signal_t *handle, uv_signal_cb callback, int number)
{
    int error = uv_signal_init(service->loop, handle);

    if (error != 0)
        return error;
    handle->data = service;
    return uv_signal_start(handle, callback, number);
}

static int watch_signals(struct service *service)
{
    int error = watch(service, &service->sigterm, on_stop_signal, SIGTERM);

    if (error == 0)
        error = watch(service, &service->sigint, on_stop_signal, SIGINT);
    if (error == 0)
        error = watch(service, &service->sighup, on_reload_signal, SIGHUP);
    return error;
}

int service_init(struct service *service, uv_loop_t *loop, const struct service_settings *settings,
                 const struct service_hooks *hooks, void *ctx)
{
    *service = (struct service){.loop = loop, .hooks = hooks, .ctx = ctx, .state = SERVICE_STARTING};
    service_set(service, settings);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    int error = watch_signals(service);
    if (error != 0) {
        log_error(NULL, "signals can't be watched", LOG_ERROR("error", error));
        service_close_handles(loop);
        return error;
    }
    uv_timer_init(loop, &service->timer);
    service->timer.data = service;
    return 0;
}

void service_set(struct service *service, const struct service_settings *settings)
{
    log_set_level((enum log_level)settings->log_level);
    service->drain_timeout_ms = settings->drain_timeout_ms;
}

void service_ready(struct service *service)
{
    if (service->state != SERVICE_STARTING)
        return;
    service->state = SERVICE_READY;
    log_info(NULL, "ready", LOG_STR("version", AMQPVSOCK_VERSION));
    sd_notify(0, "READY=1");
}

void service_drain(struct service *service)
{
    begin_drain(service, "asked to");
}

void service_done(struct service *service)
{
    finish(service, EXIT_SUCCESS);
}

void service_fail(struct service *service)
{
    finish(service, EXIT_FAILURE);
}

const char *service_name(char *name, size_t size, const char *wanted)
{
    struct utsname machine;

    if (wanted == NULL)
        wanted = uname(&machine) == 0 ? machine.nodename : "unknown";
    snprintf(name, size, "%s", wanted);
    return name;
}

int service_name_check(const char *value, char *why, size_t why_size)
{
    if (value[0] == '\0')
        snprintf(why, why_size, "a name is needed");
    else if (strlen(value) >= SERVICE_NAME_MAX)
        snprintf(why, why_size, "%zu bytes: a name has %d at most", strlen(value), SERVICE_NAME_MAX - 1);
    else
        return 0;
    return -EINVAL;
}

uint64_t service_instance(void)
{
    uint64_t instance;

    if (getrandom(&instance, sizeof(instance), 0) != (ssize_t)sizeof(instance))
        instance = (uint64_t)getpid();
    return instance;
}

static void close_handle(uv_handle_t *handle, void *count)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
        (*(unsigned *)count)++;
    }
}

static void count_handle(uv_handle_t *handle, void *count)
{
    (void)handle;
    (*(unsigned *)count)++;
}

unsigned service_close_handles(uv_loop_t *loop)
{
    unsigned closed = 0, left;

    /* Not UV_RUN_DEFAULT: that would wait for requests too. Close callbacks may open further handles. */
    do {
        uv_walk(loop, close_handle, &closed);
        uv_run(loop, UV_RUN_NOWAIT);
        left = 0;
        uv_walk(loop, count_handle, &left);
    } while (left > 0);
    return closed;
}

static void close_own_handles(struct service *service)
{
    uv_close((uv_handle_t *)&service->sigterm, NULL);
    uv_close((uv_handle_t *)&service->sigint, NULL);
    uv_close((uv_handle_t *)&service->sighup, NULL);
    uv_close((uv_handle_t *)&service->timer, NULL);
}

int service_run(struct service *service)
{
    uv_run(service->loop, UV_RUN_DEFAULT);
    close_own_handles(service);
    unsigned forgotten = service_close_handles(service->loop);
    if (forgotten > 0)
        log_warning(NULL, "handles left open at the end", LOG_UINT("handles", forgotten));
    log_info(NULL, "stopped", LOG_INT("code", service->exit_code));
    if (uv_loop_alive(service->loop))
        _exit(service->exit_code); /* exit() would wait for the threads of unfinished requests */
    return service->exit_code;
}
