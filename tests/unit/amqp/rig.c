/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/rig.h"
#include "amqp/wire.h"
#include "tests/unit/amqp/require.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct amqp_hub_config rig_config;
static struct rig *current; /* for the callbacks of members */

static const struct amqp_front_config front_config = {
    .frame_max = 131072,
    .channel_max = 20,
    .heartbeat_s = 60,
    .handshake_timeout_ms = 10000,
    .close_timeout_ms = 5000,
};

static const struct amqp_hub_config default_config = {
    .back = {.user = {(const uint8_t *)"u", 1},
             .password = {(const uint8_t *)"p", 1},
             .vhost = {(const uint8_t *)"/", 1},
             .frame_max = 8192,
             .handshake_timeout_ms = 10000,
             .close_timeout_ms = 5000},
    .reply_tokens_max = 2,
    .body_max = 1 << 20,
    .memory_max = 8 << 20,
    .member_up_max = 1 << 20,
    .member_down_max = 1 << 20,
    .stall_timeout_ms = 10000,
    .end_timeout_ms = 5000,
};

static void on_hub_login(struct amqp_hub *hub)
{
    if (rig_config.back.vhost.data == NULL)
        amqp_hub_open(hub, (struct amqp_span){(const uint8_t *)"/", 1}, current->now);
}

static void on_running(struct amqp_hub *hub)
{
    (void)hub;
}

static void on_down(struct amqp_hub *hub, const struct amqp_exception *e)
{
    if (hub == &current->hub)
        current->is_down = true;
    else
        current->apart.is_down = true;
    current->down = *e;
}

static void on_suspect(struct amqp_hub *hub, struct amqp_member *member,
                       const struct amqp_method_spec *method)
{
    (void)hub;
    current->suspect = member;
    current->suspect_method = method->name;
}

static void on_hush_given_up(struct amqp_hub *hub)
{
    (void)hub;
    current->broker.names.is_lenient = true;
}

static void on_hub_wake(struct amqp_hub *hub)
{
    (void)hub;
}

static const struct amqp_hub_ops hub_ops = {.on_login = on_hub_login,
                                            .on_running = on_running,
                                            .on_suspect = on_suspect,
                                            .on_hush_given_up = on_hush_given_up,
                                            .on_down = on_down,
                                            .on_wake = on_hub_wake};

static void on_login(struct amqp_member *member, const struct amqp_login *login)
{
    (void)login;
    if (current->refuses_logins)
        amqp_front_refuse_login(&member->front, current->now);
    else
        amqp_front_login_ok(&member->front, current->now);
}

static bool are_running(const struct rig *rig)
{
    return amqp_hub_is_running(&rig->hub) && (!rig->is_pair || amqp_hub_is_running(&rig->apart.hub));
}

static void on_open(struct amqp_member *member, struct amqp_span vhost)
{
    struct amqp_exception e;
    (void)vhost;
    if (are_running(current)) {
        amqp_member_join(member, &current->hub, current->is_pair ? &current->apart.hub : NULL, current->now);
        return;
    }
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0, "no broker");
    amqp_member_end(member, &e, current->now);
}

static void on_member_wake(struct amqp_member *member)
{
    struct rig_client *client = (struct rig_client *)((char *)member - offsetof(struct rig_client, member));
    client->wakes++;
}

static const struct amqp_member_ops member_ops = {on_login, on_open, on_member_wake};

/* --- whose the channels are, for the broker --- */

static int whose(const struct rig *rig, const struct amqp_hub *hub, uint16_t channel)
{
    const struct amqp_seat *seat = hub->slots.slots[channel - 1].seat;
    for (int i = 0; i < RIG_CLIENTS; i++) {
        if (seat != NULL && seat->member == &rig->clients[i].member)
            return i;
    }
    return MODEL_PROXY;
}

static int session_of(void *ctx, uint16_t channel)
{
    const struct rig *rig = ctx;
    return whose(rig, &rig->hub, channel);
}

static int session_of_apart(void *ctx, uint16_t channel)
{
    const struct rig *rig = ctx;
    return whose(rig, &rig->apart.hub, channel);
}

