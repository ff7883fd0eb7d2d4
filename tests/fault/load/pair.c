/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A publisher and a consumer of one queue. Through one publisher, one queue and one consumer messages keep
 * their order (RabbitMQ's guarantee), so the consumer needs no more than the number it expects next to tell
 * which are lost and which came twice.
 */
#include "load.h"
#include "message.h"

#include <amqp_framing.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PREFETCH   200
#define WINDOW_MAX 128u

/* Some sessions carry many small messages, others few that fill windows and span frames. */
static const struct shape {
    unsigned size_min, size_max;
    unsigned pause_ms; /* between messages */
    uint64_t window;   /* most that is unconfirmed */
} shapes[] = {
    {32, 300, 2, 128},
    {300, 9000, 6, 64},
    {1000, 240000, 40, 16},
};

struct load_pair {
    unsigned index;
    const struct shape *shape;
    char queue[64];
    atomic_bool declared;  /* the publisher may begin */
    atomic_bool published; /* the publisher has ended or need not begin, and `confirmed` is final */
    _Atomic uint64_t confirmed;
};

struct load_pair *load_pair_create(unsigned index, struct load_worker *publisher,
                                   struct load_worker *consumer)
{
    struct load_pair *pair = calloc(1, sizeof(*pair));

    if (pair == NULL)
        return NULL;
    pair->index = index;
    pair->shape = &shapes[index % (sizeof(shapes) / sizeof(shapes[0]))];
    snprintf(pair->queue, sizeof(pair->queue), "%.40s-%u", load_options.name, index);
    *publisher = (struct load_worker){.run = load_publish, .role = "publisher", .index = index, .pair = pair};
    *consumer = (struct load_worker){.run = load_consume, .role = "consumer", .index = index, .pair = pair};
    return pair;
}

/* ── Publishing ── */

/* What is on its way: tags from `low` to `next` - 1. Tags begin at 1. */
struct unconfirmed {
    uint64_t low;
    uint64_t next;
    uint64_t sent_ms[WINDOW_MAX]; /* by tag % WINDOW_MAX; 0: confirmed */
};

static void confirm(struct load_worker *worker, struct unconfirmed *unconfirmed, uint64_t tag)
{
    uint64_t *sent_ms = &unconfirmed->sent_ms[tag % WINDOW_MAX];

    if (*sent_ms == 0)
        return; /* a repeated confirm; the broker's business */
    load_fresh(worker, *sent_ms);
    *sent_ms = 0;
    atomic_fetch_add(&worker->pair->confirmed, 1);
    atomic_fetch_add(&load_tally.confirmed, 1);
}

/* Take a confirm, if one comes within `ms`. False: disconnected. */
static bool take_confirm(struct load_worker *worker, struct unconfirmed *unconfirmed, uint64_t ms)
{
    struct timeval timeout = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    const amqp_basic_ack_t *ack;
    amqp_frame_t frame;
    int status = amqp_simple_wait_frame_noblock(worker->connection, &frame, &timeout);

    if (status == AMQP_STATUS_TIMEOUT)
        return true;
    if (!load_done(worker, status, "confirm"))
        return false;
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD) {
        load_unexpected(worker, "confirm", &frame);
        return false;
    }
    ack = frame.payload.method.decoded;
    if (ack->delivery_tag < 1 || ack->delivery_tag >= unconfirmed->next) {
        load_disconnected(worker, "confirm", "for a message that was not sent");
        return false;
    }
    for (uint64_t tag = ack->multiple ? unconfirmed->low : ack->delivery_tag; tag <= ack->delivery_tag; tag++)
        confirm(worker, unconfirmed, tag);
    while (unconfirmed->low < unconfirmed->next && unconfirmed->sent_ms[unconfirmed->low % WINDOW_MAX] == 0)
        unconfirmed->low++;
    amqp_maybe_release_buffers(worker->connection);
    return true;
}

static bool publish_one(struct load_worker *worker, struct unconfirmed *unconfirmed, uint8_t *buffer,
                        unsigned *seed)
{
    const struct load_pair *pair = worker->pair;
    unsigned spread = pair->shape->size_max - pair->shape->size_min + 1;
    struct message_head head = {
        .number = unconfirmed->next - 1,
        .sent_ms = load_now_ms(),
        .pair = pair->index,
        .size = pair->shape->size_min + (unsigned)rand_r(seed) % spread,
    };
    int status;

    unconfirmed->sent_ms[unconfirmed->next % WINDOW_MAX] = head.sent_ms;
    unconfirmed->next++;
    status = amqp_basic_publish(worker->connection, LOAD_CHANNEL, amqp_empty_bytes,
                                amqp_cstring_bytes(pair->queue), 1, 0, NULL, message_make(buffer, &head));
    if (!load_done(worker, status, "publish"))
        return false;
    atomic_fetch_add(&load_tally.published, 1);
    return true;
}

