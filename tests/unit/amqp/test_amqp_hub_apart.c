/* SPDX-License-Identifier: Apache-2.0 */

/* Clients that publish on a connection of its own (amqp/outlet.h). */

#include "tests/unit/amqp/hub_test.h"
#include <stdlib.h>

static int setup(void **state)
{
    (void)state;
    rig_init_pair(&rig);
    f.len = 0;
    rig_join(&rig, 0, AMQP_CAN_CANCEL_NOTIFY | AMQP_CAN_BLOCKED);
    rig_join(&rig, 1, AMQP_CAN_CANCEL_NOTIFY);
    return 0;
}

static void publish(uint16_t channel, const char *body)
{
    frames_publish(&f, channel, "q", body, strlen(body));
}

static void publish_to_exchange(uint16_t channel)
{
    amqp_basic_publish_t method = {.exchange = amqp_cstring_bytes("nowhere"),
                                   .routing_key = amqp_empty_bytes};
    frames_method(&f, channel, AMQP_BASIC_PUBLISH_METHOD, &method);
    frames_content(&f, channel, &(amqp_basic_properties_t){0}, "x", 1, 1000);
}

static void consume_replies(uint16_t channel)
{
    frames_consume(&f, channel, "amq.rabbitmq.reply-to", "r", true);
}

static struct amqp_lane *lane_of(unsigned client, uint16_t channel)
{
    return amqp_member_lane(&rig.clients[client].member, channel);
}

static unsigned open_apart(void)
{
    return model_broker_open_channels(&rig.apart.broker);
}

/* --- where things are said --- */

static void test_publishes_go_the_other_way(void **state)
{
    (void)state;
    opened(0, 1);
    assert_int_equal(open_apart(), 0);
    publish(1, "hello");
    done(0);
    assert_int_equal(open_apart(), 1);
    assert_int_equal(rig.broker.published, 1);
    assert_int_equal(rig.clients[0].events, 0);
    frames_get(&f, 1, "q", true);
    done(0);
    assert_last(0, AMQP_BASIC_GET_OK_METHOD);
    frames_close(&f, 1);
    done(0);
    assert_last(0, AMQP_CHANNEL_CLOSE_OK_METHOD);
    assert_int_equal(open_apart(), 0);
    assert_int_equal(rig_count(&rig, 0, AMQP_CHANNEL_FLOW_OK_METHOD), 0);
}

/* Nor is a channel answered before it is open. */
static void test_nothing_is_published_before_the_channel_is_open(void **state)
{
    (void)state;
    rig.broker_reads = false;
    frames_open(&f, 1);
    frames_confirm_select(&f, 1, false);
    publish(1, "hello");
    done(0);
    assert_int_equal(rig.clients[0].events, 0);
    assert_int_equal(open_apart(), 0);
    rig.broker_reads = true;
    rig_pump(&rig);
    assert_int_equal(rig.clients[0].event[0].method, AMQP_CHANNEL_OPEN_OK_METHOD);
    assert_int_equal(rig.clients[0].event[1].method, AMQP_CONFIRM_SELECT_OK_METHOD);
    assert_int_equal(rig.broker.published, 1);
}

static void test_get_does_not_overtake_what_was_published(void **state)
{
    (void)state;
    opened(0, 1);
    rig.apart.broker_reads = false;
    publish(1, "hello");
    frames_get(&f, 1, "q", true);
    done(0);
    assert_false(rig_got(&rig, 0, AMQP_BASIC_GET_EMPTY_METHOD));
    rig.apart.broker_reads = true;
    rig_pump(&rig);
    assert_last(0, AMQP_BASIC_GET_OK_METHOD);
}

static void test_a_publish_does_not_overtake_what_was_said(void **state)
{
    (void)state;
    opened(0, 1);
    rig.broker_reads = false;
    frames_get(&f, 1, "q", true);
    publish(1, "hello");
    done(0);
    assert_int_equal(rig.broker.published, 0);
    rig.broker_reads = true;
    rig_pump(&rig);
    assert_last(0, AMQP_BASIC_GET_EMPTY_METHOD);
    assert_int_equal(rig.broker.published, 1);
}

