/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Consumers on a shared connection: what the broker is asked for is not what the client asked for, so that a
 * client which does not read holds little; the client must not be able to tell.
 */

#include "tests/unit/amqp/hub_test.h"

enum { CLIENT, PUBLISHER, PREFETCH = 4, WIDE = 16 };

static struct rig_client *const client = &rig.clients[CLIENT];

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.hub.limits.prefetch = PREFETCH;
    rig.hub.limits.prefetch_wide = WIDE;
    join_and_open(2, AMQP_CAN_CANCEL_NOTIFY);
    return 0;
}

/* Messages whose first octet counts up from `from`. */
static void publish(const char *queue, uint8_t from, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char body[100] = {(char)(from + i)};
        frames_publish(&f, 1, queue, body, sizeof(body));
    }
    done(PUBLISHER);
}

static void consume(const char *queue, const char *tag, bool no_ack)
{
    frames_consume(&f, 1, queue, tag, no_ack);
    done(CLIENT);
}

/* The queue is declared through the hub, so that it is known to be no stream. */
static void declare(const char *queue)
{
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(queue)};
    frames_method(&f, 1, AMQP_QUEUE_DECLARE_METHOD, &declare);
    done(CLIENT);
    client->events = 0;
}

static unsigned delivered(void)
{
    return rig_count(&rig, CLIENT, AMQP_BASIC_DELIVER_METHOD);
}

/* Exactly messages `from` and so on have come, under this consumer's tag, with the tags that follow `tag`. */
static void assert_delivered(const char *consumer, uint8_t from, unsigned count, uint64_t tag)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < client->events; i++) {
        const struct rig_event *event = &client->event[i];
        if (event->method != AMQP_BASIC_DELIVER_METHOD)
            continue;
        assert_string_equal(event->consumer, consumer);
        assert_int_equal(event->first, (uint8_t)(from + seen));
        assert_int_equal(event->tag, tag + seen);
        seen++;
    }
    assert_int_equal(seen, count);
}

static const struct model_deliveries *unacked(uint16_t channel)
{
    return &rig.broker.channels[channel].deliveries;
}

static void assert_channel_closed(uint16_t code, const char *text)
{
    assert_last_close(CLIENT, AMQP_CHANNEL_CLOSE_METHOD, code);
    assert_string_equal(client->text, text);
}

/* --- consumers with no_ack --- */

static void test_no_ack_is_acknowledged_when_it_has_left(void **state)
{
    (void)state;
    consume("q", "tag", true);
    assert_false(model_find_consumer(&rig.broker, 1)->no_ack);
    client->is_deaf = true;
    publish("q", 0, 10);
    assert_int_equal(unacked(1)->unacked_count, PREFETCH);
    assert_int_equal(model_queue_depth(&rig.broker, "q"), 10 - PREFETCH);
    client->is_deaf = false;
    rig_pump(&rig);
    assert_delivered("tag", 0, 10, 1);
    assert_int_equal(unacked(1)->unacked_count, 0);
    const struct amqp_intake *intake = &client->member.lanes->intake;
    assert_int_equal(intake->deliveries.count[AMQP_HELD_BY_PROXY], 0);
    assert_int_equal(client->member.load.kept, intake->consumers.cost + intake->deliveries.cost);
}

static void test_what_has_not_left_is_requeued(void **state)
{
    (void)state;
    consume("q", "tag", true);
    publish("q", 0, 3);
    client->is_deaf = true;
    publish("q", 3, 10);
    amqp_member_gone(&client->member, 0);
    rig_pump(&rig);
    assert_int_equal(model_queue_depth(&rig.broker, "q"), 10);
}

/* A limit of all consumers, before which all is let go, and after which they are such as the client said. */
static void test_what_has_not_left_is_requeued_behind_a_limit(void **state)
{
    (void)state;
    consume("q", "tag", true);
    client->is_deaf = true;
    publish("q", 0, PREFETCH);
    frames_qos(&f, 1, 1, true);
    said(CLIENT);
    amqp_member_gone(&client->member, 0);
    rig_pump(&rig);
    assert_int_equal(model_queue_depth(&rig.broker, "q"), PREFETCH);
}

