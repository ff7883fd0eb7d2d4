/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/canned.h"
#include "amqp/text.h"
#include "amqp/wire.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <assert.h>

/* | type 1 | channel 2 | size 4 | method id 4 | arguments | 0xCE |, channel 0 */
enum {
    SIZE_AT = 3,
    PAYLOAD_AT = 7,
    METHOD_ID_SIZE = 4,
    ARGUMENTS_AT = PAYLOAD_AT + METHOD_ID_SIZE,
    END_SIZE = 1,
};

static_assert(AMQP_CANNED_CLOSE_MAX == ARGUMENTS_AT + 2 /* code */ + 1 + AMQP_SHORT_STRING_MAX +
                                           4 /* class and method */ + END_SIZE,
              "the longest Close");
static_assert(AMQP_CANNED_CLOSE_OK_SIZE == ARGUMENTS_AT + END_SIZE, "a method without arguments");
static_assert(AMQP_CANNED_HEARTBEAT_SIZE == PAYLOAD_AT + END_SIZE, "a frame without payload");
static_assert(AMQP_REPLY_CONNECTION_FORCED == AMQP_CONNECTION_FORCED, "rabbitmq-c's constants agree");
static_assert(AMQP_REPLY_ACCESS_REFUSED == AMQP_ACCESS_REFUSED, "rabbitmq-c's constants agree");
static_assert(AMQP_REPLY_RESOURCE_ERROR == AMQP_RESOURCE_ERROR, "rabbitmq-c's constants agree");
static_assert(AMQP_REPLY_NOT_ALLOWED == AMQP_NOT_ALLOWED, "rabbitmq-c's constants agree");

/* Puts header and end octet around the payload that is in place. Returns the frame's length. */
static size_t close_frame(uint8_t *buf, uint8_t type, size_t payload_size)
{
    buf[0] = type;
    amqp_put_u16(buf + 1, 0);
    amqp_put_u32(buf + SIZE_AT, (uint32_t)payload_size);
    buf[PAYLOAD_AT + payload_size] = AMQP_FRAME_END;
    return PAYLOAD_AT + payload_size + END_SIZE;
}

static size_t write_method(uint8_t *buf, size_t size, amqp_method_number_t id, void *decoded)
{
    if (size < ARGUMENTS_AT + END_SIZE)
        return 0;
    const amqp_bytes_t arguments = {.len = size - ARGUMENTS_AT - END_SIZE, .bytes = buf + ARGUMENTS_AT};
    const int length = amqp_encode_method(id, decoded, arguments);
    if (length < 0)
        return 0;
    amqp_put_u32(buf + PAYLOAD_AT, id);
    return close_frame(buf, AMQP_FRAME_METHOD, METHOD_ID_SIZE + (size_t)length);
}

static amqp_table_entry_t text_entry(const char *key, const char *value)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)},
    };
}

static amqp_table_entry_t capability(const char *key)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1},
    };
}

size_t amqp_canned_start(uint8_t *buf, size_t size)
{
    return amqp_canned_start_with(buf, size, "PLAIN AMQPLAIN EXTERNAL ANONYMOUS");
}

size_t amqp_canned_start_with(uint8_t *buf, size_t size, const char *mechanisms)
{
    amqp_table_entry_t capabilities[] = {
        capability("publisher_confirms"),
        capability("exchange_exchange_bindings"),
        capability("basic.nack"),
        capability("consumer_cancel_notify"),
        capability("connection.blocked"),
        capability("consumer_priorities"),
        capability("per_consumer_qos"),
        capability("direct_reply_to"),
        capability("authentication_failure_close"),
    };
    amqp_table_entry_t properties[] = {
        {
            .key = amqp_cstring_bytes("capabilities"),
            .value = {.kind = AMQP_FIELD_KIND_TABLE,
                      .value.table = {.num_entries = sizeof(capabilities) / sizeof(capabilities[0]),
                                      .entries = capabilities}},
        },
        text_entry("product", "amqp-vsock"),
        text_entry("version", AMQPVSOCK_VERSION),
        text_entry("platform", "Linux"),
        text_entry("information", "Licensed under the Apache License 2.0"),
    };
    amqp_connection_start_t start = {
        .version_major = 0,
        .version_minor = 9,
        .server_properties = {.num_entries = sizeof(properties) / sizeof(properties[0]),
                              .entries = properties},
        .mechanisms = amqp_cstring_bytes(mechanisms),
        .locales = amqp_cstring_bytes("en_US"),
    };
    return write_method(buf, size, AMQP_CONNECTION_START_METHOD, &start);
}

size_t amqp_canned_close(uint8_t *buf, size_t size, uint16_t code, const char *text)
{
    char fit[AMQP_SHORT_STRING_MAX + 1];
    const size_t length = amqp_text_copy(fit, sizeof(fit), text);
    amqp_connection_close_t close = {.reply_code = code, .reply_text = {.len = length, .bytes = fit}};
    return write_method(buf, size, AMQP_CONNECTION_CLOSE_METHOD, &close);
}

size_t amqp_canned_close_ok(uint8_t *buf, size_t size)
{
    amqp_connection_close_ok_t close_ok = {0};
    return write_method(buf, size, AMQP_CONNECTION_CLOSE_OK_METHOD, &close_ok);
}

size_t amqp_canned_heartbeat(uint8_t *buf, size_t size)
{
    if (size < AMQP_CANNED_HEARTBEAT_SIZE)
        return 0;
    return close_frame(buf, AMQP_FRAME_HEARTBEAT, 0);
}
