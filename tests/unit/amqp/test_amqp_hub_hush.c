/* SPDX-License-Identifier: Apache-2.0 */

/* While RabbitMQ makes a stream, or deletes one or a quorum queue, nobody publishes (amqp/hush.h). The model
 * broker dies otherwise. */

#include "tests/unit/amqp/hub_test.h"
#include <limits.h>
#include <stdio.h>

enum { MAKER, PUBLISHER };

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    join_and_open(2, 0);
    return 0;
}

static int setup_pair(void **state)
{
    (void)state;
    rig_init_pair(&rig);
    join_and_open(2, 0);
    return 0;
}

static void publish(void)
{
    frames_publish(&f, 1, "q", "x", 1);
}

/* One round of answers after another, until the hush is in this state. */
static void go_on_until(int hush)
{
    for (unsigned i = 0; i < 20 && (int)rig.hub.hush.state != hush; i++) {
        model_broker_answer(&rig.broker, UINT_MAX);
        if (rig.is_pair)
            model_broker_answer(&rig.apart.broker, UINT_MAX);
        rig_pump_without_answers(&rig);
    }
    assert_int_equal(rig.hub.hush.state, hush);
}

/* The maker's command is at the broker, and not answered. */
static void begin_delete(void)
{
    frames_delete(&f, 1, "quorum");
    said(MAKER);
    go_on_until(AMQP_HUSH_QUIET);
    assert_false(rig_got(&rig, MAKER, AMQP_QUEUE_DELETE_OK_METHOD));
}

static unsigned published(void)
{
    return rig.broker.published;
}

/* --- who waits --- */

static void test_publishes_wait_for_a_delete(void **state)
{
    (void)state;
    begin_delete();
    publish();
    publish();
    said(PUBLISHER);
    assert_int_equal(published(), 0);
    rig_pump(&rig);
    assert_last(MAKER, AMQP_QUEUE_DELETE_OK_METHOD);
    assert_int_equal(published(), 2);
}

static void test_publishes_wait_for_a_stream(void **state)
{
    (void)state;
    frames_declare_of_type(&f, 1, "x", "stream");
    said(MAKER);
    go_on_until(AMQP_HUSH_QUIET);
    publish();
    said(PUBLISHER);
    assert_int_equal(published(), 0);
    rig_pump(&rig);
    assert_last(MAKER, AMQP_QUEUE_DECLARE_OK_METHOD);
    assert_int_equal(published(), 1);
}

static void test_commits_and_cancels_wait(void **state)
{
    (void)state;
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    frames_open(&f, 2);
    frames_consume(&f, 2, "q", "t", false);
    done(PUBLISHER);
    begin_delete();
    frames_plain(&f, 1, AMQP_TX_COMMIT_METHOD);
    frames_cancel(&f, 2, "t");
    said(PUBLISHER);
    assert_int_equal(rig.broker.commits, 0);
    assert_int_equal(model_queue_consumers(&rig.broker, "q"), 1);
    rig_pump(&rig);
    assert_true(rig_got(&rig, PUBLISHER, AMQP_TX_COMMIT_OK_METHOD));
    assert_true(rig_got(&rig, PUBLISHER, AMQP_BASIC_CANCEL_OK_METHOD));
}

/* A consumer that holds all it may is replaced by a wider one, which is a matter of the hub's. */
static void test_a_consumer_is_replaced_afterwards(void **state)
{
    (void)state;
    rig.hub.limits.prefetch = 2;
    rig.hub.limits.prefetch_wide = 8;
    frames_declare(&f, 1, "auto", 0);
    frames_consume(&f, 1, "auto", "t", false);
    done(PUBLISHER);
    frames_open(&f, 2);
    frames_publish(&f, 2, "auto", "x", 1);
    frames_publish(&f, 2, "auto", "x", 1);
    frames_delete(&f, 1, "quorum");
    said(MAKER);
    go_on_until(AMQP_HUSH_SETTLING);
    go_on_until(AMQP_HUSH_QUIET);
    assert_int_equal(model_queue_consumers(&rig.broker, "auto"), 2);
    rig_pump(&rig);
    assert_int_equal(model_queue_consumers(&rig.broker, "auto"), 1);
    assert_false(rig_got(&rig, PUBLISHER, AMQP_BASIC_CANCEL_OK_METHOD));
}

