/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-amqp-sessions: many AMQP clients at once.
 *
 *   bench-amqp-sessions talk  --target ADDRESS:PORT [--sessions N] [--active N] [--seconds S] [--size BYTES]
 *   bench-amqp-sessions churn --target ADDRESS:PORT [--sessions N] [--seconds S] [--size BYTES]
 *
 * talk: opens all sessions, each with a queue of its own that it consumes from. Those that are active publish
 * a message to their queue, acknowledge it when it is delivered, and publish the next; the others are idle.
 * Prints messages delivered, messages_per_s, p50_us and p99_us from publish to delivery, cpu_s of this
 * process.
 *
 * churn: as many at a time as there are sessions connect, publish one message and close in order, and again.
 * Prints sessions_per_s and cpu_s.
 *
 * Both print begin=1 first, when the measured time begins.
 */
#include "amqp_client.h"
#include "threads.h"

#include <amqp_framing.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPENERS      8
#define SAMPLES_MAX  2000000u
#define WARMUP_SHARE 10 /* one of so many seconds is not counted */

struct options {
    struct sockaddr_in target;
    unsigned sessions;
    unsigned active;
    double seconds;
    size_t size_bytes;
};

static void publish(amqp_connection_state_t connection, amqp_bytes_t key, amqp_bytes_t body)
{
    int status = amqp_basic_publish(connection, BENCH_CHANNEL, amqp_empty_bytes, key, 0, 0, NULL, body);

    if (status != AMQP_STATUS_OK)
        bench_fail(0, "publish: %s", amqp_error_string2(status));
}

/* Whoever reads our output takes its bearings here: all is open, the measured time begins. */
static uint64_t begin(void)
{
    puts("begin=1");
    fflush(stdout);
    return bench_now_ns();
}

/* ── talk ── */

struct session {
    amqp_connection_state_t connection;
    amqp_bytes_t queue; /* owned */
};

struct opener {
    const struct options *options;
    struct session *sessions;
    unsigned first; /* opens this one and every OPENERS-th behind it */
};

static void open_session(struct session *session, const struct options *options)
{
    amqp_queue_declare_ok_t *declared;

    session->connection = bench_amqp_connect(&options->target);
    declared = amqp_queue_declare(session->connection, BENCH_CHANNEL, amqp_empty_bytes, 0, 0, 1, 1,
                                  amqp_empty_table);
    bench_require(amqp_get_rpc_reply(session->connection), "queue");
    session->queue = amqp_bytes_malloc_dup(declared->queue);
    amqp_basic_consume(session->connection, BENCH_CHANNEL, session->queue, amqp_empty_bytes, 0, 0, 1,
                       amqp_empty_table);
    bench_require(amqp_get_rpc_reply(session->connection), "consume");
}

static void *open_some(void *arg)
{
    struct opener *opener = arg;

    for (unsigned i = opener->first; i < opener->options->sessions; i += OPENERS)
        open_session(&opener->sessions[i], opener->options);
    return NULL;
}

static struct session *open_all(const struct options *options)
{
    struct session *sessions = bench_alloc(options->sessions, sizeof(*sessions));
    struct opener openers[OPENERS];
    pthread_t threads[OPENERS];

    for (unsigned i = 0; i < OPENERS; i++)
        openers[i] = (struct opener){.options = options, .sessions = sessions, .first = i};
    bench_start(threads, OPENERS, open_some, openers, sizeof(openers[0]));
    bench_join(threads, OPENERS);
    return sessions;
}

struct talk {
    const struct options *options;
    struct session *sessions;
    struct pollfd *fds; /* of the active ones */
    uint32_t *samples_ns;
    size_t taken;
    uint64_t delivered; /* of all time */
    uint64_t counted_from_ns;
    char *body; /* begins with the time when it was published */
};

static void say(struct talk *talk, struct session *session)
{
    uint64_t now = bench_now_ns();

    memcpy(talk->body, &now, sizeof(now));
    publish(session->connection, session->queue,
            (amqp_bytes_t){.len = talk->options->size_bytes, .bytes = talk->body});
}

static void take_sample(struct talk *talk, const amqp_bytes_t *body)
{
    uint64_t now = bench_now_ns(), said;

    if (body->len != talk->options->size_bytes)
        bench_fail(0, "a message of %zu bytes came", body->len);
    talk->delivered++;
    memcpy(&said, body->bytes, sizeof(said));
    if (said >= talk->counted_from_ns && talk->taken < SAMPLES_MAX)
        talk->samples_ns[talk->taken++] = now - said < UINT32_MAX ? (uint32_t)(now - said) : UINT32_MAX;
}

/* Takes what has come, and answers each message with the next. */
static void hear(struct talk *talk, struct session *session)
{
    const struct timeval at_once = {0};
    amqp_envelope_t envelope;
    amqp_rpc_reply_t reply;

    for (;;) {
        amqp_maybe_release_buffers(session->connection);
        reply = amqp_consume_message(session->connection, &envelope, &at_once, 0);
        if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && reply.library_error == AMQP_STATUS_TIMEOUT)
            return;
        bench_require(reply, "delivery");
        take_sample(talk, &envelope.message.body);
        if (amqp_basic_ack(session->connection, BENCH_CHANNEL, envelope.delivery_tag, 0) != AMQP_STATUS_OK)
            bench_fail(0, "ack failed");
        amqp_destroy_envelope(&envelope);
        say(talk, session);
    }
}

