/* SPDX-License-Identifier: Apache-2.0 */
/* rabbitmq-c: publish with confirms, consume, close. See README.md. The digest is left to the caller:
 * all bodies are written to standard output after the line `ok COUNT bodies`. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum { CHANNEL = 1, BODY_MAX = 4096, PREFETCH = 10 };

static const struct timeval PATIENCE = {.tv_sec = 30};

/* Ends the program when the last operation on the connection failed. */
static void check_reply(amqp_rpc_reply_t reply, const char *what)
{
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        errx(1, "%s: %s", what, amqp_error_string2(reply.library_error));
    errx(1, "%s: refused by the broker", what);
}

static void check_status(int status, const char *what)
{
    if (status != AMQP_STATUS_OK)
        errx(1, "%s: %s", what, amqp_error_string2(status));
}

static amqp_connection_state_t connect_to(const char *host, const char *port, const char *vhost)
{
    amqp_connection_state_t conn = amqp_new_connection();
    amqp_socket_t *sock = amqp_tcp_socket_new(conn);
    if (!sock)
        errx(1, "out of memory");
    check_status(amqp_socket_open(sock, host, atoi(port)), "connect");
    check_reply(amqp_login(conn, vhost, 0, 131072, 60, AMQP_SASL_METHOD_PLAIN, "guest", "guest"), "login");
    amqp_channel_open(conn, CHANNEL);
    check_reply(amqp_get_rpc_reply(conn), "channel.open");
    return conn;
}

static amqp_bytes_t declare_queue(amqp_connection_state_t conn)
{
    amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(conn, CHANNEL, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
    check_reply(amqp_get_rpc_reply(conn), "queue.declare");
    return amqp_bytes_malloc_dup(ok->queue);
}

static amqp_bytes_t make_body(char *buffer, int i)
{
    int head = snprintf(buffer, BODY_MAX, "message %d ", i);
    size_t tail = (size_t)(97 * i % 3000);
    memset(buffer + head, 'x', tail);
    return (amqp_bytes_t){.len = (size_t)head + tail, .bytes = buffer};
}

/* Waits until all messages up to delivery tag `last` are confirmed. One queue confirms in order, so that
 * a single confirmation is always for the next tag. */
static void wait_for_confirms(amqp_connection_state_t conn, uint64_t last)
{
    uint64_t confirmed = 0;
    while (confirmed < last) {
        struct timeval patience = PATIENCE;
        amqp_frame_t frame;
        check_status(amqp_simple_wait_frame_noblock(conn, &frame, &patience), "confirm");
        if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
            errx(1, "expected a confirmation");
        const amqp_basic_ack_t *ack = frame.payload.method.decoded;
        confirmed = ack->multiple ? ack->delivery_tag : confirmed + 1;
    }
}

static void publish(amqp_connection_state_t conn, amqp_bytes_t queue, int total)
{
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
    char buffer[BODY_MAX];

    amqp_confirm_select(conn, CHANNEL);
    check_reply(amqp_get_rpc_reply(conn), "confirm.select");
    for (int i = 0; i < total; i++)
        check_status(amqp_basic_publish(conn, CHANNEL, amqp_empty_bytes, queue, 1, 0, &properties,
                                        make_body(buffer, i)),
                     "publish");
    wait_for_confirms(conn, (uint64_t)total);
}

static void consume(amqp_connection_state_t conn, amqp_bytes_t queue, int total)
{
    amqp_basic_qos(conn, CHANNEL, 0, PREFETCH, 0);
    check_reply(amqp_get_rpc_reply(conn), "basic.qos");
    amqp_basic_consume(conn, CHANNEL, queue, amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    check_reply(amqp_get_rpc_reply(conn), "basic.consume");

    printf("ok %d bodies\n", total);
    for (int n = 0; n < total; n++) {
        struct timeval patience = PATIENCE;
        amqp_envelope_t envelope;
        amqp_maybe_release_buffers(conn);
        check_reply(amqp_consume_message(conn, &envelope, &patience, 0), "consume");
        if (fwrite(envelope.message.body.bytes, 1, envelope.message.body.len, stdout) !=
            envelope.message.body.len)
            err(1, "standard output");
        check_status(amqp_basic_ack(conn, CHANNEL, envelope.delivery_tag, 0), "ack");
        amqp_destroy_envelope(&envelope);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        errx(2, "usage: %s HOST PORT VHOST COUNT", argv[0]);
    int total = atoi(argv[4]);
    amqp_connection_state_t conn = connect_to(argv[1], argv[2], argv[3]);
    amqp_bytes_t queue = declare_queue(conn);

    publish(conn, queue, total);
    consume(conn, queue, total);

    amqp_bytes_free(queue);
    check_reply(amqp_connection_close(conn, AMQP_REPLY_SUCCESS), "close");
    check_status(amqp_destroy_connection(conn), "destroy");
    return 0;
}
