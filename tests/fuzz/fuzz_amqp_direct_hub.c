/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input: a program of steps, | step | argument | bytes … |. If its length is odd the clients publish on a
 * connection of its own.
 *
 * Two clients share a connection to the model broker, which is as strict as RabbitMQ. Client 0 is hostile: it
 * says whatever the input has, frames or garbage, and reads or does not. Client 1 works on one channel, on an
 * exclusive queue. The broker takes its time with commands and answers, runs channels in any order, closes
 * channels and deletes queues by itself. Whatever happens, nothing that RabbitMQ would close the connection
 * for may come out, and nothing that touches client 1's queue; client 1 must not notice, what is
 * unacknowledged must be known exactly, and in the end nothing may be left. Nor when a connection is lost, or
 * client 0 is gone.
 */

#include "tests/unit/amqp/rig.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition) ((condition) ? (void)0 : abort())

enum { HOSTILE, BYSTANDER, BYSTANDERS_CHANNEL = 3, BODY_MAX = 1 << 12 };

static struct rig rig;
static struct frames f;
static bool is_lost; /* a connection, by no fault of anybody's */

static bool is_over(void)
{
    return rig.is_down || rig.apart.is_down;
}

static void say_open(uint16_t channel, unsigned client)
{
    amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
    frames_method(&f, channel, AMQP_CHANNEL_OPEN_METHOD, &open);
    rig_say(&rig, client, &f);
}

/* Whole frames around what the input has, so that the fuzzer need not find the length and the end octet. */
static void say_frame(uint8_t type, uint8_t channel, const uint8_t *payload, size_t len)
{
    frames_raw(&f, type, channel % 8, payload, len);
    rig_say(&rig, HOSTILE, &f);
}

/* One message for itself, which the hub has consumed with an acknowledgement in its stead. */
static void exchange(void)
{
    const unsigned before = rig.clients[BYSTANDER].events;
    frames_publish(&f, BYSTANDERS_CHANNEL, "x", "hello", 5);
    rig_say(&rig, BYSTANDER, &f);
    rig_pump(&rig);
    REQUIRE(rig.clients[BYSTANDER].events == before + 1);
    REQUIRE(rig_last(&rig, BYSTANDER)->method == AMQP_BASIC_DELIVER_METHOD);
    REQUIRE(rig_last(&rig, BYSTANDER)->body_size == 5);
}

static void work(void)
{
    const unsigned before = rig.clients[BYSTANDER].events;
    int owner = MODEL_ANYBODY;
    frames_declare(&f, BYSTANDERS_CHANNEL, "x", FRAMES_EXCLUSIVE);
    rig_say(&rig, BYSTANDER, &f);
    rig_pump(&rig);
    REQUIRE(rig.clients[BYSTANDER].events == before + 1);
    REQUIRE(rig_last(&rig, BYSTANDER)->method == AMQP_QUEUE_DECLARE_OK_METHOD);
    REQUIRE(model_names_owner(&rig.broker, "x", &owner) && owner == BYSTANDER);
    exchange();
}

static void begin_work(void)
{
    say_open(BYSTANDERS_CHANNEL, BYSTANDER);
    frames_declare(&f, BYSTANDERS_CHANNEL, "x", FRAMES_EXCLUSIVE);
    frames_consume(&f, BYSTANDERS_CHANNEL, "x", "mine", true);
    rig_say(&rig, BYSTANDER, &f);
    rig_pump(&rig);
    work();
}

