/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/assembler.h"
#include "tests/unit/amqp/frames.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct amqp_assembler_rules client_rules = {
    .sender = AMQP_BY_CLIENT, .checks_properties = true, .body_max = 100000};
static const struct amqp_assembler_rules server_rules = {.sender = AMQP_BY_SERVER, .body_max = UINT64_MAX};

static struct frames in;
static struct amqp_assembler assembler;
static struct amqp_exception exception;
static struct amqp_command *command;

static int setup(void **state)
{
    (void)state;
    in.len = 0;
    amqp_assembler_init(&assembler);
    exception = (struct amqp_exception){0};
    command = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    amqp_assembler_reset(&assembler);
    amqp_command_destroy(command);
    return 0;
}

/* Feeds all of `in`. What the last frame gave; only the last may give a command. */
static int feed(const struct amqp_assembler_rules *rules)
{
    const uint8_t *data = in.bytes;
    size_t len = in.len;
    struct amqp_frame_reader r;
    struct amqp_frame frame;
    int rc = AMQP_ASSEMBLER_MORE;
    amqp_frame_reader_init(&r, 1 << 20);
    while (amqp_frame_reader_next(&r, &data, &len, &frame, &exception) == AMQP_FRAME_WHOLE) {
        assert_int_equal(rc, AMQP_ASSEMBLER_MORE);
        rc = amqp_assembler_feed(&assembler, rules, &frame, &command, &exception);
    }
    assert_int_equal(len, 0);
    amqp_frame_reader_deinit(&r);
    in.len = 0;
    return rc;
}

static void assert_refused(enum amqp_code code, enum amqp_scope scope)
{
    assert_int_equal(feed(&client_rules), AMQP_ASSEMBLER_REFUSED);
    assert_int_equal(exception.code, code);
    assert_int_equal(exception.scope, scope);
    amqp_assembler_reset(&assembler);
}

static void test_a_method_is_a_command(void **state)
{
    amqp_queue_purge_t purge = {.queue = amqp_cstring_bytes("q")};
    (void)state;
    frames_method(&in, 3, AMQP_QUEUE_PURGE_METHOD, &purge);
    assert_int_equal(feed(&client_rules), AMQP_ASSEMBLER_COMMAND);
    assert_int_equal(command->spec->id, AMQP_QUEUE_PURGE_METHOD);
    assert_int_equal(command->header_len, 0);
    assert_int_equal(amqp_assembler_cost(&assembler), 0);
}

static void test_content_is_gathered(void **state)
{
    static char body[50000];
    (void)state;
    memset(body, 'b', sizeof(body));
    frames_publish(&in, 1, "key", body, sizeof(body));
    assert_int_equal(feed(&client_rules), AMQP_ASSEMBLER_COMMAND);
    assert_int_equal(command->body_len, sizeof(body));
    assert_memory_equal(amqp_command_body(command).data, body, sizeof(body));
    assert_int_equal(command->body_room, sizeof(body));
}

static void test_empty_bodies(void **state)
{
    amqp_basic_publish_t publish = {.ticket = 0};
    const amqp_basic_properties_t properties = {._flags = 0};
    (void)state;
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_content(&in, 1, &properties, "", 0, 1);
    assert_int_equal(feed(&client_rules), AMQP_ASSEMBLER_COMMAND);
    assert_int_equal(command->body_len, 0);
    frames_raw(&in, AMQP_FRAME_BODY, 1, "", 0); /* and then one body frame too many */
    assert_refused(AMQP_CODE_UNEXPECTED_FRAME, AMQP_SCOPE_CONNECTION);
}

static void test_memory_follows_what_came_not_what_was_said(void **state)
{
    amqp_basic_publish_t publish = {.ticket = 0};
    const uint8_t header[] = {0, 60, 0, 0, 0, 0, 0, 0, 0, 1, 0x80, 0, 0, 0}; /* 98,304 bytes */
    (void)state;
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_raw(&in, AMQP_FRAME_HEADER, 1, header, sizeof(header));
    frames_raw(&in, AMQP_FRAME_BODY, 1, "x", 1);
    assert_int_equal(feed(&client_rules), AMQP_ASSEMBLER_MORE);
    assert_true(amqp_assembler_cost(&assembler) < 5000);
}