/* basic.nack has no answer, so a fence stands for it; basic.ack is in nobody's way. */
static void test_what_is_given_back_comes_first(void **state)
{
    (void)state;
    opened(0, 1);
    publish(1, "1");
    publish(1, "2");
    frames_get(&f, 1, "q", false);
    frames_get(&f, 1, "q", false);
    done(0);
    assert_int_equal(rig_count(&rig, 0, AMQP_BASIC_GET_OK_METHOD), 2);
    rig.broker_reads = false;
    frames_ack(&f, 1, 1, false);
    publish(1, "3");
    done(0);
    assert_int_equal(rig.broker.published, 3);
    rig.broker_reads = true;
    frames_get(&f, 1, "none", true);
    done(0);
    rig.broker_reads = false;
    frames_nack(&f, 1, 2, false);
    publish(1, "4");
    done(0);
    assert_int_equal(rig.broker.published, 3);
    rig.broker_reads = true;
    rig_pump(&rig);
    assert_int_equal(rig.broker.published, 4);
    assert_int_equal(rig_count(&rig, 0, AMQP_CHANNEL_FLOW_OK_METHOD), 0);
}

/* The broker closes the channel for it, and does not look at what comes behind. */
static void test_nothing_is_published_behind_an_ack_in_vain(void **state)
{
    (void)state;
    opened(0, 1);
    publish(1, "1");
    frames_get(&f, 1, "q", false);
    done(0);
    frames_ack(&f, 1, 1, false);
    frames_ack(&f, 1, 1, false);
    publish(1, "2");
    done(0);
    assert_last_close(0, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_PRECONDITION_FAILED);
    assert_int_equal(rig.broker.published, 1);
}

static void test_own_flow_is_answered_and_no_other(void **state)
{
    amqp_channel_flow_t flow = {.active = 1};
    (void)state;
    opened(0, 1);
    frames_method(&f, 1, AMQP_CHANNEL_FLOW_METHOD, &flow);
    frames_nack(&f, 1, 0, true);
    publish(1, "1");
    frames_method(&f, 1, AMQP_CHANNEL_FLOW_METHOD, &flow);
    frames_get(&f, 1, "q", true);
    done(0);
    assert_int_equal(rig_count(&rig, 0, AMQP_CHANNEL_FLOW_OK_METHOD), 2);
    assert_last(0, AMQP_BASIC_GET_OK_METHOD);
}

/* --- confirms --- */

static void test_confirms(void **state)
{
    (void)state;
    opened(0, 1);
    frames_confirm_select(&f, 1, false);
    done(0);
    assert_last(0, AMQP_CONFIRM_SELECT_OK_METHOD);
    publish(1, "1");
    publish(1, "2");
    done(0);
    assert_int_equal(rig_count(&rig, 0, AMQP_BASIC_ACK_METHOD), 2);
    assert_int_equal(rig_last(&rig, 0)->tag, 2);
}

/* Who waits for its confirms pays for no fence. */
static void test_confirms_stand_for_a_fence(void **state)
{
    (void)state;
    opened(0, 1);
    frames_confirm_select(&f, 1, true);
    publish(1, "1");
    done(0);
    assert_int_equal(rig_count(&rig, 0, AMQP_BASIC_ACK_METHOD), 1);
    rig.apart.broker_reads = false;
    frames_get(&f, 1, "q", true);
    done(0);
    assert_last(0, AMQP_BASIC_GET_OK_METHOD);
}

/* Refused at once, as alone. */
static void test_no_transactions_beside_confirms(void **state)
{
    (void)state;
    rig.apart.broker.is_unsure = true;
    opened(0, 1);
    frames_confirm_select(&f, 1, false);
    publish(1, "not confirmed");
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    done(0);
    assert_last_close(0, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_PRECONDITION_FAILED);
}

/* --- what binds a channel --- */

static void test_transactions_are_on_one_side(void **state)
{
    (void)state;
    opened(0, 1);
    publish(1, "1");
    done(0);
    assert_int_equal(open_apart(), 1);
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    publish(1, "2");
    frames_plain(&f, 1, AMQP_TX_COMMIT_METHOD);
    publish(1, "3");
    frames_plain(&f, 1, AMQP_TX_ROLLBACK_METHOD);
    rig.apart.broker_reads = true;
    done(0);
    assert_last(0, AMQP_TX_ROLLBACK_OK_METHOD);
    assert_int_equal(rig.broker.published, 3);
    assert_int_equal(open_apart(), 0); /* given back */
    assert_int_equal(rig.broker.commits, 1);
}

