/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/assembler.h"
#include "amqp/method_codec.h"
#include "amqp/rules.h"
#include "tests/unit/amqp/frames.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct amqp_assembler_rules assembler_rules = {
    .sender = AMQP_BY_CLIENT, .checks_properties = true, .body_max = 1000};

static bool is_known_token(void *ctx, struct amqp_span token)
{
    static const char known[] = "amq.rabbitmq.reply-to.known.token";
    (void)ctx;
    return token.len == sizeof(known) - 1 && memcmp(token.data, known, token.len) == 0;
}

static const char *const more_types[] = {"x-delayed-message", NULL};
static struct amqp_rules rules = {
    .exchange_types = more_types, .body_max = 1000, .is_reply_token = is_known_token};
static struct frames in;
static struct amqp_exception e;

/* The code with which the command in `in` is refused; 0: it keeps all rules. */
static uint16_t judge(void)
{
    const uint8_t *data = in.bytes;
    struct amqp_frame_reader r;
    struct amqp_frame frame;
    struct amqp_assembler assembler;
    struct amqp_command *command = NULL;
    amqp_pool_t pool;
    e = (struct amqp_exception){0};
    amqp_frame_reader_init(&r, 1 << 17);
    amqp_assembler_init(&assembler);
    init_amqp_pool(&pool, 1024);
    while (amqp_frame_reader_next(&r, &data, &in.len, &frame, &e) == AMQP_FRAME_WHOLE)
        assert_true(amqp_assembler_feed(&assembler, &assembler_rules, &frame, &command, &e) >= 0);
    const bool kept = amqp_rules_check(&rules, command, amqp_command_decode(command, &pool), &e);
    assert_int_equal(kept, e.code == 0);
    assert_true(kept || e.method == (e.code == AMQP_CODE_INTERNAL_ERROR ? 0 : command->spec->id));
    assert_true(kept || (e.scope == AMQP_SCOPE_CONNECTION) == amqp_code_is_hard(e.code));
    empty_amqp_pool(&pool);
    amqp_command_destroy(command);
    amqp_frame_reader_deinit(&r);
    return e.code;
}

static uint16_t judge_method(uint32_t method, void *decoded)
{
    frames_method(&in, 1, method, decoded);
    return judge();
}

static void test_flow_qos_recover(void **state)
{
    amqp_channel_flow_t flow = {.active = 1};
    amqp_basic_qos_t qos = {.prefetch_count = 5, .global = 1};
    amqp_basic_recover_t recover = {.requeue = 1};
    amqp_basic_recover_async_t recover_async = {.requeue = 1};
    (void)state;
    assert_int_equal(judge_method(AMQP_CHANNEL_FLOW_METHOD, &flow), 0);
    flow.active = 0;
    assert_int_equal(judge_method(AMQP_CHANNEL_FLOW_METHOD, &flow), 540);
    assert_string_equal(e.text, "NOT_IMPLEMENTED - active=false");
    assert_int_equal(judge_method(AMQP_BASIC_QOS_METHOD, &qos), 0);
    qos.prefetch_size = 7;
    assert_int_equal(judge_method(AMQP_BASIC_QOS_METHOD, &qos), 540);
    assert_string_equal(e.text, "NOT_IMPLEMENTED - prefetch_size!=0 (7)");
    assert_int_equal(judge_method(AMQP_BASIC_RECOVER_METHOD, &recover), 0);
    assert_int_equal(judge_method(AMQP_BASIC_RECOVER_ASYNC_METHOD, &recover_async), 0);
    recover.requeue = recover_async.requeue = 0;
    assert_int_equal(judge_method(AMQP_BASIC_RECOVER_METHOD, &recover), 540);
    assert_int_equal(judge_method(AMQP_BASIC_RECOVER_ASYNC_METHOD, &recover_async), 540);
}

static void test_exchange_types(void **state)
{
    static const char *const good[] = {"direct", "fanout", "topic", "headers", "x-delayed-message"};
    amqp_exchange_declare_t declare = {.exchange = amqp_cstring_bytes("e")};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        declare.type = amqp_cstring_bytes(good[i]);
        assert_int_equal(judge_method(AMQP_EXCHANGE_DECLARE_METHOD, &declare), 0);
    }
    declare.type = amqp_cstring_bytes("direct2");
    assert_int_equal(judge_method(AMQP_EXCHANGE_DECLARE_METHOD, &declare), 503);
    assert_string_equal(e.text, "COMMAND_INVALID - unknown exchange type 'direct2'");
    declare.passive = 1;
    assert_int_equal(judge_method(AMQP_EXCHANGE_DECLARE_METHOD, &declare), 0);
}

