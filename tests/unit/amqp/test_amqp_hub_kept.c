/* SPDX-License-Identifier: Apache-2.0 */

/* Channels that clients leave as they were opened, and others get (amqp/kept.h). */

#include "tests/unit/amqp/hub_test.h"

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_config.kept_max = 2;
    join(2, AMQP_CAN_CANCEL_NOTIFY);
    return 0;
}

/* Opens a channel, says something there and leaves it. */
static void visit(unsigned client, void (*speak)(void))
{
    opened(client, 1);
    speak();
    done(client);
    closed(client, 1);
}

static void publish(void)
{
    frames_publish(&f, 1, "q", "x", 1);
}

static void declare(void)
{
    frames_declare(&f, 1, "some", 0);
}

static void test_the_next_client_gets_it(void **state)
{
    (void)state;
    visit(0, publish);
    assert_int_equal(model_broker_open_channels(&rig.broker), 1);
    visit(1, declare);
    visit(0, publish);
    assert_int_equal(rig.broker.opened, 1);
    assert_int_equal(rig.broker.published, 2);
    assert_int_equal(rig.hub.kept.count, 1);
}

static void consume(void)
{
    frames_consume(&f, 1, "q", "t", true);
}

static void get(void)
{
    frames_get(&f, 1, "q", true);
}

static void qos(void)
{
    frames_qos(&f, 1, 7, false);
}

static void transact(void)
{
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
}

static void confirm(void)
{
    frames_plain(&f, 1, AMQP_CONFIRM_SELECT_METHOD);
}

static void test_one_that_was_changed_is_closed(void **state)
{
    static void (*const changes[])(void) = {consume, get, qos, transact, confirm};
    const unsigned n = sizeof(changes) / sizeof(changes[0]);
    (void)state;
    for (unsigned i = 0; i < n; i++) {
        visit(0, changes[i]);
        assert_int_equal(rig.hub.kept.count, 0);
    }
    assert_int_equal(rig.hub.slots.used, rig.hub.slots.ours);
}

/* What the broker refuses is told to who has said it, as long as it has not heard of its Close-Ok. */
static void test_nobody_gets_it_before_all_is_answered(void **state)
{
    (void)state;
    opened(0, 1);
    rig.broker.is_lazy = true;
    frames_publish(&f, 1, "q", "x", 1);
    frames_close(&f, 1);
    say(0);
    frames_open(&f, 1);
    said(1);
    assert_int_equal(rig.clients[0].events, 0);
    assert_int_equal(model_broker_run(&rig.broker, 1, 1), 1);
    model_broker_close_channel(&rig.broker, 1);
    rig.broker.is_lazy = false;
    rig_pump(&rig);
    assert_int_equal(rig.broker.opened, 2);
    assert_true(rig_got(&rig, 0, AMQP_CHANNEL_CLOSE_METHOD));
    assert_last(0, AMQP_CHANNEL_CLOSE_OK_METHOD);
    assert_last(1, AMQP_CHANNEL_OPEN_OK_METHOD);
    assert_int_equal(rig.hub.kept.count, 0);
}

static void test_an_empty_name_is_not_the_last_ones_queue(void **state)
{
    (void)state;
    visit(0, declare);
    opened(1, 1);
    frames_bind(&f, 1, "");
    done(1);
    assert_last_close(1, AMQP_CHANNEL_CLOSE_METHOD, AMQP_NOT_FOUND);
    assert_string_equal(rig.clients[1].text, "NOT_FOUND - no previously declared queue");
}

static void test_those_that_leave_in_a_hurry_leave_it_too(void **state)
{
    (void)state;
    opened(0, 1);
    publish();
    say(0);
    amqp_member_gone(&rig.clients[0].member, rig.now);
    rig_pump(&rig);
    assert_int_equal(rig.clients[0].member.state, AMQP_MEMBER_OVER);
    assert_int_equal(rig.broker.published, 1);
    assert_int_equal(rig.hub.kept.count, 1);
    opened(1, 5);
    assert_int_equal(rig.broker.opened, 1);
}