static void test_deliveries_in_flight_when_a_consumer_is_cancelled(void **state)
{
    (void)state;
    consume("q", "tag", true);
    frames_publish(&f, 1, "q", "\1", 1);
    said(PUBLISHER);
    frames_cancel(&f, 1, "tag");
    done(CLIENT);
    assert_int_equal(client->event[1].method, AMQP_BASIC_DELIVER_METHOD);
    assert_last(CLIENT, AMQP_BASIC_CANCEL_OK_METHOD);
    assert_int_equal(unacked(1)->unacked_count, 0);
}

static void test_silence_stays_silence(void **state)
{
    amqp_basic_consume_t quiet = {.queue = amqp_cstring_bytes("q"),
                                  .consumer_tag = amqp_cstring_bytes("tag"),
                                  .nowait = 1,
                                  .no_ack = 1};
    amqp_basic_cancel_t bye = {.consumer_tag = amqp_cstring_bytes("tag"), .nowait = 1};
    (void)state;
    frames_method(&f, 1, AMQP_BASIC_CONSUME_METHOD, &quiet);
    done(CLIENT);
    publish("q", 0, 1);
    assert_delivered("tag", 0, 1, 1);
    frames_method(&f, 1, AMQP_BASIC_CANCEL_METHOD, &bye);
    done(CLIENT);
    assert_int_equal(client->events, 1);
    assert_int_equal(model_queue_consumers(&rig.broker, "q"), 0);
}

static void test_replies_are_relayed(void **state)
{
    (void)state;
    consume("amq.rabbitmq.reply-to", "tag", true);
    assert_true(model_find_consumer(&rig.broker, 1)->no_ack);
}

/* --- basic.qos keeps its meaning --- */

static void test_prefetch_is_that_of_each_consumer(void **state)
{
    (void)state;
    frames_qos(&f, 1, 2, false);
    consume("a", "a", false);
    consume("b", "b", true);
    consume("c", "c", false);
    publish("a", 0, 5);
    publish("c", 0, 5);
    assert_int_equal(unacked(1)->unacked_count, 4);
    publish("b", 0, 9);
    assert_int_equal(delivered(), 4 + 9);
    assert_int_equal(rig_count(&rig, CLIENT, AMQP_BASIC_QOS_OK_METHOD), 1);
    frames_qos(&f, 1, 3, false);
    consume("d", "d", false);
    publish("d", 0, 5);
    assert_int_equal(unacked(1)->unacked_count, 7);
    assert_int_equal(rig_count(&rig, CLIENT, AMQP_BASIC_QOS_OK_METHOD), 2);
}

/* Under a limit of all together, the proxy's unacknowledged deliveries would count: there are none. */
static void test_a_limit_of_all_consumers(void **state)
{
    (void)state;
    consume("q", "tag", true);
    client->is_deaf = true;
    publish("q", 0, 6);
    frames_qos(&f, 1, 1, true);
    done(CLIENT);
    client->is_deaf = false;
    rig_pump(&rig);
    assert_delivered("tag", 0, 6, 1);
    assert_int_equal(unacked(1)->unacked_count, 0);
    assert_true(model_find_consumer(&rig.broker, 1)->no_ack);
    assert_int_equal(rig_count(&rig, CLIENT, AMQP_BASIC_QOS_OK_METHOD), 1);
    assert_int_equal(rig_count(&rig, CLIENT, AMQP_BASIC_CONSUME_OK_METHOD), 1);
    publish("q", 6, 5); /* which do not count */
    assert_delivered("tag", 0, 11, 1);
    consume("other", "other", false);
    publish("other", 0, 2);
    assert_int_equal(unacked(1)->unacked_count, 1);
}

/* --- transactions --- */

static void test_transactions_have_no_acks_of_ours(void **state)
{
    (void)state;
    consume("auto", "tag", true); /* the queue does not survive without a consumer */
    client->is_deaf = true;
    publish("auto", 0, 6);
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    frames_consume(&f, 1, "other", "other", true);
    done(CLIENT);
    client->is_deaf = false;
    rig_pump(&rig);
    publish("auto", 6, 1);
    assert_int_equal(unacked(1)->unacked_count, 0);
    assert_int_equal(delivered(), 7);
    assert_int_equal(rig_last(&rig, CLIENT)->first, 6);
    assert_string_equal(rig_last(&rig, CLIENT)->consumer, "tag");
    assert_int_equal(rig_count(&rig, CLIENT, AMQP_TX_SELECT_OK_METHOD), 1);
    assert_int_equal(rig_count(&rig, CLIENT, AMQP_BASIC_CANCEL_OK_METHOD), 0);
    assert_int_equal(model_queue_consumers(&rig.broker, "auto"), 1);
}

