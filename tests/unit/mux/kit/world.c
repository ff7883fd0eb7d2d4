/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/world.h"

#include "tests/unit/mux/kit/check.h"

#include <stdlib.h>
#include <string.h>

/* The clock starts here, so that "so long ago" never goes below zero. */
#define START_MS 1000000u

/* No run takes longer: turns, and time that passes in it. */
#define TURNS_MAX  5000000u
#define RUN_MAX_MS (24u * 3600u * 1000u)

/* ── Moving bytes ── */

static const struct kit_cut *next_cut(const struct kit_world *world, enum kit_lane lane)
{
    if (world->cuts_made == world->cut_count || world->cuts[world->cuts_made].lane != lane)
        return NULL;
    return &world->cuts[world->cuts_made];
}

/* Make the cut that is due on this lane. Returns whether there was one. */
static bool cut(struct kit_world *world, struct kit_stream *stream, enum kit_lane lane)
{
    const struct kit_cut *due = next_cut(world, lane);

    if (due == NULL || world->since[lane] < due->after)
        return false;
    kit_stream_reset(stream);
    world->cuts_made++;
    memset(world->since, 0, sizeof(world->since));
    return true;
}

static bool read_end(struct kit_world *world, struct kit_end *end, const struct kit_way *way,
                     enum kit_lane lane)
{
    const struct kit_cut *due = next_cut(world, lane);
    uint64_t before = way->passed;
    uint64_t max;
    bool done;

    if (!kit_end_alive(end))
        return false;
    if (cut(world, end->stream, lane))
        return true;
    max = kit_size(&world->rng, world->config.read_max);
    if (due != NULL && max > due->after - world->since[lane])
        max = due->after - world->since[lane];
    done = kit_end_read(end, (size_t)max, world->now_ms);
    world->passed[lane] += way->passed - before;
    world->since[lane] += way->passed - before;
    cut(world, end->stream, lane);
    return done;
}

static bool write_end(struct kit_world *world, struct kit_end *end)
{
    uint64_t max;
    uint64_t delay;

    if (!kit_end_alive(end))
        return false;
    max = kit_size(&world->rng, world->config.write_max);
    delay = kit_below(&world->rng, (uint64_t)world->config.latency_max_ms + 1);
    return kit_end_write(end, (size_t)max, delay, world->now_ms) > 0 || !kit_end_alive(end);
}

static bool end_tick(struct kit_world *world, struct kit_end *end)
{
    if (!kit_end_alive(end) || world->ticked_ms == world->now_ms || !kit_end_tick(end, world->now_ms))
        return false;
    KIT_CHECK(!kit_end_alive(end) || kit_end_deadline(end) > world->now_ms,
              "a link's timer fires again at once");
    return true;
}

/* One end of a stream reads, writes and looks at the clock. */
static bool step_end(struct kit_world *world, struct kit_end *end, const struct kit_way *in,
                     enum kit_lane lane)
{
    bool done = false;

    if (!kit_end_alive(end))
        return false;
    if (kit_end_quiet(end)) {
        done = cut(world, end->stream, lane);
    } else {
        done = read_end(world, end, in, lane);
        done = write_end(world, end) || done;
    }
    return end_tick(world, end) || done;
}

static bool step_stream(struct kit_world *world, struct kit_stream *stream, enum kit_lane up)
{
    bool done = step_end(world, &stream->b, &stream->ab, up);

    done = step_end(world, &stream->a, &stream->ba, up + 1) || done;
    kit_stream_reap(stream, world->now_ms);
    return done;
}

/* The host's end of a guest stream; the guest itself stands still. */
static bool step_frozen(struct kit_world *world, struct kit_stream *stream)
{
    bool done = step_end(world, &stream->b, &stream->ab, KIT_GUEST_UP);

    kit_stream_reap(stream, world->now_ms);
    return done;
}

static bool step_near(struct kit_world *world, struct kit_near *near)
{
    bool switched = kit_near_maybe_off(near, world->now_ms);
    bool frozen = near->off || world->now_ms < near->frozen_until_ms;
    bool done = (!frozen && kit_near_step(near, world->now_ms)) || switched;

    for (unsigned i = 0; i < KIT_NEAR_GUESTS; i++) {
        struct kit_stream *stream = &near->guests[i].stream;

        if (kit_stream_over(stream))
            continue;
        done = (frozen ? step_frozen(world, stream) : step_stream(world, stream, KIT_GUEST_UP)) || done;
        kit_guest_check_bounds(&near->guests[i]);
    }
    if (frozen)
        return done;
    done = kit_app_step(&near->app, &world->rng, world->now_ms) || done;
    done = kit_app_tick(&near->app, world->now_ms) || done;
    return done;
}

static bool step_nears(struct kit_world *world, unsigned index)
{
    bool done = step_near(world, &world->nears[index]);

    return (world->copies[index] != NULL && step_near(world, world->copies[index])) || done;
}