static uint64_t acks_due_to(void *ctx, uint16_t channel)
{
    const struct rig *rig = ctx;
    const struct amqp_lane *lane = rig->hub.slots.slots[channel - 1].lane;
    const int client = whose(rig, &rig->hub, channel);
    return lane != NULL ? ledger_acks_due_to(&rig->clients[client].ledger, lane->number) : UINT64_MAX;
}

static bool is_joined(void *ctx, int session)
{
    const struct rig *rig = ctx;
    return rig->clients[session].member.state == AMQP_MEMBER_JOINED;
}

static void start_apart(struct rig *rig)
{
    struct rig_apart *apart = &rig->apart;
    apart->broker_reads = true;
    apart->broker.main = &rig->broker;
    apart->broker.names.session_of = session_of_apart;
    apart->broker.names.is_joined = is_joined;
    apart->broker.names.ctx = rig;
    amqp_hub_init(&apart->hub, &hub_ops, &rig_config, 0);
}

void rig_start_as(struct rig *rig, unsigned how)
{
    static const char *const names[RIG_CLIENTS] = {"client 0", "client 1", "client 2", "client 3"};
    memset(rig, 0, sizeof(*rig));
    current = rig;
    rig->is_pair = how & RIG_PAIR;
    model_broker_init(&rig->apart.broker);
    rig->broker_reads = true;
    rig_config = default_config;
    if (how & RIG_TOLD_LATE)
        rig_config.back.vhost = (struct amqp_span){0};
    model_broker_init(&rig->broker);
    rig->broker.names.session_of = session_of;
    rig->broker.names.is_joined = is_joined;
    rig->broker.names.acks_due_to = acks_due_to;
    rig->broker.names.ctx = rig;
    amqp_hub_init(&rig->hub, &hub_ops, &rig_config, 0);
    for (int i = 0; i < RIG_CLIENTS; i++) {
        amqp_member_init(&rig->clients[i].member, &member_ops, &front_config, 0);
        amqp_frame_reader_init(&rig->clients[i].reader, 1 << 20);
        ledger_init(&rig->clients[i].ledger, names[i]);
    }
    if (rig->is_pair)
        start_apart(rig);
    rig_pump(rig);
}

void rig_start(struct rig *rig)
{
    rig_start_as(rig, 0);
}

void rig_start_pair(struct rig *rig)
{
    rig_start_as(rig, RIG_PAIR);
}

static void tick(struct rig *rig)
{
    amqp_hub_tick(&rig->hub, rig->now);
    if (rig->is_pair)
        amqp_hub_tick(&rig->apart.hub, rig->now);
}

void rig_wait(struct rig *rig, uint64_t ms)
{
    rig->now += ms;
    tick(rig);
    rig_pump(rig);
}

void rig_init(struct rig *rig)
{
    rig_start(rig);
    REQUIRE(are_running(rig));
}

void rig_init_pair(struct rig *rig)
{
    rig_start_pair(rig);
    REQUIRE(are_running(rig));
}

/* What a queue's name is known for is the queue of somebody who has gone, or its type. */
static bool is_forgotten(const struct amqp_hub *hub, const struct amqp_name *name)
{
    return name->owner == &hub->queues.orphans || (name->is_remembered && name->refs == 1);
}

/* Nobody names a queue, waits for one, or for a hush. */
static bool all_is_quiet(const struct amqp_hub *hub)
{
    const struct amqp_name *name;
    for (int i = 0; i < AMQP_NAME_BUCKETS; i++) {
        LIST_FOREACH (name, &hub->queues.names.buckets[i], bucket) {
            if (!is_forgotten(hub, name))
                return false;
        }
    }
    return TAILQ_EMPTY(&hub->hush.waiting) && hub->hush.admitted == 0 && TAILQ_EMPTY(&hub->errands.waiting) &&
           TAILQ_EMPTY(&hub->seats) && hub->kept.count == 0;
}

