/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/amqp/hostile.h"
#include <string.h>

static struct frames f;

static void say(const struct hostile *hostile)
{
    if (rig_has_room(hostile->rig, hostile->client, f.len))
        rig_say(hostile->rig, hostile->client, &f);
    f.len = 0;
}

/* Says what is to be said on a channel, if that keeps to the protocol, for who does. */
static void say_on(const struct hostile *hostile, uint16_t channel)
{
    static struct frames opening;
    const enum ledger_state state = ledger_state(&hostile->rig->clients[hostile->client].ledger, channel);
    const size_t room = f.len + 64;
    if (!hostile->is_civil || state == LEDGER_OPEN) {
        say(hostile);
        return;
    }
    if (state == LEDGER_REFUSED)
        frames_plain(&opening, channel, AMQP_CHANNEL_CLOSE_OK_METHOD);
    if (state != LEDGER_CLOSING && rig_has_room(hostile->rig, hostile->client, room)) {
        frames_open(&opening, channel);
        rig_say(hostile->rig, hostile->client, &opening);
        say(hostile);
    }
    opening.len = 0;
    f.len = 0;
}

void hostile_say_bytes(const struct hostile *hostile, const uint8_t *data, size_t len)
{
    memcpy(f.bytes, data, len);
    f.len = len;
    say(hostile);
}

void hostile_say_frame(const struct hostile *hostile, uint8_t type, uint8_t channel, const uint8_t *payload,
                       size_t len)
{
    frames_raw(&f, type, channel % 8, payload, len);
    say_on(hostile, channel % 8);
}

/* Something that was delivered, or never. */
static uint64_t some_tag(const struct hostile *hostile, uint16_t channel, uint8_t number)
{
    const uint64_t last = ledger_last_tag(&hostile->rig->clients[hostile->client].ledger, channel);
    return hostile->is_civil && number % 4 < last ? last - number % 4 : number;
}

void hostile_say_message_command(const struct hostile *hostile, uint8_t argument, uint8_t second)
{
    static const char *const queues[] = {"q", "quorum", "auto", ""};
    static const char *const tags[] = {"a", "b", "amq.again-1", ""};
    const uint16_t channel = (uint16_t)(1 + argument % 2);
    const char *queue = queues[second % 4];
    const char *tag = tags[second / 4 % 4];
    const uint64_t delivered = some_tag(hostile, channel, second % 128);
    const bool bit = second & 128;
    switch (argument / 2 % 16) {
    case 0:
    case 1: frames_consume(&f, channel, queue, tag, bit); break;
    case 2: frames_cancel(&f, channel, tag); break;
    case 3: frames_ack(&f, channel, delivered, bit); break;
    case 4: frames_ack(&f, channel, 0, true); break;
    case 5: frames_nack(&f, channel, delivered, bit); break;
    case 6:
        frames_plain(&f, channel, bit ? AMQP_BASIC_RECOVER_METHOD : AMQP_BASIC_RECOVER_ASYNC_METHOD);
        break;
    case 7: frames_qos(&f, channel, second % 8, bit); break;
    case 8: frames_plain(&f, channel, AMQP_TX_SELECT_METHOD); break;
    case 9: frames_plain(&f, channel, bit ? AMQP_TX_COMMIT_METHOD : AMQP_TX_ROLLBACK_METHOD); break;
    case 10: frames_get(&f, channel, queue, bit); break;
    case 11: frames_declare(&f, channel, queue, 0); break;
    case 12: frames_close(&f, channel); break;
    case 13: frames_confirm_select(&f, channel, bit); break;
    case 14: frames_consume(&f, channel, "amq.rabbitmq.reply-to", tag, true); break;
    default:
        for (int i = 0; i < second % 16; i++)
            frames_publish(&f, channel, queue, "message", 7);
    }
    say_on(hostile, channel);
}

void hostile_say_queue_command(const struct hostile *hostile, uint8_t argument)
{
    static const char *const names[] = {"x", "xx", "", "x\n", "stream", "quorum"};
    const char *name = names[argument % 6];
    const uint16_t channel = (uint16_t)(1 + argument / 6 % 3);
    switch (argument / 18) {
    case 0: frames_declare(&f, channel, name, FRAMES_EXCLUSIVE); break;
    case 1: frames_declare(&f, channel, name, FRAMES_EXCLUSIVE | FRAMES_NOWAIT); break;
    case 2: frames_declare(&f, channel, name, FRAMES_PASSIVE); break;
    case 3: frames_declare_of_type(&f, channel, name, "stream"); break;
    case 4: frames_delete(&f, channel, name); break;
    case 5: frames_bind(&f, channel, name); break;
    case 6: frames_get(&f, channel, name, true); break;
    case 7: frames_purge(&f, channel, name); break;
    case 8: frames_delete_if(&f, channel, name, false, true); break;
    case 9: frames_qos(&f, channel, 3, argument & 1); break;
    case 10: frames_nack(&f, channel, 1, true); break;
    case 11: frames_publish(&f, channel, name, "hello", 5); break;
    default: frames_consume(&f, channel, name, "", argument & 1); break;
    }
    say_on(hostile, channel);
}

void hostile_say_large(const struct hostile *hostile, uint8_t count, size_t len)
{
    static const char body[HOSTILE_BODY_MAX + 1];
    for (int i = 0; i < count % 16; i++)
        frames_publish(&f, 1, "q", body, len);
    say_on(hostile, 1);
}

void hostile_say_forged(const struct hostile *hostile, uint8_t argument)
{
    const char *address = argument & 1 ? "amq.rabbitmq.reply-to.AAAA" : "amq.rabbitmq.reply-to";
    frames_publish(&f, 1, address, "hello", 5);
    say_on(hostile, 1);
}

void hostile_open(const struct hostile *hostile, uint16_t channel)
{
    if (hostile->is_civil) {
        say_on(hostile, channel); /* nothing but that */
        return;
    }
    frames_open(&f, channel);
    say(hostile);
}

/* What one says that means no harm. */
static void say_something(void)
{
    frames_open(&f, 1);
    frames_declare(&f, 1, "xx", FRAMES_EXCLUSIVE);
    frames_publish(&f, 1, "q", "late", 4);
    frames_get(&f, 1, "q", true);
}

void hostile_come_late(struct rig *rig, uint8_t argument)
{
    const unsigned can = argument / 8;
    switch (argument % 8) {
    case 0: frames_protocol_header(&f); break;
    case 1: frames_start_ok(&f, "PLAIN", can); break;
    case 2: frames_start_ok(&f, can & 1 ? "AMQPLAIN" : "EXTERNAL", can); break;
    case 3: frames_tune_ok(&f); break;
    case 4: frames_connection_open(&f); break;
    case 5: say_something(); break;
    case 6: frames_raw(&f, AMQP_FRAME_HEARTBEAT, (uint16_t)(can % 2), NULL, 0); break;
    default: rig->refuses_logins = can & 1;
    }
    rig_say(rig, LATECOMER, &f);
}