/* Queues that come or go otherwise need no hush. */
static void test_others_go_on(void **state)
{
    (void)state;
    frames_declare_of_type(&f, 1, "stream", "stream"); /* is there */
    frames_declare(&f, 1, "x", 0);
    frames_delete(&f, 1, "x");
    frames_delete(&f, 1, "x");
    frames_declare(&f, 1, "x2", FRAMES_EXCLUSIVE);
    frames_delete(&f, 1, "x2");
    said(MAKER);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(rig.hub.hush.state, AMQP_HUSH_NONE);
        model_broker_answer(&rig.broker, 1);
        rig_pump_without_answers(&rig);
    }
    assert_int_equal(rig_count(&rig, MAKER, AMQP_QUEUE_DELETE_OK_METHOD), 3);
}

/* --- what is through --- */

/* All channels but the publisher's (2) do what they were told. */
static void all_but_the_publisher_work(void)
{
    for (unsigned i = 0; i < 20; i++) {
        for (uint16_t n = 1; n < MODEL_CHANNELS; n++)
            model_broker_run(&rig.broker, n, n == 2 ? 0 : UINT_MAX);
        model_broker_answer(&rig.broker, UINT_MAX);
        rig_pump_without_answers(&rig);
    }
}

static void delete_while_a_publish_is_due(void)
{
    rig.broker.is_lazy = true;
    publish();
    said(PUBLISHER);
    frames_delete(&f, 1, "quorum");
    said(MAKER);
    all_but_the_publisher_work();
}

/* What was published before is on its way while the delete is asked for. */
static void test_the_delete_waits_for_publishes(void **state)
{
    (void)state;
    delete_while_a_publish_is_due();
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_SETTLING);
    assert_int_equal(rig.broker.deletes, 0);
    rig_pump(&rig);
    assert_int_equal(rig.broker.deletes, 1);
    assert_false(rig_got(&rig, PUBLISHER, AMQP_CHANNEL_FLOW_OK_METHOD));
}

static void test_a_clients_own_flows(void **state)
{
    amqp_channel_flow_t flow = {.active = 1};
    (void)state;
    rig.broker.is_lazy = true;
    frames_method(&f, 1, AMQP_CHANNEL_FLOW_METHOD, &flow);
    publish();
    said(PUBLISHER);
    frames_delete(&f, 1, "quorum");
    said(MAKER);
    for (uint16_t n = 3; n < MODEL_CHANNELS; n++) /* the probe */
        model_broker_run(&rig.broker, n, UINT_MAX);
    model_broker_answer(&rig.broker, UINT_MAX);
    rig_pump_without_answers(&rig);
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_SETTLING);
    frames_method(&f, 1, AMQP_CHANNEL_FLOW_METHOD, &flow); /* behind ours */
    said(PUBLISHER);
    model_broker_run(&rig.broker, 2, 2); /* the client's first one, and the publish */
    model_broker_answer(&rig.broker, UINT_MAX);
    rig_pump_without_answers(&rig);
    assert_int_equal(rig_count(&rig, PUBLISHER, AMQP_CHANNEL_FLOW_OK_METHOD), 1);
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_SETTLING);
    rig_pump(&rig);
    assert_int_equal(rig_count(&rig, PUBLISHER, AMQP_CHANNEL_FLOW_OK_METHOD), 2);
    assert_int_equal(rig.broker.deletes, 1);
}

/* Nothing may be said between tx.commit and its answer. */
static void test_a_commit_that_is_under_way(void **state)
{
    (void)state;
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    done(PUBLISHER);
    rig.broker.is_lazy = true;
    frames_plain(&f, 1, AMQP_TX_COMMIT_METHOD);
    said(PUBLISHER);
    frames_delete(&f, 1, "quorum");
    said(MAKER);
    rig_pump(&rig);
    assert_true(rig_got(&rig, PUBLISHER, AMQP_TX_COMMIT_OK_METHOD));
    assert_int_equal(rig.broker.deletes, 1);
}

/* Its channel is closed, or kept, before it has said that it is through. */
static void publisher_closes(void)
{
    rig.broker.is_lazy = true;
    publish();
    frames_close(&f, 1);
    said(PUBLISHER);
    frames_delete(&f, 1, "quorum");
    said(MAKER);
    rig_pump(&rig);
    assert_last(PUBLISHER, AMQP_CHANNEL_CLOSE_OK_METHOD);
    assert_int_equal(rig.broker.deletes, 1);
}

static void test_a_channel_that_is_being_closed(void **state)
{
    (void)state;
    publisher_closes();
}

