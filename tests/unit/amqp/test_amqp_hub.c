/* SPDX-License-Identifier: Apache-2.0 */

/* Clients that share a connection: each sees what it would see alone, and none can touch another. */

#include "amqp/wire.h"
#include "tests/unit/amqp/hub_test.h"

enum { ALL = AMQP_CAN_BLOCKED | AMQP_CAN_CANCEL_NOTIFY };

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    join(2, ALL);
    return 0;
}

/* --- what clients say --- */

static void consume(uint16_t channel, const char *tag, int nowait)
{
    amqp_basic_consume_t consume = {
        .queue = amqp_cstring_bytes("q"), .consumer_tag = amqp_cstring_bytes(tag), .nowait = nowait};
    frames_method(&f, channel, AMQP_BASIC_CONSUME_METHOD, &consume);
}

/* The client has been closed with this code; the other one still works. */
static void assert_offended(unsigned client, uint16_t code)
{
    rig_pump(&rig);
    assert_last_on(client, 0, AMQP_CONNECTION_CLOSE_METHOD);
    assert_int_equal(rig_last(&rig, client)->code, code);
    assert_int_equal(rig.clients[client].member.state, AMQP_MEMBER_OVER);
    assert_int_equal(rig.broker.killed.code, 0);
    opened(1 - client, 9);
}

/* --- channels --- */

static void test_same_number_of_two_clients(void **state)
{
    (void)state;
    opened(0, 1);
    opened(1, 1);
    assert_int_equal(model_broker_open_channels(&rig.broker), 2);
    frames_close(&f, 1);
    done(0);
    assert_last_on(0, 1, AMQP_CHANNEL_CLOSE_OK_METHOD);
    assert_int_equal(rig.clients[1].events, 0);
    assert_int_equal(model_broker_open_channels(&rig.broker), 1);
    opened(0, 1);
}

static void test_numbers_are_given_out_again_only_after_close_ok(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        frames_open(&f, 7);
        frames_close(&f, 7);
        said(0);
        model_broker_answer(&rig.broker, (unsigned)i % 3);
        rig_pump(&rig);
        assert_last_on(0, 7, AMQP_CHANNEL_CLOSE_OK_METHOD);
        rig.clients[0].events = 0;
    }
    assert_int_equal(rig.broker.opened, 300);
    assert_int_equal(rig.hub.slots.used, 0);
}

static void test_the_shared_connection_is_full(void **state)
{
    (void)state;
    rig_join(&rig, 2, ALL);
    rig_join(&rig, 3, ALL);
    for (unsigned client = 0; client < 3; client++) {
        for (uint16_t channel = 1; channel <= 20; channel++)
            opened(client, channel);
    }
    opened(3, 1); /* two are kept for the hub's own errands */
    frames_open(&f, 2);
    done(3);
    assert_int_equal(rig_last(&rig, 3)->code, AMQP_CODE_RESOURCE_ERROR);
    assert_int_equal(rig.hub.slots.used, 60); /* and all of the offender's are free again */
}

static void test_more_channels_than_agreed(void **state)
{
    (void)state;
    for (uint16_t channel = 1; channel <= 20; channel++)
        opened(0, (uint16_t)(channel * 3000)); /* the number itself does not matter */
    frames_open(&f, 1);
    done(0);
    assert_offended(0, AMQP_CODE_NOT_ALLOWED);
    assert_string_equal(rig.clients[0].text, "NOT_ALLOWED - number of channels opened (20) has reached the "
                                             "negotiated channel_max (20)");
}

static void test_the_broker_closes_a_channel(void **state)
{
    (void)state;
    opened(0, 1);
    opened(0, 2);
    frames_declare(&f, 1, "missing", FRAMES_PASSIVE);
    frames_publish(&f, 1, "q", "lost", 4);
    done(0);
    assert_last_on(0, 1, AMQP_CHANNEL_CLOSE_METHOD);
    assert_int_equal(rig_last(&rig, 0)->code, 404);
    assert_int_equal(rig.hub.slots.used, 1);
    frames_publish(&f, 1, "q", "ignored", 7); /* until the client has answered */
    say(0);
    frames_close_ok(&f, 1);
    say(0);
    opened(0, 1);
    assert_int_equal(rig.broker.published, 0);
}

static void deliver_to(uint16_t channel)
{
    amqp_basic_deliver_t deliver = {.consumer_tag = amqp_cstring_bytes("tag"), .delivery_tag = 1};
    const amqp_basic_properties_t none = {0};
    frames_method(&f, channel, AMQP_BASIC_DELIVER_METHOD, &deliver);
    frames_content(&f, channel, &none, "late", 4, 4);
    amqp_hub_feed(&rig.hub, f.bytes, f.len, 0);
    f.len = 0;
}

