/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocator torture: a scripted exchange through the whole chain, in which the first allocation fails, then
 * the second, and so on until none is left to fail; and each time a few in a row. Nothing may crash or leak,
 * every session must go on or end, and each fault must have struck.
 *
 * The linker puts the functions below in the place of the allocator's (--wrap, see CMakeLists.txt).
 */
#include "tests/unit/mux/kit/check.h"
#include "tests/unit/mux/kit/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

/* ── The allocator ── */

static struct {
    bool armed;
    unsigned calls;   /* since it was armed */
    unsigned first;   /* the call that fails, from 1 */
    unsigned in_row;  /* and how many from there */
    unsigned struck;  /* calls that failed */
    long outstanding; /* allocations not freed */
} allocator;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
char *__real_strdup(const char *string);
void __real_free(void *memory);
XXH3_state_t *__real_XXH3_createState(void);
XXH_errorcode __real_XXH3_freeState(XXH3_state_t *state);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__wrap_strdup(const char *string);
void __wrap_free(void *memory);
XXH3_state_t *__wrap_XXH3_createState(void);
XXH_errorcode __wrap_XXH3_freeState(XXH3_state_t *state);

static bool fails(void)
{
    if (!allocator.armed)
        return false;
    allocator.calls++;
    if (allocator.calls < allocator.first || allocator.calls >= allocator.first + allocator.in_row)
        return false;
    allocator.struck++;
    return true;
}

static void *counted(void *memory)
{
    if (memory != NULL)
        allocator.outstanding++;
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(count, size));
}

char *__wrap_strdup(const char *string)
{
    return fails() ? NULL : counted(__real_strdup(string));
}

XXH3_state_t *__wrap_XXH3_createState(void)
{
    return fails() ? NULL : counted(__real_XXH3_createState());
}

XXH_errorcode __wrap_XXH3_freeState(XXH3_state_t *state)
{
    if (state != NULL)
        allocator.outstanding--;
    return __real_XXH3_freeState(state);
}

void __wrap_free(void *memory)
{
    if (memory != NULL)
        allocator.outstanding--;
    __real_free(memory);
}

/* ── The exchange ── */

static enum kit_finale near_finale;
static enum kit_finale far_finale;

/* Small pieces and large ones, more than a window, with breaks in between. */
static void plan(struct kit_world *world, unsigned index, struct kit_plan *near, struct kit_plan *far)
{
    (void)world;
    (void)index;
    *near = (struct kit_plan){.send_bytes = 90000, .piece_max = 40000, .finale = near_finale};
    *far =
        (struct kit_plan){.send_bytes = 70000, .piece_max = 30000, .pause_max_ms = 5, .finale = far_finale};
}

static const struct kit_cut cuts[] = {
    {.lane = KIT_GUEST_UP, .after = 100},     /* in OPEN */
    {.lane = KIT_GUEST_DOWN, .after = 20000}, /* in the middle */
    {.lane = KIT_LINK_UP, .after = 30000},
};

static const struct kit_world_config config = {
    .seed = 3,
    .sessions = 2,
    .latency_max_ms = 1,
    .write_max = 5000,
    .read_max = 5000,
    .window_bytes = 65536,
    .host_window_bytes = 65536,
    .detach_timeout_ms = 60000,
};

/* Nothing failed: sessions that end in order have everything. */
static void check_complete(const struct kit_world *world)
{
    for (unsigned i = 0; i < config.sessions; i++)
        KIT_CHECK(kit_world_complete(world, i) || near_finale != KIT_FINALE_FIN ||
                      far_finale != KIT_FINALE_FIN,
                  "session %u is not complete, though nothing failed", i);
}

/* Run it with these calls failing. Returns whether they did. */
static bool run(unsigned first, unsigned in_row)
{
    long before = allocator.outstanding;
    struct kit_world *world = kit_world_create(&config, plan);

    kit_context("finales %d and %d, allocation %u fails, %u in a row", near_finale, far_finale, first,
                in_row);
    world->cuts = cuts;
    world->cut_count = sizeof(cuts) / sizeof(cuts[0]);
    allocator.calls = 0;
    allocator.first = first;
    allocator.in_row = in_row;
    allocator.struck = 0;
    allocator.armed = true;
    kit_world_run(world); /* until every session is over */
    allocator.armed = false;
    if (allocator.struck == 0)
        check_complete(world);
    kit_world_destroy(world);
    KIT_CHECK(allocator.outstanding == before, "%ld allocations leaked", allocator.outstanding - before);
    return allocator.struck > 0;
}

static void fail_each(enum kit_finale near, enum kit_finale far, unsigned in_row)
{
    unsigned first = 1;

    near_finale = near;
    far_finale = far;
    while (run(first, in_row))
        first++;
    assert_true(first > 100); /* so many allocations there were, and each has failed */
}

static void each_allocation_fails_once(void **state)
{
    (void)state;
    fail_each(KIT_FINALE_FIN, KIT_FINALE_FIN, 1);
}

static void each_allocation_fails_and_the_next_two(void **state)
{
    (void)state;
    fail_each(KIT_FINALE_FIN, KIT_FINALE_FIN, 3);
}

static void each_allocation_fails_in_a_session_that_is_reset(void **state)
{
    (void)state;
    fail_each(KIT_FINALE_RESET, KIT_FINALE_FIN, 1);
}

static void each_allocation_fails_in_a_session_that_finishes(void **state)
{
    (void)state;
    fail_each(KIT_FINALE_FIN, KIT_FINALE_FINISH, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails_once),
        cmocka_unit_test(each_allocation_fails_and_the_next_two),
        cmocka_unit_test(each_allocation_fails_in_a_session_that_is_reset),
        cmocka_unit_test(each_allocation_fails_in_a_session_that_finishes),
    };

    return cmocka_run_group_tests_name("mux.out_of_memory", tests, NULL, NULL);
}