static void test_a_channel_that_is_kept(void **state)
{
    (void)state;
    rig_config.kept_max = 2;
    publisher_closes();
    assert_int_equal(rig.hub.kept.count, 1);
}

static void test_a_channel_that_the_broker_closes(void **state)
{
    (void)state;
    rig.broker.is_lazy = true;
    publish();
    said(PUBLISHER);
    frames_delete(&f, 1, "quorum");
    said(MAKER);
    model_broker_close_channel(&rig.broker, 2);
    rig_pump(&rig);
    assert_last(PUBLISHER, AMQP_CHANNEL_CLOSE_METHOD);
    assert_int_equal(rig.broker.deletes, 1);
}

/* Publishing is done on a connection apart: that is the one which RabbitMQ would end. */
static void test_publishing_apart(void **state)
{
    (void)state;
    publish();
    said(PUBLISHER);
    begin_delete();
    publish();
    said(PUBLISHER);
    assert_int_equal(published(), 1);
    rig_pump(&rig);
    assert_int_equal(published(), 2);
    assert_int_equal(rig.apart.broker.killed.code, 0);
}

/* --- who goes meanwhile --- */

static void test_who_leaves_before_its_turn(void **state)
{
    (void)state;
    rig.broker.is_lazy = true;
    publish();
    said(PUBLISHER);
    frames_delete(&f, 1, "quorum");
    said(MAKER);
    for (uint16_t n = 3; n < MODEL_CHANNELS; n++)
        model_broker_run(&rig.broker, n, UINT_MAX);
    go_on_until(AMQP_HUSH_SETTLING);
    amqp_member_gone(&rig.clients[MAKER].member, rig.now);
    publish();
    said(PUBLISHER);
    rig_pump(&rig);
    assert_int_equal(published(), 2);
    assert_int_equal(rig.broker.deletes, 1); /* what a client has said is still done */
}

static void test_who_leaves_behind_its_delete(void **state)
{
    (void)state;
    begin_delete();
    amqp_member_gone(&rig.clients[MAKER].member, rig.now);
    publish();
    said(PUBLISHER);
    assert_int_equal(published(), 0);
    rig_pump(&rig);
    assert_int_equal(published(), 1);
}

static void test_who_publishes_and_leaves(void **state)
{
    (void)state;
    begin_delete();
    publish();
    say(PUBLISHER);
    amqp_member_gone(&rig.clients[PUBLISHER].member, rig.now);
    rig_pump_without_answers(&rig);
    assert_int_equal(published(), 0);
    rig_pump(&rig);
    assert_int_equal(published(), 1);
}

static void test_a_delete_that_is_refused(void **state)
{
    (void)state;
    rig.broker.names.refuses_deletes = true;
    begin_delete();
    publish();
    said(PUBLISHER);
    rig_pump(&rig);
    assert_last(MAKER, AMQP_CHANNEL_CLOSE_METHOD);
    assert_int_equal(published(), 1);
}

static void test_a_connection_that_is_lost(void **state)
{
    (void)state;
    begin_delete();
    publish();
    said(PUBLISHER);
    amqp_hub_lost(&rig.hub, "gone", rig.now);
    assert_true(rig.is_down);
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_NONE);
}

/* While the end is on its way to a broker that does not answer, nothing else is waited for. */
static void test_a_connection_that_is_being_closed(void **state)
{
    (void)state;
    begin_delete();
    model_broker_answer(&rig.broker, 1);
    rig_pump_without_answers(&rig);
    assert_last(MAKER, AMQP_QUEUE_DELETE_OK_METHOD);
    amqp_hub_close(&rig.hub, "shut down", rig.now);
    rig.broker_reads = false;
    time_passes(1000);
    assert_true(amqp_hub_deadline(&rig.hub) > rig.now);
}

/* --- time --- */

/* After a hush publishers have as long for themselves as it took. */
static void test_hushes_leave_time_between(void **state)
{
    (void)state;
    begin_delete();
    publish();
    said(PUBLISHER);
    rig.now += 100;
    model_broker_answer(&rig.broker, UINT_MAX);
    frames_delete(&f, 1, "quorum");
    said(MAKER);
    rig.now = amqp_hush_deadline(&rig.hub);
    rig_pump_without_answers(&rig); /* it ends */
    assert_int_equal(published(), 1);
    for (unsigned i = 0; i < 10; i++) {
        model_broker_answer(&rig.broker, UINT_MAX);
        rig_pump_without_answers(&rig);
    }
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_NONE);
    assert_true(amqp_hub_deadline(&rig.hub) >= rig.now + 100);
    publish();
    said(PUBLISHER);
    assert_int_equal(published(), 2);
    rig_pump(&rig);
    assert_int_equal(rig_count(&rig, MAKER, AMQP_QUEUE_DELETE_OK_METHOD), 2);
}

