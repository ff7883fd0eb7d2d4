/* SPDX-License-Identifier: Apache-2.0 */
/* bench-load: the near end of every measured path. `bench-load --help` lists its modes. */
#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: bench-load MODE --target ADDRESS:PORT [OPTION…]\n"
                            "  up | down   bulk data to a sink, from a source\n"
                            "  rtt         round trips of messages to an echo server\n"
                            "  open        connect, one byte there and back, close, again\n"
                            "  hold        open sessions and keep them idle until standard input ends\n"
                            "options\n"
                            "  --sessions N      at a time (1)\n"
                            "  --seconds S       to measure (2)\n"
                            "  --warmup S        up, down: before measuring (0.5)\n"
                            "  --size BYTES      rtt: of one message (100)\n"
                            "  --samples N       rtt: at most, per session (20000)\n"
                            "Prints key=value lines.\n";

static const struct load_mode {
    const char *name;
    void (*run)(const struct load_options *options);
} modes[] = {
    {"up", load_up}, {"down", load_down}, {"rtt", load_rtt}, {"open", load_open}, {"hold", load_hold},
};

static const struct option long_options[] = {
    {"target", required_argument, NULL, 't'},  {"sessions", required_argument, NULL, 'n'},
    {"seconds", required_argument, NULL, 's'}, {"warmup", required_argument, NULL, 'w'},
    {"size", required_argument, NULL, 'm'},    {"samples", required_argument, NULL, 'k'},
    {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
};

static const struct load_mode *find_mode(const char *name)
{
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    }
    fputs(usage, stderr);
    exit(1);
}

static void read_options(struct load_options *options, int argc, char **argv)
{
    int c;

    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (c) {
        case 't': options->target = bench_address(optarg); break;
        case 'n': options->sessions = (unsigned)bench_number("sessions", optarg, 1, 100000); break;
        case 's': options->seconds = bench_number("seconds", optarg, 0.01, 3600); break;
        case 'w': options->warmup_seconds = bench_number("warmup", optarg, 0, 60); break;
        case 'm': options->size_bytes = (unsigned)bench_number("size", optarg, 1, BENCH_BLOCK_BYTES); break;
        case 'k': options->samples = (unsigned)bench_number("samples", optarg, 1, 100e6); break;
        case 'h': fputs(usage, stdout); exit(0);
        default: exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    struct load_options options = {
        .sessions = 1, .seconds = 2, .warmup_seconds = 0.5, .size_bytes = 100, .samples = 20000};

    read_options(&options, argc, argv);
    if (optind != argc - 1 || options.target.sin_port == 0) {
        fputs(usage, stderr);
        return 1;
    }
    bench_allow_descriptors(options.sessions + 64);
    find_mode(argv[optind])->run(&options);
    return 0;
}