static void test_deliveries_behind_the_brokers_close(void **state)
{
    (void)state;
    opened(0, 1);
    frames_declare(&f, 1, "missing", FRAMES_PASSIVE);
    said(0);
    rig.broker_reads = false;
    rig_pump(&rig);
    assert_last_on(0, 1, AMQP_CHANNEL_CLOSE_METHOD);
    deliver_to(1); /* our Close-Ok is not written */
    rig.broker_reads = true;
    rig_pump(&rig);
    deliver_to(1); /* and now it is */
    rig_pump(&rig);
    assert_false(rig.is_down);
    assert_last_on(0, 1, AMQP_CHANNEL_CLOSE_METHOD);
}

/* The client was told of an end of its channel 1 and that it is closed as it wished, and may open it again.
 */
static void assert_crossed(unsigned client, uint16_t code)
{
    const struct rig_client *c = &rig.clients[client];
    assert_int_equal(c->events, 2);
    assert_int_equal(c->event[0].method, AMQP_CHANNEL_CLOSE_METHOD);
    assert_int_equal(c->event[0].code, code);
    assert_last_on(client, 1, AMQP_CHANNEL_CLOSE_OK_METHOD);
    frames_close_ok(&f, 1);
    say(client);
    opened(client, 1);
    frames_close(&f, 1);
    done(client);
    rig.clients[client].events = 0;
    assert_int_equal(rig.hub.slots.used, 0);
}

static void broker_closes(uint16_t channel)
{
    amqp_channel_close_t close = {.reply_code = AMQP_NOT_FOUND};
    frames_method(&f, channel, AMQP_CHANNEL_CLOSE_METHOD, &close);
    amqp_hub_feed(&rig.hub, f.bytes, f.len, 0);
    f.len = 0;
}

/* An error behind an error: RabbitMQ says Close twice and wants one Close-Ok. */
static void test_the_broker_closes_a_channel_twice(void **state)
{
    (void)state;
    opened(0, 1);
    for (uint16_t n = 1; n < MODEL_CHANNELS; n++)
        model_broker_close_channel(&rig.broker, n);
    frames_close(&f, 1);
    said(0);
    model_broker_answer(&rig.broker, 1);
    rig.broker_reads = false;
    rig_pump(&rig);
    broker_closes(1); /* with a Close-Ok to be said and one to be heard */
    rig.broker_reads = true;
    rig_pump_without_answers(&rig);
    broker_closes(1); /* with one to be heard */
    rig_pump(&rig);
    broker_closes(1); /* when all is said */
    rig_pump(&rig);
    assert_int_equal(rig.broker.killed.code, 0);
    assert_crossed(0, AMQP_CODE_NOT_FOUND);
}

/* What was said about the last use of a number. */
static void test_what_comes_before_open_ok_is_late(void **state)
{
    (void)state;
    frames_open(&f, 1);
    said(0);
    broker_closes(1);
    deliver_to(1);
    rig_pump(&rig);
    assert_int_equal(rig.clients[0].events, 1);
    assert_last_on(0, 1, AMQP_CHANNEL_OPEN_OK_METHOD);
    assert_int_equal(rig.broker.killed.code, 0);
}

static void test_both_close_a_channel_at_once(void **state)
{
    (void)state;
    for (unsigned answers = 0; answers < 4; answers++) {
        opened(0, 1);
        for (uint16_t n = 1; n < MODEL_CHANNELS; n++)
            model_broker_close_channel(&rig.broker, n);
        frames_close(&f, 1);
        said(0);
        model_broker_answer(&rig.broker, answers);
        rig_pump(&rig);
        assert_crossed(0, AMQP_CODE_NOT_FOUND);
    }
}

/* The client's Close comes behind what the proxy refuses, or before the broker's Close for something earlier.
 */
static void test_a_refusal_is_told_to_a_client_that_closes(void **state)
{
    static char body[5000];
    (void)state;
    rig.hub.rules.body_max = 4999;
    opened(0, 1);
    frames_publish(&f, 1, "q", body, sizeof(body));
    frames_close(&f, 1);
    done(0);
    assert_crossed(0, AMQP_CODE_PRECONDITION_FAILED);
}

static void test_the_brokers_refusal_comes_before_the_proxys(void **state)
{
    static char body[5000];
    (void)state;
    rig.hub.rules.body_max = 4999;
    opened(0, 1);
    frames_declare(&f, 1, "missing", FRAMES_PASSIVE);
    frames_publish(&f, 1, "q", body, sizeof(body));
    frames_close(&f, 1);
    done(0);
    assert_crossed(0, AMQP_CODE_NOT_FOUND);
}

/* basic.get waits until the queue's type is known, and what comes behind it too. */
static void test_a_close_that_waits_is_answered_behind_an_error(void **state)
{
    (void)state;
    opened(0, 1);
    frames_declare(&f, 1, "missing", FRAMES_PASSIVE);
    frames_get(&f, 1, "q", true);
    frames_close(&f, 1);
    done(0);
    assert_crossed(0, AMQP_CODE_NOT_FOUND);
}

/* --- hold-backs --- */