static bool nothing_is_left_apart(const struct rig *rig)
{
    return !rig->is_pair || rig->apart.is_down ||
           (model_broker_open_channels(&rig->apart.broker) == 0 && rig->apart.hub.slots.used == 0 &&
            all_is_quiet(&rig->apart.hub));
}

/* But for channels of the hub's own, for what no session owned, and for what the hub knows that it could not
 * delete. */
static bool nothing_is_left(const struct rig *rig)
{
    unsigned queues = 0;
    for (int i = 0; i < RIG_CLIENTS; i++)
        queues += model_names_count(&rig->broker, i);
    return queues <= rig->hub.queues.orphans.count &&
           model_broker_open_channels(&rig->broker) == rig->hub.slots.ours &&
           rig->hub.slots.used == rig->hub.slots.ours && all_is_quiet(&rig->hub);
}

static bool is_all_down(const struct rig *rig)
{
    return rig->is_down && (!rig->is_pair || rig->apart.is_down);
}

static void close_hubs(struct rig *rig)
{
    if (!rig->is_down)
        amqp_hub_close(&rig->hub, "bye", rig->now);
    if (rig->is_pair && !rig->apart.is_down)
        amqp_hub_close(&rig->apart.hub, "bye", rig->now);
}

static void require_alive(const struct model_broker *broker)
{
    if (broker->killed.code == AMQP_CODE_NONE)
        return;
    fprintf(stderr, "the broker would have closed the connection: %s (%s)\n", broker->killed.text,
            amqp_method_name(broker->killed.method));
    abort();
}

void rig_require_alive(const struct rig *rig)
{
    require_alive(&rig->broker);
    require_alive(&rig->apart.broker);
}

static void deinit_apart(struct rig *rig)
{
    REQUIRE(amqp_hub_cost(&rig->apart.hub) == 0);
    amqp_hub_deinit(&rig->apart.hub);
}

void rig_deinit(struct rig *rig)
{
    rig->broker_reads = true;
    rig->apart.broker_reads = true;
    if (!is_all_down(rig)) {
        for (int i = 0; i < RIG_CLIENTS; i++)
            amqp_member_gone(&rig->clients[i].member, rig->now);
        rig_pump(rig);
        rig_wait(rig, 1000);
        REQUIRE(rig->is_down || nothing_is_left(rig));
        REQUIRE(nothing_is_left_apart(rig));
        close_hubs(rig);
        rig_pump(rig);
    }
    rig_require_alive(rig);
    REQUIRE(is_all_down(rig));
    REQUIRE(amqp_hub_cost(&rig->hub) == 0 && rig->hub.held == 0);
    for (int i = 0; i < RIG_CLIENTS; i++) {
        amqp_member_gone(&rig->clients[i].member, rig->now);
        REQUIRE(amqp_member_is_over(&rig->clients[i].member));
        REQUIRE(rig->clients[i].member.queues.count == 0);
        REQUIRE(rig->clients[i].member.held_cost == 0 && rig->clients[i].member.partial_cost == 0);
        amqp_member_deinit(&rig->clients[i].member);
        amqp_frame_reader_deinit(&rig->clients[i].reader);
        ledger_deinit(&rig->clients[i].ledger);
    }
    if (rig->is_pair)
        deinit_apart(rig);
    amqp_hub_deinit(&rig->hub);
    model_broker_deinit(&rig->apart.broker);
    model_broker_deinit(&rig->broker);
}

/* --- clients --- */

static struct rig_event *last_event(struct rig_client *client)
{
    return &client->event[(client->events - 1) % RIG_EVENTS];
}

static void note_close(struct rig_client *client, struct rig_event *event, const uint8_t *arguments)
{
    event->code = amqp_get_u16(arguments);
    snprintf(client->text, sizeof(client->text), "%.*s", arguments[2], (const char *)arguments + 3);
}

