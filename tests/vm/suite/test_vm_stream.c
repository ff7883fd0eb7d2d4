/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel transport: what streams carry, how they end, their buffers, and many of them. */
#include "inside.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define MIB (1024 * 1024)

static const struct vmci_settings settings;

/* ── Transfers ── */

#define PIECE 32768u
#define NOISE 1000003u /* a prime, so that no buffer's size divides it */

/* What streams carry: at offset N of a flow stands noise[(start + N) % NOISE]. It ends in a copy of its
 * beginning, so that a piece from any place in it is in one piece. */
static uint8_t noise[NOISE + PIECE];

static int make_noise(void **state)
{
    uint32_t number = 1;

    (void)state;
    for (size_t i = 0; i < NOISE; i++) {
        number = number * 1664525U + 1013904223U;
        noise[i] = (uint8_t)(number >> 24);
    }
    memcpy(noise + NOISE, noise, PIECE);
    return 0;
}

/* One direction of a stream. */
struct flow {
    int from;
    int to;
    size_t start; /* in the noise */
    size_t size;
    size_t sent;
    size_t received;
};

/* Sends what the stream takes now, a piece at most. */
static void flow_send(struct flow *flow)
{
    const size_t left = flow->size - flow->sent;
    const ssize_t sent = send(flow->from, noise + (flow->start + flow->sent) % NOISE,
                              left < PIECE ? left : PIECE, MSG_NOSIGNAL);

    if (sent < 0)
        assert_int_equal(errno, EAGAIN);
    else
        flow->sent += (size_t)sent;
}

/* Takes what is there, a piece at most, and checks every byte. */
static void flow_receive(struct flow *flow)
{
    uint8_t piece[PIECE];
    const ssize_t got = recv(flow->to, piece, sizeof(piece), 0);

    if (got < 0) {
        assert_int_equal(errno, EAGAIN);
        return;
    }
    assert_true(got > 0);
    assert_memory_equal(piece, noise + (flow->start + flow->received) % NOISE, (size_t)got);
    flow->received += (size_t)got;
}

static short wants(const struct flow *out, const struct flow *in)
{
    return (short)((out->sent < out->size ? POLLOUT : 0) | (in->received < in->size ? POLLIN : 0));
}

static void test_large_transfer_both_ways_at_once(void **state)
{
    struct inside_pair pair = inside_pair(5672, &settings);
    struct flow up = {.from = pair.client, .to = pair.server, .size = 24 * MIB};
    struct flow down = {.from = pair.server, .to = pair.client, .size = 16 * MIB + 12345, .start = 77};

    (void)state;
    while (up.received < up.size || down.received < down.size) {
        struct pollfd items[2] = {{.fd = pair.client, .events = wants(&up, &down)},
                                  {.fd = pair.server, .events = wants(&down, &up)}};

        assert_true(poll(items, 2, PATIENCE_MS) > 0);
        if (items[0].revents & POLLOUT)
            flow_send(&up);
        if (items[1].revents & POLLIN)
            flow_receive(&up);
        if (items[1].revents & POLLOUT)
            flow_send(&down);
        if (items[0].revents & POLLIN)
            flow_receive(&down);
    }
    assert_int_equal(up.received, up.size);
    assert_int_equal(down.received, down.size);
    assert_false(scratch_readable(pair.client, 0));
    assert_false(scratch_readable(pair.server, 0));
    inside_pair_close(&pair);
}

static void test_one_byte_at_a_time(void **state)
{
    struct inside_pair pair = inside_pair(5672, &settings);
    char text[1000];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        inside_send(pair.client, &(char){(char)i}, 1);
    assert_int_equal(inside_recv(pair.server, text, sizeof(text)), sizeof(text));
    for (size_t i = 0; i < sizeof(text); i++)
        assert_int_equal(text[i], (char)i);
    inside_pair_close(&pair);
}

/* A reader that does not read stops the writer, and loses nothing. */
static void test_back_pressure(void **state)
{
    const struct vmci_settings small = {.buffer_bytes = 65536};
    struct inside_pair pair = inside_pair(5672, &small);
    struct flow flow = {.from = pair.client, .to = pair.server, .size = SIZE_MAX};
    size_t before;

    (void)state;
    do {
        before = flow.sent;
        flow_send(&flow);
    } while (flow.sent > before);
    assert_in_range(flow.sent, 1, 4 * 65536);
    flow.size = flow.sent;
    while (flow.received < flow.size) {
        assert_true(scratch_readable(pair.server, PATIENCE_MS));
        flow_receive(&flow);
    }
    inside_pair_close(&pair);
}

/* ── Ends ── */