/* The types of their queues must be asked for, one after the other. */
static void test_transactions_after_several_consumers(void **state)
{
    (void)state;
    consume("a", "a", true);
    consume("b", "b", true);
    consume("c", "c", true);
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    done(CLIENT);
    assert_last(CLIENT, AMQP_TX_SELECT_OK_METHOD);
    publish("a", 0, 6);
    publish("b", 0, 6);
    publish("c", 0, 6);
    assert_int_equal(delivered(), 18);
    assert_int_equal(unacked(1)->unacked_count, 0);
}

/* As long as its tag is not known, it can't be replaced, and what needs that waits. */
static void test_a_limit_right_behind_a_consumer_without_a_tag(void **state)
{
    (void)state;
    declare("q");
    frames_consume(&f, 1, "q", "", false);
    frames_qos(&f, 1, 6, true);
    done(CLIENT);
    assert_last(CLIENT, AMQP_BASIC_QOS_OK_METHOD);
    publish("q", 0, 2 * PREFETCH);
    assert_int_equal(delivered(), 6);
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    done(CLIENT);
    assert_last(CLIENT, AMQP_TX_SELECT_OK_METHOD);
}

/* In a transaction as little may be said between tx.commit and its answer as by the client. */
static void test_a_commit_while_a_consumer_is_replaced(void **state)
{
    (void)state;
    declare("auto");
    consume("auto", "tag", false);
    for (int i = 0; i < PREFETCH; i++)
        frames_publish(&f, 1, "auto", "x", 1);
    said(PUBLISHER);
    model_broker_answer(&rig.broker, PREFETCH);
    rig_pump_without_answers(&rig);
    assert_int_equal(model_queue_consumers(&rig.broker, "auto"), 2);
    frames_plain(&f, 1, AMQP_TX_COMMIT_METHOD);
    said(CLIENT);
    model_broker_answer(&rig.broker, 2); /* qos-ok and consume-ok */
    rig_pump_without_answers(&rig);
    rig_pump(&rig);
    assert_last(CLIENT, AMQP_TX_COMMIT_OK_METHOD);
    assert_int_equal(model_queue_consumers(&rig.broker, "auto"), 1);
}

static void test_an_exclusive_consumer_can_not_be_replaced(void **state)
{
    amqp_basic_consume_t only = {.queue = amqp_cstring_bytes("q"),
                                 .consumer_tag = amqp_cstring_bytes("tag"),
                                 .no_ack = 1,
                                 .exclusive = 1};
    (void)state;
    frames_method(&f, 1, AMQP_BASIC_CONSUME_METHOD, &only);
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    done(CLIENT);
    assert_channel_closed(
        AMQP_CODE_PRECONDITION_FAILED,
        "PRECONDITION_FAILED - the channel has an exclusive consumer with no_ack, which must "
        "come later");
}

/* --- acknowledgements beside those of the proxy --- */

/* Deliveries 1, 3 and so on are the client's, 2, 4 and so on the proxy's, and have not left. */
static void mixed(unsigned pairs)
{
    consume("mine", "mine", false);
    consume("yours", "yours", true);
    client->is_deaf = true;
    for (unsigned i = 0; i < pairs; i++) {
        publish("mine", (uint8_t)i, 1);
        publish("yours", (uint8_t)i, 1);
    }
    assert_int_equal(unacked(1)->unacked_count, 2 * pairs);
}

static void hear_again(void)
{
    client->is_deaf = false;
    rig_pump(&rig);
}

static void test_multiple_leaves_the_proxys_alone(void **state)
{
    (void)state;
    mixed(3);
    frames_ack(&f, 1, 3, true);
    done(CLIENT);
    assert_int_equal(unacked(1)->unacked_count, 3); /* 4 and 6 are the proxy's, 5 the client's */
    assert_int_equal(TAILQ_FIRST(&unacked(1)->unacked)->tag, 4);
    hear_again();
    assert_int_equal(delivered(), 6);
    assert_int_equal(unacked(1)->unacked_count, 1);
    frames_nack(&f, 1, 0, true);
    done(CLIENT);
    assert_int_equal(rig_last(&rig, CLIENT)->tag, 7); /* 5 again */
    assert_int_equal(rig_last(&rig, CLIENT)->first, 2);
}

