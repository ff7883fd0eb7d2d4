/* SPDX-License-Identifier: Apache-2.0 */

/* Exclusive queues belong to one session, whatever the others do, and whenever they do it. */

#include "tests/unit/amqp/hub_test.h"
#include <limits.h>
#include <stdio.h>

enum { OWNER, OTHER, THIRD };

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    join(2, AMQP_CAN_CANCEL_NOTIFY);
    return 0;
}

/* --- saying and looking --- */

/* OTHER is refused by us, with RabbitMQ's text. Its channel is open again afterwards. */
static void assert_locked(void)
{
    rig_pump(&rig);
    assert_last_close(OTHER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_RESOURCE_LOCKED);
    assert_string_equal(rig.clients[OTHER].text,
                        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'x' in vhost '/'. "
                        "It could be originally declared on another connection or the exclusive property "
                        "value does not match that of the original declaration.");
    frames_close_ok(&f, 1);
    say(OTHER);
    opened(OTHER, 1);
}

static void declared(unsigned client, const char *name)
{
    frames_declare(&f, 1, name, FRAMES_EXCLUSIVE);
    done(client);
    assert_last(client, AMQP_QUEUE_DECLARE_OK_METHOD);
    rig.clients[client].events = 0;
}

static void assert_owner(const char *name, int expected)
{
    int owner = INT_MAX;
    assert_true(model_names_owner(&rig.broker, name, &owner));
    assert_int_equal(owner, expected);
}

static bool is_there(const char *name)
{
    int owner;
    return model_names_owner(&rig.broker, name, &owner);
}

/* Both have a channel 1, and OWNER has the queue. */
static void own_x(void)
{
    opened(OWNER, 1);
    opened(OTHER, 1);
    declared(OWNER, "x");
    assert_owner("x", OWNER);
}

static void unbind(const char *queue)
{
    amqp_queue_unbind_t unbind = {.queue = amqp_cstring_bytes(queue),
                                  .exchange = amqp_cstring_bytes("amq.direct")};
    frames_method(&f, 1, AMQP_QUEUE_UNBIND_METHOD, &unbind);
}

/* --- who may what --- */

static void test_others_can_not_name_it(void **state)
{
    (void)state;
    own_x();
    frames_declare(&f, 1, "x", 0);
    say(OTHER), assert_locked();
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    say(OTHER), assert_locked();
    frames_declare(&f, 1, "\rx\n", FRAMES_PASSIVE);
    say(OTHER), assert_locked();
    frames_declare(&f, 1, "x", FRAMES_NOWAIT);
    say(OTHER), assert_locked();
    frames_bind(&f, 1, "x\n");
    say(OTHER), assert_locked();
    unbind("x");
    say(OTHER), assert_locked();
    frames_purge(&f, 1, "x");
    say(OTHER), assert_locked();
    frames_delete(&f, 1, "x\r");
    say(OTHER), assert_locked();
    frames_get(&f, 1, "x", true);
    say(OTHER), assert_locked();
    frames_consume(&f, 1, "x", "tag", true);
    say(OTHER), assert_locked();
    assert_owner("x", OWNER);
    assert_int_equal(rig.clients[OWNER].events, 0);
}

static void test_names_with_line_ends_are_not_there(void **state)
{
    (void)state;
    own_x();
    frames_consume(&f, 1, "x\n", "tag", true);
    done(OTHER);
    assert_last_close(OTHER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_NOT_FOUND);
}

static void test_anybody_can_publish_to_it(void **state)
{
    (void)state;
    own_x();
    frames_publish(&f, 1, "x", "hello", 5);
    done(OTHER);
    frames_get(&f, 1, "x", true);
    done(OWNER);
    assert_last(OWNER, AMQP_BASIC_GET_OK_METHOD);
}

static void test_its_owner_uses_it_on_any_channel(void **state)
{
    (void)state;
    own_x();
    opened(OWNER, 2);
    frames_close(&f, 1);
    done(OWNER);
    frames_declare(&f, 2, "x", FRAMES_EXCLUSIVE);
    frames_bind(&f, 2, "x");
    frames_consume(&f, 2, "x", "tag", true);
    done(OWNER);
    assert_last(OWNER, AMQP_BASIC_CONSUME_OK_METHOD);
    frames_delete(&f, 2, "x");
    done(OWNER);
    assert_last(OWNER, AMQP_QUEUE_DELETE_OK_METHOD);
    declared(OTHER, "x");
    assert_owner("x", OTHER);
}