static void note_method(struct rig_client *client, const struct amqp_frame *frame)
{
    const uint8_t *arguments = frame->payload + 4;
    client->events++;
    struct rig_event *event = last_event(client);
    *event = (struct rig_event){.channel = frame->channel, .method = amqp_get_u32(frame->payload)};
    switch (event->method) {
    case AMQP_CHANNEL_CLOSE_METHOD:
    case AMQP_CONNECTION_CLOSE_METHOD: note_close(client, event, arguments); break;
    case AMQP_BASIC_DELIVER_METHOD:
        event->tag = amqp_get_u64(arguments + 1 + arguments[0]); /* fall through */
    case AMQP_BASIC_CONSUME_OK_METHOD:
    case AMQP_BASIC_CANCEL_METHOD:
    case AMQP_BASIC_CANCEL_OK_METHOD:
        snprintf(event->consumer, sizeof(event->consumer), "%.*s", arguments[0], (const char *)arguments + 1);
        break;
    case AMQP_BASIC_ACK_METHOD:
    case AMQP_BASIC_GET_OK_METHOD: event->tag = amqp_get_u64(arguments); break;
    default: break;
    }
}

static void note_frame(struct rig_client *client, const struct amqp_frame *frame)
{
    if (frame->type == AMQP_FRAME_METHOD)
        note_method(client, frame);
    if (frame->type == AMQP_FRAME_HEADER && client->events > 0)
        last_event(client)->body_size = amqp_get_u32(frame->payload + 8);
    if (frame->type != AMQP_FRAME_BODY)
        return;
    if (client->events > 0 && frame->size > 0)
        last_event(client)->first = frame->payload[0];
    client->body_bytes += frame->size;
}

static void hear_frame(struct rig_client *client, const struct amqp_frame *frame)
{
    ledger_hear(&client->ledger, frame);
    note_frame(client, frame);
}

static void feed(struct rig *rig, struct rig_client *client, const uint8_t *data, size_t len)
{
    ledger_say(&client->ledger, data, len);
    amqp_member_feed(&client->member, data, len, rig->now);
}

/* A little at a time, as long as it is wanted. */
static size_t read_patiently(struct rig *rig, struct rig_client *client)
{
    enum { PIECE = 1024 };
    struct frames *unread = &client->unread;
    size_t at = 0;
    while (at < unread->len && amqp_member_wants_input(&client->member)) {
        const size_t len = unread->len - at < PIECE ? unread->len - at : PIECE;
        feed(rig, client, unread->bytes + at, len);
        at += len;
    }
    unread->len -= at;
    memmove(unread->bytes, unread->bytes + at, unread->len);
    return at;
}

static size_t pump_client(struct rig *rig, struct rig_client *client)
{
    static uint8_t buf[AMQP_HUB_WRITE_MIN];
    const uint8_t *data = buf;
    struct amqp_frame frame;
    struct amqp_exception e;
    size_t len;
    if (client->is_deaf)
        return read_patiently(rig, client);
    amqp_member_tick(&client->member, rig->now);
    len = amqp_member_write(&client->member, buf, sizeof(buf), rig->now);
    const size_t moved = len;
    int rc;
    while ((rc = amqp_frame_reader_next(&client->reader, &data, &len, &frame, &e)) == AMQP_FRAME_WHOLE)
        hear_frame(client, &frame);
    REQUIRE(rc == AMQP_FRAME_MORE || memcmp(buf, "AMQP", 4) == 0); /* or another version was refused */
    return moved + read_patiently(rig, client);
}

/* Between a hub and its broker, which takes bytes or does not. */
static size_t pump_hub(struct rig *rig, struct amqp_hub *hub, struct model_broker *broker, bool reads,
                       const bool *is_down)
{
    static uint8_t buf[AMQP_HUB_WRITE_MIN];
    size_t moved = 0;
    if (reads) {
        moved = amqp_hub_write(hub, buf, sizeof(buf), rig->now);
        model_broker_feed(broker, buf, moved);
    }
    const size_t n = model_broker_write(broker, buf, sizeof(buf));
    if (n > 0 && !*is_down)
        amqp_hub_feed(hub, buf, n, rig->now);
    return moved + n;
}

static size_t pump_brokers(struct rig *rig)
{
    struct rig_apart *apart = &rig->apart;
    size_t moved = pump_hub(rig, &rig->hub, &rig->broker, rig->broker_reads, &rig->is_down);
    if (rig->is_pair)
        moved += pump_hub(rig, &apart->hub, &apart->broker, apart->broker_reads, &apart->is_down);
    return moved;
}

