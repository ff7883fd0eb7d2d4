/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator: many sessions through the whole chain, in one process and on a clock that jumps, once for
 * each seed. Splits, short writes and delays always; with faults, transports also break, fall silent, hosts
 * die, guests sleep, strangers come. Checked throughout: every byte once and in order, memory bounds,
 * everything ends, nothing leaks.
 *
 * When a seed fails it says so: `sim --seeds N-N` does the same again.
 */
#include "tests/sim/faults.h"
#include "tests/sim/scenario.h"
#include "tests/unit/mux/kit/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    uint64_t first;
    uint64_t last;
    unsigned sessions; /* 0: the seed says */
    bool faults;
};

struct totals {
    uint64_t sessions;
    uint64_t bytes; /* delivered */
    uint64_t detaches;
    uint64_t resumes;
    uint64_t replayed;
    uint64_t refused;
    uint64_t hours_ms; /* simulated time */
    uint64_t copies;   /* of near edges, from snapshots */
    uint64_t copies_let_in;
    uint64_t histories_differ; /* seen by a near edge, after that */
    uint64_t faults[FAULT_KINDS];
};

static int usage(void)
{
    fputs("usage: sim --seeds A-B [--sessions N] [--faults none|all]\n", stderr);
    return 2;
}

static bool parse_seeds(const char *text, struct options *options)
{
    char end;

    return sscanf(text, "%" SCNu64 "-%" SCNu64 "%c", &options->first, &options->last, &end) == 2 &&
           options->first <= options->last;
}

static bool parse_option(const char *name, const char *value, struct options *options)
{
    if (strcmp(name, "--seeds") == 0)
        return parse_seeds(value, options);
    if (strcmp(name, "--sessions") == 0) {
        options->sessions = (unsigned)strtoul(value, NULL, 10);
        return options->sessions > 0 && options->sessions <= KIT_SESSIONS_MAX;
    }
    if (strcmp(name, "--faults") == 0) {
        options->faults = strcmp(value, "all") == 0;
        return options->faults || strcmp(value, "none") == 0;
    }
    return false;
}

static void add_counters(struct totals *totals, const struct mux_session_counters *counters)
{
    totals->detaches += counters->detaches;
    totals->resumes += counters->resumes;
    totals->replayed += counters->replayed_bytes;
}

static void add_copies(struct totals *totals, const struct kit_world *world, unsigned index)
{
    if (world->copies[index] == NULL)
        return;
    totals->copies++;
    if (!world->far_sessions[index].copy_let_in)
        return;
    totals->copies_let_in++;
    if (world->nears[index].app.code == MUX_HISTORY_MISMATCH ||
        world->copies[index]->app.code == MUX_HISTORY_MISMATCH)
        totals->histories_differ++;
}

static void add(struct totals *totals, const struct kit_world *world, uint64_t started_ms)
{
    totals->sessions += world->config.sessions;
    totals->refused += world->far.refused;
    totals->hours_ms += world->now_ms - started_ms;
    for (unsigned i = 0; i < world->config.sessions; i++) {
        totals->bytes += world->nears[i].app.received + world->far_sessions[i].app.received;
        add_counters(totals, &world->nears[i].counters);
        add_counters(totals, &world->far_sessions[i].counters);
        add_copies(totals, world, i);
    }
}

/* Without faults no session may lose its transport, not even for a moment. */
static void check_undisturbed(const struct kit_world *world)
{
    for (unsigned i = 0; i < world->config.sessions; i++)
        KIT_CHECK(world->nears[i].app.detached == 0 && world->far_sessions[i].app.detached == 0,
                  "session %u lost its transport", i);
}

static void run_seed(uint64_t seed, const struct options *options, struct totals *totals)
{
    struct kit_world_config config = scenario_config(seed, options->sessions);
    struct kit_world *world;
    struct faults faults;
    uint64_t started_ms;

    kit_context("seed %" PRIu64, seed);
    world = kit_world_create(&config, scenario_plan);
    started_ms = world->now_ms;
    faults_init(&faults, world, totals->faults);
    do {
        if (options->faults)
            faults_turn(&faults, world);
    } while (kit_world_turn(world));
    scenario_check(world);
    if (!options->faults)
        check_undisturbed(world);
    add(totals, world, started_ms);
    kit_world_destroy(world);
}

static void print_totals(const struct options *options, const struct totals *totals)
{
    static const char *const texts[] = {
#define X(name, text) text,
        FAULTS(X)
#undef X
    };

    printf("seeds %" PRIu64 "-%" PRIu64 ": %" PRIu64 " sessions, %" PRIu64
           " bytes delivered once and in order, "
           "%" PRIu64 " h simulated",
           options->first, options->last, totals->sessions, totals->bytes, totals->hours_ms / 3600000);
    if (options->faults) {
        printf("\n%" PRIu64 " detaches, %" PRIu64 " resumes, %" PRIu64 " bytes replayed, %" PRIu64
               " OPENs refused; faults:",
               totals->detaches, totals->resumes, totals->replayed, totals->refused);
        for (int i = 0; i < FAULT_KINDS; i++)
            printf("%s %" PRIu64 " %s", i > 0 ? "," : "", totals->faults[i], texts[i]);
        printf("\n%" PRIu64 " near edges copied: %" PRIu64 " refused without harm, %" PRIu64
               " went on, %" PRIu64 " ended since histories differ",
               totals->copies, totals->copies - totals->copies_let_in,
               totals->copies_let_in - totals->histories_differ, totals->histories_differ);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    struct options options = {.first = 1, .last = 0};
    struct totals totals = {0};

    for (int i = 1; i < argc; i += 2)
        if (i + 1 == argc || !parse_option(argv[i], argv[i + 1], &options))
            return usage();
    if (options.first > options.last)
        return usage();
    for (uint64_t seed = options.first; seed <= options.last; seed++)
        run_seed(seed, &options, &totals);
    print_totals(&options, &totals);
    return 0;
}
