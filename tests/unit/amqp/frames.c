/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/frames.h"
#include "amqp/front.h"
#include "amqp/wire.h"
#include <stdlib.h>

enum { SCRATCH_SIZE = 1 << 17 };

void frames_raw(struct frames *f, uint8_t type, uint16_t channel, const void *payload, size_t len)
{
    uint8_t *at = f->bytes + f->len;
    if (f->len + len + AMQP_FRAME_OVERHEAD > sizeof(f->bytes))
        abort();
    at[0] = type;
    amqp_put_u16(at + 1, channel);
    amqp_put_u32(at + 3, (uint32_t)len);
    if (len > 0)
        memcpy(at + 7, payload, len);
    at[7 + len] = AMQP_FRAME_END;
    f->len += len + AMQP_FRAME_OVERHEAD;
}

void frames_method(struct frames *f, uint16_t channel, uint32_t method, void *decoded)
{
    static uint8_t scratch[SCRATCH_SIZE];
    const amqp_bytes_t arguments = {.len = sizeof(scratch) - 4, .bytes = scratch + 4};
    const int len = amqp_encode_method(method, decoded, arguments);
    if (len < 0)
        abort();
    amqp_put_u32(scratch, method);
    frames_raw(f, AMQP_FRAME_METHOD, channel, scratch, 4 + (size_t)len);
}

void frames_content(struct frames *f, uint16_t channel, const amqp_basic_properties_t *properties,
                    const void *body, size_t len, size_t piece)
{
    static uint8_t scratch[SCRATCH_SIZE];
    const amqp_bytes_t encoded = {.len = sizeof(scratch) - 12, .bytes = scratch + 12};
    const int used =
        amqp_encode_properties(AMQP_BASIC_CLASS, (amqp_basic_properties_t *)(uintptr_t)properties, encoded);
    if (used < 0)
        abort();
    amqp_put_u16(scratch, AMQP_BASIC_CLASS);
    amqp_put_u16(scratch + 2, 0);
    amqp_put_u32(scratch + 4, 0);
    amqp_put_u32(scratch + 8, (uint32_t)len);
    frames_raw(f, AMQP_FRAME_HEADER, channel, scratch, 12 + (size_t)used);
    for (size_t at = 0; at < len; at += piece)
        frames_raw(f, AMQP_FRAME_BODY, channel, (const uint8_t *)body + at,
                   len - at < piece ? len - at : piece);
}

void frames_publish(struct frames *f, uint16_t channel, const char *key, const void *body, size_t len)
{
    amqp_basic_publish_t publish = {.routing_key = amqp_cstring_bytes(key)};
    const amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
    frames_method(f, channel, AMQP_BASIC_PUBLISH_METHOD, &publish);
    frames_content(f, channel, &properties, body, len, 4096 - AMQP_FRAME_OVERHEAD);
}

/* --- logging in --- */

void frames_protocol_header(struct frames *f)
{
    memcpy(f->bytes + f->len, "AMQP\0\0\x09\x01", 8);
    f->len += 8;
}

static amqp_bytes_t response_of(const char *mechanism)
{
    static const char plain[] = "\0u\0p";
    static const char amqplain[] = "\x05LOGINS\0\0\0\x01u\x08PASSWORDS\0\0\0\x01p";
    if (strcmp(mechanism, "PLAIN") == 0)
        return (amqp_bytes_t){.bytes = (void *)(uintptr_t)plain, .len = sizeof(plain) - 1};
    return (amqp_bytes_t){.bytes = (void *)(uintptr_t)amqplain, .len = sizeof(amqplain) - 1};
}

void frames_start_ok(struct frames *f, const char *mechanism, unsigned can)
{
    static const struct {
        unsigned can;
        const char *name;
    } names[] = {{AMQP_CAN_CANCEL_NOTIFY, "consumer_cancel_notify"},
                 {AMQP_CAN_BLOCKED, "connection.blocked"},
                 {AMQP_CAN_AUTH_FAILURE_CLOSE, "authentication_failure_close"}};
    amqp_table_entry_t flags[sizeof(names) / sizeof(names[0])];
    amqp_table_entry_t entry;
    int count = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (can & names[i].can)
            frames_table(&flags[count++], names[i].name, 't');
    }
    for (int i = 0; i < count; i++)
        flags[i].value.value.boolean = 1;
    amqp_connection_start_ok_t start_ok = {
        .client_properties = frames_table(&entry, "capabilities", 'F'),
        .mechanism = amqp_cstring_bytes(mechanism),
        .response = response_of(mechanism),
        .locale = amqp_cstring_bytes("en_US"),
    };
    entry.value.value.table = (amqp_table_t){.num_entries = count, .entries = flags};
    frames_method(f, 0, AMQP_CONNECTION_START_OK_METHOD, &start_ok);
}

void frames_tune_ok(struct frames *f)
{
    amqp_connection_tune_ok_t tune_ok = {.channel_max = 20, .frame_max = 4096};
    frames_method(f, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &tune_ok);
}

void frames_connection_open(struct frames *f)
{
    amqp_connection_open_t open = {.virtual_host = amqp_cstring_bytes("/")};
    frames_method(f, 0, AMQP_CONNECTION_OPEN_METHOD, &open);
}