/* Lets the broker handle all commands, and all its answers go, while there is a hub to hear them. Returns how
 * many they were. */
static unsigned let_go(struct rig *rig)
{
    unsigned moved = 0;
    if (!rig->is_down)
        moved += model_broker_run_all(&rig->broker) + model_broker_answer(&rig->broker, UINT32_MAX);
    if (rig->is_pair && !rig->apart.is_down)
        moved +=
            model_broker_run_all(&rig->apart.broker) + model_broker_answer(&rig->apart.broker, UINT32_MAX);
    return moved;
}

void rig_pump_without_answers(struct rig *rig)
{
    size_t moved;
    do {
        moved = pump_brokers(rig);
        for (int i = 0; i < RIG_CLIENTS; i++)
            moved += pump_client(rig, &rig->clients[i]);
    } while (moved > 0);
}

/* A hush that is due by the clock begins, or ends. False: there is none. */
static bool pass_hush(struct rig *rig)
{
    const struct amqp_hush *hush = &rig->hub.hush;
    const uint64_t due = amqp_hush_deadline(&rig->hub);
    const bool waits_for_broker = hush->state == AMQP_HUSH_SETTLING || hush->admitted > 0;
    if (due == UINT64_MAX || !amqp_hub_is_running(&rig->hub) || waits_for_broker)
        return false;
    rig->now = due > rig->now ? due : rig->now;
    tick(rig);
    return true;
}

void rig_pump(struct rig *rig)
{
    do
        rig_pump_without_answers(rig);
    while (let_go(rig) > 0 || pass_hush(rig));
}

bool rig_has_room(const struct rig *rig, unsigned client, size_t len)
{
    const struct rig_client *c = &rig->clients[client];
    return !c->is_patient || len <= sizeof(c->unread.bytes) - c->unread.len;
}

void rig_feed(struct rig *rig, unsigned client, const uint8_t *data, size_t len)
{
    struct rig_client *c = &rig->clients[client];
    if (!c->is_patient) {
        feed(rig, c, data, len);
        return;
    }
    REQUIRE(rig_has_room(rig, client, len));
    memcpy(c->unread.bytes + c->unread.len, data, len);
    c->unread.len += len;
}

void rig_say(struct rig *rig, unsigned client, struct frames *f)
{
    rig_feed(rig, client, f->bytes, f->len);
    f->len = 0;
}

void rig_log_in(struct rig *rig, unsigned client, unsigned can)
{
    static struct frames f;
    frames_protocol_header(&f);
    frames_start_ok(&f, "PLAIN", can);
    frames_tune_ok(&f);
    frames_connection_open(&f);
    rig_say(rig, client, &f);
    rig_pump(rig);
}

void rig_join(struct rig *rig, unsigned client, unsigned can)
{
    rig_log_in(rig, client, can);
    REQUIRE(rig_last(rig, client)->method == AMQP_CONNECTION_OPEN_OK_METHOD ||
            rig_last(rig, client)->method == AMQP_CONNECTION_BLOCKED_METHOD);
    rig->clients[client].events = 0;
}

bool rig_got(const struct rig *rig, unsigned client, uint32_t method)
{
    const struct rig_client *c = &rig->clients[client];
    for (unsigned i = 0; i < c->events && i < RIG_EVENTS; i++) {
        if (c->event[i].method == method)
            return true;
    }
    return false;
}

unsigned rig_count(const struct rig *rig, unsigned client, uint32_t method)
{
    const struct rig_client *c = &rig->clients[client];
    unsigned count = 0;
    for (unsigned i = 0; i < c->events && i < RIG_EVENTS; i++)
        count += c->event[i].method == method;
    return count;
}

const struct rig_event *rig_last(const struct rig *rig, unsigned client)
{
    static const struct rig_event none = {0};
    const struct rig_client *c = &rig->clients[client];
    return c->events > 0 ? &c->event[(c->events - 1) % RIG_EVENTS] : &none;
}
