/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steady: an AMQP client that publishes numbered messages with confirms and gets them back with
 * acknowledgements, on one connection, and keeps the account: each confirmed message exactly once.
 *
 *   steady --port PORT --vhost VHOST --queue QUEUE [--host ADDRESS] [--pause MS]
 *
 * Four lines a second say how far it is. SIGTERM: it publishes no more, waits for the rest, prints the
 * account and ends with status 0 if all is well, 1 if not. The end of the connection is printed as
 * `disconnected: CODE TEXT` as the server said it, or without a code; then the status is 3.
 */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PUBLISHING = 1, CONSUMING = 2 }; /* channels */
enum { EXIT_DISCONNECTED = 3 };

#define FRAME_MAX   131072
#define HEARTBEAT_S 30
#define PREFETCH    50
#define WINDOW      20u /* most that is not confirmed */
#define BODY_MAX    4096u
#define REST_MS     30000u /* to wait for the rest */

struct steady {
    amqp_connection_state_t connection;
    amqp_bytes_t queue;
    uint64_t pause_ms;
    uint64_t next_ms; /* when the next message is due, */
    uint64_t tell_ms; /* and the next line */
    uint64_t published;
    uint64_t confirmed;
    uint64_t consumed; /* different messages */
    uint64_t duplicated;
    uint64_t corrupt;
    uint64_t last_ms; /* when the last message came back */
    uint64_t longest_ms;
};

static volatile sig_atomic_t stopping;

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* ── How it ends ── */

static void __attribute__((noreturn)) disconnected(int code, const char *text, size_t len)
{
    if (code != 0)
        printf("disconnected: %d %.*s\n", code, (int)len, text);
    else
        printf("disconnected: %.*s\n", (int)len, text);
    exit(EXIT_DISCONNECTED);
}

static void __attribute__((noreturn)) unexpected(const amqp_method_t *method)
{
    const amqp_connection_close_t *close = method->decoded;
    const char *name = amqp_method_name(method->id);

    if (method->id == AMQP_CONNECTION_CLOSE_METHOD)
        disconnected(close->reply_code, close->reply_text.bytes, close->reply_text.len);
    disconnected(0, name, strlen(name));
}

static void check(int status)
{
    if (status != AMQP_STATUS_OK)
        disconnected(0, amqp_error_string2(status), strlen(amqp_error_string2(status)));
}

static void check_reply(amqp_rpc_reply_t reply)
{
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION)
        unexpected(&reply.reply);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        check(reply.library_error);
}

/* ── Messages ── */

/* Message NUMBER is its own text, over and over, to a length that depends on it. */
static amqp_bytes_t message(uint64_t number, char *buffer)
{
    const size_t size = 20 + (size_t)(number * 997u % (BODY_MAX - 20));
    size_t len = 0;

    while (len < size)
        len += (size_t)snprintf(buffer + len, BODY_MAX - len, "%" PRIu64 " ", number);
    return (amqp_bytes_t){.len = size, .bytes = buffer};
}

static void publish(struct steady *steady)
{
    char buffer[BODY_MAX];

    check(amqp_basic_publish(steady->connection, PUBLISHING, amqp_empty_bytes, steady->queue, 1, 0, NULL,
                             message(steady->published, buffer)));
    steady->published++;
}

static void account(struct steady *steady, amqp_bytes_t body)
{
    char buffer[BODY_MAX];
    const uint64_t number = strtoull(body.bytes, NULL, 10);
    const amqp_bytes_t should = message(number, buffer);
    const uint64_t now = now_ms();

    if (body.len != should.len || memcmp(body.bytes, should.bytes, should.len) != 0) {
        steady->corrupt++;
    } else if (number < steady->consumed) {
        steady->duplicated++;
    } else {
        steady->corrupt += number > steady->consumed; /* out of order: one queue, one consumer keep it */
        steady->consumed++;
    }
    if (now - steady->last_ms > steady->longest_ms)
        steady->longest_ms = now - steady->last_ms;
    steady->last_ms = now;
}

static void on_delivery(struct steady *steady, uint64_t tag)
{
    amqp_message_t delivered;

    check_reply(amqp_read_message(steady->connection, CONSUMING, &delivered, 0));
    account(steady, delivered.body);
    amqp_destroy_message(&delivered);
    check(amqp_basic_ack(steady->connection, CONSUMING, tag, 0));
}

static void on_confirm(struct steady *steady, const amqp_basic_ack_t *ack)
{
    /* The broker may confirm one by one or all up to a tag; a queue's confirms come in order. */
    steady->confirmed = ack->multiple ? ack->delivery_tag : steady->confirmed + 1;
}

