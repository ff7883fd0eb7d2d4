/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-load's modes. Each runs to its end in blocking threads, one per session, and prints key=value lines.
 * A connection that fails or stalls is fatal: a figure got from part of the sessions would mislead.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "net.h"
#include "threads.h"

struct load_options {
    struct sockaddr_in target; /* far end, or the proxy in front of it */
    unsigned sessions;         /* how many at a time */
    double seconds;            /* how long to measure */
    double warmup_seconds;     /* bulk: before measuring */
    unsigned size_bytes;       /* rtt: of one message */
    unsigned samples;          /* rtt: at most, per session */
};

/*
 * Moves data as fast as it goes: up to a sink, down from a source.
 * Prints bytes_per_s within the measured window, bytes in all (warm-up and end included), cpu_s of this
 * process.
 */
void load_up(const struct load_options *options);
void load_down(const struct load_options *options);

/*
 * Each session sends a message to an echo server, waits for it to come back whole, and again.
 * Prints round trips, round_trips_per_s, p50_us, p99_us, max_us, cpu_s.
 */
void load_rtt(const struct load_options *options);

/*
 * As many at a time as there are sessions: connect, one byte there and back, close, and again.
 * Prints opened, opened_per_s, cpu_s.
 */
void load_open(const struct load_options *options);

/*
 * Opens all sessions one after the other, each with one byte there and back; prints held once they stand and
 * keeps them idle until standard input ends.
 */
void load_hold(const struct load_options *options);

#endif