/* When all that is under way has arrived, hub and broker agree on what is unacknowledged. */
static void check_accounts(void)
{
    const struct rig_client *client = &rig.clients[HOSTILE];
    const struct amqp_lane *lane = client->member.state == AMQP_MEMBER_JOINED ? client->member.lanes : NULL;
    for (; lane != NULL; lane = lane->hh.next) {
        const uint64_t *count = lane->intake.deliveries.count;
        if (lane->state != AMQP_LANE_OPEN || lane->intake.mode == AMQP_INTAKE_TX)
            continue;
        const struct model_channel *channel = &rig.broker.channels[lane->slot->number];
        REQUIRE(channel->state == MODEL_OPEN);
        REQUIRE(count[AMQP_HELD_BY_CLIENT] + count[AMQP_HELD_BY_PROXY] == channel->deliveries.unacked_count);
        REQUIRE(client->is_deaf || count[AMQP_HELD_BY_PROXY] == 0 || rig.broker.commits > 0);
    }
}

static void pump(void)
{
    rig_pump(&rig);
    if (rig.broker_reads && !rig.broker.is_lazy)
        check_accounts();
}

static void say_confirm_select(uint16_t channel, bool nowait)
{
    amqp_confirm_select_t select = {.nowait = nowait};
    frames_method(&f, channel, AMQP_CONFIRM_SELECT_METHOD, &select);
}

/* What is said about consumers and messages. */
static void say_message_command(uint8_t argument, uint8_t second)
{
    static const char *const queues[] = {"q", "quorum", "auto", ""};
    static const char *const tags[] = {"a", "b", "amq.again-1", ""};
    const uint16_t channel = (uint16_t)(1 + argument % 2);
    const char *queue = queues[second % 4];
    const char *tag = tags[second / 4 % 4];
    const bool bit = second & 128;
    switch (argument / 2 % 16) {
    case 0:
    case 1: frames_consume(&f, channel, queue, tag, bit); break;
    case 2: frames_cancel(&f, channel, tag); break;
    case 3: frames_ack(&f, channel, second % 128, bit); break;
    case 4: frames_ack(&f, channel, 0, true); break;
    case 5: frames_nack(&f, channel, second % 128, bit); break;
    case 6:
        frames_plain(&f, channel, bit ? AMQP_BASIC_RECOVER_METHOD : AMQP_BASIC_RECOVER_ASYNC_METHOD);
        break;
    case 7: frames_qos(&f, channel, second % 8, bit); break;
    case 8: frames_plain(&f, channel, AMQP_TX_SELECT_METHOD); break;
    case 9: frames_plain(&f, channel, bit ? AMQP_TX_COMMIT_METHOD : AMQP_TX_ROLLBACK_METHOD); break;
    case 10: frames_get(&f, channel, queue, bit); break;
    case 11: frames_declare(&f, channel, queue, 0); break;
    case 12: frames_close(&f, channel); break;
    case 13: say_confirm_select(channel, bit); break;
    case 14: frames_consume(&f, channel, "amq.rabbitmq.reply-to", tag, true); break;
    default:
        for (int i = 0; i < second % 16; i++)
            frames_publish(&f, channel, queue, "message", 7);
    }
    rig_say(&rig, HOSTILE, &f);
}

static void say_purge(uint16_t channel, const char *name)
{
    amqp_queue_purge_t purge = {.queue = amqp_cstring_bytes(name)};
    frames_method(&f, channel, AMQP_QUEUE_PURGE_METHOD, &purge);
}

static void say_delete_if(uint16_t channel, const char *name)
{
    amqp_queue_delete_t delete = {.queue = amqp_cstring_bytes(name), .if_empty = 1};
    frames_method(&f, channel, AMQP_QUEUE_DELETE_METHOD, &delete);
}

static void say_declare_stream(uint16_t channel, const char *name)
{
    amqp_table_entry_t entry;
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(name)};
    declare.arguments = frames_table(&entry, "x-queue-type", 'S');
    entry.value.value.bytes = amqp_cstring_bytes("stream");
    frames_method(&f, channel, AMQP_QUEUE_DECLARE_METHOD, &declare);
}