static bool step_far_session(struct kit_world *world, struct kit_far_session *session)
{
    bool done;

    if (!session->opened || session->app.closed)
        return false;
    done = kit_app_step(&session->app, &world->rng, world->now_ms);
    return kit_app_tick(&session->app, world->now_ms) || done;
}

static void set_clocks(struct kit_world *world)
{
    world->host.now_ms = world->now_ms;
    for (unsigned i = 0; i < world->live_count; i++) {
        world->nears[world->live[i]].app.now_ms = world->now_ms;
        if (world->copies[world->live[i]] != NULL)
            world->copies[world->live[i]]->app.now_ms = world->now_ms;
        world->far_sessions[world->live[i]].app.now_ms = world->now_ms;
    }
}

static bool step(struct kit_world *world)
{
    unsigned n = world->live_count;
    unsigned first = (unsigned)kit_below(&world->rng, n);
    bool done;

    set_clocks(world);
    done = kit_host_step(&world->host, world->now_ms);
    for (unsigned i = 0; i < n; i++)
        done = step_nears(world, world->live[(first + i) % n]) || done;
    for (unsigned i = 0; i < KIT_HOST_LINKS; i++)
        if (!kit_stream_over(&world->host.links[i]))
            done = step_stream(world, &world->host.links[i], KIT_LINK_UP) || done;
    world->ticked_ms = world->now_ms;
    for (unsigned i = 0; i < n; i++)
        done = step_far_session(world, &world->far_sessions[world->live[(first + i) % n]]) || done;
    return done;
}

/* ── Time ── */

/* `*next` becomes `at` when that is earlier and still to come. */
static void consider(const struct kit_world *world, uint64_t at, uint64_t *next)
{
    if (at > world->now_ms && at < *next)
        *next = at;
}

static void consider_stream(const struct kit_world *world, const struct kit_stream *stream, uint64_t *next)
{
    const struct kit_end *ends[] = {&stream->a, &stream->b};

    for (int i = 0; i < 2; i++) {
        if (!kit_end_alive(ends[i]))
            continue;
        consider(world, kit_end_next_read(ends[i]), next);
        consider(world, kit_end_deadline(ends[i]), next);
    }
}

static void consider_app(const struct kit_world *world, const struct kit_app *app, uint64_t *next)
{
    if (app->closed)
        return;
    consider(world, kit_app_deadline(app), next);
    consider(world, mux_session_deadline(&app->session), next);
}

static void consider_near(const struct kit_world *world, const struct kit_near *near, uint64_t *next)
{
    consider(world, near->frozen_until_ms, next);
    consider(world, near->off_at_ms, next);
    consider(world, kit_near_deadline(near), next);
    if (!near->off)
        consider_app(world, &near->app, next);
    for (unsigned i = 0; i < KIT_NEAR_GUESTS; i++)
        consider_stream(world, &near->guests[i].stream, next);
}

static uint64_t next_deadline(const struct kit_world *world)
{
    uint64_t next = UINT64_MAX;

    consider(world, kit_host_deadline(&world->host), &next);
    for (unsigned i = 0; i < KIT_HOST_LINKS; i++)
        consider_stream(world, &world->host.links[i], &next);
    for (unsigned k = 0; k < world->live_count; k++) {
        unsigned i = world->live[k];

        consider_near(world, &world->nears[i], &next);
        if (world->copies[i] != NULL)
            consider_near(world, world->copies[i], &next);
        if (world->far_sessions[i].opened)
            consider_app(world, &world->far_sessions[i].app, &next);
    }
    return next;
}

static bool near_over(const struct kit_near *near)
{
    if (!near->app.closed && !near->off)
        return false;
    for (unsigned i = 0; i < KIT_NEAR_GUESTS; i++)
        if (!kit_stream_over(&near->guests[i].stream) || near->guests[i].relayed)
            return false;
    return true;
}

static bool session_over(const struct kit_world *world, unsigned index)
{
    const struct kit_far_session *far = &world->far_sessions[index];

    return near_over(&world->nears[index]) &&
           (world->copies[index] == NULL || near_over(world->copies[index])) &&
           (!far->opened || far->app.closed);
}

/* Forget the sessions that are over. Those that the far edge never heard of stay: their OPEN may be under
 * way. */
static void prune(struct kit_world *world)
{
    for (unsigned i = 0; i < world->live_count;) {
        unsigned index = world->live[i];

        if (world->far_sessions[index].opened && session_over(world, index))
            world->live[i] = world->live[--world->live_count];
        else
            i++;
    }
}

static bool over(const struct kit_world *world)
{
    for (unsigned i = 0; i < world->live_count; i++)
        if (!session_over(world, world->live[i]))
            return false;
    return true;
}

bool kit_world_turn(struct kit_world *world)
{
    uint64_t next;

    if (over(world))
        return false;
    KIT_CHECK(++world->turns < TURNS_MAX, "it goes on for ever");
    if (step(world))
        return true;
    next = next_deadline(world);
    prune(world);
    KIT_CHECK(next != UINT64_MAX, "nothing moves any more");
    KIT_CHECK(next - START_MS < RUN_MAX_MS, "sessions are still not over");
    world->now_ms = next;
    return true;
}

