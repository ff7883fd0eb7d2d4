/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which connection a session belongs to, and above all whose word is believed: a login is good at once only
 * while a connection made with the very same user and password stands, and for a while after the broker has
 * said so. The connections are doubles whose state the tests set; time is what they say it is.
 */
#include "host-proxy/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BELIEVE_MS 60000u

static uint64_t now_ms;
static struct mux_uv_loop mux_loop;
static struct pool pool;
static struct node_set nodes;
static struct guest_entry guests[2] = {{.name = "guest=101"}, {.name = "guest=102"}};
static struct shared_waiter waiters[4];
static struct credentials *alice, *alice_again, *alice_wrong, *bob;

uint64_t uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return now_ms;
}

/* ── Doubles of shared.c ── */

struct shared *shared_create(struct pool *of, const struct shared_key *key)
{
    struct shared *shared = calloc(1, sizeof(*shared));

    shared->pool = of;
    shared->key = *key;
    shared->state = SHARED_TRYING;
    TAILQ_INIT(&shared->waiters);
    TAILQ_INSERT_TAIL(&of->shared, shared, entry);
    return shared;
}

void shared_add_waiter(struct shared *shared, struct shared_waiter *waiter, enum shared_need need)
{
    waiter->shared = shared;
    waiter->need = need;
}

void shared_remove_waiter(struct shared_waiter *waiter)
{
    waiter->shared = NULL;
}

void shared_choose(struct shared *shared, struct amqp_span vhost)
{
    memcpy(shared->key.vhost, vhost.data, vhost.len);
    shared->key.vhost_len = (uint8_t)vhost.len;
    shared->key.has_vhost = true;
}

struct amqp_hub *shared_hub(const struct shared *shared)
{
    return (struct amqp_hub *)(uintptr_t)shared; /* somebody's, and never looked into */
}

void shared_retire(struct shared *shared, struct amqp_span vhost)
{
    (void)vhost;
    shared->state = SHARED_ENDED;
    TAILQ_REMOVE(&shared->pool->shared, shared, entry);
    TAILQ_INSERT_TAIL(&shared->pool->ended, shared, entry);
}

void shared_keep(struct shared *shared)
{
    (void)shared;
}

void shared_check_use(struct shared *shared)
{
    (void)shared;
}

void shared_end(struct shared *shared, const char *reason)
{
    (void)reason;
    TAILQ_REMOVE(&shared->pool->shared, shared, entry);
    credentials_unref(shared->key.credentials);
    free(shared);
}

void shared_abort(struct shared *shared)
{
    TAILQ_REMOVE(&shared->pool->ended, shared, entry);
    credentials_unref(shared->key.credentials);
    free(shared);
}

/* ── The tests ── */

static struct amqp_span span(const char *text)
{
    return (struct amqp_span){.data = (const uint8_t *)text, .len = strlen(text)};
}

static struct credentials *make(const char *user, const char *password)
{
    return credentials_create(&(struct amqp_login){.user = span(user), .password = span(password)});
}

static void on_empty(struct pool *of)
{
    (void)of;
}

static const struct pool_ops ops = {.on_empty = on_empty};

static void begin(const struct pool_config *config)
{
    struct pool_config timed = *config;

    now_ms = 1000;
    timed.believe_ms = BELIEVE_MS;
    memset(waiters, 0, sizeof(waiters));
    pool_init(&pool, &mux_loop, &timed, &nodes, &ops);
}

static int set_up(void **state)
{
    (void)state;
    alice = make("alice", "secret");
    alice_again = make("alice", "secret");
    alice_wrong = make("alice", "secreT");
    bob = make("bob", "secret");
    begin(&(struct pool_config){0});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pool_abort(&pool);
    credentials_unref(alice);
    credentials_unref(alice_again);
    credentials_unref(alice_wrong);
    credentials_unref(bob);
    return 0;
}

static enum pool_answer login(unsigned n, struct credentials *credentials, unsigned guest)
{
    return pool_login(&pool, &waiters[n], credentials, &guests[guest]);
}

static enum pool_answer open_vhost(unsigned n, struct credentials *credentials, unsigned guest,
                                   const char *vhost)
{
    struct pool_hubs hubs = {.main = NULL};
    enum pool_answer answer = pool_open(&pool, &waiters[n], credentials, &guests[guest], span(vhost), &hubs);

    assert_true((answer == POOL_YES) == (hubs.main != NULL));
    assert_true((answer == POOL_YES && pool.config.is_split) == (hubs.publishing != NULL));
    return answer;
}

static unsigned count(void)
{
    struct shared *shared;
    unsigned n = 0;

    TAILQ_FOREACH (shared, &pool.shared, entry)
        n++;
    return n;
}

/* The broker has accepted the login. */
static void accept_login(struct shared *shared)
{
    shared->state = SHARED_LOGGED_IN;
    pool_verified(&pool, &shared->key, true);
}

/* A first client's connection, as far as that state. */
static struct shared *first_at(enum shared_state state, const char *vhost)
{
    struct shared *shared;