/* What has to do with queues, so that the fuzzer need not find out how to say it. */
static void say_queue_command(uint8_t argument)
{
    static const char *const names[] = {"x", "xx", "", "x\n", "stream", "quorum"};
    const char *name = names[argument % 6];
    const uint16_t channel = (uint16_t)(1 + argument / 6 % 3);
    switch (argument / 18) {
    case 0: frames_declare(&f, channel, name, FRAMES_EXCLUSIVE); break;
    case 1: frames_declare(&f, channel, name, FRAMES_EXCLUSIVE | FRAMES_NOWAIT); break;
    case 2: frames_declare(&f, channel, name, FRAMES_PASSIVE); break;
    case 3: say_declare_stream(channel, name); break;
    case 4: frames_delete(&f, channel, name); break;
    case 5: frames_bind(&f, channel, name); break;
    case 6: frames_get(&f, channel, name, true); break;
    case 7: say_purge(channel, name); break;
    case 8: say_delete_if(channel, name); break;
    case 9: frames_qos(&f, channel, 3, argument & 1); break;
    case 10: frames_nack(&f, channel, 1, true); break;
    case 11: frames_publish(&f, channel, name, "hello", 5); break;
    default: frames_consume(&f, channel, name, "", argument & 1); break;
    }
    rig_say(&rig, HOSTILE, &f);
}

/* A bit for each of the connections. */
enum { MAIN = 1, APART = 2 };

/* Messages large enough for the limits of what is held, and for that of a body. */
static void say_large(uint8_t count, size_t len)
{
    static const char body[BODY_MAX + 1];
    for (int i = 0; i < count % 16; i++)
        frames_publish(&f, 1, "q", body, len);
    rig_say(&rig, HOSTILE, &f);
}

static void say_forged(uint8_t argument)
{
    const char *address = argument & 1 ? "amq.rabbitmq.reply-to.AAAA" : "amq.rabbitmq.reply-to";
    frames_publish(&f, 1, address, "hello", 5);
    rig_say(&rig, HOSTILE, &f);
}

/* What was due is done, or whoever waits for it would turn round and round. */
static void check_deadlines(void)
{
    REQUIRE(amqp_hub_deadline(&rig.hub) > rig.now);
    REQUIRE(!rig.is_pair || amqp_hub_deadline(&rig.apart.hub) > rig.now);
    for (unsigned i = 0; i < RIG_CLIENTS; i++) {
        amqp_member_tick(&rig.clients[i].member, rig.now);
        REQUIRE(amqp_member_deadline(&rig.clients[i].member) > rig.now);
    }
}

/* Not so much in all that heartbeats of the clients' would be missed. */
static void pass_time(uint8_t argument)
{
    if (rig.now < 50000)
        rig_wait(&rig, argument * 50u);
    check_deadlines();
}

static void set_blocked(uint8_t argument)
{
    struct model_broker *broker = argument & APART ? &rig.apart.broker : &rig.broker;
    broker->front.can |= AMQP_CAN_BLOCKED;
    if (broker == &rig.broker || rig.is_pair)
        amqp_front_notify_blocked(&broker->front, argument & 1 ? "low on memory" : NULL);
}

/* The last thing that happens. What the broker was told before is nothing to judge a hub by. */
static void lose(struct amqp_hub *hub, struct model_broker *broker)
{
    is_lost = true;
    amqp_hub_lost(hub, "reset by peer", rig.now);
    model_broker_deinit(broker);
    model_broker_init(broker);
}

/* What has to do with none of the client's commands. */
static void happen(uint8_t argument)
{
    switch (argument % 8) {
    case 0: set_blocked(argument / 8); break;
    case 1: pass_time(argument / 8); break;
    case 2: say_large(argument / 8, 3000); break;
    case 3: say_large(1 + argument / 8 % 2, BODY_MAX + 1); break;
    case 4: say_forged(argument / 8); break;
    case 5: amqp_member_gone(&rig.clients[HOSTILE].member, rig.now); break;
    case 6: lose(&rig.hub, &rig.broker); break;
    default:
        if (rig.is_pair)
            lose(&rig.apart.hub, &rig.apart.broker);
    }
}

