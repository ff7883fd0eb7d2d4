/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/scenario.h"

#include "tests/unit/mux/kit/check.h"

/* Outlasts all faults of a seed together, so that no session may expire but one whose other edge is gone. */
#define DETACH_TIMEOUT_MS 1800000u

/* A session moves at most so many pieces: with small pieces it has few bytes. */
#define PIECES_MAX 60u

#define SESSION_BYTES_MAX 300000u

/* One session in so many has a far edge that says hardly anything: nothing tells that its near edge is an old
 * one but what that has sent. */
#define QUIET_ONE_IN    5u
#define QUIET_BYTES_MAX 10u

/* One seed in so many has sessions that send more than the link takes, so that their relays hold them back.
 */
#define BULK_ONE_IN   64u
#define BULK_SESSIONS 3u
#define BULK_BYTES    500000u

static uint64_t pick(struct kit_rng *rng, const uint64_t *values, unsigned count)
{
    return values[kit_below(rng, count)];
}

#define PICK(rng, ...)                                                                                       \
    pick(rng, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static bool is_bulk(uint64_t seed)
{
    return seed % BULK_ONE_IN == 0;
}

static void make_bulk(struct kit_world_config *config)
{
    config->window_bytes = 524288;
    config->read_max = KIT_WAY_SIZE;
    config->write_max = KIT_WAY_SIZE;
}

struct kit_world_config scenario_config(uint64_t seed, unsigned sessions)
{
    struct kit_rng rng = {.state = kit_mix(seed ^ 0x5ce9a210u)};
    struct kit_world_config config = {
        .seed = seed,
        .sessions = sessions > 0 ? sessions : 1 + (unsigned)kit_below(&rng, 6),
        .latency_max_ms = (uint32_t)PICK(&rng, 0, 1, 30, 400),
        .write_max = (size_t)PICK(&rng, 50, 1500, 8192, 8192),
        .read_max = (size_t)PICK(&rng, 50, 1500, 8192, 8192),
        .window_bytes = (uint32_t)PICK(&rng, 65536, 131072, 262144),
        .host_window_bytes = (uint32_t)PICK(&rng, 1000, 65536, 262144),
        .detach_timeout_ms = DETACH_TIMEOUT_MS,
    };

    if (is_bulk(seed))
        make_bulk(&config);
    return config;
}

static enum kit_finale finale(struct kit_rng *rng)
{
    if (!kit_one_in(rng, 5))
        return KIT_FINALE_FIN;
    return kit_one_in(rng, 2) ? KIT_FINALE_RESET : KIT_FINALE_FINISH;
}

static struct kit_plan side_plan(struct kit_world *world, uint64_t piece_max)
{
    struct kit_rng *rng = &world->rng;
    uint64_t narrowest =
        world->config.read_max < world->config.write_max ? world->config.read_max : world->config.write_max;
    uint64_t most = PIECES_MAX * (piece_max < narrowest ? piece_max : narrowest);

    return (struct kit_plan){
        .send_bytes = kit_size(rng, most < SESSION_BYTES_MAX ? most : SESSION_BYTES_MAX) - 1,
        .piece_max = piece_max,
        .pause_max_ms = (uint32_t)PICK(rng, 0, 3, 100),
        .finale = finale(rng),
    };
}

void scenario_plan(struct kit_world *world, unsigned index, struct kit_plan *near, struct kit_plan *far)
{
    uint64_t piece_max = PICK(&world->rng, 20, 1000, 20000, 100000);

    *near = side_plan(world, piece_max);
    *far = side_plan(world, piece_max);
    if (kit_one_in(&world->rng, QUIET_ONE_IN))
        far->send_bytes = kit_below(&world->rng, QUIET_BYTES_MAX);
    if (index < BULK_SESSIONS && is_bulk(world->config.seed))
        *near = (struct kit_plan){.send_bytes = BULK_BYTES, .piece_max = BULK_BYTES};
    far->answer =
        kit_one_in(&world->rng, 3) && far->finale == KIT_FINALE_FIN && near->finale == KIT_FINALE_FIN;
}

/* Both closed, with codes that this edge's own finale or the other's explains. */
static void check_code(const struct kit_app *app, const char *edge)
{
    KIT_CHECK(app->closed, "%s is not closed", edge);
    KIT_CHECK(app->code == KIT_FINALE_CODE || app->code == MUX_SESSION_EXPIRED, "%s ended with %s: %s", edge,
              mux_code_name(app->code), app->reason);
}

/* Both directions were to end in order. */
static bool all_in_order(const struct kit_world *world, unsigned index)
{
    return world->nears[index].app.plan.finale == KIT_FINALE_FIN &&
           world->far_sessions[index].plan.finale == KIT_FINALE_FIN;
}

/*
 * The copy of a near edge was let in: nobody could see that it is not the one. Wrong bytes would have been
 * seen (app.h). Either of the two has gone on to the end, or their histories turned out to differ.
 */
static void check_let_in(const struct kit_world *world, unsigned index)
{
    const struct kit_app *near = &world->nears[index].app;
    const struct kit_app *copy = &world->copies[index]->app;
    const struct kit_app *far = &world->far_sessions[index].app;

    if (near->code == MUX_HISTORY_MISMATCH || copy->code == MUX_HISTORY_MISMATCH)
        KIT_CHECK(
            far->code == MUX_HISTORY_MISMATCH || far->code == MUX_SESSION_EXPIRED || far->code == MUX_OK,
            "session %u: histories differ, but the far edge ended with %s", index, mux_code_name(far->code));
    else if (all_in_order(world, index))
        KIT_CHECK(kit_world_complete(world, index) || kit_world_copy_complete(world, index),
                  "session %u: near %s (%s), copy %s (%s), far %s (%s)", index, mux_code_name(near->code),
                  near->reason, mux_code_name(copy->code), copy->reason, mux_code_name(far->code),
                  far->reason);
    else
        check_code(far, "the far edge");
}

static void check_session(const struct kit_world *world, unsigned index)
{
    const struct kit_app *near = &world->nears[index].app;
    const struct kit_far_session *session = &world->far_sessions[index];
    const struct kit_app *far = &session->app;

    if (all_in_order(world, index)) {
        KIT_CHECK(kit_world_complete(world, index), "session %u: near %s (%s), far %s (%s)", index,
                  mux_code_name(near->code), near->reason, mux_code_name(far->code), far->reason);
        return;
    }
    check_code(near, "the near edge");
    if (!session->opened)
        return; /* the near edge broke off before it was heard of */
    check_code(far, "the far edge");
    /* Whoever finishes alone gets all its bytes across first. */
    if (session->plan.finale == KIT_FINALE_FINISH && near->plan.finale == KIT_FINALE_FIN)
        KIT_CHECK(near->received == session->plan.send_bytes && near->code == KIT_FINALE_CODE,
                  "session %u: the near edge got %llu of %llu bytes and %s", index,
                  (unsigned long long)near->received, (unsigned long long)session->plan.send_bytes,
                  mux_code_name(near->code));
    if (near->plan.finale == KIT_FINALE_FINISH && session->plan.finale == KIT_FINALE_FIN)
        KIT_CHECK(far->received == near->plan.send_bytes, "session %u: the far edge got %llu of %llu bytes",
                  index, (unsigned long long)far->received, (unsigned long long)near->plan.send_bytes);
}

static void check_copied(const struct kit_world *world, unsigned index)
{
    if (world->far_sessions[index].copy_let_in)
        check_let_in(world, index);
    else if (!world->nears[index].off)
        check_session(world, index); /* refused: as if it had never come */
}

void scenario_check(const struct kit_world *world)
{
    for (unsigned i = 0; i < world->config.sessions; i++)
        world->copies[i] != NULL ? check_copied(world, i) : check_session(world, i);
}