static void test_requests_go_with_the_consumer_of_replies(void **state)
{
    (void)state;
    opened(0, 1);
    consume_replies(1);
    publish(1, "1");
    frames_confirm_select(&f, 1, false);
    publish(1, "2");
    done(0);
    assert_int_equal(open_apart(), 0);
    assert_last(0, AMQP_BASIC_ACK_METHOD);
    assert_int_equal(rig_last(&rig, 0)->tag, 1);
}

/* The broker numbers them from one again, the client goes on counting. */
static void test_confirms_go_on_when_a_channel_is_bound(void **state)
{
    (void)state;
    opened(0, 1);
    frames_confirm_select(&f, 1, false);
    publish(1, "1");
    publish(1, "2");
    rig.apart.broker.is_unsure = true;
    consume_replies(1);
    publish(1, "3");
    done(0);
    assert_int_equal(rig.broker.published, 2);
    assert_false(rig_got(&rig, 0, AMQP_BASIC_CONSUME_OK_METHOD));
    model_broker_confirm(&rig.apart.broker);
    rig_pump(&rig);
    assert_int_equal(rig_count(&rig, 0, AMQP_BASIC_ACK_METHOD), 3);
    assert_int_equal(rig_last(&rig, 0)->tag, 3);
    assert_int_equal(rig_count(&rig, 0, AMQP_CONFIRM_SELECT_OK_METHOD), 1);
    assert_int_equal(open_apart(), 0);
}

/* --- errors and ends --- */

static void test_an_error_of_a_publish(void **state)
{
    (void)state;
    opened(0, 1);
    frames_consume(&f, 1, "q", "t", false);
    publish_to_exchange(1);
    publish(1, "not any more");
    frames_get(&f, 1, "q", true);
    done(0);
    assert_last_close(0, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_NOT_FOUND);
    assert_int_equal(rig_count(&rig, 0, AMQP_CHANNEL_CLOSE_METHOD), 1);
    assert_int_equal(rig.broker.published, 0);
    assert_int_equal(open_apart(), 0);
    assert_int_equal(model_broker_open_channels(&rig.broker), rig.hub.slots.ours); /* before it was told */
    frames_close_ok(&f, 1);
    done(0);
    opened(0, 1);
}

static void test_an_error_on_the_main_side(void **state)
{
    (void)state;
    opened(0, 1);
    publish(1, "1");
    frames_declare(&f, 1, "missing", FRAMES_PASSIVE);
    publish(1, "not any more");
    done(0);
    assert_last_close(0, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_NOT_FOUND);
    assert_int_equal(rig.broker.published, 1);
    assert_int_equal(open_apart(), 0);
}

/* The first one is told. */
static void test_errors_on_both_sides(void **state)
{
    (void)state;
    opened(0, 1);
    publish(1, "1");
    done(0);
    model_broker_close_channel(&rig.apart.broker, 1);
    model_broker_close_channel(&rig.broker, lane_of(0, 1)->slot->number);
    rig_pump(&rig);
    assert_int_equal(rig_count(&rig, 0, AMQP_CHANNEL_CLOSE_METHOD), 1);
    assert_int_equal(lane_of(0, 1)->state, AMQP_LANE_TOLD);
}

static void test_close_crosses_an_error_of_a_publish(void **state)
{
    (void)state;
    opened(0, 1);
    publish_to_exchange(1);
    frames_close(&f, 1);
    done(0);
    assert_int_equal(rig_count(&rig, 0, AMQP_CHANNEL_CLOSE_METHOD), 1);
    assert_last(0, AMQP_CHANNEL_CLOSE_OK_METHOD);
}

