/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/amqp/play.h"
#include "tests/sim/amqp/hostile.h"
#include "tests/unit/amqp/narrate.h"
#include "tests/unit/amqp/require.h"
#include <stdlib.h>
#include <string.h>

enum { BYSTANDERS_CHANNEL = 3 };

static struct rig rig;
static struct frames f;
static struct hostile hostile = {.rig = &rig, .client = HOSTILE};
static struct hostile hostile_too = {.rig = &rig, .client = HOSTILE_TOO};
static const struct hostile *actor; /* whose step it is */
static bool are_two;
static bool is_lost;        /* a connection, by no fault of anybody's */
static uint64_t excused_ms; /* when nobody was late with heartbeats */

static bool is_over(void)
{
    return rig.is_down || rig.apart.is_down;
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
    frames_open(&f, BYSTANDERS_CHANNEL);
    frames_declare(&f, BYSTANDERS_CHANNEL, "x", FRAMES_EXCLUSIVE);
    frames_consume(&f, BYSTANDERS_CHANNEL, "x", "mine", true);
    rig_say(&rig, BYSTANDER, &f);
    rig_pump(&rig);
    work();
}

/* When all that is under way has arrived, hub and broker agree on what is unacknowledged. */
static void check_accounts(const struct rig_client *client)
{
    const struct amqp_lane *lane = client->member.lanes;
    for (; lane != NULL; lane = lane->hh.next) {
        const uint64_t *count = lane->intake.deliveries.count;
        if (lane->state != AMQP_LANE_OPEN || lane->intake.mode == AMQP_INTAKE_TX)
            continue;
        const struct model_channel *channel = &rig.broker.channels[lane->slot->number];
        REQUIRE(channel->state == MODEL_OPEN);
        REQUIRE(count[AMQP_HELD_BY_CLIENT] + count[AMQP_HELD_BY_PROXY] == channel->deliveries.unacked_count);
        REQUIRE(client->is_deaf || count[AMQP_HELD_BY_PROXY] == 0 ||
                rig.broker.commits + rig.apart.broker.commits > 0);
    }
}

/* Who is not read for its answers may have said half a message, for the rest of which little memory is kept.
 */
static bool may_wait(const struct rig_client *client)
{
    return client->is_deaf || rig.clients[HOSTILE].is_deaf || rig.clients[HOSTILE_TOO].is_deaf;
}

/* And everything that was said has been read, and answered. */
static void check_client(unsigned which)
{
    const struct rig_client *client = &rig.clients[which];
    if (client->member.state != AMQP_MEMBER_JOINED)
        return;
    check_accounts(client);
    REQUIRE(may_wait(client) || client->unread.len == 0);
    REQUIRE(client->is_deaf || !ledger_awaits(&client->ledger) ||
            model_broker_owes_confirms(&rig.apart.broker)); /* confirms from both sides are not mixed */
}

static void pump(void)
{
    rig_pump(&rig);
    if (is_over() || !rig.broker_reads || (rig.is_pair && !rig.apart.broker_reads))
        return;
    check_client(HOSTILE);
    check_client(HOSTILE_TOO);
    check_client(LATECOMER);
}

/* A bit for each of the connections. */
enum { MAIN = 1, APART = 2 };

/* What was due is done, or whoever waits for it would turn round and round. */
static void check_deadlines(void)
{
    REQUIRE(amqp_hub_deadline(&rig.hub) > rig.now);
    REQUIRE(!rig.is_pair || amqp_hub_deadline(&rig.apart.hub) > rig.now);
    for (unsigned i = 0; i < RIG_CLIENTS; i++) {
        REQUIRE(amqp_front_state_name(rig.clients[i].member.front.state) != NULL);
        amqp_member_tick(&rig.clients[i].member, rig.now);
        REQUIRE(amqp_member_deadline(&rig.clients[i].member) > rig.now);
    }
}

/* Not so much in all that heartbeats of the clients' would be missed. */
static void pass_time(uint8_t argument)
{
    if (rig.now < excused_ms + 50000)
        rig_wait(&rig, argument * 50u);
    check_deadlines();
}

/* As when the machine was asleep. */
static void pass_long_time(void)
{
    rig.now += 70000;
    excused_ms = rig.now;
    for (unsigned i = 0; i < RIG_CLIENTS; i++)
        amqp_front_excuse(&rig.clients[i].member.front, rig.now);
    amqp_back_excuse(&rig.hub.back, rig.now);
    if (rig.is_pair)
        amqp_back_excuse(&rig.apart.hub.back, rig.now);
    rig_wait(&rig, 0);
    if (!is_over())
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
    if (hub->back.state != AMQP_BACK_CLOSED)
        amqp_hub_lost(hub, "reset by peer", rig.now);
    model_broker_deinit(broker);
    model_broker_init(broker);
}

