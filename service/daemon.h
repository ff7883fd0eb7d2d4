/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_DAEMON_H
#define SERVICE_DAEMON_H

/*
 * The life of a daemon on a uv_loop_t: signals, readiness, drain, a clean end.
 *
 *   STARTING ── service_ready ──► READY
 *       └───────────┬───────────────┘
 *       SIGTERM, SIGINT, service_drain        service_fail: from any state
 *                   ▼                                  │
 *               DRAINING ── service_done, time limit ──┴──► ENDING ──► service_run returns
 *                   └────── second signal: the process ends at once, exit code 1
 *
 *   int main(int argc, char **argv)
 *   {
 *       ...config_run, uv_loop_init...
 *       service_init(&d.service, &d.loop, &d.config.service, &hooks, &d);
 *       if (start_listening(&d) == 0)
 *           service_ready(&d.service);
 *       else
 *           service_fail(&d.service);
 *       int code = service_run(&d.service);
 *       uv_loop_close(&d.loop);
 *       config_free(&program, &d.config);
 *       return code;
 *   }
 *
 * Descriptors that systemd passes (socket activation) will be taken in service_init, which runs before
 * anything is opened; a daemon then gives them to net_acceptor like any other listening descriptor.
 */

#include "service/config.h"
#include "service/log.h"

#include <uv.h>

/* The settings that every daemon has; embed one in the daemon's config and its rows by SERVICE_SETTINGS. */
struct service_settings {
    int log_level; /* enum log_level */
    uint64_t drain_timeout_ms;
};

extern const struct config_choice service_log_levels[];

#define SERVICE_SETTINGS(owner, member)                                                                      \
    CONFIG_ENUM(owner, member.log_level, .name = "log-level", .initial = "info",                             \
                .choices = service_log_levels, .help = "the least urgent lines to log"),                     \
        CONFIG_DURATION(owner, member.drain_timeout_ms, .name = "drain-timeout", .initial = "10s",           \
                        .help = "how long SIGTERM waits for sessions to end")

/* What the daemon does at each turn. All are called from the loop. */
struct service_hooks {
    /* The first SIGTERM or SIGINT. Stop accepting, let sessions end, and call service_done when nothing is
     * left, from inside too. Required. */
    void (*drain)(void *ctx);
    /* SIGHUP, unless the drain has begun. NULL: the signal is only logged. */
    void (*reload)(void *ctx);
    /* Close every handle of the daemon, whatever is in flight. Called once, also after a drain that went
     * well. The loop goes on until the close callbacks have run, a second at most. Required. */
    void (*end)(void *ctx);
};

enum service_state { SERVICE_STARTING, SERVICE_READY, SERVICE_DRAINING, SERVICE_ENDING };

struct service {
    uv_loop_t *loop;
    const struct service_hooks *hooks;
    void *ctx;
    enum service_state state;
    int exit_code;
    unsigned stop_signals; /* SIGTERM and SIGINT so far */
    uint64_t drain_timeout_ms;
    uv_signal_t sigterm, sigint, sighup;
    uv_timer_t timer; /* to the next step: asked for, or at a time limit */
};

/*
 * Ignores SIGPIPE, raises the limit of open descriptors to the hard limit, sets the log level, watches the
 * signals. Call first, before anything is opened. `hooks` must outlive the service; the settings are copied.
 * 0 or a libuv error code, logged.
 */
int service_init(struct service *service, uv_loop_t *loop, const struct service_settings *settings,
                 const struct service_hooks *hooks, void *ctx);

/* Takes over settings after a reload: the log level, and the time limit of a drain that has not begun. */
void service_set(struct service *service, const struct service_settings *settings);

/* The daemon serves: logs "ready" and tells systemd. Only the first call counts. */
void service_ready(struct service *service);

/* Begins the drain as the first SIGTERM does; `drain` is called from the loop. Only the first call counts. */
void service_drain(struct service *service);

/* Nothing is left to do: the run ends with exit code 0. `end` is called from the loop, not from here. */
void service_done(struct service *service);

/* The daemon can't go on, and the caller has logged why: as service_done, with exit code 1. */
void service_fail(struct service *service);

/*
 * Runs the loop until the run has ended. Returns the exit code with no handle left on the loop: handles that
 * `end` forgot are closed and logged as a warning. When something is still in flight a second after `end`,
 * such as a name lookup that does not answer, the process ends here, by _exit with the code.
 */
int service_run(struct service *service);

/* Of a daemon's name, with its end: as much as a link tells its peer. */
#define SERVICE_NAME_MAX 64

/*
 * Who the daemon is, for those at the other end of a link. The name is `wanted`, or the machine's own if that
 * is NULL; returns `name`, cut to its size.
 */
const char *service_name(char *name, size_t size, const char *wanted);

/* Whether a name is short enough, and not empty: a config_check. */
int service_name_check(const char *value, char *why, size_t why_size);

/* A number by which this run is told from all others. */
uint64_t service_instance(void);

/*
 * Closes every handle that is not closing yet (without a callback) and runs the loop until all are closed:
 * for tests and programs without a struct service. Returns how many it had to close.
 */
unsigned service_close_handles(uv_loop_t *loop);

#endif
