/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct flow {
    int fd;
    _Atomic uint64_t arrived; /* bytes known to have reached the far end of this direction */
    uint64_t total;           /* bytes moved when the thread has ended */
};

static atomic_bool stopping;
static const char block[BENCH_BLOCK_BYTES];

/* Takes the sink's answers that are there, or, with FLAGS 0, waits for some. */
static void take_acks(struct flow *flow, int flags)
{
    char acks[64];
    ssize_t n = recv(flow->fd, acks, sizeof(acks), flags);

    if (n > 0)
        flow->arrived += (uint64_t)n * BENCH_ACK_BYTES;
    else if (n == 0)
        bench_fail(0, "the sink closed");
    else if (flags == 0 || (errno != EAGAIN && errno != EINTR))
        bench_fail(errno, "receive from the sink");
}

/* Sends until told to stop, then waits until all whole units are answered: what was sent has been carried. */
static void *send_bulk(void *arg)
{
    struct flow *flow = arg;

    while (!stopping) {
        bench_send_all(flow->fd, block, sizeof(block));
        flow->total += sizeof(block);
        take_acks(flow, MSG_DONTWAIT);
    }
    while (flow->arrived < flow->total / BENCH_ACK_BYTES * BENCH_ACK_BYTES)
        take_acks(flow, 0);
    return NULL;
}

static void *receive_bulk(void *arg)
{
    struct flow *flow = arg;
    char *buffer = bench_alloc(1, BENCH_BLOCK_BYTES);

    while (!stopping) {
        ssize_t n = recv(flow->fd, buffer, BENCH_BLOCK_BYTES, 0);

        if (n <= 0)
            bench_fail(n < 0 ? errno : 0, "receive from the source");
        flow->arrived += (uint64_t)n;
    }
    flow->total = flow->arrived;
    free(buffer);
    return NULL;
}

static uint64_t arrived_in_all(const struct flow *flows, unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += flows[i].arrived;
    return sum;
}

static void pause_for(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds};

    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static void move_bulk(const struct load_options *options, void *(*run)(void *))
{
    struct flow *flows = bench_alloc(options->sessions, sizeof(*flows));
    pthread_t *threads = bench_alloc(options->sessions, sizeof(*threads));
    uint64_t begun, bytes, moved = 0;
    double seconds;

    for (unsigned i = 0; i < options->sessions; i++)
        flows[i].fd = bench_connect(&options->target, i);
    bench_start(threads, options->sessions, run, flows, sizeof(*flows));

    pause_for(options->warmup_seconds);
    begun = bench_now_ns();
    bytes = arrived_in_all(flows, options->sessions);
    pause_for(options->seconds);
    bytes = arrived_in_all(flows, options->sessions) - bytes;
    seconds = (double)(bench_now_ns() - begun) / 1e9;

    stopping = true;
    bench_join(threads, options->sessions);
    for (unsigned i = 0; i < options->sessions; i++) {
        moved += flows[i].total;
        close(flows[i].fd);
    }
    printf("bytes_per_s=%.0f\nbytes=%" PRIu64 "\ncpu_s=%.6f\n", (double)bytes / seconds, moved,
           bench_cpu_seconds());
    free(threads);
    free(flows);
}

void load_up(const struct load_options *options)
{
    move_bulk(options, send_bulk);
}

void load_down(const struct load_options *options)
{
    move_bulk(options, receive_bulk);
}