static void test_the_last_queue_of_a_channel(void **state)
{
    (void)state;
    opened(OWNER, 1);
    opened(OTHER, 1);
    model_names_add(&rig.broker, "x", MODEL_ANYBODY);
    frames_declare(&f, 1, "x", FRAMES_PASSIVE | FRAMES_NOWAIT);
    done(OTHER);
    assert_int_equal(rig.clients[OTHER].events, 0);
    model_names_remove(&rig.broker, "x");
    declared(OWNER, "x");
    frames_consume(&f, 1, "", "tag", true);
    say(OTHER), assert_locked();
    frames_purge(&f, 1, "");
    done(OTHER); /* a new channel has declared nothing */
    assert_last_close(OTHER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_NOT_FOUND);
}

static void test_nowait_is_kept_to(void **state)
{
    (void)state;
    opened(OWNER, 1);
    opened(OTHER, 1);
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE | FRAMES_NOWAIT);
    frames_cancel(&f, 1, "nothing");
    done(OWNER);
    assert_int_equal(rig.clients[OWNER].events, 1);
    assert_last(OWNER, AMQP_BASIC_CANCEL_OK_METHOD);
    frames_get(&f, 1, "x", true);
    say(OTHER), assert_locked();
}

static void test_a_queue_that_the_broker_names(void **state)
{
    (void)state;
    opened(OWNER, 1);
    opened(OTHER, 1);
    frames_declare(&f, 1, "", FRAMES_EXCLUSIVE);
    frames_consume(&f, 1, "", "tag", true); /* waits for the name */
    done(OWNER);
    assert_last(OWNER, AMQP_BASIC_CONSUME_OK_METHOD);
    frames_get(&f, 1, "amq.gen-1", true);
    done(OTHER);
    assert_last_close(OTHER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_RESOURCE_LOCKED);
    assert_owner("amq.gen-1", OWNER);
}

/* --- at the same time --- */

static void test_others_wait_for_the_outcome_of_a_declare(void **state)
{
    (void)state;
    opened(OWNER, 1);
    opened(OTHER, 1);
    rig.broker.is_lazy = true;
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    say(OWNER);
    frames_consume(&f, 1, "x", "tag", true);
    said(OTHER);
    assert_true(rig.clients[OTHER].member.held_cost > 0);
    assert_locked();
    assert_last(OWNER, AMQP_QUEUE_DECLARE_OK_METHOD);
}

static void test_a_declare_that_fails_lets_others_go_on(void **state)
{
    (void)state;
    opened(OWNER, 1);
    opened(OTHER, 1);
    model_names_add(&rig.broker, "x", MODEL_ANYBODY);
    rig.broker.is_lazy = true;
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    say(OWNER);
    frames_consume(&f, 1, "x", "tag", true);
    done(OTHER);
    assert_last_close(OWNER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_RESOURCE_LOCKED);
    assert_last(OTHER, AMQP_BASIC_CONSUME_OK_METHOD);
    assert_int_equal(rig.clients[OWNER].member.queues.count, 0);
}

static void test_a_declare_waits_for_what_others_have_begun(void **state)
{
    (void)state;
    opened(OWNER, 1);
    opened(OTHER, 1);
    model_names_add(&rig.broker, "x", MODEL_ANYBODY);
    rig.broker.is_lazy = true;
    frames_consume(&f, 1, "x", "tag", true);
    say(OTHER);
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    said(OWNER);
    assert_true(rig.clients[OWNER].member.held_cost > 0);
    model_names_remove(&rig.broker, "x"); /* the consume is not lucky any more, the declare is */
    rig_pump(&rig);
    assert_last_close(OTHER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_NOT_FOUND);
    assert_last(OWNER, AMQP_QUEUE_DECLARE_OK_METHOD);
    assert_owner("x", OWNER);
}

