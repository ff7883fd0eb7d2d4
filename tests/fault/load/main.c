/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   fault-load --port PORT --vhost VHOST --name NAME [--host ADDRESS] [--heartbeat SECONDS] [--pairs N]
 *              [--idlers N] [--listeners N] [--visitors N] [--slower FACTOR] [--patience SECONDS]
 *
 * Commands come on standard input, a line each; every command is answered by a line of JSON:
 *
 *   stat MS   the account so far, with "behind": how many threads have done nothing yet that was begun after
 *             MS of the monotonic clock, and "pause_ms": the longest that a piece of work took, since the
 *             last stat
 *   stop      end in order; answers with the final account, and the program ends
 */
#include "load.h"
#include "message.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct load_options load_options = {.host = "127.0.0.1",
                                    .name = "load",
                                    .heartbeat_s = 60,
                                    .pairs = 3,
                                    .idlers = 4,
                                    .listeners = 1,
                                    .visitors = 1,
                                    .slower = 1,
                                    .patience_s = 60};
struct load_tally load_tally;
atomic_bool load_stopping;

static const char usage[] = "fault-load --port PORT --vhost VHOST --name NAME, see tests/fault/load/main.c";

static void __attribute__((noreturn)) fail(const char *text)
{
    fprintf(stderr, "fault-load: %s\n", text);
    exit(2);
}

static unsigned number_of(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || number > 65535)
        fail(usage);
    return (unsigned)number;
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"host", required_argument, NULL, 'h'},      {"port", required_argument, NULL, 'p'},
        {"vhost", required_argument, NULL, 'v'},     {"name", required_argument, NULL, 'n'},
        {"heartbeat", required_argument, NULL, 'b'}, {"pairs", required_argument, NULL, 'a'},
        {"idlers", required_argument, NULL, 'i'},    {"listeners", required_argument, NULL, 't'},
        {"visitors", required_argument, NULL, 's'},  {"slower", required_argument, NULL, 'l'},
        {"patience", required_argument, NULL, 'e'},  {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'h': load_options.host = optarg; break;
        case 'p': load_options.port = (int)number_of(optarg); break;
        case 'v': load_options.vhost = optarg; break;
        case 'n': load_options.name = optarg; break;
        case 'b': load_options.heartbeat_s = (int)number_of(optarg); break;
        case 'a': load_options.pairs = number_of(optarg); break;
        case 'i': load_options.idlers = number_of(optarg); break;
        case 't': load_options.listeners = number_of(optarg); break;
        case 's': load_options.visitors = number_of(optarg); break;
        case 'l': load_options.slower = number_of(optarg); break;
        case 'e': load_options.patience_s = number_of(optarg); break;
        default: fail(usage);
        }
    }
    if (optind != argc || load_options.port == 0 || load_options.vhost == NULL)
        fail(usage);
}

/* ── The threads ── */

static struct load_worker *workers;
static unsigned worker_count;

static void *run(void *arg)
{
    struct load_worker *worker = arg;

    worker->run(worker);
    return NULL;
}

static void prepare(struct load_pair **pairs)
{
    for (unsigned i = 0; i < load_options.pairs; i++, worker_count += 2) {
        pairs[i] = load_pair_create(i, &workers[worker_count], &workers[worker_count + 1]);
        if (pairs[i] == NULL)
            fail("out of memory");
    }
    for (unsigned i = 0; i < load_options.idlers; i++)
        workers[worker_count++] = (struct load_worker){.run = load_idle, .role = "idler", .index = i};
    if (load_options.listeners > 0)
        workers[worker_count++] = (struct load_worker){.run = load_tick, .role = "ticker"};
    for (unsigned i = 0; i < load_options.listeners; i++)
        workers[worker_count++] = (struct load_worker){.run = load_listen, .role = "listener", .index = i};
    for (unsigned i = 0; i < load_options.visitors; i++)
        workers[worker_count++] = (struct load_worker){.run = load_visit, .role = "visitor", .index = i};
}

static void start(void)
{
    for (unsigned i = 0; i < worker_count; i++)
        if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
            fail("no more threads");
}

static void end(struct load_pair **pairs)
{
    atomic_store(&load_stopping, true);
    for (unsigned i = 0; i < worker_count; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < load_options.pairs; i++)
        free(pairs[i]);
}

/* ── Commands ── */

static unsigned behind(uint64_t since_ms)
{
    unsigned count = 0;

    for (unsigned i = 0; i < worker_count; i++)
        count += atomic_load(&workers[i].fresh_ms) < since_ms;
    return count;
}

static void tell(uint64_t since_ms)
{
    const struct load_tally *tally = &load_tally;

    printf("{\"behind\": %u, \"pause_ms\": %" PRIu64 ", \"sessions\": %" PRIu64 ", \"published\": %" PRIu64
           ", \"confirmed\": %" PRIu64 ", \"consumed\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"duplicated\": %" PRIu64 ", \"corrupt\": %" PRIu64 ", \"disconnects\": %" PRIu64 "}\n",
           behind(since_ms), atomic_exchange(&load_tally.pause_ms, 0), tally->sessions, tally->published,
           tally->confirmed, tally->consumed, tally->lost, tally->duplicated, tally->corrupt,
           tally->disconnects);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct load_pair **pairs;
    char line[64];

    read_options(argc, argv);
    message_init();
    pairs = calloc(load_options.pairs + 1, sizeof(struct load_pair *));
    workers = calloc(2 * load_options.pairs + load_options.idlers + load_options.listeners +
                         load_options.visitors + 2,
                     sizeof(*workers));
    if (pairs == NULL || workers == NULL)
        fail("out of memory");
    prepare(pairs);
    start();
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strncmp(line, "stop", 4) == 0) {
            end(pairs);
            tell(0);
            free(pairs);
            free(workers);
            return 0;
        }
        if (strncmp(line, "stat ", 5) != 0)
            fail(usage);
        tell(strtoull(line + 5, NULL, 10));
    }
    _Exit(1); /* whoever started us is gone */
}