static void test_a_body_over_the_limit_is_not_kept(void **state)
{
    static char body[100001];
    (void)state;
    frames_publish(&in, 1, "key", body, sizeof(body));
    assert_int_equal(feed(&client_rules), AMQP_ASSEMBLER_COMMAND);
    assert_int_equal(command->body_size, sizeof(body));
    assert_int_equal(command->body_len, 0);
    assert_true(amqp_command_cost(command) < 5000);
}

static void test_frames_out_of_order(void **state)
{
    const uint8_t header[] = {0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0};
    const uint8_t of_class_50[] = {0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0};
    const uint8_t weighty[] = {0, 60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0};
    amqp_basic_publish_t publish = {.ticket = 0};
    amqp_channel_close_t close = {.reply_code = 200};
    (void)state;
    frames_raw(&in, AMQP_FRAME_HEADER, 1, header, sizeof(header));
    assert_refused(AMQP_CODE_UNEXPECTED_FRAME, AMQP_SCOPE_CONNECTION);
    frames_raw(&in, AMQP_FRAME_BODY, 1, "b", 1);
    assert_refused(AMQP_CODE_UNEXPECTED_FRAME, AMQP_SCOPE_CONNECTION);
    frames_raw(&in, AMQP_FRAME_HEARTBEAT, 1, "", 0);
    assert_refused(AMQP_CODE_UNEXPECTED_FRAME, AMQP_SCOPE_CONNECTION);
    assert_string_equal(exception.text, "UNEXPECTED_FRAME - type 8, 0 octets");
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_method(&in, 1, AMQP_CHANNEL_CLOSE_METHOD, &close);
    assert_refused(AMQP_CODE_UNEXPECTED_FRAME, AMQP_SCOPE_CONNECTION);
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_raw(&in, AMQP_FRAME_HEADER, 1, of_class_50, sizeof(of_class_50));
    assert_refused(AMQP_CODE_UNEXPECTED_FRAME, AMQP_SCOPE_CONNECTION);
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_raw(&in, AMQP_FRAME_HEADER, 1, weighty, sizeof(weighty));
    assert_refused(AMQP_CODE_UNEXPECTED_FRAME, AMQP_SCOPE_CONNECTION);
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_raw(&in, AMQP_FRAME_HEADER, 1, header, sizeof(header));
    frames_raw(&in, AMQP_FRAME_HEADER, 1, header, sizeof(header));
    assert_refused(AMQP_CODE_UNEXPECTED_FRAME, AMQP_SCOPE_CONNECTION);
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_raw(&in, AMQP_FRAME_HEADER, 1, header, sizeof(header));
    frames_raw(&in, AMQP_FRAME_BODY, 1, "bodybody", 5);
    assert_refused(AMQP_CODE_UNEXPECTED_FRAME, AMQP_SCOPE_CONNECTION);
}

static void test_frames_too_short_for_their_type(void **state)
{
    amqp_basic_publish_t publish = {.ticket = 0};
    (void)state;
    frames_raw(&in, AMQP_FRAME_METHOD, 1, "\0\x14\0", 3);
    assert_refused(AMQP_CODE_FRAME_ERROR, AMQP_SCOPE_CONNECTION);
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_raw(&in, AMQP_FRAME_HEADER, 1, "\0\x3C\0\0\0\0\0\0\0\0\0", 11);
    assert_refused(AMQP_CODE_FRAME_ERROR, AMQP_SCOPE_CONNECTION);
    frames_raw(&in, AMQP_FRAME_HEARTBEAT, 1, "x", 1);
    assert_refused(AMQP_CODE_FRAME_ERROR, AMQP_SCOPE_CONNECTION);
}

static void test_methods_that_are_not_a_clients(void **state)
{
    amqp_channel_open_ok_t open_ok = {.channel_id = amqp_empty_bytes};
    amqp_connection_close_t close = {.reply_code = 200};
    (void)state;
    frames_method(&in, 1, AMQP_CHANNEL_OPEN_OK_METHOD, &open_ok);
    assert_refused(AMQP_CODE_COMMAND_INVALID, AMQP_SCOPE_CONNECTION);
    frames_method(&in, 1, AMQP_CONNECTION_CLOSE_METHOD, &close);
    assert_refused(AMQP_CODE_COMMAND_INVALID, AMQP_SCOPE_CONNECTION);
    frames_raw(&in, AMQP_FRAME_METHOD, 1, "\0\x3C\0\xC8\0\0\0\0\0\0", 10); /* basic.credit */
    assert_refused(AMQP_CODE_NOT_IMPLEMENTED, AMQP_SCOPE_CONNECTION);
    frames_method(&in, 1, AMQP_CHANNEL_OPEN_OK_METHOD, &open_ok);
    assert_int_equal(feed(&server_rules), AMQP_ASSEMBLER_COMMAND);
}

