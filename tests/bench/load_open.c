/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct opener {
    const struct load_options *options;
    unsigned number; /* of this opener: where its source addresses begin */
    uint64_t deadline_ns;
    uint64_t opened;
};

/* A connection that has proved to lead to the far end. */
static int open_session(const struct load_options *options, unsigned source)
{
    int fd = bench_connect(&options->target, source);
    char byte = 'x';

    bench_send_all(fd, &byte, 1);
    bench_recv_all(fd, &byte, 1);
    return fd;
}

static void *open_and_close(void *arg)
{
    struct opener *opener = arg;

    while (bench_now_ns() < opener->deadline_ns) {
        close(open_session(opener->options, opener->number + (unsigned)opener->opened));
        opener->opened++;
    }
    return NULL;
}

void load_open(const struct load_options *options)
{
    struct opener *openers = bench_alloc(options->sessions, sizeof(*openers));
    pthread_t *threads = bench_alloc(options->sessions, sizeof(*threads));
    uint64_t begun = bench_now_ns(), opened = 0;
    double seconds;

    for (unsigned i = 0; i < options->sessions; i++) {
        openers[i] = (struct opener){
            .options = options, .number = i, .deadline_ns = begun + (uint64_t)(options->seconds * 1e9)};
    }
    bench_start(threads, options->sessions, open_and_close, openers, sizeof(*openers));
    bench_join(threads, options->sessions);
    seconds = (double)(bench_now_ns() - begun) / 1e9;
    for (unsigned i = 0; i < options->sessions; i++)
        opened += openers[i].opened;
    printf("opened=%" PRIu64 "\nopened_per_s=%.1f\ncpu_s=%.6f\n", opened, (double)opened / seconds,
           bench_cpu_seconds());
    free(threads);
    free(openers);
}

static void wait_for_end_of_input(void)
{
    char ignored[64];
    ssize_t n;

    do
        n = read(STDIN_FILENO, ignored, sizeof(ignored));
    while (n > 0 || (n < 0 && errno == EINTR));
}

void load_hold(const struct load_options *options)
{
    int *fds = bench_alloc(options->sessions, sizeof(*fds));

    for (unsigned i = 0; i < options->sessions; i++)
        fds[i] = open_session(options, i);
    printf("held=%u\n", options->sessions);
    fflush(stdout);
    wait_for_end_of_input();
    for (unsigned i = 0; i < options->sessions; i++)
        close(fds[i]);
    free(fds);
}