/* Or it would wait as long as others come. */
static void test_nobody_passes_a_declare_that_waits(void **state)
{
    (void)state;
    opened(OWNER, 1);
    opened(OTHER, 1);
    opened(OTHER, 2);
    model_names_add(&rig.broker, "x", MODEL_ANYBODY);
    frames_bind(&f, 1, "x");
    said(OTHER);
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    said(OWNER);
    assert_true(rig.clients[OWNER].member.held_cost > 0);
    assert_int_equal(rig.clients[OTHER].member.held_cost, 0);
    frames_bind(&f, 2, "x");
    said(OTHER);
    assert_true(rig.clients[OTHER].member.held_cost > 0);
    rig_pump(&rig);
    assert_last_close(OWNER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_RESOURCE_LOCKED); /* it is anybody's */
    assert_last_on(OTHER, 2, AMQP_QUEUE_BIND_OK_METHOD);
}

static void test_two_declare_it_at_once(void **state)
{
    (void)state;
    opened(OWNER, 1);
    opened(OTHER, 1);
    rig.broker.is_lazy = true;
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    say(OWNER);
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    say(OTHER);
    assert_locked();
    assert_owner("x", OWNER);
}

/* Another channel of the owner's, still busy with the old queue, must not get at the new one. */
static void test_a_new_owner_waits_for_the_last_use_of_the_old_one(void **state)
{
    (void)state;
    own_x();
    opened(OWNER, 2);
    rig.broker.is_lazy = true;
    frames_delete(&f, 1, "x");
    frames_get(&f, 2, "x", true);
    say(OWNER);
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    said(OTHER);
    const uint16_t first = rig.clients[OWNER].member.lanes->slot->number;
    model_broker_run(&rig.broker, first, UINT_MAX); /* the delete alone */
    model_broker_answer(&rig.broker, UINT_MAX);
    rig_pump_without_answers(&rig);
    assert_false(is_there("x"));
    assert_false(rig_got(&rig, OTHER, AMQP_CHANNEL_CLOSE_METHOD));
    rig_pump(&rig);
    assert_last_close(OWNER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_NOT_FOUND); /* the get */
    assert_last(OTHER, AMQP_QUEUE_DECLARE_OK_METHOD);
    assert_owner("x", OTHER);
}

static void test_deletes_and_declares_of_one_owner_keep_their_order(void **state)
{
    (void)state;
    own_x();
    opened(OWNER, 2);
    rig.broker.is_lazy = true;
    frames_delete(&f, 1, "x");
    frames_declare(&f, 2, "x", FRAMES_EXCLUSIVE);
    said(OWNER);
    assert_true(rig.clients[OWNER].member.held_cost > 0);
    rig_pump(&rig);
    assert_owner("x", OWNER);
    assert_int_equal(rig.clients[OWNER].member.queues.count, 1);
    frames_get(&f, 1, "x", true);
    say(OTHER), assert_locked();
}

