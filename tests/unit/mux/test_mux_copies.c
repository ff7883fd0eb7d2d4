/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that is saved at every turn of a scripted exchange, in which hardly anything but the near edge's
 * bytes tells one history from another; its copy goes on beside the original or in its place. No byte of two
 * histories may get behind each other (the kit's apps check that), and who is refused has done no harm.
 */
#include "tests/unit/mux/kit/check.h"
#include "tests/unit/mux/kit/world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NEAR_BYTES 1000u

static void plan(struct kit_world *world, unsigned index, struct kit_plan *near, struct kit_plan *far)
{
    (void)world;
    (void)index;
    *near = (struct kit_plan){.send_bytes = NEAR_BYTES, .piece_max = 200, .pause_max_ms = 30};
    *far = (struct kit_plan){.send_bytes = 1, .piece_max = 1};
}

static const struct kit_world_config config = {
    .seed = 1,
    .sessions = 1,
    .latency_max_ms = 5,
    .write_max = 4096,
    .read_max = 4096,
    .window_bytes = 65536,
    .host_window_bytes = 65536,
    .detach_timeout_ms = 60000,
};

/* How the copies ended. */
struct outcomes {
    unsigned refused;
    unsigned went_on;
    unsigned differ; /* let in, and then it turned out that histories differ */
};

static void judge(const struct kit_world *world, struct outcomes *outcomes)
{
    const struct kit_near *near = &world->nears[0];
    const struct kit_near *copy = world->copies[0];

    if (!world->far_sessions[0].copy_let_in) {
        outcomes->refused++;
        KIT_CHECK(near->off || kit_world_complete(world, 0), "the original was harmed: near %s (%s)",
                  mux_code_name(near->app.code), near->app.reason);
    } else if (copy->app.code == MUX_HISTORY_MISMATCH || near->app.code == MUX_HISTORY_MISMATCH) {
        outcomes->differ++;
    } else {
        outcomes->went_on++;
        KIT_CHECK(kit_world_copy_complete(world, 0) || kit_world_complete(world, 0),
                  "neither is complete: near %s (%s), copy %s (%s)", mux_code_name(near->app.code),
                  near->app.reason, mux_code_name(copy->app.code), copy->app.reason);
    }
}

/* Save it at this turn. Returns whether the exchange went on for so long. */
static bool save_at(unsigned turn, uint32_t wakes_after_ms, bool revert, struct outcomes *outcomes)
{
    struct kit_world *world;
    bool saved = false;
    bool running = true;

    kit_context("saved at turn %u, goes on after %u ms, %s", turn, wakes_after_ms,
                revert ? "reverted" : "cloned");
    world = kit_world_create(&config, plan);
    for (unsigned i = 0; running && i < turn; i++)
        running = kit_world_turn(world);
    if (running)
        saved = kit_world_copy(world, 0, world->now_ms + wakes_after_ms, revert);
    kit_world_run(world);
    if (saved)
        judge(world, outcomes);
    kit_world_destroy(world);
    return saved;
}

static struct outcomes save_at_every_turn(bool revert)
{
    static const uint32_t wakes_after_ms[] = {1, 20, 300};
    struct outcomes outcomes = {0};

    for (unsigned i = 0; i < sizeof(wakes_after_ms) / sizeof(wakes_after_ms[0]); i++)
        for (unsigned turn = 1; save_at(turn, wakes_after_ms[i], revert, &outcomes); turn++)
            ;
    print_message("%u refused, %u went on, %u found that histories differ\n", outcomes.refused,
                  outcomes.went_on, outcomes.differ);
    return outcomes;
}

static void reverted_at_every_turn(void **state)
{
    struct outcomes outcomes = save_at_every_turn(true);

    (void)state;
    assert_true(outcomes.refused > 100 && outcomes.went_on > 100 && outcomes.differ > 10);
}

static void cloned_at_every_turn(void **state)
{
    struct outcomes outcomes = save_at_every_turn(false);

    (void)state;
    assert_true(outcomes.refused > 100 && outcomes.went_on > 100 && outcomes.differ > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reverted_at_every_turn),
        cmocka_unit_test(cloned_at_every_turn),
    };

    return cmocka_run_group_tests_name("mux.copies", tests, NULL, NULL);
}