    assert_int_equal(login(0, alice, 0), POOL_LATER);
    shared = waiters[0].shared;
    accept_login(shared);
    assert_int_equal(open_vhost(0, alice, 0, vhost), POOL_LATER);
    shared->state = state;
    return shared;
}

static void test_nobody_is_believed_before_the_broker_has_said_so(void **state)
{
    (void)state;
    assert_int_equal(login(0, alice, 0), POOL_LATER);
    for (int before = SHARED_WAITING; before < SHARED_LOGGED_IN; before++) {
        waiters[0].shared->state = (enum shared_state)before;
        assert_int_equal(login(1, alice_again, 1), POOL_LATER);
        assert_int_equal(waiters[1].need, SHARED_NEEDS_LOGIN);
        assert_ptr_equal(waiters[1].shared, waiters[0].shared); /* it is asked once for both */
    }
    assert_int_equal(count(), 1);
}

static void test_the_same_login_is_believed(void **state)
{
    struct shared *shared = first_at(SHARED_RUNNING, "/");

    (void)state;
    assert_int_equal(login(1, alice_again, 1), POOL_YES);
    assert_int_equal(open_vhost(1, alice_again, 1, "/"), POOL_YES);
    assert_null(waiters[1].shared);
    assert_ptr_equal(TAILQ_FIRST(&pool.shared), shared);
    assert_int_equal(count(), 1);
}

static void test_another_password_is_asked_about(void **state)
{
    struct shared *shared = first_at(SHARED_RUNNING, "/");

    (void)state;
    assert_int_equal(login(1, alice_wrong, 0), POOL_LATER);
    assert_ptr_not_equal(waiters[1].shared, shared);
    assert_int_equal(login(2, bob, 0), POOL_LATER);
    assert_int_equal(count(), 3);
}

static void test_the_verified_connection_takes_the_first_vhost(void **state)
{
    struct shared *shared;

    (void)state;
    login(0, alice, 0);
    shared = waiters[0].shared;
    assert_false(shared->key.has_vhost);
    accept_login(shared);
    assert_int_equal(login(1, alice_again, 1), POOL_YES);
    assert_int_equal(open_vhost(1, alice_again, 1, "one"), POOL_LATER);
    assert_ptr_equal(waiters[1].shared, shared);
    assert_int_equal(waiters[1].need, SHARED_NEEDS_HUB);
    assert_int_equal(open_vhost(0, alice, 0, "two"), POOL_LATER);
    assert_ptr_not_equal(waiters[0].shared, shared);
    assert_int_equal(waiters[0].shared->key.vhost_len, 3);
    assert_int_equal(count(), 2);
}

static void test_vhosts_apart(void **state)
{
    (void)state;
    first_at(SHARED_RUNNING, "one");
    assert_int_equal(login(1, alice_again, 0), POOL_YES);
    assert_int_equal(open_vhost(1, alice_again, 0, "on"), POOL_LATER);
    assert_int_equal(login(2, alice_again, 0), POOL_YES);
    assert_int_equal(open_vhost(2, alice_again, 0, ""), POOL_LATER);
    assert_int_equal(count(), 3);
}

static void test_per_guest(void **state)
{
    (void)state;
    begin(&(struct pool_config){.per_guest = true});
    first_at(SHARED_RUNNING, "/");
    assert_int_equal(login(1, alice_again, 0), POOL_YES);
    assert_int_equal(login(2, alice_again, 1), POOL_LATER);
    assert_int_equal(open_vhost(2, alice_again, 1, "/"), POOL_LATER);
    assert_string_equal(waiters[2].shared->key.guest, "guest=102");
}

static void test_fixed(void **state)
{
    (void)state;
    begin(&(struct pool_config){.fixed = bob, .vhost = "/"});
    assert_int_equal(pool_start(&pool), 0);
    assert_int_equal(login(0, alice_wrong, 0), POOL_YES);
    assert_int_equal(open_vhost(0, bob, 0, "/"), POOL_LATER);
    TAILQ_FIRST(&pool.shared)->state = SHARED_RUNNING;
    assert_int_equal(open_vhost(1, bob, 1, "/"), POOL_YES);
    assert_int_equal(count(), 1);
}

static void test_split(void **state)
{
    struct shared *all;
    struct shared *publishing;

    (void)state;
    begin(&(struct pool_config){.is_split = true});
    all = first_at(SHARED_RUNNING, "/");
    assert_int_equal(count(), 1); /* no other one before the login is found good */
    assert_int_equal(open_vhost(0, alice, 0, "/"), POOL_LATER);
    publishing = waiters[0].shared;
    assert_int_equal(publishing->key.purpose, SHARED_FOR_PUBLISHING);
    assert_int_equal(count(), 2);
    publishing->state = SHARED_LOGGED_IN;
    assert_int_equal(login(1, alice_wrong, 0), POOL_LATER);
    assert_int_equal(login(2, alice_again, 1), POOL_YES);
    assert_ptr_equal(waiters[2].shared, all); /* which it was verified by */
    publishing->state = SHARED_RUNNING;
    assert_int_equal(open_vhost(2, alice_again, 1, "/"), POOL_YES);
    assert_int_equal(open_vhost(2, alice_again, 1, "other"), POOL_LATER);
    assert_int_equal(waiters[2].shared->key.purpose, SHARED_FOR_ALL);
}