/* What was published is done before the rest of the channel is given back. */
static void test_close_ends_both_in_order(void **state)
{
    (void)state;
    opened(0, 1);
    publish(1, "1");
    frames_get(&f, 1, "q", false);
    done(0);
    rig.apart.broker_reads = false;
    publish(1, "2");
    frames_close(&f, 1);
    done(0);
    assert_int_equal(lane_of(0, 1)->slot->state, AMQP_SLOT_OPEN);
    assert_false(rig_got(&rig, 0, AMQP_CHANNEL_CLOSE_OK_METHOD));
    rig.apart.broker_reads = true;
    rig_pump(&rig);
    assert_last(0, AMQP_CHANNEL_CLOSE_OK_METHOD);
    assert_int_equal(rig.broker.published, 2);
}

/* What it has published is known to be done: it need not wait until the other connection is read again. */
static void test_close_waits_for_publishes_only(void **state)
{
    (void)state;
    opened(0, 1);
    publish(1, "1");
    frames_get(&f, 1, "q", true);
    done(0);
    rig.apart.broker_reads = false;
    frames_close(&f, 1);
    done(0);
    assert_last(0, AMQP_CHANNEL_CLOSE_OK_METHOD);
    assert_int_equal(open_apart(), 1);
    rig.apart.broker_reads = true;
    rig_pump(&rig);
    assert_int_equal(open_apart(), 0);
}

static void test_what_waits_is_sent_for_one_who_is_gone(void **state)
{
    (void)state;
    opened(0, 1);
    publish(1, "1");
    frames_get(&f, 1, "q", false);
    done(0);
    rig.apart.broker_reads = false;
    publish(1, "2");
    frames_ack(&f, 1, 1, false);
    publish(1, "3");
    done(0);
    amqp_member_gone(&rig.clients[0].member, 0);
    rig_pump(&rig);
    assert_false(amqp_member_is_over(&rig.clients[0].member));
    rig.apart.broker_reads = true;
    rig_pump(&rig);
    assert_true(amqp_member_is_over(&rig.clients[0].member));
    assert_int_equal(rig.broker.published, 3);
}

/* --- the connections --- */

static void blocked(struct model_broker *broker, bool is_on)
{
    amqp_front_notify_blocked(&broker->front, is_on ? "low on memory" : NULL);
    rig_pump(&rig);
}

static void test_blocked_as_long_as_either_is(void **state)
{
    (void)state;
    blocked(&rig.apart.broker, true);
    blocked(&rig.broker, true);
    assert_int_equal(rig_count(&rig, 0, AMQP_CONNECTION_BLOCKED_METHOD), 1);
    blocked(&rig.apart.broker, false);
    assert_int_equal(rig_count(&rig, 0, AMQP_CONNECTION_UNBLOCKED_METHOD), 0);
    rig_join(&rig, 2, AMQP_CAN_BLOCKED);
    blocked(&rig.broker, false);
    assert_int_equal(rig_count(&rig, 0, AMQP_CONNECTION_UNBLOCKED_METHOD), 1);
    assert_int_equal(rig_count(&rig, 2, AMQP_CONNECTION_UNBLOCKED_METHOD), 1);
    assert_int_equal(rig.clients[1].events, 0);
}

static void test_a_late_joiner_is_told(void **state)
{
    (void)state;
    blocked(&rig.apart.broker, true);
    rig_log_in(&rig, 2, AMQP_CAN_BLOCKED);
    assert_last(2, AMQP_CONNECTION_BLOCKED_METHOD);
}

/* With the publishing connection not read, those who only consume go on; those who publish wait. */
static void test_consumers_go_on_while_publishers_wait(void **state)
{
    (void)state;
    opened(0, 1);
    opened(1, 1);
    publish(1, "1");
    publish(1, "2");
    done(0);
    frames_qos(&f, 1, 1, false);
    frames_consume(&f, 1, "q", "t", false);
    done(1);
    assert_int_equal(rig_last(&rig, 1)->tag, 1);
    rig.apart.broker_reads = false;
    publish(1, "3");
    frames_get(&f, 1, "q", true);
    done(0);
    assert_int_equal(rig_count(&rig, 0, AMQP_BASIC_GET_OK_METHOD), 0);
    frames_ack(&f, 1, 1, false);
    done(1);
    assert_int_equal(rig_last(&rig, 1)->tag, 2);
}

static void fill(unsigned client, size_t bytes)
{
    static char body[60000];
    for (size_t said = 0; said < bytes; said += sizeof(body)) {
        frames_publish(&f, 1, "q", body, sizeof(body));
        say(client);
    }
}