void kit_world_run(struct kit_world *world)
{
    while (kit_world_turn(world))
        ;
}

/* ── Life ── */

static uint64_t salt(const struct kit_world *world, unsigned index, unsigned direction)
{
    return kit_mix(world->config.seed * 4096 + index * 2 + direction);
}

static void init_session(struct kit_world *world, unsigned index, kit_plan_for *plan_for)
{
    struct kit_far_session *far = &world->far_sessions[index];
    struct kit_plan near_plan = {0};
    uint64_t up = salt(world, index, 0);
    uint64_t down = salt(world, index, 1);

    plan_for(world, index, &near_plan, &far->plan);
    for (unsigned i = 0; i < MUX_TOKEN_SIZE; i++)
        far->token[i] = (uint8_t)kit_rand(&world->rng);
    far->salt_out = down;
    far->salt_in = up;
    far->peer_bytes = near_plan.send_bytes;
    kit_near_init(&world->nears[index], &world->host, &world->session_config, &world->near_pool, far->token,
                  &near_plan, up, down, far->plan.send_bytes, world->now_ms);
}

struct kit_world *kit_world_create(const struct kit_world_config *config, kit_plan_for *plan_for)
{
    struct kit_world *world = calloc(1, sizeof(*world));

    KIT_CHECK(config->sessions > 0 && config->sessions <= KIT_SESSIONS_MAX, "%u sessions", config->sessions);
    KIT_CHECK(world != NULL, "out of memory");
    world->config = *config;
    world->session_config = (struct mux_session_config){.window_bytes = config->window_bytes,
                                                        .ack_delay_ms = 20,
                                                        .ping_interval_ms = 10000,
                                                        .ping_timeout_ms = 5000,
                                                        .open_timeout_ms = 5000,
                                                        .detach_timeout_ms = config->detach_timeout_ms,
                                                        .connect_timeout_ms = config->detach_timeout_ms};
    world->rng.state = kit_mix(config->seed);
    world->now_ms = START_MS;
    mux_pool_init(&world->near_pool);
    world->nears = calloc(config->sessions, sizeof(*world->nears));
    world->copies = calloc(config->sessions, sizeof(*world->copies));
    world->far_sessions = calloc(config->sessions, sizeof(*world->far_sessions));
    world->live = calloc(config->sessions, sizeof(*world->live));
    KIT_CHECK(world->nears != NULL && world->copies != NULL && world->far_sessions != NULL &&
                  world->live != NULL,
              "out of memory");
    kit_far_init(&world->far, &world->session_config, world->far_sessions, config->sessions);
    kit_host_init(&world->host, &world->far, config->host_window_bytes);
    for (; world->live_count < config->sessions; world->live_count++) {
        world->live[world->live_count] = world->live_count;
        init_session(world, world->live_count, plan_for);
    }
    return world;
}

void kit_world_destroy(struct kit_world *world)
{
    for (unsigned i = 0; i < world->config.sessions; i++)
        kit_near_deinit(&world->nears[i], world->now_ms);
    for (unsigned i = 0; i < world->config.sessions; i++) {
        if (world->copies[i] != NULL)
            kit_near_deinit(world->copies[i], world->now_ms);
        free(world->copies[i]);
    }
    kit_host_deinit(&world->host, world->now_ms);
    kit_far_deinit(&world->far);
    mux_pool_deinit(&world->near_pool);
    free(world->live);
    free(world->far_sessions);
    free(world->copies);
    free(world->nears);
    free(world);
}

bool kit_world_copy(struct kit_world *world, unsigned index, uint64_t wakes_ms, bool revert)
{
    struct kit_near *near = &world->nears[index];
    struct kit_far_session *far = &world->far_sessions[index];
    struct kit_fork fork = {.at = near->app.sent, .salt = salt(world, index, 0) + 1, .exists = true};
    struct kit_near *copy;

    if (world->copies[index] != NULL || near->app.closed || near->app.session.state >= MUX_SESSION_CLOSING)
        return false;
    copy = calloc(1, sizeof(*copy));
    KIT_CHECK(copy != NULL, "out of memory");
    kit_near_copy(copy, near, fork.salt, wakes_ms, &world->rng);
    world->copies[index] = copy;
    far->fork = fork; /* for when it is opened */
    far->app.fork = fork;
    if (revert)
        near->off_at_ms = wakes_ms;
    return true;
}

static bool complete(const struct kit_near *near, const struct kit_far_session *far)
{
    return kit_app_complete(&near->app) && far->opened && kit_app_complete(&far->app);
}

bool kit_world_complete(const struct kit_world *world, unsigned index)
{
    return complete(&world->nears[index], &world->far_sessions[index]);
}

bool kit_world_copy_complete(const struct kit_world *world, unsigned index)
{
    return world->copies[index] != NULL && complete(world->copies[index], &world->far_sessions[index]);
}