static void test_commands_wait_for_commit_ok(void **state)
{
    (void)state;
    opened(0, 1);
    opened(0, 2);
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    frames_plain(&f, 1, AMQP_TX_COMMIT_METHOD);
    frames_publish(&f, 1, "q", "next", 4);
    frames_plain(&f, 1, AMQP_TX_COMMIT_METHOD);
    frames_publish(&f, 1, "q", "over", 4);
    frames_publish(&f, 2, "q", "free", 4);
    said(0);
    assert_int_equal(rig.broker.published, 1); /* on the other channel */
    assert_true(rig.clients[0].member.held_cost > 0);
    rig_pump(&rig);
    assert_int_equal(rig.broker.published, 3);
    assert_int_equal(rig.clients[0].member.held_cost, 0);
}

static void test_close_does_not_wait_for_commit_ok(void **state)
{
    (void)state;
    opened(0, 1);
    frames_plain(&f, 1, AMQP_TX_COMMIT_METHOD);
    frames_close(&f, 1);
    said(0);
    assert_int_equal(model_broker_open_channels(&rig.broker), 0);
    rig_pump(&rig);
    assert_last_on(0, 1, AMQP_CHANNEL_CLOSE_OK_METHOD);
}

static void test_cancel_waits_for_consume_ok(void **state)
{
    (void)state;
    opened(0, 1);
    consume(1, "tag", 0);
    frames_cancel(&f, 1, "tag");
    consume(1, "tag", 0);
    consume(1, "quiet", 1);
    frames_cancel(&f, 1, "quiet");
    done(0);
    assert_last_on(0, 1, AMQP_BASIC_CANCEL_OK_METHOD);
    assert_int_equal(rig.clients[0].events, 4); /* consume-ok, cancel-ok, consume-ok, cancel-ok */
}

/* --- offences --- */

static void test_a_tag_used_twice(void **state)
{
    (void)state;
    opened(0, 1);
    opened(0, 2);
    consume(1, "tag", 0);
    consume(2, "tag", 0);
    done(0);
    assert_last_on(0, 2, AMQP_BASIC_CONSUME_OK_METHOD);
    consume(1, "tag", 0);
    say(0);
    assert_offended(0, AMQP_CODE_NOT_ALLOWED);
    assert_string_equal(rig.clients[0].text, "NOT_ALLOWED - attempt to reuse consumer tag 'tag'");
}

static void test_a_tag_that_the_broker_made_up(void **state)
{
    (void)state;
    opened(0, 1);
    consume(1, "", 0);
    done(0);
    consume(1, "amq.ctag-made-up", 0);
    say(0);
    assert_offended(0, AMQP_CODE_NOT_ALLOWED);
}

static void test_a_method_on_a_channel_that_is_not_open(void **state)
{
    (void)state;
    consume(1, "tag", 0);
    say(0);
    assert_offended(0, AMQP_CODE_CHANNEL_ERROR);
    assert_string_equal(rig.clients[0].text, "CHANNEL_ERROR - expected 'channel.open'");
}

static void test_opening_twice(void **state)
{
    (void)state;
    frames_open(&f, 1);
    frames_open(&f, 1);
    say(0);
    assert_offended(0, AMQP_CODE_CHANNEL_ERROR);
    assert_string_equal(rig.clients[0].text, "CHANNEL_ERROR - second 'channel.open' seen");
}

static void test_opening_before_close_ok(void **state)
{
    (void)state;
    opened(0, 1);
    frames_close(&f, 1);
    frames_open(&f, 1);
    say(0);
    assert_offended(0, AMQP_CODE_CHANNEL_ERROR);
}

/* What comes behind a Close that waits is not done, however it ends. */
static void test_nothing_follows_a_close_that_was_held_back(void **state)
{
    (void)state;
    opened(0, 1);
    frames_get(&f, 1, "q", true);
    frames_close(&f, 1);
    frames_publish(&f, 1, "q", "never", 5);
    frames_open(&f, 1);
    done(0);
    assert_offended(0, AMQP_CODE_CHANNEL_ERROR);
    assert_int_equal(rig.broker.published, 0);
}

static void test_answers_that_nobody_asked_for(void **state)
{
    (void)state;
    opened(0, 1);
    frames_close_ok(&f, 1);
    say(0);
    assert_offended(0, AMQP_CODE_COMMAND_INVALID);
}

static void test_an_offence_that_was_held_back(void **state)
{
    (void)state;
    opened(0, 1);
    consume(1, "tag", 1);
    frames_plain(&f, 1, AMQP_TX_COMMIT_METHOD);
    consume(1, "tag", 0);
    said(0);
    assert_int_equal(rig.clients[0].member.state, AMQP_MEMBER_JOINED);
    assert_offended(0, AMQP_CODE_NOT_ALLOWED);
}

