/* SPDX-License-Identifier: Apache-2.0 */

/* What RabbitMQ ends a connection for when a queue is of the wrong type never reaches it. */

#include "amqp/known_types.h"
#include "tests/unit/amqp/hub_test.h"
#include <limits.h>
#include <stdio.h>

enum { OFFENDER, OTHER };

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    join_and_open(2, 0);
    return 0;
}

/* The offender's connection is closed, and nobody else's. */
static void assert_offended(uint16_t code, const char *text)
{
    done(OFFENDER);
    assert_last_close(OFFENDER, AMQP_CONNECTION_CLOSE_METHOD, code);
    assert_string_equal(rig.clients[OFFENDER].text, text);
    assert_int_equal(rig.broker.killed.code, 0);
    frames_get(&f, 1, "q", true);
    done(OTHER);
    assert_last(OTHER, AMQP_BASIC_GET_EMPTY_METHOD);
}

/* --- the rules --- */

static void test_get_from_a_stream(void **state)
{
    (void)state;
    frames_get(&f, 1, "stream", true);
    assert_offended(540,
                    "NOT_IMPLEMENTED - basic.get not supported by stream queues queue 'stream' in vhost '/'");
}

static void test_purge_of_a_stream(void **state)
{
    (void)state;
    frames_purge(&f, 1, "stream");
    assert_offended(
        540, "NOT_IMPLEMENTED - queue.purge not supported by stream queues queue 'stream' in vhost '/'");
}

static void test_a_stream_without_acks(void **state)
{
    (void)state;
    frames_qos(&f, 1, 10, false);
    frames_consume(&f, 1, "stream", "tag", true);
    assert_offended(540, "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues queue "
                         "'stream' in vhost '/'");
}

static void test_a_stream_without_prefetch(void **state)
{
    (void)state;
    frames_consume(&f, 1, "stream", "tag", false);
    done(OFFENDER);
    assert_last(OFFENDER, AMQP_CHANNEL_CLOSE_METHOD);
    assert_string_equal(rig.clients[OFFENDER].text, "PRECONDITION_FAILED - consumer prefetch count is not "
                                                    "set for 'queue 'stream' in vhost '/''");
}

/* The client has closed the channel meanwhile; it hears both. */
static void test_a_close_behind_what_is_refused(void **state)
{
    (void)state;
    frames_consume(&f, 1, "stream", "t", false);
    frames_close(&f, 1);
    done(OFFENDER);
    const struct rig_client *c = &rig.clients[OFFENDER];
    assert_int_equal(c->event[c->events - 2].method, AMQP_CHANNEL_CLOSE_METHOD);
    assert_int_equal(c->event[c->events - 2].code, AMQP_CODE_PRECONDITION_FAILED);
    assert_last(OFFENDER, AMQP_CHANNEL_CLOSE_OK_METHOD);
}

static void test_global_qos(void **state)
{
    (void)state;
    frames_qos(&f, 1, 10, true);
    frames_qos(&f, 1, 10, false); /* which ends it */
    frames_consume(&f, 1, "quorum", "tag", false);
    frames_consume(&f, 1, "stream", "gat", false);
    done(OFFENDER);
    assert_last(OFFENDER, AMQP_BASIC_CONSUME_OK_METHOD);
    frames_qos(&f, 1, 10, true);
    frames_consume(&f, 1, "q", "classic", false);
    done(OFFENDER);
    assert_last(OFFENDER, AMQP_BASIC_CONSUME_OK_METHOD);
    frames_consume(&f, 1, "quorum", "again", false);
    assert_offended(540, "NOT_IMPLEMENTED - queue 'quorum' in vhost '/' does not support global qos");
}

static void test_conditional_delete_of_a_quorum_queue(void **state)
{
    (void)state;
    frames_delete_if(&f, 1, "q2", true, true);
    frames_delete_if(&f, 1, "stream", true, false);
    done(OFFENDER);
    assert_last(OFFENDER, AMQP_QUEUE_DELETE_OK_METHOD);
    frames_delete_if(&f, 1, "quorum", false, true);
    assert_offended(540, "NOT_IMPLEMENTED - cannot delete queue 'quorum' in vhost '/'. queue.delete "
                         "operations with if-empty flag set are not supported by quorum queues");
}

