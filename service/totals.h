/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_TOTALS_H
#define SERVICE_TOTALS_H

/*
 * A daemon's counters, told in one log line now and then, and when it ends:
 *
 *   2026-03-01T12:00:00.123Z info totals sessions=120 detaches=3 resumes=3 replayed_bytes=8192
 */

#include <stdint.h>
#include <uv.h>

#define TOTALS_MAX 16

struct total {
    const char *name; /* lower-case words with underscores; NULL ends the table */
    uint64_t value;   /* only grows */
};

struct totals {
    struct total *table; /* the daemon's; ends with .name = NULL; at most TOTALS_MAX rows */
    uint64_t told;       /* sum of the values in the last line: nothing new, no line */
    uv_timer_t timer;
};

/* Log a line every `interval_ms` in which something was counted; 0: only by totals_log. Does not keep the
 * loop alive. */
void totals_init(struct totals *totals, uv_loop_t *loop, struct total *table, uint64_t interval_ms);

/* Log a line now, unless nothing was counted since the last one. */
void totals_log(struct totals *totals);

/* The timer is closed once the loop has turned. */
void totals_close(struct totals *totals);

#endif