static void test_memory_is_short_for_publishers_only(void **state)
{
    (void)state;
    rig_config.memory_max = 600000;
    opened(0, 1);
    opened(1, 1);
    rig.apart.broker_reads = false;
    fill(0, 700000);
    assert_false(amqp_member_wants_input(&rig.clients[0].member));
    assert_true(amqp_member_wants_input(&rig.clients[1].member));
    fill(1, 1);
    assert_false(amqp_member_wants_input(&rig.clients[1].member));
    rig.apart.broker_reads = true;
    rig_pump(&rig);
    assert_true(amqp_member_wants_input(&rig.clients[0].member));
    assert_true(amqp_member_wants_input(&rig.clients[1].member));
}

static void test_what_waits_counts_for_its_client(void **state)
{
    (void)state;
    rig_config.member_up_max = 100000;
    opened(0, 1);
    rig.apart.broker_reads = false;
    fill(0, 100000);
    assert_false(amqp_member_wants_input(&rig.clients[0].member));
}

static void is_cut_off(unsigned client, const char *cause)
{
    assert_last_close(client, AMQP_CONNECTION_CLOSE_METHOD, AMQP_CODE_CONNECTION_FORCED);
    assert_non_null(strstr(rig.clients[client].text, cause));
}

static void begin_everything(unsigned client)
{
    opened(client, 1);
    frames_declare(&f, 1, "mine", FRAMES_EXCLUSIVE);
    frames_consume(&f, 1, "mine", "t", false);
    publish(1, "1");
    done(client);
    rig.apart.broker_reads = false;
    publish(1, "2");
    frames_get(&f, 1, "q", false);
    done(client);
    rig.apart.broker_reads = true;
}

/* Its exclusive queue is deleted first, and its channel closed. */
static void test_the_publishing_connection_is_lost(void **state)
{
    (void)state;
    begin_everything(0);
    model_broker_close(&rig.apart.broker, "shutdown");
    rig_pump(&rig);
    assert_true(rig.apart.is_down);
    assert_false(rig.is_down);
    is_cut_off(0, "shutdown");
    is_cut_off(1, "shutdown");
    assert_int_equal(model_names_count(&rig.broker, 0), 0);
    assert_int_equal(rig.hub.slots.used, rig.hub.slots.ours);
    assert_true(TAILQ_EMPTY(&rig.hub.seats));
}

static void test_the_main_connection_is_lost(void **state)
{
    (void)state;
    begin_everything(0);
    model_broker_close(&rig.broker, "shutdown");
    rig_pump(&rig);
    assert_true(rig.is_down);
    assert_false(rig.apart.is_down);
    is_cut_off(0, "shutdown");
    assert_int_equal(rig.apart.hub.slots.used, 0);
    assert_true(TAILQ_EMPTY(&rig.apart.hub.seats));
}

static void test_both_are_lost_while_a_client_leaves(void **state)
{
    (void)state;
    begin_everything(0);
    amqp_member_gone(&rig.clients[0].member, 0);
    amqp_hub_lost(&rig.hub, "cut", 0);
    amqp_hub_lost(&rig.apart.hub, "cut", 0);
    rig_pump(&rig);
    is_cut_off(1, "cut");
    assert_true(amqp_member_is_over(&rig.clients[0].member));
}

static void test_publishing_is_lost_while_queues_are_deleted(void **state)
{
    (void)state;
    opened(0, 1);
    frames_declare(&f, 1, "mine", FRAMES_EXCLUSIVE);
    done(0);
    frames_close(&f, 1);
    done(0);
    amqp_member_gone(&rig.clients[0].member, 0);
    assert_true(amqp_member_is_releasing(&rig.clients[0].member));
    amqp_hub_lost(&rig.apart.hub, "cut", 0);
    rig_pump(&rig);
    assert_true(amqp_member_is_over(&rig.clients[0].member));
    assert_int_equal(model_names_count(&rig.broker, 0), 0);
}