static void test_half_close(void **state)
{
    struct inside_pair pair = inside_pair(5672, &settings);
    char text[16];

    (void)state;
    inside_send(pair.client, "question", 8);
    assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
    assert_int_equal(inside_recv(pair.server, text, sizeof(text)), 8); /* all of it, then the end */
    assert_memory_equal(text, "question", 8);
    assert_true(scratch_ended(pair.server));
    inside_send(pair.server, "answer", 6);
    assert_int_equal(inside_recv(pair.client, text, 6), 6);
    assert_memory_equal(text, "answer", 6);
    assert_int_equal(send(pair.client, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    inside_pair_close(&pair);
}

static void test_what_was_sent_before_the_close_arrives(void **state)
{
    struct inside_pair pair = inside_pair(5672, &settings);
    char text[32768];

    (void)state;
    memset(text, 'x', sizeof(text));
    inside_send(pair.client, text, sizeof(text));
    (void)close(pair.client);
    assert_int_equal(inside_recv(pair.server, text, sizeof(text)), sizeof(text));
    assert_true(scratch_readable(pair.server, PATIENCE_MS));
    assert_true(scratch_ended(pair.server));
    (void)close(pair.server);
}

/*
 * The peer is killed with data unread. On vsock that reads as a clean end of file: nothing tells it from an
 * end in order, which is why the session protocol never takes an end of file for one.
 */
static void test_a_killed_peer_reads_as_end_of_file(void **state)
{
    struct inside_pair pair = inside_pair(5672, &settings);
    int status;
    const pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(pair.client);
        for (;;)
            (void)pause();
    }
    (void)close(pair.server);
    inside_send(pair.client, "unread", 6);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(scratch_readable(pair.client, PATIENCE_MS));
    assert_int_equal(recv(pair.client, &(char){0}, 1, 0), 0);
    while (send(pair.client, "x", 1, MSG_NOSIGNAL) == 1) /* the kernel may take a little while to notice */
        (void)usleep(1000);
    assert_int_equal(errno, EPIPE);
    (void)close(pair.client);
}

/* ── Buffers ── */

static uint64_t buffer_of(int fd, int option)
{
    uint64_t value = 0;
    socklen_t length = sizeof(value);

    assert_int_equal(getsockopt(fd, AF_VSOCK, option, &value, &length), 0);
    return value;
}

static void assert_buffers(uint32_t bytes, uint64_t size, uint64_t max)
{
    const struct vmci_settings sized = {.buffer_bytes = bytes};
    struct inside_pair pair = inside_pair(5672, &sized);

    assert_int_equal(buffer_of(pair.client, SO_VM_SOCKETS_BUFFER_SIZE), size);
    assert_int_equal(buffer_of(pair.client, SO_VM_SOCKETS_BUFFER_MAX_SIZE), max);
    assert_int_equal(buffer_of(pair.server, SO_VM_SOCKETS_BUFFER_SIZE), size);
    assert_int_equal(buffer_of(pair.server, SO_VM_SOCKETS_BUFFER_MAX_SIZE), max);
    inside_pair_close(&pair);
}

static void test_buffer_sizes(void **state)
{
    (void)state;
    assert_buffers(0, 262144, 262144); /* the kernel's own */
    assert_buffers(65536, 65536, 262144);
    assert_buffers(4 * MIB, 4 * MIB, 4 * MIB); /* past the maximum: that is raised first */
}

/* ── Many ── */

static void test_many_streams(void **state)
{
    enum { STREAMS = 300 };
    struct vmci_listener *listener = inside_listen("vsock:any:5672");
    static struct inside_pair pairs[STREAMS];
    static struct vmci_peer peers[STREAMS];
    int got;

    (void)state;
    for (int i = 0; i < STREAMS; i++) {
        pairs[i].client = inside_connect("vsock:1:5672", &settings);
        assert_true(pairs[i].client >= 0);
        pairs[i].server = inside_accept(listener, &peers[i]);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(peers[i].port, peers[j].port);
    }
    for (int i = 0; i < STREAMS; i++)
        inside_send(pairs[i].client, &i, sizeof(i));
    for (int i = STREAMS - 1; i >= 0; i--) {
        assert_int_equal(inside_recv(pairs[i].server, &got, sizeof(got)), sizeof(got));
        assert_int_equal(got, i);
        inside_pair_close(&pairs[i]);
    }
    vmci_listener_close(listener);
}

/* Opened and closed over and over, while the ports of the closed ones are still being cleaned up. */
static void test_churn(void **state)
{
    struct vmci_listener *listener = inside_listen("vsock:any:5672");

    (void)state;
    for (int i = 0; i < 1000; i++) {
        const int client = inside_connect("vsock:1:5672", &settings);

        assert_true(client >= 0);
        (void)close(inside_accept(listener, NULL));
        (void)close(client);
    }
    vmci_listener_close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_transfer_both_ways_at_once),
        cmocka_unit_test(test_one_byte_at_a_time),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_what_was_sent_before_the_close_arrives),
        cmocka_unit_test(test_a_killed_peer_reads_as_end_of_file),
        cmocka_unit_test(test_buffer_sizes),
        cmocka_unit_test(test_many_streams),
        cmocka_unit_test(test_churn),
    };

    inside_require();
    return cmocka_run_group_tests(tests, make_noise, NULL);
}