static void test_multiple_after_the_proxys_have_left(void **state)
{
    (void)state;
    mixed(3);
    hear_again();
    assert_int_equal(unacked(1)->unacked_count, 3);
    frames_ack(&f, 1, 5, true);
    done(CLIENT);
    assert_int_equal(unacked(1)->unacked_count, 0);
}

static void test_nack_does_not_requeue_the_proxys(void **state)
{
    (void)state;
    mixed(3);
    frames_nack(&f, 1, 5, true);
    done(CLIENT);
    hear_again();
    assert_int_equal(delivered(), 9); /* each once, and the client's once more */
    assert_int_equal(model_queue_depth(&rig.broker, "yours"), 0);
}

static void test_to_the_client_the_proxys_are_settled(void **state)
{
    (void)state;
    mixed(2);
    frames_ack(&f, 1, 2, false);
    done(CLIENT);
    hear_again();
    assert_channel_closed(AMQP_CODE_PRECONDITION_FAILED, "PRECONDITION_FAILED - unknown delivery tag 2");
    assert_int_equal(model_queue_depth(&rig.broker, "yours"), 2); /* they had not left */
}

static void test_multiple_up_to_one_of_the_proxys(void **state)
{
    (void)state;
    mixed(2);
    frames_ack(&f, 1, 4, true);
    done(CLIENT);
    hear_again();
    assert_channel_closed(AMQP_CODE_PRECONDITION_FAILED, "PRECONDITION_FAILED - unknown delivery tag 4");
}

static void test_all_of_nothing(void **state)
{
    (void)state;
    frames_ack(&f, 1, 0, true);
    consume("q", "tag", true);
    frames_ack(&f, 1, 0, true);
    frames_nack(&f, 1, 0, true);
    frames_plain(&f, 1, AMQP_BASIC_RECOVER_ASYNC_METHOD);
    done(CLIENT);
    publish("q", 0, 1);
    assert_delivered("tag", 0, 1, 1);
    frames_ack(&f, 1, 1, true);
    done(CLIENT);
    assert_channel_closed(AMQP_CODE_PRECONDITION_FAILED, "PRECONDITION_FAILED - unknown delivery tag 1");
}

static void test_all_that_is_known(void **state)
{
    (void)state;
    consume("q", "tag", false);
    publish("q", 0, 2);
    frames_publish(&f, 1, "q", "\2", 1);
    said(PUBLISHER); /* the third is under way */
    frames_ack(&f, 1, 0, true);
    done(CLIENT);
    assert_int_equal(unacked(1)->unacked_count, 1);
    frames_ack(&f, 1, 3, true);
    done(CLIENT);
    assert_int_equal(unacked(1)->unacked_count, 0);
}

static void test_messages_that_were_got(void **state)
{
    (void)state;
    publish("q", 0, 3);
    consume("yours", "yours", true);
    frames_get(&f, 1, "q", false);
    frames_get(&f, 1, "q", true);
    frames_get(&f, 1, "q", false);
    done(CLIENT);
    publish("yours", 0, 1);
    assert_int_equal(rig_last(&rig, CLIENT)->tag, 4);
    frames_ack(&f, 1, 3, true);
    done(CLIENT);
    assert_int_equal(unacked(1)->unacked_count, 0);
}

/* --- recovery --- */

/* The client does not wait: tags count up, so it knows them before they come. */
static void test_messages_that_are_being_got(void **state)
{
    (void)state;
    publish("q", 0, 2);
    frames_get(&f, 1, "q", false);
    frames_ack(&f, 1, 1, false);
    frames_get(&f, 1, "q", false);
    frames_ack(&f, 1, 0, true);
    done(CLIENT);
    assert_int_equal(rig_count(&rig, CLIENT, AMQP_BASIC_GET_OK_METHOD), 2);
    assert_last(CLIENT, AMQP_BASIC_GET_OK_METHOD);
    assert_int_equal(unacked(1)->unacked_count, 0);
}