static void test_a_channel_that_does_not_answer(void **state)
{
    (void)state;
    delete_while_a_publish_is_due();
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_SETTLING);
    assert_int_equal(amqp_hub_deadline(&rig.hub), rig.now + 5000);
    time_passes(4999);
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_SETTLING);
    time_passes(1);
    all_but_the_publisher_work();
    assert_true(rig_got(&rig, MAKER, AMQP_QUEUE_DELETE_OK_METHOD));
    publish();
    said(PUBLISHER);
    time_passes(50);
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_NONE);

    time_passes(10000); /* the next one does not wait for it */
    frames_delete(&f, 1, "quorum2");
    said(MAKER);
    all_but_the_publisher_work();
    assert_int_equal(rig_count(&rig, MAKER, AMQP_QUEUE_DELETE_OK_METHOD), 2);
    rig.broker.is_lazy = false;
    rig_pump(&rig);
    assert_int_equal(published(), 2);
    assert_false(rig_got(&rig, PUBLISHER, AMQP_CHANNEL_FLOW_OK_METHOD)); /* late, and still not its own */
    assert_false(rig.hub.slots.slots[1].settling.is_asked);
}

static void test_a_delete_that_is_not_answered(void **state)
{
    (void)state;
    begin_delete();
    rig.broker.is_lazy = true; /* lest it die of the publish */
    publish();
    said(PUBLISHER);
    time_passes(4999);
    assert_int_equal(amqp_hub_deadline(&rig.hub), rig.now + 1);
    time_passes(1);
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_NONE);
    assert_true(rig.broker.names.is_lenient); /* it was said */
    model_broker_answer(&rig.broker, UINT_MAX);
    rig_pump(&rig);
    assert_int_equal(published(), 1);
    assert_true(rig_got(&rig, MAKER, AMQP_QUEUE_DELETE_OK_METHOD));
    assert_int_equal(rig.hub.hush.given_up, 0);
}

/* It is the broker that holds all up. */
static void test_patience_with_a_blocked_connection(void **state)
{
    (void)state;
    begin_delete();
    snprintf(rig.hub.blocked, sizeof(rig.hub.blocked), "low on memory");
    publish();
    said(PUBLISHER);
    time_passes(60000);
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_QUIET);
    rig.hub.blocked[0] = '\0';
    time_passes(4999);
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_QUIET);
    assert_int_equal(published(), 0);
}

/* Those who have asked before it is quiet share a hush. */
static void test_several_at_once(void **state)
{
    (void)state;
    frames_delete(&f, 1, "quorum");
    say(MAKER);
    frames_delete(&f, 1, "quorum2");
    said(PUBLISHER);
    rig_pump(&rig);
    assert_true(rig_got(&rig, MAKER, AMQP_QUEUE_DELETE_OK_METHOD));
    assert_true(rig_got(&rig, PUBLISHER, AMQP_QUEUE_DELETE_OK_METHOD));
    assert_int_equal(rig.hub.hush.state, AMQP_HUSH_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_publishes_wait_for_a_delete),
        TEST(test_publishes_wait_for_a_stream),
        TEST(test_commits_and_cancels_wait),
        TEST(test_a_consumer_is_replaced_afterwards),
        TEST(test_others_go_on),
        TEST(test_the_delete_waits_for_publishes),
        TEST(test_a_clients_own_flows),
        TEST(test_a_commit_that_is_under_way),
        TEST(test_a_channel_that_is_being_closed),
        TEST(test_a_channel_that_is_kept),
        TEST(test_a_channel_that_the_broker_closes),
        cmocka_unit_test_setup_teardown(test_publishing_apart, setup_pair, teardown),
        TEST(test_who_leaves_before_its_turn),
        TEST(test_who_leaves_behind_its_delete),
        TEST(test_who_publishes_and_leaves),
        TEST(test_a_delete_that_is_refused),
        TEST(test_a_connection_that_is_lost),
        TEST(test_a_connection_that_is_being_closed),
        TEST(test_hushes_leave_time_between),
        TEST(test_a_channel_that_does_not_answer),
        TEST(test_a_delete_that_is_not_answered),
        TEST(test_patience_with_a_blocked_connection),
        TEST(test_several_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