static uint16_t judge_declare(const char *key, uint8_t kind, const char *value)
{
    amqp_table_entry_t entry = {.value.value.bytes = amqp_cstring_bytes(value)};
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes("q"),
                                    .arguments = frames_table(&entry, key, kind)};
    return judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare);
}

static void test_arguments_of_queues(void **state)
{
    (void)state;
    assert_int_equal(judge_declare("x-queue-type", 'S', "quorum"), 0);
    assert_int_equal(judge_declare("x-queue-type", 'S', "stream"), 0);
    assert_int_equal(judge_declare("x-queue-type", 'S', "lazy"), 406);
    assert_string_equal(e.text,
                        "PRECONDITION_FAILED - invalid arg 'x-queue-type' or 'x-max-age' for queue 'q'");
    assert_int_equal(judge_declare("x-queue-type", 'x', "quorum"), 406);
    assert_int_equal(judge_declare("x-queue-type", 'V', ""), 406);
    assert_int_equal(judge_declare("x-queue-master-locator", 'S', "min-masters"), 0);
    assert_int_equal(judge_declare("x-queue-master-locator", 'S', "max-masters"), 541);
    assert_string_equal(e.text, "INTERNAL_ERROR");
    assert_int_equal(judge_declare("x-max-age", 'S', "10D"), 0);
    assert_int_equal(judge_declare("x-max-age", 'S', "0D"), 0); /* the broker refuses it well enough */
    assert_int_equal(judge_declare("x-max-age", 'S', "D"), 406);
    assert_int_equal(judge_declare("x-max-age", 'S', ""), 406);
    assert_int_equal(judge_declare("x-anything", 'S', "lazy"), 0);
}

static void test_types_of_queues(void **state)
{
    static const char *const classic_only[] = {"classic", NULL};
    amqp_table_entry_t entry;
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes("q"),
                                    .arguments = frames_table(&entry, "x-queue-type", 'S')};
    (void)state;
    entry.value.value.bytes = amqp_cstring_bytes("stream");
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 0);
    rules.queue_types = classic_only;
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 403);
    assert_string_equal(
        e.text, "ACCESS_REFUSED - queues of this type may not be declared here: x-queue-type for queue 'q'");
    declare.passive = 1;
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 0);
    declare.passive = 0;
    entry.value.value.bytes = amqp_cstring_bytes("classic");
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 0);
    declare.arguments.num_entries = 0;
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 0);
    rules.queue_types = NULL;
}

static void test_arguments_that_crash_the_broker(void **state)
{
    amqp_table_entry_t entries[2] = {{.value.value.bytes = amqp_cstring_bytes("stream")},
                                     {.value.value.bytes = amqp_cstring_bytes("D")}};
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes("q")};
    (void)state;
    frames_table(&entries[1], "x-max-age", 'S');
    declare.arguments = frames_table(&entries[0], "x-queue-type", 'S');
    declare.arguments.num_entries = 2;
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 541);
    entries[0].value.value.bytes = amqp_cstring_bytes("lazy");
    declare.arguments.num_entries = 1;
    declare.queue = amqp_cstring_bytes("\r\n"); /* no name to RabbitMQ */
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 541);
    declare.queue = amqp_empty_bytes;
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 541);
}

static uint16_t judge_consume(const char *key, uint8_t kind, amqp_field_value_t value)
{
    amqp_table_entry_t entry = {.value = value};
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes("q"),
                                    .arguments = frames_table(&entry, key, kind)};
    return judge_method(AMQP_BASIC_CONSUME_METHOD, &consume);
}

#define TEXT(text) ((amqp_field_value_t){.value.bytes = amqp_cstring_bytes(text)})

static void test_arguments_of_consumers(void **state)
{
    (void)state;
    assert_int_equal(judge_consume("x-priority", 'I', (amqp_field_value_t){.value.i32 = -1}), 0);
    assert_int_equal(judge_consume("x-credit", 'I', (amqp_field_value_t){.value.i32 = 1}), 541);
    assert_int_equal(judge_consume("x-stream-offset", 'S', TEXT("first")), 0);
    assert_int_equal(judge_consume("x-stream-offset", 'S', TEXT("7m")), 0);
    assert_int_equal(judge_consume("x-stream-offset", 'S', TEXT("firs")), 541);
    assert_int_equal(judge_consume("x-stream-offset", 'T', (amqp_field_value_t){.value.u64 = 5}), 0);
    assert_int_equal(judge_consume("x-stream-offset", 'l', (amqp_field_value_t){.value.i64 = 5}), 0);
    assert_int_equal(judge_consume("x-stream-offset", 'l', (amqp_field_value_t){.value.i64 = -5}), 541);
    assert_int_equal(judge_consume("x-stream-offset", 'b', (amqp_field_value_t){.value.i8 = -1}), 541);
    assert_int_equal(judge_consume("x-stream-offset", 't', (amqp_field_value_t){.value.boolean = 1}), 541);
    assert_int_equal(judge_consume("x-stream-offset", 'd', (amqp_field_value_t){.value.f64 = 1}), 541);
}