/* The broker says what it should not. Whatever that does, the hub goes on in order, or down. */
static void rave(uint8_t what, const uint8_t *data, size_t len)
{
    static uint8_t unsent[AMQP_HUB_WRITE_MIN];
    const bool is_apart = rig.is_pair && (what & 128);
    struct amqp_hub *hub = is_apart ? &rig.apart.hub : &rig.hub;
    is_lost = true;
    for (unsigned i = 0; i < RIG_CLIENTS; i++)
        rig.clients[i].ledger.is_blind = true;
    if (what % 8 == 0)
        amqp_hub_feed(hub, data, len, rig.now);
    else {
        frames_raw(&f, what % 8 < 4 ? AMQP_FRAME_METHOD : what % 8, what / 8 % 8, data, len);
        amqp_hub_feed(hub, f.bytes, f.len, rig.now);
        f.len = 0;
    }
    amqp_hub_write(hub, unsent, sizeof(unsent), rig.now);
    lose(hub, is_apart ? &rig.apart.broker : &rig.broker);
}

static void end_member(void)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0, "shut down");
    amqp_member_end(&rig.clients[actor->client].member, &e, rig.now);
}

static void close_by_broker(bool is_apart)
{
    is_lost = true;
    model_broker_close(is_apart && rig.is_pair ? &rig.apart.broker : &rig.broker, "by an operator");
}

static void close_by_owner(bool is_apart)
{
    is_lost = true;
    amqp_hub_close(is_apart && rig.is_pair ? &rig.apart.hub : &rig.hub, "shut down", rig.now);
}

/* What owners, operators and brokers decide. */
static void decide(uint8_t argument)
{
    switch (argument % 8) {
    case 0: pass_long_time(); break;
    case 1: rig.broker.names.refuses_deletes = true; break; /* what they own stays for good then */
    case 2: end_member(); break;
    case 3: close_by_broker(argument & 8); break;
    case 4: close_by_owner(argument & 8); break;
    case 5: rig.broker.is_unsure = argument & 8; break;
    case 6: rig.apart.broker.is_unsure = argument & 8; break;
    default: model_broker_confirm(argument & 8 ? &rig.apart.broker : &rig.broker);
    }
}

