/* SPDX-License-Identifier: Apache-2.0 */

/* Clients that do not read, or not as fast as the broker sends: what is held for them is bounded. */

#include "tests/unit/amqp/hub_test.h"

static char body[50000];

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    join_and_open(3, AMQP_CAN_CANCEL_NOTIFY);
    return 0;
}

static void consume(unsigned client, const char *queue)
{
    frames_consume(&f, 1, queue, "tag", false);
    done(client);
}

static void publish(const char *queue, size_t len)
{
    frames_publish(&f, 1, queue, body, len);
    done(2);
}

static void declare(unsigned times)
{
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes("q")};
    for (unsigned i = 0; i < times; i++)
        frames_method(&f, 1, AMQP_QUEUE_DECLARE_METHOD, &declare);
}

/* The client has been closed with 320, its messages are in the queue again, and others are not affected. */
static void assert_closed(unsigned client, const char *why)
{
    rig.clients[client].is_deaf = false;
    rig_pump(&rig);
    assert_last_close(client, AMQP_CONNECTION_CLOSE_METHOD, AMQP_CODE_CONNECTION_FORCED);
    assert_non_null(strstr(rig.clients[client].text, "CONNECTION_FORCED - the client does not read: "));
    assert_non_null(strstr(rig.clients[client].text, why));
    rig.clients[1 - client].events = 0;
    declare(1);
    done(1 - client);
    assert_last(1 - client, AMQP_QUEUE_DECLARE_OK_METHOD);
}

/* --- bounds --- */

static void test_more_than_one_may_have(void **state)
{
    (void)state;
    rig.hub.limits.hard = 110000;
    consume(0, "q");
    rig.clients[0].is_deaf = true;
    for (int i = 0; i < 3; i++)
        publish("q", sizeof(body)); /* the first does not count */
    assert_int_equal(rig.clients[0].member.state, AMQP_MEMBER_JOINED);
    assert_int_equal(amqp_member_deadline(&rig.clients[0].member), UINT64_MAX);
    publish("q", sizeof(body));
    assert_int_equal(amqp_member_deadline(&rig.clients[0].member), 0);
    assert_closed(0, "more than one may have");
    assert_int_equal(model_queue_depth(&rig.broker, "q"), 4);
}

static void test_one_message_of_any_size(void **state)
{
    (void)state;
    rig.hub.limits.hard = 5000;
    consume(0, "q");
    publish("q", sizeof(body));
    assert_int_equal(rig.clients[0].body_bytes, sizeof(body));
}

/* Clients 0 and 1, of queues a and b. */
static void consume_and_do_not_read(void)
{
    consume(0, "a");
    consume(1, "b");
    rig.clients[0].is_deaf = true;
    rig.clients[1].is_deaf = true;
}

static void test_the_biggest_holder_pays(void **state)
{
    (void)state;
    rig.hub.limits.all = 4 * sizeof(body);
    consume_and_do_not_read();
    publish("a", sizeof(body));
    publish("b", sizeof(body));
    publish("b", sizeof(body));
    assert_false(amqp_member_is_doomed(&rig.clients[1].member));
    publish("a", 10000);
    publish("a", sizeof(body)); /* over the limit: a has most now */
    assert_true(amqp_member_is_doomed(&rig.clients[0].member));
    assert_false(amqp_member_is_doomed(&rig.clients[1].member));
    rig.clients[1].is_deaf = false;
    assert_closed(0, "the most of all");
    assert_int_equal(rig.clients[1].body_bytes, 2 * sizeof(body));
}

/* Those who leave are not spared, nor is what they leave behind anybody else's fault. */
static void test_who_leaves_pays_first(void **state)
{
    amqp_connection_close_t close = {.reply_code = AMQP_REPLY_SUCCESS};
    (void)state;
    rig.hub.limits.all = 3 * sizeof(body);
    consume_and_do_not_read();
    publish("a", sizeof(body));
    publish("a", sizeof(body));
    rig.broker.is_lazy = true; /* it does not close the channel yet */
    frames_method(&f, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
    said(0);
    assert_int_equal(rig.clients[0].member.state, AMQP_MEMBER_ENDING);
    frames_publish(&f, 1, "b", body, 40000);
    frames_publish(&f, 1, "b", body, 40000);
    said(2);
    model_broker_run(&rig.broker, amqp_member_lane(&rig.clients[2].member, 1)->slot->number, 2);
    model_broker_answer(&rig.broker, 2);
    rig_pump_without_answers(&rig);
    assert_int_equal(rig.clients[0].member.load.waiting, 0);
    assert_false(amqp_member_is_doomed(&rig.clients[1].member));
    rig.clients[0].is_deaf = rig.clients[1].is_deaf = rig.broker.is_lazy = false;
    model_broker_run_all(&rig.broker);
    rig_pump(&rig);
    assert_last(0, AMQP_CONNECTION_CLOSE_OK_METHOD);
    assert_int_equal(rig.clients[1].body_bytes, 80000);
}

/* --- replies --- */

static void test_who_does_not_take_answers_can_not_ask(void **state)
{
    struct amqp_member *member = &rig.clients[0].member;
    (void)state;
    rig.hub.limits.replies = 10000;
    rig.clients[0].is_deaf = true;
    for (int i = 0; i < 10000 && amqp_member_wants_input(member); i++) {
        declare(1);
        done(0);
    }
    assert_false(amqp_member_wants_input(member));
    assert_true(member->load.replies < 11000);
    assert_true(amqp_member_wants_input(&rig.clients[1].member));
    rig.clients[0].is_deaf = false;
    rig_pump(&rig);
    assert_true(amqp_member_wants_input(member));
    assert_int_equal(member->load.replies, 0);
}

/* A client that writes before it reads must get everything out, whatever is delivered to it meanwhile. */
static void test_deliveries_do_not_keep_a_client_from_speaking(void **state)
{
    (void)state;
    rig.hub.limits.replies = 10000;
    consume(0, "q");
    rig.clients[0].is_deaf = true;
    publish("q", sizeof(body));
    assert_true(amqp_member_wants_input(&rig.clients[0].member));
}

/* --- basic.get --- */

static void test_one_get_at_a_time(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        publish("q", 10);
    for (int i = 0; i < 4; i++)
        frames_get(&f, 1, "q", true);
    declare(1);
    say(0);
    do /* first comes the probe of the queue's type */
        rig_pump_without_answers(&rig);
    while (model_queue_depth(&rig.broker, "q") == 3 && model_broker_answer(&rig.broker, 1) > 0);
    assert_int_equal(model_queue_depth(&rig.broker, "q"), 2);
    rig_pump(&rig);
    const struct rig_event *event = rig.clients[0].event;
    assert_int_equal(rig.clients[0].events, 5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(event[i].method, AMQP_BASIC_GET_OK_METHOD);
    assert_int_equal(event[3].method, AMQP_BASIC_GET_EMPTY_METHOD);
    assert_int_equal(event[4].method, AMQP_QUEUE_DECLARE_OK_METHOD); /* what came behind waited too */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_more_than_one_may_have),
        TEST(test_one_message_of_any_size),
        TEST(test_the_biggest_holder_pays),
        TEST(test_who_leaves_pays_first),
        TEST(test_who_does_not_take_answers_can_not_ask),
        TEST(test_deliveries_do_not_keep_a_client_from_speaking),
        TEST(test_one_get_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