static void test_many_commands_under_way(void **state)
{
    amqp_connection_close_t close = {.reply_code = 200};
    (void)state;
    opened(OWNER, 1);
    rig.broker.is_lazy = true;
    for (int i = 0; i < 2 * AMQP_USES_MAX; i++)
        frames_bind(&f, 1, "q");
    frames_publish(&f, 1, "q", "late", 4);
    frames_method(&f, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
    said(OWNER);
    assert_true(rig.clients[OWNER].member.held_cost > 0);
    rig_pump(&rig);
    assert_int_equal(rig.broker.published, 1); /* although the client leaves */
    assert_last(OWNER, AMQP_CONNECTION_CLOSE_OK_METHOD);
}

/* --- queues that go by themselves --- */

static void test_a_queue_that_has_gone_is_free(void **state)
{
    (void)state;
    own_x();
    model_names_remove(&rig.broker, "x");
    declared(OTHER, "x");
    assert_owner("x", OTHER);
    assert_int_equal(rig.clients[OWNER].member.queues.count, 0);
}

static void test_a_queue_of_the_same_name_from_elsewhere(void **state)
{
    (void)state;
    own_x();
    model_names_remove(&rig.broker, "x");
    model_names_add(&rig.broker, "x", MODEL_ANYBODY);
    frames_get(&f, 1, "x", true);
    done(OTHER);
    assert_last(OTHER, AMQP_BASIC_GET_EMPTY_METHOD);
    model_names_remove(&rig.broker, "x");
    declared(OWNER, "x");
    model_names_remove(&rig.broker, "x");
    model_names_add(&rig.broker, "x", MODEL_ELSEWHERE);
    frames_get(&f, 1, "x", true);
    done(OTHER);
    assert_last_close(OTHER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_RESOURCE_LOCKED);
    assert_string_equal(rig.clients[OTHER].text, "RESOURCE_LOCKED - by the broker");
}

/* The broker handles what came on the hub's own channels. */
static void run_errands(void)
{
    for (uint16_t n = 1; n < MODEL_CHANNELS; n++) {
        if (rig.hub.slots.slots[n - 1].user == AMQP_SLOT_OURS)
            model_broker_run(&rig.broker, n, UINT_MAX);
    }
}

static void test_a_queue_that_comes_back_during_the_check(void **state)
{
    (void)state;
    own_x();
    model_names_remove(&rig.broker, "x");
    rig.broker.is_lazy = true;
    frames_get(&f, 1, "x", true);
    said(OTHER);
    run_errands(); /* the check finds nothing, and has not told yet */
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    say(OWNER);
    assert_locked();
    assert_last(OWNER, AMQP_QUEUE_DECLARE_OK_METHOD);
    assert_owner("x", OWNER);
}

/* The first check was before that, the second must be after. */
static void test_a_queue_that_goes_during_the_check(void **state)
{
    (void)state;
    own_x();
    rig_join(&rig, THIRD, 0);
    opened(THIRD, 1);
    rig.broker.is_lazy = true;
    frames_get(&f, 1, "x", true);
    said(OTHER);
    run_errands();
    model_names_remove(&rig.broker, "x");
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    say(THIRD);
    assert_locked();
    assert_last(THIRD, AMQP_QUEUE_DECLARE_OK_METHOD);
    assert_owner("x", THIRD);
}

static void test_the_limit(void **state)
{
    (void)state;
    rig_config.exclusive_max = 4;
    opened(OWNER, 1);
    for (char name[3] = "xa"; name[1] < 'a' + 4; name[1]++)
        declared(OWNER, name);
    frames_declare(&f, 1, "xa", FRAMES_EXCLUSIVE); /* again is not more */
    frames_declare(&f, 1, "", FRAMES_EXCLUSIVE);
    done(OWNER);
    assert_last_close(OWNER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_PRECONDITION_FAILED);
    assert_string_equal(
        rig.clients[OWNER].text,
        "PRECONDITION_FAILED - cannot declare queue '': limit of exclusive queues (4) is reached");
    assert_int_equal(model_names_count(&rig.broker, OWNER), 4);
}

static void test_queues_that_have_gone_do_not_add_up(void **state)
{
    char name[8];
    (void)state;
    rig_config.exclusive_max = 8;
    opened(OWNER, 1);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        declared(OWNER, name);
        model_names_remove(&rig.broker, name);
    }
    assert_in_range(rig.clients[OWNER].member.queues.count, 1, 7);
}

/* --- the end --- */