/* What has to do with none of the client's commands. */
static void happen(uint8_t argument)
{
    switch (argument % 8) {
    case 0: set_blocked(argument / 8); break;
    case 1: pass_time(argument / 8); break;
    case 2: hostile_say_large(actor, argument / 8, argument & 128 ? HOSTILE_BODY_MAX : 3000); break;
    case 3: hostile_say_large(actor, 1 + argument / 8 % 2, HOSTILE_BODY_MAX + 1); break;
    case 4: hostile_say_forged(actor, argument / 8); break;
    case 5: amqp_member_gone(&rig.clients[actor->client].member, rig.now); break;
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

/* Who is just declaring it again, as a stream, makes it without a hush then, and can't know. */
static void remove_exclusive(void)
{
    rig.broker.names.is_lenient = true;
    model_names_remove(&rig.broker, "xx");
}

static enum play_step kind_of(uint8_t what)
{
    return (enum play_step)((what & ~PLAY_BY_OTHER) % PLAY_STEPS);
}

/* How many bytes of `left` belong to the step before them. */
static size_t bytes_of(enum play_step kind, uint8_t argument, size_t left)
{
    switch (kind) {
    case PLAY_BYTES:
    case PLAY_METHOD_FRAME:
    case PLAY_HEADER_FRAME:
    case PLAY_BODY_FRAME: return argument < left ? argument : left;
    case PLAY_MESSAGE_COMMAND: return left > 0;
    case PLAY_RAVE: return left;
    default: return 0;
    }
}

size_t play_step_len(const uint8_t *step, size_t left)
{
    return left < 2 ? left : 2 + bytes_of(kind_of(step[0]), step[1], left - 2);
}

static void step(enum play_step kind, uint8_t argument, const uint8_t *data, size_t len)
{
    switch (kind) {
    case PLAY_BYTES: hostile_say_bytes(actor, data, len); break;
    case PLAY_METHOD_FRAME:
    case PLAY_HEADER_FRAME:
    case PLAY_BODY_FRAME:
        if (len > 0)
            hostile_say_frame(actor, (uint8_t)kind, data[0], data + 1, len - 1);
        break;
    case PLAY_OPEN: hostile_open(actor, argument % 8); break;
    case PLAY_PUMP_WITHOUT_ANSWERS: rig_pump_without_answers(&rig); break;
    case PLAY_ANSWER:
        model_broker_answer(argument & 128 ? &rig.apart.broker : &rig.broker, argument % 128);
        break;
    case PLAY_CLOSE_CHANNEL: close_some_channel(argument); break;
    case PLAY_SET_READING: set_reading(argument); break;
    case PLAY_QUEUE_COMMAND: hostile_say_queue_command(actor, argument); break;
    case PLAY_SET_LAZY: set_lazy(argument); break;
    case PLAY_RUN:
        model_broker_run(&rig.broker, argument % MODEL_CHANNELS, 1 + argument / MODEL_CHANNELS);
        model_broker_run(&rig.apart.broker, argument % MODEL_CHANNELS, 1 + argument / MODEL_CHANNELS);
        break;
    case PLAY_REMOVE_EXCLUSIVE: remove_exclusive(); break;
    case PLAY_PUMP: pump(); break;
    case PLAY_SET_DEAF: rig.clients[actor->client].is_deaf = argument & 1; break;
    case PLAY_DELETE_QUEUE:
        model_delete_queue(&rig.broker, argument & 1 ? "q" : "auto");
        rig.broker.deleted[0] = '\0';
        break;
    case PLAY_MESSAGE_COMMAND:
        if (len > 0)
            hostile_say_message_command(actor, argument, data[0]);
        break;
    case PLAY_HAPPEN: happen(argument); break;
    case PLAY_COME_LATE: hostile_come_late(&rig, argument); break;
    case PLAY_DECIDE: decide(argument); break;
    case PLAY_RAVE:
    default: rave(argument, data, len);
    }
}

static void set_limits(struct amqp_hub *hub, uint8_t settings)
{
    static const char *const classic[] = {"classic", NULL};
    hub->limits.prefetch = 2;
    hub->limits.prefetch_wide = 5;
    hub->limits.soft = 1 << 10;
    hub->limits.hard = 1 << 15;
    hub->rules.body_max = HOSTILE_BODY_MAX;
    if (settings & PLAY_LITTLE) {
        hub->limits.all = 1 << 13;
        hub->limits.replies = 1 << 9;
    }
    if (settings & PLAY_CLASSIC)
        hub->rules.queue_types = classic;
}

static void begin(uint8_t settings, uint8_t manners)
{
    rig_start_as(&rig,
                 (settings & PLAY_PAIR ? RIG_PAIR : 0) | (settings & PLAY_VHOST_LATE ? RIG_TOLD_LATE : 0));
    REQUIRE(amqp_hub_is_running(&rig.hub));
    f.len = 0;
    is_lost = false;
    excused_ms = 0;
    rig_config.kept_max = settings & PLAY_NONE_KEPT ? 0 : 4;
    rig_config.believe_types_ms = settings & PLAY_NO_BELIEF ? 0 : 1000;
    rig_config.memory_max = settings & PLAY_LITTLE ? 1 << 11 : 1 << 16; /* less than a message */
    rig_config.member_up_max = settings & PLAY_LITTLE ? 1 << 11 : 1 << 20;
    set_limits(&rig.hub, settings);
    if (settings & PLAY_PAIR)
        set_limits(&rig.apart.hub, settings);
    rig.broker.is_unsure = rig.apart.broker.is_unsure = settings & PLAY_DOUBT;
    rig.clients[HOSTILE].is_patient = rig.clients[HOSTILE_TOO].is_patient = settings & PLAY_PATIENCE;
    hostile.is_civil = manners & PLAY_CIVIL;
    hostile_too.is_civil = manners & PLAY_CIVIL_TOO;
    are_two = manners & PLAY_TWO;
    rig_join(&rig, HOSTILE, AMQP_CAN_CANCEL_NOTIFY);
    rig_join(&rig, BYSTANDER, AMQP_CAN_CANCEL_NOTIFY);
    if (are_two)
        rig_join(&rig, HOSTILE_TOO, AMQP_CAN_CANCEL_NOTIFY);
    begin_work();
}

/* All that was held up goes on. */
static void end(void)
{
    set_reading(MAIN | APART);
    set_lazy(0);
    rig.broker.is_unsure = rig.apart.broker.is_unsure = false;
    model_broker_confirm(&rig.broker);
    model_broker_confirm(&rig.apart.broker);
    rig.clients[HOSTILE].is_deaf = rig.clients[HOSTILE_TOO].is_deaf = false;
    pump();
    if (!is_over())
        work();
    rig_deinit(&rig);
}

static void tell_step(enum play_step kind, uint8_t argument)
{
    static const char *const names[PLAY_STEPS] = {
#define X(name, text) [PLAY_##name] = text,
        PLAY_STEPS_ARE(X)
#undef X
    };
    narrate("-- %s, %u (client %u)\n", names[kind], argument, actor->client);
}

void play(const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    begin(data[0], data[1]);
    for (size_t at = 2; at + 2 <= size && !is_over();) {
        const size_t len = play_step_len(data + at, size - at);
        const enum play_step kind = kind_of(data[at]);
        actor = are_two && (data[at] & PLAY_BY_OTHER) ? &hostile_too : &hostile;
        tell_step(kind, data[at + 1]);
        step(kind, data[at + 1], data + at + 2, len - 2);
        at += len;
        rig_require_alive(&rig);
        REQUIRE(!is_over() || is_lost);
    }
    end();
}
