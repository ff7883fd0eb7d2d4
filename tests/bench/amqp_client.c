/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp_client.h"

#include <amqp_tcp_socket.h>
#include <arpa/inet.h>

void bench_require(amqp_rpc_reply_t reply, const char *what)
{
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        bench_fail(0, "%s: %s", what, amqp_error_string2(reply.library_error));
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        bench_fail(0, "%s: the broker closed: %s", what, amqp_method_name(reply.reply.id));
}

amqp_connection_state_t bench_amqp_connect(const struct sockaddr_in *target)
{
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = connection == NULL ? NULL : amqp_tcp_socket_new(connection);
    char host[INET_ADDRSTRLEN];
    int status;

    if (socket == NULL)
        bench_fail(0, "no memory for a connection");
    inet_ntop(AF_INET, &target->sin_addr, host, sizeof(host));
    status = amqp_socket_open(socket, host, ntohs(target->sin_port));
    if (status != AMQP_STATUS_OK)
        bench_fail(0, "connect: %s", amqp_error_string2(status));
    bench_require(
        amqp_login(connection, "/", 0, AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
        "login");
    amqp_channel_open(connection, BENCH_CHANNEL);
    bench_require(amqp_get_rpc_reply(connection), "channel");
    return connection;
}

void bench_amqp_disconnect(amqp_connection_state_t connection)
{
    bench_require(amqp_connection_close(connection, AMQP_REPLY_SUCCESS), "close");
    amqp_destroy_connection(connection);
}