static void test_nothing_follows_an_offence_that_was_held_back(void **state)
{
    (void)state;
    opened(0, 1);
    frames_plain(&f, 1, AMQP_TX_COMMIT_METHOD);
    frames_open(&f, 1);
    frames_publish(&f, 1, "q", "never", 5);
    say(0);
    assert_offended(0, AMQP_CODE_CHANNEL_ERROR);
    assert_int_equal(rig.broker.published, 0);
}

static void break_a_rule(uint16_t channel)
{
    amqp_basic_qos_t qos = {.prefetch_size = 1};
    frames_method(&f, channel, AMQP_BASIC_QOS_METHOD, &qos);
}

static void test_a_broken_rule(void **state)
{
    (void)state;
    opened(0, 1);
    break_a_rule(1);
    say(0);
    assert_offended(0, AMQP_CODE_NOT_IMPLEMENTED);
}

/* What it says behind the channel's error is not looked at when alone, whether it has heard of that or not.
 */
static void test_a_broken_rule_behind_an_error_of_the_channel(void **state)
{
    (void)state;
    opened(0, 1);
    opened(0, 2);
    frames_declare(&f, 1, "missing", FRAMES_PASSIVE);
    break_a_rule(1);
    frames_publish(&f, 1, "q", "never", 5);
    frames_publish(&f, 2, "q", "fine", 4);
    done(0);
    assert_last_close(0, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_NOT_FOUND);
    assert_int_equal(rig.broker.published, 1);
    frames_close_ok(&f, 1);
    say(0);
    opened(0, 1);
    break_a_rule(2);
    say(0);
    assert_offended(0, AMQP_CODE_NOT_IMPLEMENTED);
}

static void test_a_broken_rule_is_told_in_time(void **state)
{
    (void)state;
    opened(0, 1);
    rig.broker_reads = false;
    break_a_rule(1);
    say(0);
    assert_int_equal(amqp_member_deadline(&rig.clients[0].member), rig_config.end_timeout_ms);
    rig.now = rig_config.end_timeout_ms;
    rig_pump(&rig);
    assert_last_close(0, AMQP_CONNECTION_CLOSE_METHOD, AMQP_CODE_NOT_IMPLEMENTED);
}

/* The error of one channel does not let the client off for what it does on another. */
static void test_broken_rules_on_two_channels(void **state)
{
    (void)state;
    opened(0, 1);
    opened(0, 2);
    frames_declare(&f, 1, "missing", FRAMES_PASSIVE);
    break_a_rule(1);
    break_a_rule(2);
    say(0);
    assert_offended(0, AMQP_CODE_NOT_IMPLEMENTED);
    assert_int_equal(rig.clients[0].event[0].method, AMQP_CHANNEL_CLOSE_METHOD);
}

static void test_a_message_over_the_limit(void **state)
{
    static char body[5000];
    (void)state;
    rig.hub.rules.body_max = 4999;
    opened(0, 1);
    frames_publish(&f, 1, "q", body, sizeof(body));
    said(0);
    assert_int_equal(rig.clients[0].events, 0); /* first what it had is freed */
    rig_pump(&rig);
    assert_last_on(0, 1, AMQP_CHANNEL_CLOSE_METHOD);
    assert_int_equal(rig_last(&rig, 0)->code, AMQP_CODE_PRECONDITION_FAILED);
    frames_close_ok(&f, 1);
    say(0);
    opened(0, 1);
}

static void test_a_message_over_the_limit_waits_for_its_turn(void **state)
{
    static char body[5000];
    (void)state;
    rig.hub.rules.body_max = 4999;
    opened(0, 1);
    frames_plain(&f, 1, AMQP_TX_SELECT_METHOD);
    frames_plain(&f, 1, AMQP_TX_COMMIT_METHOD);
    frames_publish(&f, 1, "q", "held back", 9);
    frames_publish(&f, 1, "q", body, sizeof(body));
    done(0);
    assert_last_on(0, 1, AMQP_CHANNEL_CLOSE_METHOD);
    assert_int_equal(rig.broker.published, 1);
}

static void test_a_message_over_the_limit_on_no_channel(void **state)
{
    static char body[5000];
    (void)state;
    rig.hub.rules.body_max = 4999;
    frames_publish(&f, 1, "q", body, sizeof(body));
    say(0);
    assert_offended(0, AMQP_CODE_CHANNEL_ERROR);
}

/* --- the end of a client --- */

static void test_answers_in_flight_arrive_before_the_end(void **state)
{
    (void)state;
    frames_open(&f, 1);
    consume(1, "tag", 0);
    frames_publish(&f, 1, "q", "hello", 5);
    frames_close(&f, 1);
    frames_open(&f, 2);
    frames_open(&f, 2); /* an offence */
    done(0);
    assert_int_equal(rig.clients[0].events, 6);
    assert_int_equal(rig.clients[0].event[0].method, AMQP_CHANNEL_OPEN_OK_METHOD);
    assert_int_equal(rig.clients[0].event[1].method, AMQP_CHANNEL_OPEN_OK_METHOD); /* 2 does not wait for 1 */
    assert_int_equal(rig.clients[0].event[2].method, AMQP_BASIC_CONSUME_OK_METHOD);
    assert_int_equal(rig.clients[0].event[3].method, AMQP_BASIC_DELIVER_METHOD);
    assert_int_equal(rig.clients[0].event[4].method, AMQP_CHANNEL_CLOSE_OK_METHOD);
    assert_int_equal(rig.clients[0].event[5].method, AMQP_CONNECTION_CLOSE_METHOD);
}