static void test_recovery_spares_the_proxys(void **state)
{
    amqp_queue_declare_t declare_q = {.queue = amqp_cstring_bytes("q")};
    (void)state;
    mixed(3);
    client->events = 0;
    frames_method(&f, 1, AMQP_QUEUE_DECLARE_METHOD, &declare_q);
    frames_plain(&f, 1, AMQP_BASIC_RECOVER_METHOD);
    done(CLIENT);
    hear_again();
    assert_int_equal(delivered(), 9);
    assert_int_equal(client->event[6].method, AMQP_QUEUE_DECLARE_OK_METHOD); /* answers are in order */
    assert_int_equal(client->event[7].method, AMQP_BASIC_RECOVER_OK_METHOD);
    assert_int_equal(client->event[8].tag, 7);
    assert_int_equal(unacked(1)->unacked_count, 3);
    frames_ack(&f, 1, 9, true);
    done(CLIENT);
    assert_int_equal(unacked(1)->unacked_count, 0);
}

static void test_recovery_of_a_channel_of_its_own(void **state)
{
    (void)state;
    consume("q", "tag", false);
    publish("q", 0, 2);
    frames_plain(&f, 1, AMQP_BASIC_RECOVER_METHOD);
    done(CLIENT);
    frames_plain(&f, 1, AMQP_BASIC_RECOVER_ASYNC_METHOD);
    done(CLIENT);
    assert_int_equal(delivered(), 6);
    frames_ack(&f, 1, 0, true);
    done(CLIENT);
    assert_int_equal(unacked(1)->unacked_count, 0);
}

/* What the first one gives back is not there any more for what comes behind it. */
static void test_recoveries_without_waiting(void **state)
{
    (void)state;
    publish("q", 0, 2);
    frames_get(&f, 1, "q", false);
    done(CLIENT);
    frames_plain(&f, 1, AMQP_BASIC_RECOVER_METHOD);
    frames_plain(&f, 1, AMQP_BASIC_RECOVER_ASYNC_METHOD);
    frames_ack(&f, 1, 0, true);
    frames_get(&f, 1, "q", false);
    done(CLIENT);
    assert_last(CLIENT, AMQP_BASIC_GET_OK_METHOD);
    assert_int_equal(rig_last(&rig, CLIENT)->tag, 2);
    assert_int_equal(unacked(1)->unacked_count, 1);
}

/* What arrives before the answer has been given back as well. */
static void test_an_ack_behind_a_recovery(void **state)
{
    (void)state;
    consume("q", "tag", false);
    publish("q", 0, 2);
    frames_publish(&f, 1, "q", "\2", 1);
    said(PUBLISHER); /* the third is under way */
    frames_plain(&f, 1, AMQP_BASIC_RECOVER_METHOD);
    said(CLIENT);
    model_broker_answer(&rig.broker, 1);
    rig_pump_without_answers(&rig);
    assert_int_equal(delivered(), 3);
    frames_ack(&f, 1, 0, true);
    done(CLIENT);
    assert_int_equal(delivered(), 6);
    assert_false(rig_got(&rig, CLIENT, AMQP_CHANNEL_CLOSE_METHOD));
    assert_int_equal(unacked(1)->unacked_count, 3);
}

/* --- tags --- */

/* A quorum queue would end the connection. */
static void test_a_tag_used_again_with_messages_of_its_first_use(void **state)
{
    (void)state;
    consume("quorum", "tag", false);
    publish("quorum", 0, 2);
    frames_cancel(&f, 1, "tag");
    frames_consume(&f, 1, "quorum", "tag", false);
    done(CLIENT);
    publish("quorum", 2, 1);
    assert_delivered("tag", 0, 3, 1);
    assert_int_equal(rig_count(&rig, CLIENT, AMQP_BASIC_CONSUME_OK_METHOD), 2);
    frames_cancel(&f, 1, "tag");
    done(CLIENT);
    assert_last(CLIENT, AMQP_BASIC_CANCEL_OK_METHOD);
    assert_string_equal(rig_last(&rig, CLIENT)->consumer, "tag");
    frames_ack(&f, 1, 0, true);
    consume("quorum", "tag", false);
    assert_string_equal(model_find_consumer(&rig.broker, 1)->tag, "tag"); /* nothing is left of it */
}