static void test_bad_properties(void **state)
{
    const uint8_t header[] = {0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0x80, 0, 5, 'a'};
    amqp_basic_publish_t publish = {.ticket = 0};
    (void)state;
    frames_method(&in, 1, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_raw(&in, AMQP_FRAME_HEADER, 1, header, sizeof(header));
    assert_refused(AMQP_CODE_INTERNAL_ERROR, AMQP_SCOPE_CONNECTION);
    assert_string_equal(exception.text, "INTERNAL_ERROR");
}

/* --- and apart again --- */

static void assert_cut(uint32_t frame_max, size_t room)
{
    static uint8_t out[1 << 18];
    size_t used = 0;
    command->cut = 0;
    command->body_cut = 0;
    command->channel = 77;
    while (!amqp_command_written(command)) {
        const size_t n = amqp_command_write(command, frame_max, out + used, room);
        assert_true(n > 0 && n <= room);
        used += n;
        assert_true(amqp_command_begun(command) || amqp_command_written(command));
    }
    assert_int_equal(amqp_command_write(command, frame_max, out + used, room), 0);

    struct amqp_frame_reader r;
    struct amqp_frame frame;
    struct amqp_assembler again;
    struct amqp_command *copy = NULL;
    const uint8_t *data = out;
    int rc = AMQP_ASSEMBLER_MORE;
    amqp_frame_reader_init(&r, frame_max - AMQP_FRAME_OVERHEAD);
    amqp_assembler_init(&again);
    while (amqp_frame_reader_next(&r, &data, &used, &frame, &exception) == AMQP_FRAME_WHOLE) {
        assert_int_equal(frame.channel, 77);
        rc = amqp_assembler_feed(&again, &client_rules, &frame, &copy, &exception);
    }
    assert_int_equal(rc, AMQP_ASSEMBLER_COMMAND);
    assert_int_equal(used, 0);
    assert_int_equal(copy->body_len, command->body_len);
    assert_memory_equal(amqp_command_body(copy).data, amqp_command_body(command).data, copy->body_len);
    assert_memory_equal(copy->payload, command->payload, copy->payload_len);
    amqp_command_destroy(copy);
    amqp_frame_reader_deinit(&r);
}

static void test_cutting_to_other_frames(void **state)
{
    static uint8_t body[90000];
    (void)state;
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(i * 7 + i / 256);
    frames_publish(&in, 1, "key", body, sizeof(body));
    assert_int_equal(feed(&client_rules), AMQP_ASSEMBLER_COMMAND);
    assert_cut(4096, 4096);
    assert_cut(4096, 10000);
    assert_cut(131072, 2056);
    assert_cut(131072, 131072);
    assert_cut(8192, 5000);
}

static void test_small_room_waits_rather_than_crumbles(void **state)
{
    static char body[9000];
    uint8_t out[512];
    (void)state;
    frames_publish(&in, 1, "key", body, sizeof(body));
    assert_int_equal(feed(&client_rules), AMQP_ASSEMBLER_COMMAND);
    assert_true(amqp_command_write(command, 4096, out, sizeof(out)) > 0); /* method and header */
    assert_int_equal(amqp_command_write(command, 4096, out, sizeof(out)), 0);
    assert_true(amqp_command_begun(command));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_method_is_a_command),
        TEST(test_content_is_gathered),
        TEST(test_empty_bodies),
        TEST(test_memory_follows_what_came_not_what_was_said),
        TEST(test_a_body_over_the_limit_is_not_kept),
        TEST(test_frames_out_of_order),
        TEST(test_frames_too_short_for_their_type),
        TEST(test_methods_that_are_not_a_clients),
        TEST(test_bad_properties),
        TEST(test_cutting_to_other_frames),
        TEST(test_small_room_waits_rather_than_crumbles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