/* Somebody waits until what was published there is through, which nobody will say any more. */
static void test_publishing_is_lost_in_a_hush(void **state)
{
    (void)state;
    opened(0, 1);
    opened(1, 1);
    publish(1, "1");
    done(0);
    rig.apart.broker_reads = false;
    publish(1, "2");
    done(0);
    model_broker_close_channel(&rig.broker, lane_of(0, 1)->slot->number);
    frames_delete(&f, 1, "quorum");
    done(1);
    assert_int_equal(rig.hub.hush.due, 1);
    amqp_hub_lost(&rig.apart.hub, "cut", 0);
    assert_int_equal(rig.hub.hush.due, 0);
    rig_pump(&rig);
    is_cut_off(1, "cut");
}

/* --- channels that are kept --- */

static void test_slots_of_both_sides_are_kept(void **state)
{
    (void)state;
    rig_config.kept_max = 4;
    for (int i = 0; i < 3; i++) {
        opened(0, 1);
        publish(1, "1");
        frames_qos(&f, 1, 1, false); /* marks the main one */
        frames_close(&f, 1);
        done(0);
    }
    assert_int_equal(rig.apart.broker.opened, 1);
    assert_int_equal(rig.broker.opened, 3);
    opened(0, 1);
    frames_confirm_select(&f, 1, false); /* marks the other one */
    frames_close(&f, 1);
    done(0);
    assert_int_equal(open_apart(), 0);
}

/* The fence that the lane has sent is answered before the one that the slot is kept by. */
static void test_a_slot_with_a_fence_is_not_kept(void **state)
{
    (void)state;
    rig_config.kept_max = 4;
    opened(0, 1);
    publish(1, "1");
    frames_get(&f, 1, "q", true);
    said(0);
    model_broker_close_channel(&rig.broker, lane_of(0, 1)->slot->number);
    rig_pump(&rig);
    assert_last(0, AMQP_CHANNEL_CLOSE_METHOD);
    assert_int_equal(open_apart(), 0);
}

/* The answer that lets tx.select pass is heard where the channel publishes, and what waits behind it is
 * refused when the channel has left there. */
static void test_a_refusal_behind_what_leaves_the_publishing_side(void **state)
{
    amqp_basic_recover_t recover = {.requeue = 0};
    (void)state;
    opened(0, 1);
    publish(1, "first");
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    frames_method(&f, 1, AMQP_BASIC_RECOVER_METHOD, &recover);
    done(0);
    assert_last_close(0, AMQP_CONNECTION_CLOSE_METHOD, AMQP_CODE_NOT_IMPLEMENTED);
    assert_int_equal(rig.broker.published, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_publishes_go_the_other_way),
        TEST(test_nothing_is_published_before_the_channel_is_open),
        TEST(test_get_does_not_overtake_what_was_published),
        TEST(test_a_publish_does_not_overtake_what_was_said),
        TEST(test_what_is_given_back_comes_first),
        TEST(test_nothing_is_published_behind_an_ack_in_vain),
        TEST(test_own_flow_is_answered_and_no_other),
        TEST(test_confirms),
        TEST(test_confirms_stand_for_a_fence),
        TEST(test_no_transactions_beside_confirms),
        TEST(test_transactions_are_on_one_side),
        TEST(test_requests_go_with_the_consumer_of_replies),
        TEST(test_confirms_go_on_when_a_channel_is_bound),
        TEST(test_an_error_of_a_publish),
        TEST(test_an_error_on_the_main_side),
        TEST(test_errors_on_both_sides),
        TEST(test_close_crosses_an_error_of_a_publish),
        TEST(test_close_ends_both_in_order),
        TEST(test_close_waits_for_publishes_only),
        TEST(test_what_waits_is_sent_for_one_who_is_gone),
        TEST(test_blocked_as_long_as_either_is),
        TEST(test_a_late_joiner_is_told),
        TEST(test_consumers_go_on_while_publishers_wait),
        TEST(test_memory_is_short_for_publishers_only),
        TEST(test_what_waits_counts_for_its_client),
        TEST(test_the_publishing_connection_is_lost),
        TEST(test_the_main_connection_is_lost),
        TEST(test_both_are_lost_while_a_client_leaves),
        TEST(test_publishing_is_lost_while_queues_are_deleted),
        TEST(test_publishing_is_lost_in_a_hush),
        TEST(test_slots_of_both_sides_are_kept),
        TEST(test_a_slot_with_a_fence_is_not_kept),
        TEST(test_a_refusal_behind_what_leaves_the_publishing_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