static void test_a_tag_that_is_an_alias(void **state)
{
    (void)state;
    consume("quorum", "tag", false);
    publish("quorum", 0, 1);
    frames_cancel(&f, 1, "tag");
    frames_consume(&f, 1, "quorum", "tag", false);
    done(CLIENT);
    assert_string_equal(model_find_consumer(&rig.broker, 1)->tag, "amq.again-1");
    frames_cancel(&f, 1, "amq.again-1"); /* not a consumer that the client knows */
    consume("quorum", "amq.again-1", false);
    assert_int_equal(model_queue_consumers(&rig.broker, "quorum"), 2);
    assert_string_equal(rig_last(&rig, CLIENT)->consumer, "amq.again-1");
}

/* It must not come to be used for another consumer while messages of this one are about. */
static void test_a_tag_that_will_be_an_alias(void **state)
{
    (void)state;
    consume("auto", "amq.again-1", false);
    publish("auto", 0, 1);
    assert_delivered("amq.again-1", 0, 1, 1);
    frames_cancel(&f, 1, "amq.again-1");
    done(CLIENT);
    assert_string_equal(rig_last(&rig, CLIENT)->consumer, "amq.again-1");
    consume("quorum", "tag", false);
    assert_last(CLIENT, AMQP_BASIC_CONSUME_OK_METHOD);
    assert_string_equal(rig_last(&rig, CLIENT)->consumer, "tag");
}

static void test_several_tags_that_the_broker_makes_up(void **state)
{
    (void)state;
    frames_consume(&f, 1, "a", "", true);
    frames_consume(&f, 1, "b", "", false);
    done(CLIENT);
    publish("b", 0, 1);
    assert_string_equal(rig_last(&rig, CLIENT)->consumer, client->event[1].consumer);
    assert_int_equal(unacked(1)->unacked_count, 1);
    publish("a", 0, 1);
    assert_string_equal(rig_last(&rig, CLIENT)->consumer, client->event[0].consumer);
    assert_int_equal(unacked(1)->unacked_count, 1);
}

/* --- wide consumers --- */

static void test_a_wide_consumer_is_not_stuck(void **state)
{
    (void)state;
    declare("auto");
    consume("auto", "tag", false);
    assert_int_equal(model_find_consumer(&rig.broker, 1)->prefetch, PREFETCH);
    publish("auto", 0, 100);
    assert_delivered("tag", 0, 100, 1); /* none of which is acknowledged */
    assert_int_equal(rig_count(&rig, CLIENT, AMQP_BASIC_CONSUME_OK_METHOD), 1);
    assert_int_equal(rig_count(&rig, CLIENT, AMQP_BASIC_CANCEL_OK_METHOD), 0);
    assert_int_equal(model_queue_consumers(&rig.broker, "auto"), 1);
}

static void test_a_wide_consumer_gets_no_more_than_it_asked_for(void **state)
{
    (void)state;
    declare("q");
    frames_qos(&f, 1, 30, false);
    consume("q", "tag", false);
    publish("q", 0, 100);
    assert_delivered("tag", 0, 30, 1);
    frames_ack(&f, 1, 0, true);
    done(CLIENT);
    assert_delivered("tag", 0, 60, 1);
    assert_int_equal(unacked(1)->unacked_count, 30);
}

/* Should the client stop reading, no more than the soft limit and a moderate prefetch may come. */
static void test_a_wide_consumer_of_large_messages(void **state)
{
    (void)state;
    declare("q");
    consume("q", "tag", false);
    rig.hub.limits.soft = 100;
    publish("q", 0, 100);
    assert_delivered("tag", 0, 100, 1);
    assert_int_equal(model_find_consumer(&rig.broker, 1)->prefetch, PREFETCH);
    client->is_deaf = true;
    publish("q", 100, 100);
    assert_true(unacked(1)->unacked_count <= 100 + PREFETCH);
    client->is_deaf = false;
    rig_pump(&rig);
    assert_delivered("tag", 0, 200, 1);
}

static void test_a_wide_consumer_that_does_not_read(void **state)
{
    (void)state;
    declare("q");
    consume("q", "tag", false);
    publish("q", 0, 40);
    assert_int_equal(delivered(), 40);
    client->is_deaf = true;
    rig.hub.limits.soft = 10;
    publish("q", 40, 2); /* the second one finds that the first has not been read */
    assert_int_equal(model_find_consumer(&rig.broker, 1)->prefetch, 1);
    publish("q", 42, 50);
    assert_int_equal(unacked(1)->unacked_count, 43);
    client->is_deaf = false;
    rig_pump(&rig);
    assert_delivered("tag", 0, 92, 1);
}

