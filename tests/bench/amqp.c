/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-amqp: messages per second through a broker, with publisher confirms and consumer acknowledgements.
 *
 *   bench-amqp --target ADDRESS:PORT [--messages N] [--size BYTES] [--window N]
 *
 * Two connections, as user guest: one publishes and keeps at most a window of messages unconfirmed, the other
 * consumes them from an exclusive queue and acknowledges several at once. Prints messages_per_s, from the
 * first publish until the last message is both confirmed and consumed, and cpu_s of this process.
 */
#include "amqp_client.h"

#include <amqp_framing.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define QUEUE     "amqp-vsock-bench"
#define PREFETCH  512
#define ACK_EVERY 64

struct work {
    struct sockaddr_in target;
    uint64_t messages;
    uint64_t window;
    size_t size_bytes;
};

/* Which of the published messages the broker has confirmed. Tags begin at 1. */
struct confirms {
    char *seen;     /* by tag */
    uint64_t low;   /* all tags below are confirmed */
    uint64_t count; /* confirmed in all */
};

static amqp_bytes_t queue_name(void)
{
    return amqp_cstring_bytes(QUEUE);
}

static void confirm_one(struct confirms *confirms, uint64_t tag)
{
    confirms->count += !confirms->seen[tag];
    confirms->seen[tag] = 1;
}

static void wait_for_confirm(amqp_connection_state_t connection, struct confirms *confirms,
                             uint64_t published)
{
    amqp_frame_t frame;
    const amqp_basic_ack_t *ack;
    int status = amqp_simple_wait_frame(connection, &frame);

    if (status != AMQP_STATUS_OK)
        bench_fail(0, "confirm: %s", amqp_error_string2(status));
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        bench_fail(0, "not a confirm: frame %u, method %s", frame.frame_type,
                   frame.frame_type == AMQP_FRAME_METHOD ? amqp_method_name(frame.payload.method.id)
                                                         : "none");
    ack = frame.payload.method.decoded;
    if (ack->delivery_tag < 1 || ack->delivery_tag > published)
        bench_fail(0, "confirm of message %lu, which was not sent", (unsigned long)ack->delivery_tag);
    for (uint64_t tag = ack->multiple ? confirms->low : ack->delivery_tag; tag <= ack->delivery_tag; tag++)
        confirm_one(confirms, tag);
    while (confirms->low <= published && confirms->seen[confirms->low])
        confirms->low++;
    amqp_maybe_release_buffers(connection);
}

static void publish(amqp_connection_state_t connection, amqp_bytes_t body)
{
    int status =
        amqp_basic_publish(connection, BENCH_CHANNEL, amqp_empty_bytes, queue_name(), 0, 0, NULL, body);

    if (status != AMQP_STATUS_OK)
        bench_fail(0, "publish: %s", amqp_error_string2(status));
}

static void publish_all(amqp_connection_state_t connection, const struct work *work)
{
    struct confirms confirms = {.seen = calloc(work->messages + 2, 1), .low = 1};
    amqp_bytes_t body = {.len = work->size_bytes, .bytes = calloc(1, work->size_bytes)};

    if (confirms.seen == NULL || body.bytes == NULL)
        bench_fail(errno, "messages");
    amqp_confirm_select(connection, BENCH_CHANNEL);
    bench_require(amqp_get_rpc_reply(connection), "confirms");
    for (uint64_t published = 0; confirms.count < work->messages;) {
        if (published < work->messages && published - confirms.count < work->window) {
            publish(connection, body);
            published++;
        } else {
            wait_for_confirm(connection, &confirms, published);
        }
    }
    free(body.bytes);
    free(confirms.seen);
}

struct consumer {
    amqp_connection_state_t connection;
    uint64_t messages; /* to expect */
    size_t size_bytes;
};

static void start_consuming(struct consumer *consumer, const struct work *work)
{
    consumer->connection = bench_amqp_connect(&work->target);
    consumer->messages = work->messages;
    consumer->size_bytes = work->size_bytes;
    amqp_queue_declare(consumer->connection, BENCH_CHANNEL, queue_name(), 0, 0, 1, 1, amqp_empty_table);
    bench_require(amqp_get_rpc_reply(consumer->connection), "queue");
    amqp_basic_qos(consumer->connection, BENCH_CHANNEL, 0, PREFETCH, 0);
    bench_require(amqp_get_rpc_reply(consumer->connection), "prefetch");
    amqp_basic_consume(consumer->connection, BENCH_CHANNEL, queue_name(), amqp_empty_bytes, 0, 0, 1,
                       amqp_empty_table);
    bench_require(amqp_get_rpc_reply(consumer->connection), "consume");
}

static void *consume_all(void *arg)
{
    struct consumer *consumer = arg;
    const struct timeval stall = {.tv_sec = BENCH_STALL_SECONDS};

    for (uint64_t n = 1; n <= consumer->messages; n++) {
        amqp_envelope_t envelope;

        amqp_maybe_release_buffers(consumer->connection);
        bench_require(amqp_consume_message(consumer->connection, &envelope, &stall, 0), "delivery");
        if (envelope.message.body.len != consumer->size_bytes)
            bench_fail(0, "a message of %zu bytes came", envelope.message.body.len);
        if ((n % ACK_EVERY == 0 || n == consumer->messages) &&
            amqp_basic_ack(consumer->connection, BENCH_CHANNEL, envelope.delivery_tag, 1) != AMQP_STATUS_OK)
            bench_fail(0, "ack failed");
        amqp_destroy_envelope(&envelope);
    }
    return NULL;
}

static void read_options(struct work *work, int argc, char **argv)
{
    static const struct option options[] = {
        {"target", required_argument, NULL, 't'},
        {"messages", required_argument, NULL, 'n'},
        {"size", required_argument, NULL, 'm'},
        {"window", required_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 't': work->target = bench_address(optarg); break;
        case 'n': work->messages = (uint64_t)bench_number("messages", optarg, 1, 1e9); break;
        case 'm': work->size_bytes = (size_t)bench_number("size", optarg, 1, 64e6); break;
        case 'w': work->window = (uint64_t)bench_number("window", optarg, 1, 1e6); break;
        default: exit(1);
        }
    }
    if (optind != argc || work->target.sin_port == 0)
        bench_fail(0, "usage: bench-amqp --target ADDRESS:PORT [--messages N] [--size BYTES] [--window N]");
}

int main(int argc, char **argv)
{
    struct work work = {.messages = 20000, .window = 256, .size_bytes = 100};
    struct consumer consumer;
    amqp_connection_state_t publisher;
    pthread_t consuming;
    uint64_t begun;
    double seconds;

    read_options(&work, argc, argv);
    start_consuming(&consumer, &work);
    publisher = bench_amqp_connect(&work.target);
    begun = bench_now_ns();
    if (pthread_create(&consuming, NULL, consume_all, &consumer) != 0)
        bench_fail(0, "no thread");
    publish_all(publisher, &work);
    pthread_join(consuming, NULL);
    seconds = (double)(bench_now_ns() - begun) / 1e9;
    printf("messages_per_s=%.1f\ncpu_s=%.6f\n", (double)work.messages / seconds, bench_cpu_seconds());
    bench_amqp_disconnect(publisher);
    bench_amqp_disconnect(consumer.connection);
    return 0;
}