/* Any channel but the bystander's, which is the first that was opened. */
static void close_some_channel(uint8_t which)
{
    const uint16_t number = (uint16_t)(2 + which % (MODEL_CHANNELS - 2));
    model_broker_close_channel(which & 128 ? &rig.apart.broker : &rig.broker, number);
}

static void set_reading(uint8_t which)
{
    rig.broker_reads = which & MAIN;
    rig.apart.broker_reads = which & APART;
}

static void set_lazy(uint8_t which)
{
    rig.broker.is_lazy = which & MAIN;
    rig.apart.broker.is_lazy = which & APART;
}

/* Returns how much of the data the step has used. */
static size_t step(uint8_t what, uint8_t argument, const uint8_t *data, size_t left)
{
    const size_t len = argument < left ? argument : left;
    switch (what % 18) {
    case 0: amqp_member_feed(&rig.clients[HOSTILE].member, data, len, rig.now); return len;
    case 1:
    case 2:
    case 3:
        if (len == 0)
            return 0;
        say_frame((uint8_t)(what % 18), data[0], data + 1, len - 1);
        return len;
    case 4: say_open(argument % 8, HOSTILE); return 0;
    case 5: rig_pump_without_answers(&rig); return 0;
    case 6: model_broker_answer(argument & 128 ? &rig.apart.broker : &rig.broker, argument % 128); return 0;
    case 7: close_some_channel(argument); return 0;
    case 8: set_reading(argument); return 0;
    case 9: say_queue_command(argument); return 0;
    case 10: set_lazy(argument); return 0;
    case 11:
        model_broker_run(&rig.broker, argument % MODEL_CHANNELS, 1 + argument / MODEL_CHANNELS);
        model_broker_run(&rig.apart.broker, argument % MODEL_CHANNELS, 1 + argument / MODEL_CHANNELS);
        return 0;
    case 12: model_names_remove(&rig.broker, "xx"); return 0;
    case 13: pump(); return 0;
    case 14: rig.clients[HOSTILE].is_deaf = argument & 1; return 0;
    case 15:
        model_delete_queue(&rig.broker, argument & 1 ? "q" : "auto");
        rig.broker.deleted[0] = '\0';
        return 0;
    case 16:
        if (left == 0)
            return 0;
        say_message_command(argument, data[0]);
        return 1;
    default: happen(argument); return 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size % 2 == 0)
        rig_init(&rig);
    else
        rig_init_pair(&rig);
    f.len = 0;
    is_lost = false;
    rig_config.kept_max = 4;
    rig_config.believe_types_ms = 1000;
    rig_config.memory_max = 1 << 16;
    rig.hub.rules.body_max = BODY_MAX;
    rig.hub.limits.prefetch = 2;
    rig.hub.limits.prefetch_wide = 5;
    rig.hub.limits.soft = 1 << 10;
    rig.hub.limits.hard = 1 << 15;
    rig_join(&rig, HOSTILE, AMQP_CAN_CANCEL_NOTIFY);
    rig_join(&rig, BYSTANDER, AMQP_CAN_CANCEL_NOTIFY);
    begin_work();
    for (size_t at = 0; at + 2 <= size && !is_over();) {
        const size_t used = step(data[at], data[at + 1], data + at + 2, size - at - 2);
        at += 2 + used;
        REQUIRE(rig.broker.killed.code == AMQP_CODE_NONE);
        REQUIRE(rig.apart.broker.killed.code == AMQP_CODE_NONE);
        REQUIRE(!is_over() || is_lost);
    }
    set_reading(MAIN | APART);
    set_lazy(0);
    rig.clients[HOSTILE].is_deaf = false;
    if (!is_over()) {
        pump();
        work();
    }
    rig_deinit(&rig);
    return 0;
}