static void test_a_wide_consumer_of_a_queue_that_is_not_known(void **state)
{
    (void)state;
    consume("q", "tag", false);
    publish("q", 0, 100);
    assert_delivered("tag", 0, WIDE, 1);
    frames_qos(&f, 1, WIDE - 1, false);
    consume("other", "other", false);
    assert_int_equal(model_find_consumer(&rig.broker, 1)->prefetch, WIDE - 1);
}

static void test_a_wide_consumer_in_transactions(void **state)
{
    (void)state;
    declare("q");
    consume("q", "tag", false);
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    done(CLIENT);
    publish("q", 0, 100);
    assert_delivered("tag", 0, WIDE, 1);
}

static void test_a_queue_that_goes_while_a_consumer_is_replaced(void **state)
{
    (void)state;
    declare("q");
    consume("q", "tag", false);
    rig.broker_reads = false;
    publish("other", 0, 1);
    rig.broker_reads = true;
    publish("q", 0, PREFETCH - 1);
    client->events = 0;
    frames_publish(&f, 1, "q", "\7", 1);
    said(PUBLISHER);
    model_broker_answer(&rig.broker, UINT32_MAX);
    rig.broker_reads = false;
    rig_pump(&rig); /* the last delivery arrives, and the consumer is to be replaced */
    assert_int_equal(client->member.lanes->intake.consumers.replaced, 1);
    model_delete_queue(&rig.broker, "q");
    struct amqp_command *notice = STAILQ_FIRST(&rig.broker.answers); /* too late: the consume comes first */
    STAILQ_REMOVE_HEAD(&rig.broker.answers, entry);
    amqp_command_destroy(notice);
    rig.broker_reads = true;
    rig_pump(&rig);
    assert_int_equal(client->event[1].method, AMQP_BASIC_CANCEL_METHOD);
    assert_string_equal(client->event[1].consumer, "tag");
    assert_channel_closed(AMQP_CODE_NOT_FOUND, "NOT_FOUND - no queue");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_ack_is_acknowledged_when_it_has_left),
        TEST(test_what_has_not_left_is_requeued),
        TEST(test_what_has_not_left_is_requeued_behind_a_limit),
        TEST(test_deliveries_in_flight_when_a_consumer_is_cancelled),
        TEST(test_silence_stays_silence),
        TEST(test_replies_are_relayed),
        TEST(test_prefetch_is_that_of_each_consumer),
        TEST(test_a_limit_of_all_consumers),
        TEST(test_transactions_have_no_acks_of_ours),
        TEST(test_transactions_after_several_consumers),
        TEST(test_a_limit_right_behind_a_consumer_without_a_tag),
        TEST(test_a_commit_while_a_consumer_is_replaced),
        TEST(test_an_exclusive_consumer_can_not_be_replaced),
        TEST(test_multiple_leaves_the_proxys_alone),
        TEST(test_multiple_after_the_proxys_have_left),
        TEST(test_nack_does_not_requeue_the_proxys),
        TEST(test_to_the_client_the_proxys_are_settled),
        TEST(test_multiple_up_to_one_of_the_proxys),
        TEST(test_all_of_nothing),
        TEST(test_all_that_is_known),
        TEST(test_messages_that_were_got),
        TEST(test_messages_that_are_being_got),
        TEST(test_recovery_spares_the_proxys),
        TEST(test_recovery_of_a_channel_of_its_own),
        TEST(test_recoveries_without_waiting),
        TEST(test_an_ack_behind_a_recovery),
        TEST(test_a_tag_used_again_with_messages_of_its_first_use),
        TEST(test_a_tag_that_is_an_alias),
        TEST(test_a_tag_that_will_be_an_alias),
        TEST(test_several_tags_that_the_broker_makes_up),
        TEST(test_a_wide_consumer_is_not_stuck),
        TEST(test_a_wide_consumer_gets_no_more_than_it_asked_for),
        TEST(test_a_wide_consumer_of_large_messages),
        TEST(test_a_wide_consumer_that_does_not_read),
        TEST(test_a_wide_consumer_of_a_queue_that_is_not_known),
        TEST(test_a_wide_consumer_in_transactions),
        TEST(test_a_queue_that_goes_while_a_consumer_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