/* Publish until told to stop, then wait for the last confirm. False: disconnected. */
static bool publish_all(struct load_worker *worker, uint8_t *buffer)
{
    const struct shape *shape = worker->pair->shape;
    struct unconfirmed unconfirmed = {.low = 1, .next = 1};
    uint64_t due_ms = load_now_ms();
    unsigned seed = worker->index + 1;

    for (;;) {
        uint64_t now_ms = load_now_ms();
        uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;

        if (atomic_load(&load_stopping)) {
            if (unconfirmed.low == unconfirmed.next)
                return true;
            wait_ms = 100;
        } else if (unconfirmed.next - unconfirmed.low >= shape->window) {
            wait_ms = 100;
        } else if (wait_ms == 0) {
            if (!publish_one(worker, &unconfirmed, buffer, &seed))
                return false;
            due_ms = now_ms + shape->pause_ms * load_options.slower;
        }
        if (!take_confirm(worker, &unconfirmed, wait_ms))
            return false;
    }
}

void load_publish(struct load_worker *worker)
{
    struct load_pair *pair = worker->pair;
    uint8_t *buffer = malloc(MESSAGE_MAX);

    while (!atomic_load(&pair->declared) && !atomic_load(&pair->published))
        usleep(1000);
    if (buffer != NULL && atomic_load(&pair->declared) && load_connect(worker)) {
        amqp_confirm_select(worker->connection, LOAD_CHANNEL);
        if (load_answered(worker, "confirm.select") && publish_all(worker, buffer))
            load_close(worker);
    }
    atomic_store(&pair->published, true);
    atomic_store(&worker->fresh_ms, UINT64_MAX);
    free(buffer);
}

/* ── Consuming ── */

/* What a consumer has seen. */
struct seen {
    uint64_t next;    /* number expected next */
    uint64_t count;   /* different numbers */
    uint64_t last_ms; /* when the last one came */
};

static void account(struct load_worker *worker, struct seen *seen, amqp_bytes_t body)
{
    struct message_head head;

    if (!message_read(body, &head) || head.pair != worker->pair->index) {
        atomic_fetch_add(&load_tally.corrupt, 1);
        return;
    }
    load_fresh(worker, head.sent_ms);
    if (head.number < seen->next) {
        atomic_fetch_add(&load_tally.duplicated, 1);
        return;
    }
    seen->next = head.number + 1;
    seen->count++;
    atomic_fetch_add(&load_tally.consumed, 1);
}

/* Take a message, if one comes soon. False: disconnected. */
static bool take_message(struct load_worker *worker, struct seen *seen)
{
    struct timeval timeout = {.tv_usec = 100000};
    amqp_envelope_t envelope;
    amqp_rpc_reply_t reply;
    uint64_t tag;

    amqp_maybe_release_buffers(worker->connection);
    reply = amqp_consume_message(worker->connection, &envelope, &timeout, 0);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && reply.library_error == AMQP_STATUS_TIMEOUT)
        return true;
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        load_no_message(worker, reply.library_error);
        return false;
    }
    seen->last_ms = load_now_ms();
    account(worker, seen, envelope.message.body);
    tag = envelope.delivery_tag;
    amqp_destroy_envelope(&envelope);
    return load_done(worker, amqp_basic_ack(worker->connection, LOAD_CHANNEL, tag, 0), "ack");
}

static bool has_all(const struct load_pair *pair, const struct seen *seen)
{
    return atomic_load(&pair->published) && seen->count >= atomic_load(&pair->confirmed);
}

/* Consume until everything is here, or nothing more comes. False: disconnected. */
static bool consume_all(struct load_worker *worker, struct seen *seen)
{
    struct load_pair *pair = worker->pair;

    while (!has_all(pair, seen)) {
        if (atomic_load(&pair->published) && load_now_ms() > seen->last_ms + load_options.patience_s * 1000u)
            return true;
        if (!take_message(worker, seen))
            return false;
    }
    return true;
}

static bool start_consuming(struct load_worker *worker)
{
    amqp_bytes_t queue = amqp_cstring_bytes(worker->pair->queue);

    amqp_queue_declare(worker->connection, LOAD_CHANNEL, queue, 0, 0, 0, 1, amqp_empty_table);
    if (!load_answered(worker, "queue.declare"))
        return false;
    amqp_basic_qos(worker->connection, LOAD_CHANNEL, 0, PREFETCH, 0);
    if (!load_answered(worker, "basic.qos"))
        return false;
    amqp_basic_consume(worker->connection, LOAD_CHANNEL, queue, amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    return load_answered(worker, "basic.consume");
}

void load_consume(struct load_worker *worker)
{
    struct load_pair *pair = worker->pair;
    struct seen seen = {.last_ms = load_now_ms()};
    bool connected = load_connect(worker) && start_consuming(worker);
    uint64_t confirmed;

    atomic_store(connected ? &pair->declared : &pair->published, true);
    if (connected && consume_all(worker, &seen))
        load_close(worker);
    while (!atomic_load(&pair->published)) /* without this consumer, or by stopping */
        usleep(1000);
    confirmed = atomic_load(&pair->confirmed);
    if (seen.count < confirmed)
        atomic_fetch_add(&load_tally.lost, confirmed - seen.count);
    atomic_store(&worker->fresh_ms, UINT64_MAX);
}