/* --- on channels --- */

void frames_open(struct frames *f, uint16_t channel)
{
    amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
    frames_method(f, channel, AMQP_CHANNEL_OPEN_METHOD, &open);
}

void frames_close(struct frames *f, uint16_t channel)
{
    amqp_channel_close_t close = {.reply_code = 200};
    frames_method(f, channel, AMQP_CHANNEL_CLOSE_METHOD, &close);
}

void frames_close_ok(struct frames *f, uint16_t channel)
{
    amqp_channel_close_ok_t ok = {0};
    frames_method(f, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
}

void frames_consume(struct frames *f, uint16_t channel, const char *queue, const char *tag, bool no_ack)
{
    amqp_basic_consume_t consume = {
        .queue = amqp_cstring_bytes(queue), .consumer_tag = amqp_cstring_bytes(tag), .no_ack = no_ack};
    frames_method(f, channel, AMQP_BASIC_CONSUME_METHOD, &consume);
}

void frames_cancel(struct frames *f, uint16_t channel, const char *tag)
{
    amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(tag)};
    frames_method(f, channel, AMQP_BASIC_CANCEL_METHOD, &cancel);
}

void frames_qos(struct frames *f, uint16_t channel, uint16_t prefetch, bool global)
{
    amqp_basic_qos_t qos = {.prefetch_count = prefetch, .global = global};
    frames_method(f, channel, AMQP_BASIC_QOS_METHOD, &qos);
}

void frames_get(struct frames *f, uint16_t channel, const char *queue, bool no_ack)
{
    amqp_basic_get_t get = {.queue = amqp_cstring_bytes(queue), .no_ack = no_ack};
    frames_method(f, channel, AMQP_BASIC_GET_METHOD, &get);
}

void frames_ack(struct frames *f, uint16_t channel, uint64_t tag, bool multiple)
{
    amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = multiple};
    frames_method(f, channel, AMQP_BASIC_ACK_METHOD, &ack);
}

void frames_nack(struct frames *f, uint16_t channel, uint64_t tag, bool multiple)
{
    amqp_basic_nack_t nack = {.delivery_tag = tag, .multiple = multiple, .requeue = 1};
    frames_method(f, channel, AMQP_BASIC_NACK_METHOD, &nack);
}

void frames_plain(struct frames *f, uint16_t channel, uint32_t method)
{
    amqp_basic_recover_t recover = {.requeue = 1};
    frames_method(f, channel, method, &recover);
}

amqp_table_t frames_table(amqp_table_entry_t *entry, const char *key, uint8_t kind)
{
    entry->key = amqp_cstring_bytes(key);
    entry->value.kind = kind;
    return (amqp_table_t){.num_entries = 1, .entries = entry};
}

void frames_declare(struct frames *f, uint16_t channel, const char *queue, unsigned flags)
{
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(queue),
                                    .passive = (flags & FRAMES_PASSIVE) != 0,
                                    .exclusive = (flags & FRAMES_EXCLUSIVE) != 0,
                                    .nowait = (flags & FRAMES_NOWAIT) != 0};
    frames_method(f, channel, AMQP_QUEUE_DECLARE_METHOD, &declare);
}

void frames_bind(struct frames *f, uint16_t channel, const char *queue)
{
    amqp_queue_bind_t bind = {.queue = amqp_cstring_bytes(queue),
                              .exchange = amqp_cstring_bytes("amq.direct"),
                              .routing_key = amqp_cstring_bytes("key")};
    frames_method(f, channel, AMQP_QUEUE_BIND_METHOD, &bind);
}

void frames_delete(struct frames *f, uint16_t channel, const char *queue)
{
    amqp_queue_delete_t delete = {.queue = amqp_cstring_bytes(queue)};
    frames_method(f, channel, AMQP_QUEUE_DELETE_METHOD, &delete);
}

void frames_delete_if(struct frames *f, uint16_t channel, const char *queue, bool unused, bool empty)
{
    amqp_queue_delete_t delete = {.queue = amqp_cstring_bytes(queue), .if_unused = unused, .if_empty = empty};
    frames_method(f, channel, AMQP_QUEUE_DELETE_METHOD, &delete);
}

void frames_declare_of_type(struct frames *f, uint16_t channel, const char *queue, const char *type)
{
    amqp_table_entry_t entry;
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(queue), .durable = 1};
    declare.arguments = frames_table(&entry, "x-queue-type", 'S');
    entry.value.value.bytes = amqp_cstring_bytes(type);
    frames_method(f, channel, AMQP_QUEUE_DECLARE_METHOD, &declare);
}

void frames_purge(struct frames *f, uint16_t channel, const char *queue)
{
    amqp_queue_purge_t purge = {.queue = amqp_cstring_bytes(queue)};
    frames_method(f, channel, AMQP_QUEUE_PURGE_METHOD, &purge);
}

void frames_confirm_select(struct frames *f, uint16_t channel, bool nowait)
{
    amqp_confirm_select_t select = {.nowait = nowait};
    frames_method(f, channel, AMQP_CONFIRM_SELECT_METHOD, &select);
}