static void test_they_are_gone_when_the_client_is_told(void **state)
{
    amqp_connection_close_t close = {.reply_code = 200};
    (void)state;
    own_x();
    declared(OWNER, "xx");
    frames_declare(&f, 1, "", FRAMES_EXCLUSIVE);
    frames_consume(&f, 1, "x", "tag", false);
    done(OWNER);
    frames_method(&f, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
    say(OWNER);
    do {
        rig_pump_without_answers(&rig);
        if (rig_got(&rig, OWNER, AMQP_CONNECTION_CLOSE_OK_METHOD))
            assert_int_equal(model_names_count(&rig.broker, OWNER), 0);
    } while (model_broker_answer(&rig.broker, 1) > 0);
    assert_last(OWNER, AMQP_CONNECTION_CLOSE_OK_METHOD);
    assert_true(amqp_member_is_over(&rig.clients[OWNER].member));
    declared(OTHER, "x");
}

static void test_they_go_with_a_client_that_vanishes(void **state)
{
    (void)state;
    own_x();
    rig.broker.is_lazy = true;
    frames_declare(&f, 1, "", FRAMES_EXCLUSIVE); /* of which it will not hear */
    frames_declare(&f, 1, "xx", FRAMES_EXCLUSIVE);
    say(OWNER);
    amqp_member_gone(&rig.clients[OWNER].member, 0);
    assert_false(amqp_member_is_over(&rig.clients[OWNER].member));
    rig_pump(&rig);
    assert_true(amqp_member_is_over(&rig.clients[OWNER].member));
    assert_false(is_there("x") || is_there("xx") || is_there("amq.gen-1"));
}

static void test_who_waits_gets_what_the_end_frees(void **state)
{
    (void)state;
    own_x();
    amqp_member_gone(&rig.clients[OWNER].member, 0);
    rig_pump_without_answers(&rig); /* the channel is being closed */
    model_broker_answer(&rig.broker, 1);
    rig.broker_reads = false; /* the check is on its way */
    rig_pump_without_answers(&rig);
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    say(OTHER);
    rig.broker_reads = true;
    rig_pump(&rig);
    assert_true(amqp_member_is_over(&rig.clients[OWNER].member));
    assert_true(rig_last(&rig, OTHER)->method == AMQP_QUEUE_DECLARE_OK_METHOD ||
                rig_last(&rig, OTHER)->code == AMQP_CODE_RESOURCE_LOCKED);
}

static void test_what_is_not_ours_is_not_deleted(void **state)
{
    (void)state;
    own_x();
    declared(OWNER, "xx");
    model_names_remove(&rig.broker, "x");
    model_names_remove(&rig.broker, "xx");
    model_names_add(&rig.broker, "x", MODEL_ANYBODY);
    model_names_add(&rig.broker, "xx", MODEL_ELSEWHERE);
    amqp_member_gone(&rig.clients[OWNER].member, 0);
    rig_pump(&rig);
    assert_true(amqp_member_is_over(&rig.clients[OWNER].member));
    assert_owner("x", MODEL_ANYBODY);
    assert_owner("xx", MODEL_ELSEWHERE);
}

static void test_what_can_not_be_deleted_stays_locked(void **state)
{
    (void)state;
    own_x();
    rig.broker.names.refuses_deletes = true;
    amqp_member_gone(&rig.clients[OWNER].member, 0);
    rig_pump(&rig);
    assert_true(amqp_member_is_over(&rig.clients[OWNER].member));
    assert_owner("x", OWNER);
    frames_get(&f, 1, "x", true);
    say(OTHER), assert_locked();
    model_names_remove(&rig.broker, "x");
    declared(OTHER, "x");
    rig.broker.names.refuses_deletes = false;
}

static void test_the_connection_is_lost_in_the_middle(void **state)
{
    (void)state;
    own_x();
    rig_join(&rig, THIRD, 0);
    opened(THIRD, 1);
    declared(THIRD, "xx");
    rig.broker.is_lazy = true;
    frames_get(&f, 1, "x", true);
    say(OTHER); /* waits for a check */
    frames_declare(&f, 1, "xxx", FRAMES_EXCLUSIVE);
    say(OWNER); /* under way */
    amqp_member_gone(&rig.clients[THIRD].member, 0);
    rig_pump_without_answers(&rig);
    amqp_hub_lost(&rig.hub, "reset", 0);
    assert_true(rig.is_down);
    assert_true(amqp_member_is_over(&rig.clients[THIRD].member));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_others_can_not_name_it),
        TEST(test_names_with_line_ends_are_not_there),
        TEST(test_anybody_can_publish_to_it),
        TEST(test_its_owner_uses_it_on_any_channel),
        TEST(test_the_last_queue_of_a_channel),
        TEST(test_nowait_is_kept_to),
        TEST(test_a_queue_that_the_broker_names),
        TEST(test_others_wait_for_the_outcome_of_a_declare),
        TEST(test_a_declare_that_fails_lets_others_go_on),
        TEST(test_a_declare_waits_for_what_others_have_begun),
        TEST(test_nobody_passes_a_declare_that_waits),
        TEST(test_two_declare_it_at_once),
        TEST(test_a_new_owner_waits_for_the_last_use_of_the_old_one),
        TEST(test_deletes_and_declares_of_one_owner_keep_their_order),
        TEST(test_many_commands_under_way),
        TEST(test_a_queue_that_has_gone_is_free),
        TEST(test_a_queue_of_the_same_name_from_elsewhere),
        TEST(test_a_queue_that_comes_back_during_the_check),
        TEST(test_a_queue_that_goes_during_the_check),
        TEST(test_the_limit),
        TEST(test_queues_that_have_gone_do_not_add_up),
        TEST(test_they_are_gone_when_the_client_is_told),
        TEST(test_they_go_with_a_client_that_vanishes),
        TEST(test_who_waits_gets_what_the_end_frees),
        TEST(test_what_is_not_ours_is_not_deleted),
        TEST(test_what_can_not_be_deleted_stays_locked),
        TEST(test_the_connection_is_lost_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