static void test_nack_of_a_stream(void **state)
{
    (void)state;
    frames_qos(&f, 1, 10, false);
    frames_consume(&f, 1, "stream", "tag", false);
    frames_publish(&f, 1, "stream", "hello", 5);
    done(OFFENDER);
    assert_last(OFFENDER, AMQP_BASIC_DELIVER_METHOD);
    frames_nack(&f, 1, 1, false);
    assert_offended(540, "NOT_IMPLEMENTED - basic.nack and basic.reject not supported by stream queues queue "
                         "'stream' in vhost '/'");
}

static void test_recover_of_a_stream(void **state)
{
    amqp_basic_recover_t recover = {.requeue = 1};
    (void)state;
    frames_qos(&f, 1, 10, false);
    frames_consume(&f, 1, "stream", "tag", false);
    frames_publish(&f, 1, "stream", "hello", 5);
    done(OFFENDER);
    frames_method(&f, 1, AMQP_BASIC_RECOVER_METHOD, &recover);
    assert_offended(541, "INTERNAL_ERROR");
}

static void test_nack_of_other_queues(void **state)
{
    (void)state;
    frames_consume(&f, 1, "quorum", "tag", false);
    frames_publish(&f, 1, "quorum", "hello", 5);
    done(OFFENDER);
    frames_nack(&f, 1, 1, false);
    done(OFFENDER);
    assert_last(OFFENDER, AMQP_BASIC_DELIVER_METHOD);
}

static void test_decimals_in_headers(void **state)
{
    amqp_table_entry_t entry;
    amqp_basic_publish_t publish = {.routing_key = amqp_cstring_bytes("q")};
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG,
                                          .headers = frames_table(&entry, "price", 'D')};
    (void)state;
    entry.value.value.decimal = (amqp_decimal_t){.decimals = 2, .value = 199};
    frames_method(&f, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_content(&f, 1, &properties, "hello", 5, 5);
    assert_offended(541, "INTERNAL_ERROR");
}

/* --- names --- */

static void test_names_of_any_length(void **state)
{
    static const unsigned lengths[] = {100, 130, 150, 160};
    char name[256];
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        memset(name, 'q', lengths[i]);
        name[lengths[i]] = '\0';
        frames_get(&f, 1, name, true);
        done(OTHER);
        assert_last(OTHER, AMQP_BASIC_GET_EMPTY_METHOD);
    }
    memcpy(name, "stream", 6);
    frames_get(&f, 1, name, true);
    done(OTHER);
    assert_last(OTHER, AMQP_CONNECTION_CLOSE_METHOD);
    memset(name, 'q', 255); /* the broker's text has no room for the type */
    frames_get(&f, 1, name, true);
    done(OFFENDER);
    assert_int_equal(rig_last(&rig, OFFENDER)->code, 540);
}

static void test_a_name_can_not_pretend(void **state)
{
    (void)state;
    frames_get(&f, 1, "stream' in vhost '/': {unacceptable_type,signedint}", true);
    done(OFFENDER);
    assert_int_equal(rig_last(&rig, OFFENDER)->code, 540);
}

static void test_a_queue_that_is_not_there(void **state)
{
    (void)state;
    frames_get(&f, 1, "x", true);
    done(OFFENDER);
    assert_last_close(OFFENDER, AMQP_CHANNEL_CLOSE_METHOD, AMQP_CODE_NOT_FOUND);
}

static void test_queues_that_the_broker_names_are_not_probed(void **state)
{
    (void)state;
    const unsigned opened = rig.broker.opened;
    frames_declare(&f, 1, "", 0);
    frames_get(&f, 1, "", true);
    done(OFFENDER);
    assert_last(OFFENDER, AMQP_BASIC_GET_EMPTY_METHOD);
    assert_int_equal(rig.broker.opened, opened);
}

