/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SESSIONS 600

struct fixture {
    struct mux_registry registry;
    struct mux_session sessions[SESSIONS]; /* the registry looks at their tokens only */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    mux_registry_init(&f->registry);
    for (unsigned i = 0; i < SESSIONS; i++) {
        f->sessions[i].token[0] = (uint8_t)i;
        f->sessions[i].token[1] = (uint8_t)(i >> 8);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    mux_registry_deinit(&f->registry);
    free(f);
    return 0;
}

static void add(struct fixture *f, unsigned i)
{
    assert_int_equal(mux_registry_add(&f->registry, &f->sessions[i]), 0);
}

static void assert_found(struct fixture *f, unsigned i)
{
    char reason[MUX_REASON_MAX + 1];
    enum mux_code code;

    assert_ptr_equal(mux_registry_find(&f->registry, f->sessions[i].token, &code, reason), &f->sessions[i]);
}

/* `text` NULL: any reason will do. */
static void assert_gone(struct fixture *f, unsigned i, enum mux_code expected, const char *text)
{
    char reason[MUX_REASON_MAX + 1];
    enum mux_code code;

    assert_null(mux_registry_find(&f->registry, f->sessions[i].token, &code, reason));
    assert_int_equal(code, expected);
    assert_true(strlen(reason) > 0);
    if (text != NULL)
        assert_string_equal(reason, text);
}

static void sessions_are_found_by_their_token(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < SESSIONS; i++)
        add(f, i);
    for (unsigned i = 0; i < SESSIONS; i++)
        assert_found(f, i);
}

static void an_unknown_token_is_an_unknown_session(void **state)
{
    struct fixture *f = *state;

    add(f, 1);
    assert_gone(f, 2, MUX_UNKNOWN_SESSION, NULL);
}

static void the_whole_token_counts(void **state)
{
    struct fixture *f = *state;

    /* Whoever learned the first half of a token from a log can neither find its session nor hide it. */
    add(f, 0);
    for (unsigned i = 1; i <= 2 * MUX_TOKEN_SIZE; i++) {
        memset(f->sessions[i].token, 0, MUX_TOKEN_SIZE);
        f->sessions[i].token[(i - 1) / 2] = i % 2 == 0 ? 1 : 0x80;
        assert_gone(f, i, MUX_UNKNOWN_SESSION, NULL);
        add(f, i);
    }
    for (unsigned i = 0; i <= 2 * MUX_TOKEN_SIZE; i++)
        assert_found(f, i);
    mux_registry_end(&f->registry, &f->sessions[2 * MUX_TOKEN_SIZE], MUX_KILLED, "by hand");
    assert_found(f, 0);
}

static void an_end_is_remembered(void **state)
{
    struct fixture *f = *state;

    add(f, 1);
    mux_registry_end(&f->registry, &f->sessions[1], MUX_BROKER_CLOSED, "bye");
    assert_gone(f, 1, MUX_BROKER_CLOSED, "bye");
    mux_registry_end(&f->registry, &f->sessions[1], MUX_KILLED, "again");
    assert_gone(f, 1, MUX_BROKER_CLOSED, "bye");
    mux_registry_end(&f->registry, &f->sessions[2], MUX_KILLED, "was never there");
    assert_gone(f, 2, MUX_UNKNOWN_SESSION, NULL);
}

static void an_end_in_order_is_unknown_later(void **state)
{
    struct fixture *f = *state;

    add(f, 1);
    mux_registry_end(&f->registry, &f->sessions[1], MUX_OK, "ok");
    assert_gone(f, 1, MUX_UNKNOWN_SESSION, NULL);
}

static void only_so_many_ends_are_remembered(void **state)
{
    struct fixture *f = *state;
    struct mux_session session = {0};

    add(f, 1);
    add(f, 2);
    mux_registry_end(&f->registry, &f->sessions[1], MUX_KILLED, "old");
    for (unsigned i = 0; i < MUX_REGISTRY_TOMBSTONES; i++) {
        memcpy(session.token + 8, &i, sizeof(i));
        session.token[4] = 1;
        assert_int_equal(mux_registry_add(&f->registry, &session), 0);
        mux_registry_end(&f->registry, &session, MUX_KILLED, "new");
    }
    assert_gone(f, 1, MUX_UNKNOWN_SESSION, NULL);
    assert_found(f, 2);
    assert_int_equal(f->registry.dead_count, MUX_REGISTRY_TOMBSTONES);
}

/* A guest chooses its tokens: it may take one again whose session ended in order. */
static void a_token_used_again_is_the_new_session(void **state)
{
    struct fixture *f = *state;

    add(f, 1);
    mux_registry_end(&f->registry, &f->sessions[1], MUX_OK, "ok");
    memcpy(f->sessions[2].token, f->sessions[1].token, MUX_TOKEN_SIZE);
    add(f, 2);
    for (unsigned i = 3; i < SESSIONS; i++) {
        add(f, i); /* the table grows, and its entries move */
        assert_found(f, 2);
    }
    mux_registry_end(&f->registry, &f->sessions[2], MUX_KILLED, "by hand");
    assert_gone(f, 2, MUX_KILLED, "by hand");
    assert_int_equal(f->registry.dead_count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(sessions_are_found_by_their_token),
        TEST(an_unknown_token_is_an_unknown_session),
        TEST(the_whole_token_counts),
        TEST(an_end_is_remembered),
        TEST(an_end_in_order_is_unknown_later),
        TEST(only_so_many_ends_are_remembered),
        TEST(a_token_used_again_is_the_new_session),
    };

    return cmocka_run_group_tests_name("mux.registry", tests, NULL, NULL);
}
