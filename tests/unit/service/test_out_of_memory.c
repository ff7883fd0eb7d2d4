/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each allocation of ours fails once: the i-th, for every i until none is left to fail. The linker sends our
 * calls to the functions here (-Wl,--wrap); those inside libraries are not touched.
 */

#include "config_fixture.h"
#include "service/node_dial.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void *__real_calloc(size_t count, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

static unsigned until_failure; /* allocations that still succeed before the one that fails; counts down */
static bool armed, fired;

static bool fails(void)
{
    if (!armed || until_failure-- > 0)
        return false;
    armed = false;
    fired = true;
    return true;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return fails() ? NULL : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return fails() ? NULL : __real_strndup(text, size);
}

static void arm(unsigned after)
{
    until_failure = after;
    armed = true;
    fired = false;
}

static void loading_a_config(void **state)
{
    struct test_config config;
    unsigned i = 0;

    (void)state;
    do {
        arm(i++);
        int result =
            test_load(&test_program, &config,
                      "user = u\nlisten = unix:/a\nlisten = unix:/b\n[guest 1]\nuser = x\nvhost = /\n"
                      "vhost = /b\n[service s]\nlisten = a:1\n",
                      "--workers=2", "--guest.2.user=y", "--host", "h", NULL);
        armed = false;
        assert_string_equal(test_faults, ""); /* nothing is wrong with the settings */
        assert_int_equal(result, fired ? -ENOMEM : 0);
        if (fired)
            assert_true(config.user == NULL && config.listen.items == NULL && config.guests == NULL);
        config_free(&test_program, &config);
    } while (fired);
    assert_in_range(i, 40, 200);
}

static int outcome;
static unsigned node_calls;

static void on_dialed(void *ctx, int fd, const char *text)
{
    (void)text;
    *(unsigned *)ctx += 1;
    outcome = fd;
}

static void dialling(void **state)
{
    struct net_address address;
    unsigned i = 0, calls;
    uv_loop_t loop;
    char why[128];

    (void)state;
    assert_int_equal(net_address_parse(&address, "name.invalid:1", why, sizeof(why)), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    do {
        struct net_dialer *dialer;
        calls = 0;
        arm(i++);
        int result = net_dial(&dialer, &loop, &address, 5000, on_dialed, &calls);
        uv_run(&loop, UV_RUN_DEFAULT);
        armed = false;
        if (result == 0)
            assert_int_equal(calls, 1);
        else
            assert_true(result == -ENOMEM && calls == 0);
        if (fired && result == 0)
            assert_int_equal(outcome, -ENOMEM);
    } while (fired);
    assert_int_equal(i, 3); /* the dialer, its lookup, and a run in which nothing failed */
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void on_node_dialed(struct node_dial *dial, int fd, const char *text)
{
    (void)dial;
    (void)text;
    node_calls++;
    outcome = fd;
}

static void dialling_nodes(void **state)
{
    struct node_set set = {0};
    struct net_address address;
    uv_loop_t loop;
    unsigned i = 0;
    char why[128];

    (void)state;
    assert_int_equal(net_address_parse(&address, "unix:/nonexistent", why, sizeof(why)), 0);
    assert_int_equal(node_set_add(&set, &address), 0);
    assert_int_equal(node_set_add(&set, &address), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    do {
        struct node_dial dial;
        node_calls = 0;
        arm(i++);
        int result = node_dial_start(&dial, &loop, &set, 5000, on_node_dialed);
        uv_run(&loop, UV_RUN_DEFAULT);
        armed = false;
        assert_int_equal(result, fired && i <= 3 ? -ENOMEM : 0); /* later the first node has been tried */
        assert_int_equal(node_calls, result == 0);
        if (result == 0)
            assert_int_equal(outcome, -ENOENT);
    } while (fired);
    assert_int_equal(i, 6); /* the order, two nodes with a dialer each, and a run in which nothing failed */
    assert_int_equal(uv_loop_close(&loop), 0);
    node_set_deinit(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loading_a_config),
        cmocka_unit_test(dialling),
        cmocka_unit_test(dialling_nodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
