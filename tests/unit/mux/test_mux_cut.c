/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cut at every byte: a scripted exchange through the whole chain, its guest stream or its link broken after
 * each byte that passes there, in each direction, and again at the bytes that follow, which are the resume
 * and the replay. Every byte must arrive once and in order (the kit's apps check that), and both sides must
 * end in order.
 */
#include "tests/unit/mux/kit/check.h"
#include "tests/unit/mux/kit/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NEAR_BYTES 70u
#define FAR_BYTES  90u

/* Both ways in pieces of at most 40 bytes, so that several frames and acknowledgements pass. */
static void plan(struct kit_world *world, unsigned index, struct kit_plan *near, struct kit_plan *far)
{
    (void)world;
    (void)index;
    *near = (struct kit_plan){.send_bytes = NEAR_BYTES, .piece_max = 40};
    *far = (struct kit_plan){.send_bytes = FAR_BYTES, .piece_max = 40, .answer = true, .pause_max_ms = 30};
}

static const struct kit_world_config config = {
    .seed = 1,
    .sessions = 1,
    .latency_max_ms = 1,
    .write_max = 4096,
    .read_max = 4096,
    .window_bytes = 65536,
    .host_window_bytes = 65536,
    .detach_timeout_ms = 60000,
};

static const char *const lane_names[KIT_LANES] = {"guest up", "guest down", "link up", "link down"};

/* Run the exchange with these cuts. `passed` (KIT_LANES, or NULL) gets the bytes that passed. Returns the
 * cuts that were made. */
static unsigned run(const struct kit_cut *cuts, unsigned cut_count, uint64_t *passed)
{
    struct kit_world *world = kit_world_create(&config, plan);
    unsigned made;

    world->cuts = cuts;
    world->cut_count = cut_count;
    kit_world_run(world);
    for (unsigned lane = 0; passed != NULL && lane < KIT_LANES; lane++)
        passed[lane] = world->passed[lane];
    KIT_CHECK(kit_world_complete(world, 0), "not complete: near %s (%s), far %s (%s)",
              mux_code_name(world->nears[0].app.code), world->nears[0].app.reason,
              mux_code_name(world->far_sessions[0].app.code), world->far_sessions[0].app.reason);
    made = world->cuts_made;
    kit_world_destroy(world);
    return made;
}

static void whole_exchange_without_a_cut(void **state)
{
    uint64_t passed[KIT_LANES];

    (void)state;
    kit_context("no cut");
    assert_int_equal(run(NULL, 0, passed), 0);
    for (unsigned lane = 0; lane < KIT_LANES; lane++)
        assert_true(passed[lane] > NEAR_BYTES);
}

static void cut_at_every_byte(void **state)
{
    uint64_t passed[KIT_LANES];

    (void)state;
    run(NULL, 0, passed);
    for (unsigned lane = 0; lane < KIT_LANES; lane++) {
        for (uint64_t at = 0; at <= passed[lane]; at++) {
            struct kit_cut cut = {.lane = lane, .after = at};

            kit_context("cut on %s after %llu of %llu bytes", lane_names[lane], (unsigned long long)at,
                        (unsigned long long)passed[lane]);
            assert_int_equal(run(&cut, 1, NULL), 1);
        }
    }
}

/* Cut at `at` of `lane`, and once more `again` bytes later on the lane `lane2`. Returns the cuts made. */
static unsigned run_twice_cut(unsigned lane, uint64_t at, unsigned lane2, uint64_t again)
{
    const struct kit_cut cuts[] = {{.lane = lane, .after = at}, {.lane = lane2, .after = again}};

    kit_context("cut on %s after %llu bytes, and on %s after %llu more", lane_names[lane],
                (unsigned long long)at, lane_names[lane2], (unsigned long long)again);
    return run(cuts, 2, NULL);
}

static void cut_at_every_byte_and_again_soon_after(void **state)
{
    uint64_t passed[KIT_LANES];
    unsigned runs = 0;
    unsigned twice = 0;

    (void)state;
    run(NULL, 0, passed);
    for (unsigned lane = 0; lane < KIT_LANES; lane++)
        for (uint64_t at = 0; at <= passed[lane]; at++, runs++)
            twice += run_twice_cut(lane, at, (lane + (unsigned)at) % KIT_LANES, at * 37 % 197) == 2;
    assert_true(twice > runs * 3 / 4); /* the others were over before the second cut */
}

static void cut_in_the_middle_and_at_every_byte_of_the_resume(void **state)
{
    uint64_t passed[KIT_LANES];

    (void)state;
    run(NULL, 0, passed);
    for (unsigned lane = 0; lane < KIT_LANES; lane++) {
        for (unsigned lane2 = 0; lane2 < KIT_LANES; lane2++) {
            uint64_t again = 0;

            while (run_twice_cut(lane, passed[lane] / 2, lane2, again) == 2)
                again++;
            assert_true(again > 100); /* HELLO, OPEN and the rest went that way again */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_exchange_without_a_cut),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(cut_at_every_byte_and_again_soon_after),
        cmocka_unit_test(cut_in_the_middle_and_at_every_byte_of_the_resume),
    };

    return cmocka_run_group_tests_name("mux.cut", tests, NULL, NULL);
}