/* Handles the next frame, if one comes within so many milliseconds. */
static void turn(struct steady *steady, uint64_t ms)
{
    struct timeval timeout = {.tv_usec = (suseconds_t)(ms * 1000)};
    amqp_frame_t frame;
    int status;

    amqp_maybe_release_buffers(steady->connection);
    status = amqp_simple_wait_frame_noblock(steady->connection, &frame, &timeout);
    if (status == AMQP_STATUS_TIMEOUT)
        return;
    check(status);
    if (frame.frame_type != AMQP_FRAME_METHOD)
        check(AMQP_STATUS_UNEXPECTED_STATE);
    switch (frame.payload.method.id) {
    case AMQP_BASIC_ACK_METHOD: on_confirm(steady, frame.payload.method.decoded); break;
    case AMQP_BASIC_DELIVER_METHOD:
        on_delivery(steady, ((const amqp_basic_deliver_t *)frame.payload.method.decoded)->delivery_tag);
        break;
    default: unexpected(&frame.payload.method);
    }
}

/* ── The run ── */

static void open_channels(struct steady *steady, const char *host, int port, const char *vhost)
{
    amqp_socket_t *socket;

    steady->connection = amqp_new_connection();
    socket = amqp_tcp_socket_new(steady->connection);
    check(socket ? amqp_socket_open(socket, host, port) : AMQP_STATUS_NO_MEMORY);
    check_reply(amqp_login(steady->connection, vhost, 0, FRAME_MAX, HEARTBEAT_S, AMQP_SASL_METHOD_PLAIN,
                           "guest", "guest"));
    amqp_channel_open(steady->connection, PUBLISHING);
    check_reply(amqp_get_rpc_reply(steady->connection));
    amqp_channel_open(steady->connection, CONSUMING);
    check_reply(amqp_get_rpc_reply(steady->connection));
}

static void prepare(struct steady *steady)
{
    amqp_queue_declare(steady->connection, PUBLISHING, steady->queue, 0, 0, 0, 1, amqp_empty_table);
    check_reply(amqp_get_rpc_reply(steady->connection));
    amqp_confirm_select(steady->connection, PUBLISHING);
    check_reply(amqp_get_rpc_reply(steady->connection));
    amqp_basic_qos(steady->connection, CONSUMING, 0, PREFETCH, 0);
    check_reply(amqp_get_rpc_reply(steady->connection));
    amqp_basic_consume(steady->connection, CONSUMING, steady->queue, amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    check_reply(amqp_get_rpc_reply(steady->connection));
}

static void work(struct steady *steady)
{
    steady->last_ms = steady->next_ms = steady->tell_ms = now_ms();
    while (!stopping) {
        const uint64_t now = now_ms();

        if (now >= steady->next_ms && steady->published - steady->confirmed < WINDOW) {
            publish(steady);
            steady->next_ms = now + steady->pause_ms;
        }
        if (now >= steady->tell_ms) {
            printf("confirmed %" PRIu64 " consumed %" PRIu64 "\n", steady->confirmed, steady->consumed);
            steady->tell_ms = now + 250;
        }
        turn(steady, 5);
    }
}

static bool complete(const struct steady *steady)
{
    return steady->confirmed == steady->published && steady->consumed == steady->published;
}

/* Waits for the rest and says how it went. */
static int finish(struct steady *steady)
{
    const uint64_t until_ms = now_ms() + REST_MS;
    uint64_t lost;

    while (!complete(steady) && now_ms() < until_ms)
        turn(steady, 50);
    lost = steady->confirmed > steady->consumed ? steady->confirmed - steady->consumed : 0;
    printf("published %" PRIu64 " confirmed %" PRIu64 " lost %" PRIu64 " duplicated %" PRIu64
           " corrupt %" PRIu64 " longest_ms %" PRIu64 "\n",
           steady->published, steady->confirmed, lost, steady->duplicated, steady->corrupt,
           steady->longest_ms);
    check_reply(amqp_connection_close(steady->connection, AMQP_REPLY_SUCCESS));
    amqp_destroy_connection(steady->connection);
    return complete(steady) && steady->duplicated == 0 && steady->corrupt == 0 ? 0 : 1;
}

static void on_term(int number)
{
    (void)number;
    stopping = 1;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"host", required_argument, NULL, 'h'},  {"port", required_argument, NULL, 'p'},
        {"vhost", required_argument, NULL, 'v'}, {"queue", required_argument, NULL, 'q'},
        {"pause", required_argument, NULL, 'm'}, {NULL, 0, NULL, 0},
    };
    struct steady steady = {.pause_ms = 20};
    const char *host = "127.0.0.1";
    const char *vhost = "/";
    int port = 5672;
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'h': host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'v': vhost = optarg; break;
        case 'q': steady.queue = amqp_cstring_bytes(optarg); break;
        case 'm': steady.pause_ms = strtoull(optarg, NULL, 10); break;
        default: return 2;
        }
    }
    if (steady.queue.len == 0)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGTERM, on_term);
    open_channels(&steady, host, port, vhost);
    prepare(&steady);
    work(&steady);
    return finish(&steady);
}
