/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client logs in and gets its hub while the i-th allocation fails, for every i: it gets it nonetheless,
 * later, or is refused in words; and nothing is left behind, which the sanitizer sees to.
 */
#include "tests/unit/proxies/shared_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static unsigned until_failure; /* 0: none fails */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool fails(void)
{
    return until_failure > 0 && --until_failure == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

static bool has_an_answer(void)
{
    const struct rig_client *client = &rig_clients[0];

    return client->hubs > 0 || client->refusals > 0 || client->answer == POOL_NO_MEMORY;
}

/* Did the failure happen at all? */
static bool fails_at(unsigned i)
{
    bool has_failed;

    rig_set_up(NULL);
    rig_begin(2, FAKE_BABBLES, FAKE_SERVES, FAKE_SERVES);
    until_failure = i;
    rig_login(0, "/");
    if (rig_clients[0].answer != POOL_NO_MEMORY)
        rig_until(has_an_answer);
    has_failed = until_failure == 0;
    until_failure = 0;
    assert_true(rig_clients[0].hubs + rig_clients[0].refusals <= 1);
    rig_tear_down(NULL);
    return has_failed;
}

static void test_every_allocation_may_fail(void **state)
{
    unsigned i = 1;

    (void)state;
    while (fails_at(i))
        i++;
    assert_true(i > 5); /* it is not that there are none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_may_fail)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