static void test_reply_tokens_in_queue_names(void **state)
{
    amqp_queue_declare_t declare = {.passive = 1};
    (void)state;
    declare.queue = amqp_cstring_bytes("amq.rabbitmq.reply-to");
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 0);
    declare.queue = amqp_cstring_bytes("amq.rabbitmq.reply-to.known.token");
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 0);
    declare.queue = amqp_cstring_bytes("amq.rabbitmq.reply-to.A.B");
    assert_int_equal(judge_method(AMQP_QUEUE_DECLARE_METHOD, &declare), 541);
}

static uint16_t judge_publish(const char *exchange, const char *key, const char *header, const char *copy)
{
    amqp_field_value_t element = {.kind = 'S', .value.bytes = amqp_cstring_bytes(copy)};
    amqp_table_entry_t entry = {.value.value.array = {.num_entries = 1, .entries = &element}};
    amqp_basic_publish_t publish = {.exchange = amqp_cstring_bytes(exchange),
                                    .routing_key = amqp_cstring_bytes(key)};
    const amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG,
                                                .headers = frames_table(&entry, header, 'A')};
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_content(&in, 1, &properties, "body", 4, 4);
    return judge();
}

static void test_reply_tokens_in_publishes(void **state)
{
    (void)state;
    assert_int_equal(judge_publish("", "q", "CC", "q2"), 0);
    assert_int_equal(judge_publish("", "amq.rabbitmq.reply-to.known.token", "CC", "q2"), 0);
    assert_int_equal(judge_publish("", "amq.rabbitmq.reply-to.A.B", "CC", "q2"), 541);
    assert_int_equal(judge_publish("", "q", "CC", "amq.rabbitmq.reply-to.A.B"), 541);
    assert_int_equal(judge_publish("", "q", "BCC", "amq.rabbitmq.reply-to.A.B"), 541);
    assert_int_equal(judge_publish("", "q", "DCC", "amq.rabbitmq.reply-to.A.B"), 0);
    assert_int_equal(
        judge_publish("amq.topic", "amq.rabbitmq.reply-to.A.B", "CC", "amq.rabbitmq.reply-to.A.B"), 0);
}

static void test_immediate(void **state)
{
    amqp_basic_publish_t publish = {.immediate = 1};
    const amqp_basic_properties_t properties = {._flags = 0};
    (void)state;
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_content(&in, 1, &properties, "", 0, 4);
    assert_int_equal(judge(), 540);
    assert_string_equal(e.text, "NOT_IMPLEMENTED - immediate=true");
}

static void test_the_limit_of_a_body(void **state)
{
    static char body[1001];
    (void)state;
    frames_publish(&in, 1, "q", body, 1000);
    assert_int_equal(judge(), 0);
    frames_publish(&in, 1, "q", body, 1001);
    assert_int_equal(judge(), 406);
    assert_string_equal(e.text,
                        "PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000");
}

/* Spare bits of a method don't survive the encoding. */
static void test_encoding_anew(void **state)
{
    const uint8_t odd[] = {0, 60, 0, 70, 0, 0, 1, 'q', 0xFF};
    const uint8_t even[] = {0, 60, 0, 70, 0, 0, 1, 'q', 0x01};
    struct amqp_command *command =
        amqp_command_create(amqp_method_spec(AMQP_BASIC_GET_METHOD), odd, sizeof(odd));
    amqp_pool_t pool;
    (void)state;
    init_amqp_pool(&pool, 1024);
    assert_int_equal(amqp_command_encode(command, amqp_command_decode(command, &pool)), 0);
    assert_int_equal(command->payload_len, sizeof(even));
    assert_memory_equal(command->payload, even, sizeof(even));
    empty_amqp_pool(&pool);
    amqp_command_destroy(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flow_qos_recover),
        cmocka_unit_test(test_exchange_types),
        cmocka_unit_test(test_arguments_of_queues),
        cmocka_unit_test(test_types_of_queues),
        cmocka_unit_test(test_arguments_that_crash_the_broker),
        cmocka_unit_test(test_arguments_of_consumers),
        cmocka_unit_test(test_reply_tokens_in_queue_names),
        cmocka_unit_test(test_reply_tokens_in_publishes),
        cmocka_unit_test(test_immediate),
        cmocka_unit_test(test_the_limit_of_a_body),
        cmocka_unit_test(test_encoding_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