/* --- at the same time --- */

/* The queue is classic when it is probed, and would be a stream when the get arrives. */
static void test_the_type_does_not_change_in_between(void **state)
{
    (void)state;
    frames_declare_of_type(&f, 1, "x", "classic");
    done(OTHER);
    rig.broker.is_lazy = true;
    frames_get(&f, 1, "x", true);
    said(OFFENDER);
    for (uint16_t n = 3; n < MODEL_CHANNELS; n++) /* the probe */
        model_broker_run(&rig.broker, n, UINT_MAX);
    frames_delete(&f, 1, "x");
    frames_declare_of_type(&f, 1, "x", "stream");
    said(OTHER);
    model_broker_run(&rig.broker, 2, UINT_MAX);
    assert_true(rig.clients[OTHER].member.held_cost > 0);
    rig_pump(&rig);
    assert_last(OFFENDER, AMQP_BASIC_GET_EMPTY_METHOD);
    assert_last(OTHER, AMQP_QUEUE_DECLARE_OK_METHOD);
    assert_int_equal(model_names_type(&rig.broker, "x"), MODEL_STREAM);
}

/* Those on the proxy's own channels are handled and answered, nobody else's. */
static void run_probes(void)
{
    for (unsigned rounds = 0; rounds < 4; rounds++) {
        for (uint16_t n = 3; n < MODEL_CHANNELS; n++)
            model_broker_run(&rig.broker, n, UINT_MAX);
        model_broker_answer(&rig.broker, UINT_MAX);
        rig_pump_without_answers(&rig);
    }
}

/* It is a declare that is under way that makes it a stream. */
static void test_a_probe_waits_for_declares(void **state)
{
    (void)state;
    rig.broker.is_lazy = true;
    frames_declare_of_type(&f, 1, "x", "stream");
    say(OTHER);
    frames_get(&f, 1, "x", true);
    said(OFFENDER);
    run_probes(); /* a probe for the get, too, would find that there is no such queue */
    assert_int_equal(model_broker_run(&rig.broker, 2, UINT_MAX), 1);
    assert_offended(540, "NOT_IMPLEMENTED - basic.get not supported by stream queues queue 'x' in vhost '/'");
}

static void test_many_ask_at_once(void **state)
{
    (void)state;
    const unsigned opened = rig.broker.opened;
    for (uint16_t channel = 2; channel <= 20; channel++) {
        frames_open(&f, channel);
        frames_get(&f, channel, "q", true);
    }
    done(OFFENDER);
    assert_last(OFFENDER, AMQP_BASIC_GET_EMPTY_METHOD);
    assert_in_range(rig.broker.opened - opened - 19, 1, 2); /* probes */
}

static void test_who_leaves_while_asking(void **state)
{
    (void)state;
    rig.broker.is_lazy = true;
    frames_get(&f, 1, "q", true);
    say(OFFENDER);
    frames_get(&f, 1, "q", true);
    say(OTHER);
    amqp_member_gone(&rig.clients[OFFENDER].member, 0);
    rig_pump(&rig);
    assert_last(OTHER, AMQP_BASIC_GET_EMPTY_METHOD);
}

/* --- what is believed --- */

static void get(unsigned client, const char *queue)
{
    frames_get(&f, 1, queue, true);
    done(client);
    assert_last(client, AMQP_BASIC_GET_EMPTY_METHOD);
}

static void test_a_type_is_believed_for_a_while(void **state)
{
    (void)state;
    rig_config.believe_types_ms = 1000;
    get(OFFENDER, "q");
    const unsigned opened = rig.broker.opened;
    rig.now += 999;
    get(OTHER, "q");
    get(OFFENDER, "q");
    assert_int_equal(rig.broker.opened, opened);
    rig.now += 1;
    get(OTHER, "q");
    assert_int_equal(rig.broker.opened, opened + 1);
}