static void test_garbage_after_commands(void **state)
{
    (void)state;
    frames_open(&f, 1);
    memset(f.bytes + f.len, 0xFF, 100);
    f.len += 100;
    say(0);
    assert_int_equal(rig.clients[0].events, 0);
    assert_offended(0, AMQP_CODE_FRAME_ERROR);
    assert_int_equal(rig.clients[0].event[0].method, AMQP_CHANNEL_OPEN_OK_METHOD);
    memset(f.bytes, 0xFF, 100);
    f.len = 100;
    say(0); /* where no Close-Ok can be found either */
    assert_true(amqp_member_is_over(&rig.clients[0].member));
}

static void test_half_a_message_leaves_nothing(void **state)
{
    static char body[5000];
    (void)state;
    opened(0, 1);
    frames_publish(&f, 1, "q", "whole", 5);
    frames_publish(&f, 1, "q", body, sizeof(body));
    f.len -= 1;
    done(0);
    assert_true(rig.clients[0].member.partial_cost > 0);
    amqp_member_gone(&rig.clients[0].member, 0);
    rig_pump(&rig);
    assert_int_equal(rig.broker.published, 1);
    assert_int_equal(amqp_hub_cost(&rig.hub), 0);
    assert_int_equal(rig.hub.slots.used, 0);
    assert_true(amqp_member_is_over(&rig.clients[0].member));
}

static void test_what_was_complete_is_still_sent(void **state)
{
    static char body[100000];
    (void)state;
    opened(0, 1);
    rig.broker_reads = false;
    frames_publish(&f, 1, "q", body, sizeof(body));
    say(0);
    amqp_member_gone(&rig.clients[0].member, 0);
    assert_false(amqp_member_is_over(&rig.clients[0].member));
    rig.broker_reads = true;
    rig_pump(&rig);
    assert_int_equal(rig.broker.published_bytes, sizeof(body));
    assert_true(amqp_member_is_over(&rig.clients[0].member));
}

