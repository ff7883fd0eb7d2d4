/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <time.h>

#define FRAME_MAX 131072

/* A login may fall into the longest of breaks. */
#define HANDSHAKE_S 120

uint64_t load_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void give_up(struct load_worker *worker)
{
    if (worker->connection != NULL)
        amqp_destroy_connection(worker->connection);
    worker->connection = NULL;
    atomic_store(&worker->fresh_ms, UINT64_MAX);
}

void load_disconnected(struct load_worker *worker, const char *what, const char *why)
{
    atomic_fetch_add(&load_tally.disconnects, 1);
    fprintf(stderr, "%s %s %u: %s: %s\n", load_options.name, worker->role, worker->index, what, why);
    give_up(worker);
}

bool load_done(struct load_worker *worker, int status, const char *what)
{
    if (status == AMQP_STATUS_OK)
        return true;
    load_disconnected(worker, what, amqp_error_string2(status));
    return false;
}

/* What the server said, and why if it says so. */
static const char *words_of(const amqp_method_t *method, char *text, size_t size)
{
    const amqp_connection_close_t *connection = method->decoded;
    const amqp_channel_close_t *channel = method->decoded;

    if (method->id == AMQP_CONNECTION_CLOSE_METHOD)
        snprintf(text, size, "%u %.*s", connection->reply_code, (int)connection->reply_text.len,
                 (const char *)connection->reply_text.bytes);
    else if (method->id == AMQP_CHANNEL_CLOSE_METHOD)
        snprintf(text, size, "channel: %u %.*s", channel->reply_code, (int)channel->reply_text.len,
                 (const char *)channel->reply_text.bytes);
    else
        snprintf(text, size, "the server said %s", amqp_method_name(method->id));
    return text;
}

void load_unexpected(struct load_worker *worker, const char *what, const amqp_frame_t *frame)
{
    char text[320];

    if (frame->frame_type == AMQP_FRAME_METHOD)
        load_disconnected(worker, what, words_of(&frame->payload.method, text, sizeof(text)));
    else
        load_disconnected(worker, what, "a frame that was not asked for");
}

void load_no_message(struct load_worker *worker, int error)
{
    amqp_frame_t frame;

    if (error == AMQP_STATUS_UNEXPECTED_STATE) /* a frame that is no delivery: it can be read now */
        error = amqp_simple_wait_frame(worker->connection, &frame);
    else if (error == AMQP_STATUS_OK)
        error = AMQP_STATUS_UNEXPECTED_STATE;
    if (error == AMQP_STATUS_OK)
        load_unexpected(worker, "consume", &frame);
    else
        load_disconnected(worker, "consume", amqp_error_string2(error));
}

static bool is_normal(struct load_worker *worker, amqp_rpc_reply_t reply, const char *what)
{
    char text[320];

    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return true;
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION)
        load_disconnected(worker, what, words_of(&reply.reply, text, sizeof(text)));
    else
        load_disconnected(worker, what, amqp_error_string2(reply.library_error));
    return false;
}

bool load_answered(struct load_worker *worker, const char *what)
{
    return is_normal(worker, amqp_get_rpc_reply(worker->connection), what);
}

bool load_connect(struct load_worker *worker)
{
    static const struct timeval patience = {.tv_sec = HANDSHAKE_S};
    amqp_socket_t *socket;

    worker->connection = amqp_new_connection();
    socket = worker->connection != NULL ? amqp_tcp_socket_new(worker->connection) : NULL;
    if (socket == NULL) {
        load_disconnected(worker, "connect", "out of memory");
        return false;
    }
    amqp_set_handshake_timeout(worker->connection, &patience);
    if (!load_done(worker, amqp_socket_open(socket, load_options.host, load_options.port), "connect"))
        return false;
    if (!is_normal(worker,
                   amqp_login(worker->connection, load_options.vhost, 0, FRAME_MAX, load_options.heartbeat_s,
                              AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
                   "login"))
        return false;
    amqp_channel_open(worker->connection, LOAD_CHANNEL);
    if (!load_answered(worker, "channel"))
        return false;
    atomic_fetch_add(&load_tally.sessions, 1);
    return true;
}

void load_close(struct load_worker *worker)
{
    if (is_normal(worker, amqp_connection_close(worker->connection, AMQP_REPLY_SUCCESS), "close"))
        give_up(worker);
}

void load_fresh(struct load_worker *worker, uint64_t begun_ms)
{
    uint64_t took_ms = load_now_ms() - begun_ms;
    uint64_t longest_ms = atomic_load(&load_tally.pause_ms);

    atomic_store(&worker->fresh_ms, begun_ms);
    while (took_ms > longest_ms && !atomic_compare_exchange_weak(&load_tally.pause_ms, &longest_ms, took_ms))
        ;
}