static void test_none_is_believed(void **state)
{
    (void)state;
    get(OFFENDER, "q");
    const unsigned opened = rig.broker.opened;
    get(OFFENDER, "q");
    assert_int_equal(rig.broker.opened, opened + 1);
}

static void test_what_alters_a_type_is_noticed(void **state)
{
    (void)state;
    rig_config.believe_types_ms = 1000;
    frames_declare_of_type(&f, 1, "x", "classic");
    done(OTHER);
    get(OFFENDER, "x");
    frames_delete(&f, 1, "x");
    frames_declare_of_type(&f, 1, "x", "stream");
    done(OTHER);
    frames_get(&f, 1, "x", true);
    assert_offended(540, "NOT_IMPLEMENTED - basic.get not supported by stream queues queue 'x' in vhost '/'");
}

/* What it tells may be of a queue that was there before. */
static void test_a_probe_that_nobody_waits_for(void **state)
{
    (void)state;
    rig_config.believe_types_ms = 1000;
    frames_declare_of_type(&f, 1, "x", "classic");
    done(OTHER);
    rig.broker.is_lazy = true;
    frames_get(&f, 1, "x", true);
    said(OFFENDER);
    model_broker_close_channel(&rig.broker, 1);
    model_broker_answer(&rig.broker, UINT_MAX);
    rig_pump_without_answers(&rig);
    frames_declare_of_type(&f, 1, "x", "classic");
    said(OTHER);
    assert_int_equal(model_broker_run(&rig.broker, 2, UINT_MAX), 1);
    model_broker_answer(&rig.broker, UINT_MAX);
    rig_pump(&rig);
    assert_last(OTHER, AMQP_QUEUE_DECLARE_OK_METHOD);
    assert_int_equal(rig.hub.queues.names.known_count, 0);
}

static void test_few_are_remembered(void **state)
{
    char name[16];
    (void)state;
    rig_config.believe_types_ms = 1000;
    for (int i = 0; i < AMQP_KNOWN_MAX + 10; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        get(OTHER, name);
    }
    assert_int_equal(rig.hub.queues.names.known_count, AMQP_KNOWN_MAX);
    const unsigned opened = rig.broker.opened;
    get(OTHER, "q1033");
    assert_int_equal(rig.broker.opened, opened);
    get(OTHER, "q0");
    assert_int_equal(rig.broker.opened, opened + 1);
}

/* The second command breaks a rule of its own when its turn comes: what is behind it is not sent. */
static void test_an_offence_after_a_probe(void **state)
{
    (void)state;
    frames_consume(&f, 1, "q", "tag", false);
    frames_consume(&f, 1, "q", "tag", false);
    frames_declare(&f, 1, "x", 0);
    assert_offended(530, "NOT_ALLOWED - attempt to reuse consumer tag 'tag'");
    assert_int_equal(model_names_count(&rig.broker, MODEL_ANYBODY), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_get_from_a_stream),
        TEST(test_purge_of_a_stream),
        TEST(test_a_stream_without_acks),
        TEST(test_a_stream_without_prefetch),
        TEST(test_a_close_behind_what_is_refused),
        TEST(test_global_qos),
        TEST(test_conditional_delete_of_a_quorum_queue),
        TEST(test_nack_of_a_stream),
        TEST(test_recover_of_a_stream),
        TEST(test_nack_of_other_queues),
        TEST(test_decimals_in_headers),
        TEST(test_names_of_any_length),
        TEST(test_a_name_can_not_pretend),
        TEST(test_a_queue_that_is_not_there),
        TEST(test_queues_that_the_broker_names_are_not_probed),
        TEST(test_the_type_does_not_change_in_between),
        TEST(test_a_probe_waits_for_declares),
        TEST(test_many_ask_at_once),
        TEST(test_who_leaves_while_asking),
        TEST(test_a_type_is_believed_for_a_while),
        TEST(test_none_is_believed),
        TEST(test_what_alters_a_type_is_noticed),
        TEST(test_a_probe_that_nobody_waits_for),
        TEST(test_few_are_remembered),
        TEST(test_an_offence_after_a_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