static void test_close_ok_comes_when_all_is_free(void **state)
{
    amqp_connection_close_t close = {.reply_code = 200};
    (void)state;
    opened(0, 1);
    opened(0, 2);
    frames_method(&f, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
    said(0);
    assert_int_equal(rig.clients[0].events, 0);
    rig_pump(&rig);
    assert_last_on(0, 0, AMQP_CONNECTION_CLOSE_OK_METHOD);
    assert_int_equal(model_broker_open_channels(&rig.broker), 0);
    assert_true(amqp_member_is_over(&rig.clients[0].member));
}

static void test_an_end_that_the_broker_delays_is_told_in_time(void **state)
{
    (void)state;
    opened(0, 1);
    frames_open(&f, 1);
    rig.broker_reads = false;
    say(0);
    assert_int_equal(amqp_member_deadline(&rig.clients[0].member), 5000);
    rig.now = 5000;
    rig_pump(&rig);
    assert_last_on(0, 0, AMQP_CONNECTION_CLOSE_METHOD);
    assert_int_equal(rig.clients[0].member.state, AMQP_MEMBER_ENDING);
}

/* --- content --- */

static void test_a_large_message_is_interleaved(void **state)
{
    static char body[200000];
    (void)state;
    opened(0, 1);
    opened(1, 1);
    rig.broker_reads = false;
    frames_publish(&f, 1, "q", body, sizeof(body));
    say(0);
    frames_publish(&f, 1, "q", "small", 5);
    say(1);
    uint8_t buf[AMQP_HUB_WRITE_MIN];
    const size_t n = amqp_hub_write(&rig.hub, buf, sizeof(buf), 0);
    model_broker_feed(&rig.broker, buf, n);
    assert_int_equal(rig.broker.published, 1); /* the small one did not wait */
    rig.broker_reads = true;
    rig_pump(&rig);
    assert_int_equal(rig.broker.published_bytes, sizeof(body) + 5);
}

static void test_deliveries_come_back_whole(void **state)
{
    static char body[60000];
    (void)state;
    opened(0, 1);
    consume(1, "tag", 0);
    frames_publish(&f, 1, "q", body, sizeof(body));
    done(0);
    assert_last_on(0, 1, AMQP_BASIC_DELIVER_METHOD);
    assert_int_equal(rig_last(&rig, 0)->body_size, sizeof(body));
    assert_int_equal(rig.clients[0].body_bytes, sizeof(body));
    assert_int_equal(rig.clients[1].body_bytes, 0);
}

/* --- memory --- */

static void test_a_client_ahead_of_the_broker_is_not_read(void **state)
{
    static char body[200000];
    (void)state;
    rig_config.member_up_max = 100000;
    opened(0, 1);
    rig.broker_reads = false;
    assert_true(amqp_member_wants_input(&rig.clients[0].member));
    frames_publish(&f, 1, "q", body, sizeof(body));
    say(0);
    assert_false(amqp_member_wants_input(&rig.clients[0].member));
    assert_true(amqp_member_wants_input(&rig.clients[1].member));
    rig.broker_reads = true;
    rig_pump(&rig);
    assert_true(amqp_member_wants_input(&rig.clients[0].member));
}

static void test_only_who_awaits_room_is_woken(void **state)
{
    static char body[200000];
    (void)state;
    rig_config.member_up_max = 100000;
    opened(0, 1);
    opened(1, 1);
    rig.broker_reads = false;
    frames_publish(&f, 1, "q", body, sizeof(body));
    say(0);
    assert_false(amqp_member_wants_input(&rig.clients[0].member));
    assert_true(amqp_member_wants_input(&rig.clients[1].member));
    rig.clients[0].wakes = 0;
    rig.clients[1].wakes = 0;
    rig.broker_reads = true;
    rig_pump(&rig);
    assert_int_equal(rig.clients[0].wakes, 1); /* what is written next finds nobody who waits */
    assert_int_equal(rig.clients[1].wakes, 0);
}

static void test_short_memory_lets_one_finish(void **state)
{
    static char body[50000];
    struct amqp_member *a = &rig.clients[0].member;
    struct amqp_member *b = &rig.clients[1].member;
    (void)state;
    rig_config.memory_max = 60000;
    opened(0, 1);
    opened(1, 1);
    for (unsigned client = 0; client < 2; client++) {
        frames_publish(&f, 1, "q", body, sizeof(body));
        f.len -= 1;
        say(client);
    }
    rig_pump(&rig);
    assert_true(amqp_member_wants_input(a));
    assert_false(amqp_member_wants_input(b));
    rig_feed(&rig, 0, (const uint8_t *)"\xCE", 1);
    rig_pump(&rig);
    assert_int_equal(rig.broker.published, 1);
    assert_true(amqp_member_wants_input(b));
    rig_feed(&rig, 1, (const uint8_t *)"\xCE", 1);
    rig_pump(&rig);
    assert_int_equal(rig.broker.published, 2);
}

static void test_who_stalls_while_memory_is_short(void **state)
{
    static char body[50000];
    (void)state;
    rig_config.memory_max = 10000;
    opened(0, 1);
    frames_publish(&f, 1, "q", body, sizeof(body));
    f.len -= 1;
    done(0);
    assert_true(amqp_member_wants_input(&rig.clients[0].member));
    assert_int_equal(amqp_hub_deadline(&rig.hub), 10000);
    amqp_hub_tick(&rig.hub, 10000);
    assert_offended(0, AMQP_CODE_RESOURCE_ERROR);
}

/* --- a broker that takes its time --- */

/* Client 0 opens channels, and uses one that it has not opened. The broker has said nothing yet. */
static void offend_behind_questions(void)
{
    for (uint16_t channel = 1; channel <= 3; channel++)
        frames_open(&f, channel);
    frames_plain(&f, 9, AMQP_TX_SELECT_METHOD);
    said(0);
}

static void test_the_end_waits_while_the_broker_answers(void **state)
{
    (void)state;
    offend_behind_questions();
    while (model_broker_answer(&rig.broker, 1) > 0) {
        rig_pump_without_answers(&rig);
        time_passes(rig_config.end_timeout_ms - 1);
    }
    assert_int_equal(rig_count(&rig, 0, AMQP_CHANNEL_OPEN_OK_METHOD), 3);
    assert_offended(0, AMQP_CODE_CHANNEL_ERROR);
}

static void test_the_end_does_not_wait_for_a_silent_broker(void **state)
{
    (void)state;
    offend_behind_questions();
    time_passes(rig_config.end_timeout_ms - 1);
    assert_int_equal(rig.clients[0].events, 0);
    time_passes(1);
    assert_int_equal(rig.clients[0].events, 1);
    assert_last_on(0, 0, AMQP_CONNECTION_CLOSE_METHOD);
}

/* One that has completed its message, or that is not read for another reason, is not to blame. */
static void test_who_does_not_stall_while_memory_is_short(void **state)
{
    static char body[50000];
    (void)state;
    rig_config.memory_max = 60000;
    rig_config.member_up_max = 100000;
    opened(0, 1);
    opened(1, 1);
    for (unsigned client = 0; client < 2; client++) {
        frames_publish(&f, 1, "q", body, sizeof(body));
        f.len -= 1;
        say(client);
    }
    assert_true(amqp_member_wants_input(&rig.clients[0].member));
    rig.broker_reads = false;
    amqp_member_feed(&rig.clients[0].member, (const uint8_t *)"\xCE", 1, 5000);
    frames_publish(&f, 1, "q", body, sizeof(body) / 5);
    f.len -= 1;
    rig.now = 5000;
    say(0);
    assert_true(amqp_member_wants_input(&rig.clients[0].member));
    amqp_hub_tick(&rig.hub, 10000);
    assert_int_equal(rig.clients[0].member.state, AMQP_MEMBER_JOINED);
    amqp_member_feed(&rig.clients[0].member, (const uint8_t *)"\xCE", 1, 10000);
    frames_publish(&f, 1, "q", body, sizeof(body));
    frames_publish(&f, 1, "q", body, sizeof(body));
    f.len -= 1;
    rig.now = 10000;
    say(0);
    assert_false(amqp_member_wants_input(&rig.clients[0].member));
    assert_true(amqp_member_wants_input(&rig.clients[1].member)); /* its turn */
    amqp_hub_tick(&rig.hub, 19999);
    assert_int_equal(rig.clients[0].member.state, AMQP_MEMBER_JOINED);
    assert_int_equal(rig.clients[1].member.state, AMQP_MEMBER_JOINED);
    rig.broker_reads = true;
    rig_pump(&rig);
}

/* --- the broker's news --- */

static void test_cancel_notify_by_capability(void **state)
{
    (void)state;
    rig_join(&rig, 2, 0);
    opened(0, 1);
    opened(2, 1);
    for (unsigned client = 0; client < 3; client += 2) {
        consume(1, "tag", 0);
        done(client);
        rig.clients[client].events = 0;
    }
    model_delete_queue(&rig.broker, "q");
    rig.broker.deleted[0] = '\0';
    rig_pump(&rig);
    assert_last_on(0, 1, AMQP_BASIC_CANCEL_METHOD);
    assert_int_equal(rig.clients[2].events, 0);
    consume(1, "tag", 0); /* the tag is free again, told or not */
    done(2);
    assert_last_on(2, 1, AMQP_BASIC_CONSUME_OK_METHOD);
}

static void test_blocked_is_told_to_all_who_understand(void **state)
{
    (void)state;
    rig_join(&rig, 2, 0);
    rig.broker.front.can |= AMQP_CAN_BLOCKED;
    amqp_front_notify_blocked(&rig.broker.front, "low on memory");
    rig_pump(&rig);
    assert_last_on(0, 0, AMQP_CONNECTION_BLOCKED_METHOD);
    assert_last_on(1, 0, AMQP_CONNECTION_BLOCKED_METHOD);
    assert_int_equal(rig.clients[2].events, 0);
    rig_join(&rig, 3, ALL);
    assert_int_equal(rig.clients[3].event[3].method, AMQP_CONNECTION_BLOCKED_METHOD); /* a late joiner */
    amqp_front_notify_blocked(&rig.broker.front, NULL);
    rig_pump(&rig);
    assert_last_on(3, 0, AMQP_CONNECTION_UNBLOCKED_METHOD);
}

#define TOKEN(n) "amq.rabbitmq.reply-to.AAAAAAAAAAAAAA." #n

/* A message with this reply_to goes through the broker, which does not know what the token is for. */
static void request(unsigned client, const char *reply_to)
{
    amqp_basic_publish_t publish = {.routing_key = amqp_cstring_bytes("q")};
    const amqp_basic_properties_t properties = {._flags = AMQP_BASIC_REPLY_TO_FLAG,
                                                .reply_to = amqp_cstring_bytes(reply_to)};
    frames_method(&f, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_content(&f, 1, &properties, "request", 7, 7);
    done(client);
    assert_last_on(client, 1, AMQP_BASIC_DELIVER_METHOD);
}

static void test_only_tokens_that_the_broker_issued_are_answered(void **state)
{
    (void)state;
    opened(0, 1);
    consume(1, "tag", 0);
    say(0);
    request(0, TOKEN(1));
    request(0, TOKEN(2));
    frames_publish(&f, 1, TOKEN(1), "reply", 5);
    say(0);
    request(0, TOKEN(3)); /* 2 is forgotten: it was not used since */
    frames_publish(&f, 1, TOKEN(1), "reply", 5);
    frames_publish(&f, 1, TOKEN(3), "reply", 5);
    done(0);
    assert_int_equal(rig.broker.published, 6);
    frames_publish(&f, 1, TOKEN(2), "reply", 5);
    say(0);
    assert_offended(0, AMQP_CODE_INTERNAL_ERROR);
}

static void assert_lost(const char *text)
{
    for (unsigned client = 0; client < 2; client++) {
        assert_last_on(client, 0, AMQP_CONNECTION_CLOSE_METHOD);
        assert_int_equal(rig_last(&rig, client)->code, AMQP_CODE_CONNECTION_FORCED);
        assert_string_equal(rig.clients[client].text, text);
    }
    assert_true(rig.is_down);
}

static void test_the_broker_shuts_down(void **state)
{
    (void)state;
    opened(0, 1);
    frames_publish(&f, 1, "q", "half", 4);
    f.len -= 1;
    say(0);
    model_broker_close(&rig.broker, "shutdown");
    rig_pump(&rig);
    assert_lost("CONNECTION_FORCED - the connection to the broker is lost: shutdown");
    assert_null(rig.suspect);
}

/* Not a proof: but the operator has a name to begin with. */
static void test_the_last_to_send_is_suspected(void **state)
{
    (void)state;
    opened(0, 1);
    opened(1, 1);
    frames_publish(&f, 1, "q", "x", 1);
    done(0);
    frames_close_ok(&f, 77); /* the broker makes no sense */
    amqp_hub_feed(&rig.hub, f.bytes, f.len, 0);
    f.len = 0;
    assert_true(rig.is_down);
    assert_ptr_equal(rig.suspect, &rig.clients[0].member);
    assert_string_equal(rig.suspect_method, "basic.publish");
    rig_pump(&rig);
}

static void test_the_transport_is_lost(void **state)
{
    (void)state;
    opened(1, 5);
    frames_publish(&f, 5, "q", "x", 1);
    done(1);
    amqp_hub_lost(&rig.hub, "Connection reset by peer", 0);
    rig_pump(&rig);
    assert_lost("CONNECTION_FORCED - the connection to the broker is lost: Connection reset "
                "by peer");
    assert_null(rig.suspect);
}

static void test_a_broker_that_makes_no_sense_is_left(void **state)
{
    (void)state;
    opened(0, 1);
    frames_close_ok(&f, 1);
    amqp_hub_feed(&rig.hub, f.bytes, f.len, 0);
    f.len = 0;
    rig_pump(&rig);
    assert_true(rig.is_down);
    assert_last_on(0, 0, AMQP_CONNECTION_CLOSE_METHOD);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_same_number_of_two_clients),
        TEST(test_numbers_are_given_out_again_only_after_close_ok),
        TEST(test_the_shared_connection_is_full),
        TEST(test_more_channels_than_agreed),
        TEST(test_the_broker_closes_a_channel),
        TEST(test_deliveries_behind_the_brokers_close),
        TEST(test_the_broker_closes_a_channel_twice),
        TEST(test_what_comes_before_open_ok_is_late),
        TEST(test_both_close_a_channel_at_once),
        TEST(test_a_refusal_is_told_to_a_client_that_closes),
        TEST(test_the_brokers_refusal_comes_before_the_proxys),
        TEST(test_a_close_that_waits_is_answered_behind_an_error),
        TEST(test_commands_wait_for_commit_ok),
        TEST(test_close_does_not_wait_for_commit_ok),
        TEST(test_cancel_waits_for_consume_ok),
        TEST(test_a_tag_used_twice),
        TEST(test_a_tag_that_the_broker_made_up),
        TEST(test_a_method_on_a_channel_that_is_not_open),
        TEST(test_opening_twice),
        TEST(test_opening_before_close_ok),
        TEST(test_nothing_follows_a_close_that_was_held_back),
        TEST(test_answers_that_nobody_asked_for),
        TEST(test_an_offence_that_was_held_back),
        TEST(test_nothing_follows_an_offence_that_was_held_back),
        TEST(test_a_broken_rule),
        TEST(test_a_broken_rule_behind_an_error_of_the_channel),
        TEST(test_a_broken_rule_is_told_in_time),
        TEST(test_broken_rules_on_two_channels),
        TEST(test_a_message_over_the_limit),
        TEST(test_a_message_over_the_limit_waits_for_its_turn),
        TEST(test_a_message_over_the_limit_on_no_channel),
        TEST(test_answers_in_flight_arrive_before_the_end),
        TEST(test_garbage_after_commands),
        TEST(test_half_a_message_leaves_nothing),
        TEST(test_what_was_complete_is_still_sent),
        TEST(test_close_ok_comes_when_all_is_free),
        TEST(test_an_end_that_the_broker_delays_is_told_in_time),
        TEST(test_a_large_message_is_interleaved),
        TEST(test_deliveries_come_back_whole),
        TEST(test_a_client_ahead_of_the_broker_is_not_read),
        TEST(test_only_who_awaits_room_is_woken),
        TEST(test_short_memory_lets_one_finish),
        TEST(test_who_stalls_while_memory_is_short),
        TEST(test_who_does_not_stall_while_memory_is_short),
        TEST(test_the_end_waits_while_the_broker_answers),
        TEST(test_the_end_does_not_wait_for_a_silent_broker),
        TEST(test_cancel_notify_by_capability),
        TEST(test_blocked_is_told_to_all_who_understand),
        TEST(test_only_tokens_that_the_broker_issued_are_answered),
        TEST(test_the_broker_shuts_down),
        TEST(test_the_last_to_send_is_suspected),
        TEST(test_the_transport_is_lost),
        TEST(test_a_broker_that_makes_no_sense_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
