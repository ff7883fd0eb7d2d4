/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions to which something comes all the time, whatever becomes of what they say: a ticker in each guest
 * publishes to everybody, listeners in all guests consume that without acknowledging, and ask something now
 * and then.
 */
#include "load.h"

#include <amqp_framing.h>

#define EXCHANGE "amq.fanout"
#define TICK_MS  50
#define ASK_MS   300u

/* ── The ticker ── */

static bool tick(struct load_worker *worker)
{
    struct timeval timeout = {.tv_usec = TICK_MS * 1000};
    amqp_bytes_t body = amqp_cstring_bytes("tick");
    amqp_frame_t frame;
    int status;

    status = amqp_basic_publish(worker->connection, LOAD_CHANNEL, amqp_cstring_bytes(EXCHANGE),
                                amqp_empty_bytes, 0, 0, NULL, body);
    if (!load_done(worker, status, "publish"))
        return false;
    status = amqp_simple_wait_frame_noblock(worker->connection, &frame, &timeout);
    if (status == AMQP_STATUS_OK)
        load_unexpected(worker, "tick", &frame);
    return status == AMQP_STATUS_TIMEOUT || (status != AMQP_STATUS_OK && load_done(worker, status, "tick"));
}

void load_tick(struct load_worker *worker)
{
    atomic_store(&worker->fresh_ms, UINT64_MAX);
    if (!load_connect(worker))
        return;
    while (!atomic_load(&load_stopping) && tick(worker))
        ;
    if (worker->connection != NULL)
        load_close(worker);
}

/* ── Listeners ── */

static bool subscribe(struct load_worker *worker)
{
    amqp_bytes_t own = amqp_empty_bytes; /* the queue that was declared last */

    amqp_queue_declare(worker->connection, LOAD_CHANNEL, own, 0, 0, 1, 1, amqp_empty_table);
    if (!load_answered(worker, "queue.declare"))
        return false;
    amqp_queue_bind(worker->connection, LOAD_CHANNEL, own, amqp_cstring_bytes(EXCHANGE), amqp_empty_bytes,
                    amqp_empty_table);
    if (!load_answered(worker, "queue.bind"))
        return false;
    amqp_basic_consume(worker->connection, LOAD_CHANNEL, own, amqp_empty_bytes, 0, 1, 1, amqp_empty_table);
    return load_answered(worker, "basic.consume");
}

/* Take a tick, if one comes soon. */
static bool listen_once(struct load_worker *worker)
{
    struct timeval timeout = {.tv_usec = 100000};
    amqp_envelope_t envelope;
    amqp_rpc_reply_t reply;

    amqp_maybe_release_buffers(worker->connection);
    reply = amqp_consume_message(worker->connection, &envelope, &timeout, 0);
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        amqp_destroy_envelope(&envelope);
    else if (reply.reply_type != AMQP_RESPONSE_LIBRARY_EXCEPTION ||
             reply.library_error != AMQP_STATUS_TIMEOUT)
        load_no_message(worker, reply.library_error);
    return worker->connection != NULL;
}

static bool ask(struct load_worker *worker)
{
    uint64_t begun_ms = load_now_ms();

    amqp_basic_qos(worker->connection, LOAD_CHANNEL, 0, 1, 0);
    if (!load_answered(worker, "basic.qos"))
        return false;
    load_fresh(worker, begun_ms);
    return true;
}

void load_listen(struct load_worker *worker)
{
    bool well = load_connect(worker) && subscribe(worker);
    uint64_t due_ms = load_now_ms();

    while (well && !atomic_load(&load_stopping)) {
        well = listen_once(worker);
        if (well && load_now_ms() >= due_ms) {
            well = ask(worker);
            due_ms = load_now_ms() + ASK_MS;
        }
    }
    if (well)
        load_close(worker);
    atomic_store(&worker->fresh_ms, UINT64_MAX);
}
