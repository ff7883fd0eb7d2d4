/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WARMUP_MESSAGES 50 /* per session, not counted: first touch of buffers and caches */

struct pinger {
    const struct load_options *options;
    int fd;
    unsigned taken;       /* samples */
    uint32_t *samples_ns; /* room for options->samples */
};

static void round_trip(int fd, char *message, size_t len)
{
    bench_send_all(fd, message, len);
    bench_recv_all(fd, message, len);
}

static void *ping(void *arg)
{
    struct pinger *pinger = arg;
    size_t len = pinger->options->size_bytes;
    char *message = bench_alloc(1, len);
    uint64_t sent, now, deadline;

    for (int i = 0; i < WARMUP_MESSAGES; i++)
        round_trip(pinger->fd, message, len);
    now = bench_now_ns();
    deadline = now + (uint64_t)(pinger->options->seconds * 1e9);
    while (pinger->taken < pinger->options->samples && now < deadline) {
        sent = now;
        round_trip(pinger->fd, message, len);
        now = bench_now_ns();
        pinger->samples_ns[pinger->taken++] = now - sent < UINT32_MAX ? (uint32_t)(now - sent) : UINT32_MAX;
    }
    free(message);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Gathers all samples, sorted; the caller frees them. */
static uint32_t *sorted_samples(const struct pinger *pingers, unsigned count, size_t *total)
{
    uint32_t *all;
    size_t n = 0;

    for (unsigned i = 0; i < count; i++)
        n += pingers[i].taken;
    all = bench_alloc(n, sizeof(*all));
    *total = n;
    n = 0;
    for (unsigned i = 0; i < count; i++) {
        memcpy(all + n, pingers[i].samples_ns, pingers[i].taken * sizeof(*all));
        n += pingers[i].taken;
    }
    qsort(all, n, sizeof(*all), by_value);
    return all;
}

static void report(const struct pinger *pingers, unsigned count, double seconds)
{
    size_t n;
    uint32_t *samples = sorted_samples(pingers, count, &n);

    size_t made = n + count * WARMUP_MESSAGES;

    printf("round_trips=%zu\nround_trips_per_s=%.1f\n", made, (double)made / seconds);
    printf("p50_us=%.3f\np99_us=%.3f\nmax_us=%.3f\n", samples[n / 2] / 1e3, samples[n * 99 / 100] / 1e3,
           samples[n - 1] / 1e3);
    printf("cpu_s=%.6f\n", bench_cpu_seconds());
    free(samples);
}

void load_rtt(const struct load_options *options)
{
    struct pinger *pingers = bench_alloc(options->sessions, sizeof(*pingers));
    pthread_t *threads = bench_alloc(options->sessions, sizeof(*threads));
    uint64_t begun;
    double seconds;

    for (unsigned i = 0; i < options->sessions; i++) {
        pingers[i] = (struct pinger){
            .options = options,
            .fd = bench_connect(&options->target, i),
            .samples_ns = bench_alloc(options->samples, sizeof(uint32_t)),
        };
    }
    begun = bench_now_ns();
    bench_start(threads, options->sessions, ping, pingers, sizeof(*pingers));
    bench_join(threads, options->sessions);
    seconds = (double)(bench_now_ns() - begun) / 1e9;
    report(pingers, options->sessions, seconds);
    for (unsigned i = 0; i < options->sessions; i++) {
        close(pingers[i].fd);
        free(pingers[i].samples_ns);
    }
    free(threads);
    free(pingers);
}