static void test_so_many_are_kept(void **state)
{
    (void)state;
    for (uint16_t channel = 1; channel <= 5; channel++)
        opened(0, channel);
    amqp_member_gone(&rig.clients[0].member, rig.now);
    rig_pump(&rig);
    assert_int_equal(rig.hub.kept.count, 2);
    assert_int_equal(model_broker_open_channels(&rig.broker), 2);
}

static void test_they_are_closed_when_nobody_comes(void **state)
{
    (void)state;
    visit(0, publish);
    assert_int_equal(amqp_hub_deadline(&rig.hub), rig.now + 1000);
    rig_wait(&rig, 999);
    assert_int_equal(model_broker_open_channels(&rig.broker), 1);
    rig_wait(&rig, 1);
    assert_int_equal(model_broker_open_channels(&rig.broker), 0);
    assert_int_equal(rig.hub.slots.used, 0);
}

/* However often it is used. */
static void test_none_is_kept_for_long(void **state)
{
    (void)state;
    for (int i = 0; i < 21; i++) {
        visit(0, publish);
        assert_int_equal(rig.broker.opened, 1);
        rig_wait(&rig, 500);
    }
    visit(0, publish);
    assert_int_equal(rig.broker.opened, 2);
}

static void test_the_broker_closes_one(void **state)
{
    (void)state;
    visit(0, publish);
    model_broker_close_channel(&rig.broker, 1);
    rig_pump(&rig);
    assert_int_equal(rig.hub.kept.count, 0);
    assert_int_equal(rig.hub.slots.used, 0);
    opened(1, 1);
}

/* A client can fill the shared connection although some are kept. */
static void test_kept_ones_are_not_in_the_way(void **state)
{
    const unsigned room = rig.hub.slots.count - rig.hub.slots.reserved;
    const unsigned each = room / RIG_CLIENTS + 1;
    (void)state;
    rig_join(&rig, 2, AMQP_CAN_CANCEL_NOTIFY);
    rig_join(&rig, 3, AMQP_CAN_CANCEL_NOTIFY);
    opened(0, 1);
    opened(0, 2);
    closed(0, 1);
    closed(0, 2);
    assert_int_equal(rig.hub.kept.count, 2);
    for (unsigned n = 0; n < room; n++)
        opened(n / each, (uint16_t)(n + 1));
    assert_int_equal(rig.broker.opened, room);
    frames_open(&f, (uint16_t)(room + 1));
    done(1);
    assert_int_equal(rig_last(&rig, 1)->code, AMQP_CODE_RESOURCE_ERROR);
}

/* The fence is not the client's business, its own channel.flow is. */
static void test_channel_flow_of_a_client(void **state)
{
    amqp_channel_flow_t flow = {.active = 1};
    (void)state;
    opened(0, 1);
    frames_method(&f, 1, AMQP_CHANNEL_FLOW_METHOD, &flow);
    frames_close(&f, 1);
    done(0);
    assert_int_equal(rig_count(&rig, 0, AMQP_CHANNEL_FLOW_OK_METHOD), 1);
    assert_last(0, AMQP_CHANNEL_CLOSE_OK_METHOD);
    opened(0, 1);
    publish();
    frames_close(&f, 1);
    done(0);
    assert_int_equal(rig_count(&rig, 0, AMQP_CHANNEL_FLOW_OK_METHOD), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_next_client_gets_it),
        TEST(test_one_that_was_changed_is_closed),
        TEST(test_nobody_gets_it_before_all_is_answered),
        TEST(test_an_empty_name_is_not_the_last_ones_queue),
        TEST(test_those_that_leave_in_a_hurry_leave_it_too),
        TEST(test_so_many_are_kept),
        TEST(test_they_are_closed_when_nobody_comes),
        TEST(test_none_is_kept_for_long),
        TEST(test_the_broker_closes_one),
        TEST(test_kept_ones_are_not_in_the_way),
        TEST(test_channel_flow_of_a_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