static void test_split_when_one_was_lost(void **state)
{
    struct pool_hubs hubs;
    struct shared *all;

    (void)state;
    begin(&(struct pool_config){.fixed = bob, .vhost = "/", .is_split = true});
    assert_int_equal(pool_start(&pool), 0);
    assert_int_equal(count(), 2);
    all = TAILQ_FIRST(&pool.shared);
    TAILQ_NEXT(all, entry)->state = SHARED_RUNNING;
    assert_int_equal(open_vhost(0, bob, 0, "/"), POOL_LATER);
    assert_ptr_equal(waiters[0].shared, all);
    all->state = SHARED_RUNNING;
    TAILQ_NEXT(all, entry)->state = SHARED_WAITING;
    assert_int_equal(pool_join(&pool, &waiters[0], all, &hubs), POOL_LATER);
    assert_ptr_equal(waiters[0].shared, TAILQ_NEXT(all, entry));
    TAILQ_NEXT(all, entry)->state = SHARED_RUNNING;
    assert_int_equal(pool_join(&pool, &waiters[0], TAILQ_NEXT(all, entry), &hubs), POOL_YES);
    assert_ptr_equal(hubs.main, shared_hub(all));
    assert_ptr_equal(hubs.publishing, shared_hub(TAILQ_NEXT(all, entry)));
    assert_int_equal(count(), 2);
}

/* ── Asking again ── */

static void test_a_word_of_long_ago_is_asked_about(void **state)
{
    struct shared *shared = first_at(SHARED_RUNNING, "/");
    struct shared *verifier;

    (void)state;
    now_ms += BELIEVE_MS - 1;
    assert_int_equal(login(1, alice_again, 1), POOL_YES);
    now_ms++;
    assert_int_equal(login(1, alice_again, 1), POOL_LATER);
    verifier = waiters[1].shared;
    assert_ptr_not_equal(verifier, shared);
    assert_false(verifier->key.has_vhost);
    assert_int_equal(login(2, alice, 0), POOL_LATER); /* it is asked once for both */
    assert_ptr_equal(waiters[2].shared, verifier);
    assert_int_equal(count(), 2);

    accept_login(verifier);
    assert_int_equal(open_vhost(1, alice_again, 1, "/"), POOL_YES);
    assert_int_equal(verifier->state, SHARED_ENDED);
    assert_int_equal(count(), 1);
    now_ms += BELIEVE_MS - 1;
    assert_int_equal(login(3, alice_again, 1), POOL_YES); /* the older connection profits from it */
    assert_ptr_equal(waiters[3].shared, shared);
}

static void test_a_verifier_may_go_to_work(void **state)
{
    struct shared *verifier;

    (void)state;
    first_at(SHARED_RUNNING, "one");
    now_ms += BELIEVE_MS;
    assert_int_equal(login(1, alice_again, 0), POOL_LATER);
    verifier = waiters[1].shared;
    accept_login(verifier);
    assert_int_equal(open_vhost(1, alice_again, 0, "two"), POOL_LATER);
    assert_ptr_equal(waiters[1].shared, verifier);
    assert_int_equal(count(), 2);
}

static void test_a_refusal_is_believed_at_once(void **state)
{
    struct shared *shared = first_at(SHARED_RUNNING, "/");

    (void)state;
    pool_verified(&pool, &shared->key, false);
    assert_int_equal(login(1, alice_again, 0), POOL_LATER);
    assert_ptr_not_equal(waiters[1].shared, shared);
    assert_int_equal(shared->state, SHARED_RUNNING); /* those who have joined stay */
}

static void test_one_word_is_not_another_ones(void **state)
{
    struct shared *shared = first_at(SHARED_RUNNING, "/");

    (void)state;
    now_ms += BELIEVE_MS;
    assert_int_equal(login(1, bob, 0), POOL_LATER);
    accept_login(waiters[1].shared);
    assert_int_equal(login(2, alice, 0), POOL_LATER);
    assert_ptr_not_equal(waiters[2].shared, shared);
}

static void test_each_login_is_asked_about(void **state)
{
    (void)state;
    first_at(SHARED_RUNNING, "/");
    pool.config.believe_ms = 0;
    for (unsigned i = 0; i < 3; i++) {
        TAILQ_FIRST(&pool.shared)->believed_until_ms = now_ms;
        assert_int_equal(login(1, alice, 0), POOL_LATER);
        accept_login(waiters[1].shared);
        assert_int_equal(open_vhost(1, alice, 0, "/"), POOL_YES);
    }
    assert_int_equal(count(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nobody_is_believed_before_the_broker_has_said_so, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_the_same_login_is_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_password_is_asked_about, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_verified_connection_takes_the_first_vhost, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_vhosts_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_per_guest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fixed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_split, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_split_when_one_was_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_word_of_long_ago_is_asked_about, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_verifier_may_go_to_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refusal_is_believed_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_word_is_not_another_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_login_is_asked_about, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
