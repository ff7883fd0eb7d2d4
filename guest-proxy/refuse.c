/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling a client why its session is over: in AMQP a Connection.Close with code 320 and the reason, said at
 * a frame boundary and only when the client can understand it (amqp/refusal.h). Other protocols are just
 * closed.
 */
#include "amqp/canned.h"
#include "guest-proxy/client.h"

#include <stdio.h>
#include <stdlib.h>

/* How long a client may take over its part of the conversation. */
#define REFUSAL_MS 5000u

/* Say what is due; close when all is said. */
static void pump(struct client *client)
{
    uint8_t buffer[AMQP_REFUSAL_WRITE_MAX];

    while (amqp_refusal_state(client->refusal) == AMQP_REFUSAL_SENDING) {
        size_t n = amqp_refusal_write(client->refusal, buffer, sizeof(buffer));

        if (n == 0 || mux_uv_edge_insert(&client->edge, buffer, n) < 0) {
            client_close(client);
            return;
        }
    }
    if (amqp_refusal_state(client->refusal) == AMQP_REFUSAL_DONE)
        client_close_when_written(client);
}

void client_refuse_feed(struct client *client, const uint8_t *data, size_t len)
{
    amqp_refusal_feed(client->refusal, data, len);
    pump(client);
}

void client_refuse(struct client *client, const char *reason)
{
    char text[AMQP_REFUSAL_TEXT_SIZE];

    mux_uv_edge_drop_held(&client->edge); /* the rest of that frame will never come */
    client->refusal = client->service == NULL ? malloc(sizeof(*client->refusal)) : NULL;
    if (client->refusal == NULL) {
        client_close_when_written(client);
        return;
    }
    client_set_state(client, CLIENT_REFUSING);
    client_limit(client, REFUSAL_MS);
    snprintf(text, sizeof(text), "CONNECTION_FORCED - %s", reason);
    amqp_refusal_init(client->refusal, AMQP_REPLY_CONNECTION_FORCED, text);
    amqp_refusal_take_over(client->refusal, &client->watch.from_local, &client->watch.to_local,
                           client->edge.released_off);
    mux_uv_edge_read(&client->edge);
    pump(client);
}
