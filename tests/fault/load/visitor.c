/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that idle, and sessions that are opened and closed while things break. */
#include "load.h"

#include <amqp_framing.h>
#include <string.h>
#include <unistd.h>

#define VISIT_PAUSE_US 50000
#define IDLE_MS        1000u
#define GET_TRIES      1000u

/* An exclusive queue named by the broker, as a copy; no bytes after load_disconnected. */
static amqp_bytes_t declare(struct load_worker *worker)
{
    const amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(worker->connection, LOAD_CHANNEL, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);

    return load_answered(worker, "queue.declare") ? amqp_bytes_malloc_dup(ok->queue) : amqp_empty_bytes;
}

/* ── Idlers ── */

/* Nothing but heartbeats for a while. False: disconnected. */
static bool idle(struct load_worker *worker)
{
    struct timeval timeout = {.tv_sec = IDLE_MS / 1000};
    amqp_frame_t frame;
    int status = amqp_simple_wait_frame_noblock(worker->connection, &frame, &timeout);

    if (status == AMQP_STATUS_OK) {
        load_unexpected(worker, "idle", &frame);
        return false;
    }
    return status == AMQP_STATUS_TIMEOUT || load_done(worker, status, "idle");
}

static bool still_there(struct load_worker *worker, amqp_bytes_t queue)
{
    uint64_t begun_ms = load_now_ms();

    amqp_queue_declare(worker->connection, LOAD_CHANNEL, queue, 1, 0, 1, 1, amqp_empty_table);
    if (!load_answered(worker, "passive queue.declare"))
        return false;
    load_fresh(worker, begun_ms);
    atomic_store(&worker->fresh_ms, UINT64_MAX); /* too slow to be waited for */
    amqp_maybe_release_buffers(worker->connection);
    return true;
}

void load_idle(struct load_worker *worker)
{
    amqp_bytes_t queue;

    atomic_store(&worker->fresh_ms, UINT64_MAX);
    if (!load_connect(worker))
        return;
    queue = declare(worker);
    while (worker->connection != NULL && !atomic_load(&load_stopping))
        if (idle(worker))
            still_there(worker, queue);
    if (worker->connection != NULL)
        load_close(worker);
    amqp_bytes_free(queue);
}

/* ── Visitors ── */

/* One channel's commands are done in order, but a queue may be a moment behind. */
static amqp_rpc_reply_t get(struct load_worker *worker, amqp_bytes_t queue)
{
    amqp_rpc_reply_t reply;
    unsigned tries = 0;

    do
        reply = amqp_basic_get(worker->connection, LOAD_CHANNEL, queue, 1);
    while (reply.reply_type == AMQP_RESPONSE_NORMAL && reply.reply.id == AMQP_BASIC_GET_EMPTY_METHOD &&
           ++tries < GET_TRIES);
    return reply;
}

/* One message to the visitor's own queue and back. False: disconnected. */
static bool there_and_back(struct load_worker *worker, amqp_bytes_t queue, uint64_t number)
{
    amqp_bytes_t body = {.len = sizeof(number), .bytes = &number};
    amqp_rpc_reply_t reply;
    amqp_message_t message;
    bool same;
    int status;

    status = amqp_basic_publish(worker->connection, LOAD_CHANNEL, amqp_empty_bytes, queue, 1, 0, NULL, body);
    if (!load_done(worker, status, "publish"))
        return false;
    reply = get(worker, queue);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        return load_answered(worker, "basic.get");
    if (reply.reply.id == AMQP_BASIC_GET_EMPTY_METHOD) {
        atomic_fetch_add(&load_tally.lost, 1);
        return true;
    }
    reply = amqp_read_message(worker->connection, LOAD_CHANNEL, &message, 0);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        load_disconnected(worker, "read", amqp_error_string2(reply.library_error));
        return false;
    }
    same = message.body.len == body.len && memcmp(message.body.bytes, body.bytes, body.len) == 0;
    amqp_destroy_message(&message);
    atomic_fetch_add(same ? &load_tally.consumed : &load_tally.corrupt, 1);
    return true;
}

static bool visit(struct load_worker *worker, uint64_t number)
{
    uint64_t begun_ms = load_now_ms();
    amqp_bytes_t queue;
    bool well;

    if (!load_connect(worker))
        return false;
    queue = declare(worker);
    if (worker->connection == NULL)
        return false;
    well = there_and_back(worker, queue, number);
    amqp_bytes_free(queue);
    if (!well)
        return false;
    load_close(worker);
    load_fresh(worker, begun_ms);
    return true;
}

void load_visit(struct load_worker *worker)
{
    uint64_t number = 0;

    while (!atomic_load(&load_stopping) && visit(worker, number++))
        usleep(VISIT_PAUSE_US);
    atomic_store(&worker->fresh_ms, UINT64_MAX);
}