static void talk_until(struct talk *talk, uint64_t deadline)
{
    unsigned active = talk->options->active;

    while (bench_now_ns() < deadline) {
        if (poll(talk->fds, active, BENCH_STALL_SECONDS * 1000) <= 0)
            bench_fail(errno, "nothing is delivered any more");
        for (unsigned i = 0; i < active; i++)
            if (talk->fds[i].revents != 0)
                hear(talk, &talk->sessions[i]);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void report_talk(struct talk *talk, double seconds)
{
    if (talk->taken == 0)
        bench_fail(0, "no message came");
    qsort(talk->samples_ns, talk->taken, sizeof(*talk->samples_ns), by_value);
    printf("messages=%lu\nmessages_per_s=%.1f\np50_us=%.3f\np99_us=%.3f\ncpu_s=%.6f\n",
           (unsigned long)talk->delivered, (double)talk->taken / seconds,
           talk->samples_ns[talk->taken / 2] / 1e3, talk->samples_ns[talk->taken * 99 / 100] / 1e3,
           bench_cpu_seconds());
}

static void run_talk(const struct options *options)
{
    struct talk talk = {
        .options = options,
        .sessions = open_all(options),
        .fds = bench_alloc(options->active, sizeof(*talk.fds)),
        .samples_ns = bench_alloc(SAMPLES_MAX, sizeof(*talk.samples_ns)),
        .body = bench_alloc(1, options->size_bytes),
    };
    uint64_t begun = begin();
    uint64_t end = begun + (uint64_t)(options->seconds * 1e9);

    talk.counted_from_ns = begun + (end - begun) / WARMUP_SHARE;
    for (unsigned i = 0; i < options->active; i++) {
        talk.fds[i] = (struct pollfd){.fd = amqp_get_sockfd(talk.sessions[i].connection), .events = POLLIN};
        say(&talk, &talk.sessions[i]);
    }
    talk_until(&talk, end);
    report_talk(&talk, (double)(bench_now_ns() - talk.counted_from_ns) / 1e9);
    for (unsigned i = 0; i < options->sessions; i++) {
        amqp_bytes_free(talk.sessions[i].queue);
        bench_amqp_disconnect(talk.sessions[i].connection);
    }
    free(talk.sessions);
    free(talk.fds);
    free(talk.samples_ns);
    free(talk.body);
}

/* ── churn ── */

struct visitor {
    const struct options *options;
    uint64_t deadline;
    uint64_t visits;
};

static void *visit(void *arg)
{
    struct visitor *visitor = arg;
    const size_t size = visitor->options->size_bytes;
    char *body = bench_alloc(1, size);

    while (bench_now_ns() < visitor->deadline) {
        amqp_connection_state_t connection = bench_amqp_connect(&visitor->options->target);

        publish(connection, amqp_cstring_bytes("amqp-vsock-bench-nobody"),
                (amqp_bytes_t){.len = size, .bytes = body});
        bench_amqp_disconnect(connection);
        visitor->visits++;
    }
    free(body);
    return NULL;
}

static void run_churn(const struct options *options)
{
    struct visitor *visitors = bench_alloc(options->sessions, sizeof(*visitors));
    pthread_t *threads = bench_alloc(options->sessions, sizeof(*threads));
    uint64_t begun = begin(), visits = 0;

    for (unsigned i = 0; i < options->sessions; i++)
        visitors[i] =
            (struct visitor){.options = options, .deadline = begun + (uint64_t)(options->seconds * 1e9)};
    bench_start(threads, options->sessions, visit, visitors, sizeof(*visitors));
    bench_join(threads, options->sessions);
    for (unsigned i = 0; i < options->sessions; i++)
        visits += visitors[i].visits;
    printf("sessions=%lu\nsessions_per_s=%.1f\ncpu_s=%.6f\n", (unsigned long)visits,
           (double)visits / ((double)(bench_now_ns() - begun) / 1e9), bench_cpu_seconds());
    free(threads);
    free(visitors);
}

/* ── Options ── */

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"target", required_argument, NULL, 't'}, {"sessions", required_argument, NULL, 'n'},
        {"active", required_argument, NULL, 'a'}, {"seconds", required_argument, NULL, 's'},
        {"size", required_argument, NULL, 'm'},   {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 't': options->target = bench_address(optarg); break;
        case 'n': options->sessions = (unsigned)bench_number("sessions", optarg, 1, 20000); break;
        case 'a': options->active = (unsigned)bench_number("active", optarg, 1, 20000); break;
        case 's': options->seconds = bench_number("seconds", optarg, 0.01, 3600); break;
        case 'm': options->size_bytes = (size_t)bench_number("size", optarg, sizeof(uint64_t), 64e6); break;
        default: exit(1);
        }
    }
    if (options->active == 0 || options->active > options->sessions)
        options->active = options->sessions;
}

int main(int argc, char **argv)
{
    struct options options = {.sessions = 1, .seconds = 2, .size_bytes = 100};

    read_options(&options, argc, argv);
    bench_allow_descriptors(options.sessions + 100);
    if (optind + 1 == argc && options.target.sin_port != 0 && strcmp(argv[optind], "talk") == 0)
        run_talk(&options);
    else if (optind + 1 == argc && options.target.sin_port != 0 && strcmp(argv[optind], "churn") == 0)
        run_churn(&options);
    else
        bench_fail(0,
                   "usage: bench-amqp-sessions talk|churn --target ADDRESS:PORT [--sessions N] [--active N] "
                   "[--seconds S] [--size BYTES]");
    return 0;
}
