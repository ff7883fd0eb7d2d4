/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes of a broker on real sockets, as far as an AMQP handshake goes, in the loop of the test. Each does
 * what its mode says, and counts what happens to it.
 */
#ifndef FAKE_BROKER_H
#define FAKE_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum fake_mode {
    FAKE_SERVES,
    FAKE_IS_SILENT,         /* accepts connections, and that is all */
    FAKE_BABBLES,           /* speaks something else */
    FAKE_HANGS_UP,          /* at once */
    FAKE_STALLS_AT_LOGIN,   /* says Start, and nothing to Start-Ok */
    FAKE_REFUSES_LOGIN,     /* 403 */
    FAKE_REFUSES_VHOST,     /* 530 */
    FAKE_HANGS_UP_AT_VHOST, /* no answer to Open but the end */
};

#define FAKE_CONNECTIONS 16u

struct fake_node;

struct fake_connection {
    uv_tcp_t socket;
    struct fake_node *node;
    bool is_used;
    uint8_t in[8192];
    size_t len;
};

struct fake_node {
    uv_loop_t *loop;
    uv_tcp_t listener;
    uint16_t port;
    enum fake_mode mode;
    struct fake_connection connections[FAKE_CONNECTIONS]; /* at once */
    unsigned accepted;
    unsigned greetings; /* Start */
    unsigned logins;    /* Start-Ok */
    unsigned opens;
    unsigned closes; /* ended in order */
    unsigned drops;  /* ended otherwise by the client */
};

/* Not listening yet: a connection to it is refused. Its port stays the same. */
void fake_node_init(struct fake_node *node, uv_loop_t *loop, enum fake_mode mode);

void fake_node_listen(struct fake_node *node);

/* A heartbeat on all connections. */
void fake_node_beat(struct fake_node *node);

/* Say Close on all connections. */
void fake_node_end(struct fake_node *node, uint16_t code, const char *text);

/* End all connections without a word. */
void fake_node_drop(struct fake_node *node);

/* Listen no more, and end all connections; the handles are closed once the loop has turned. */
void fake_node_close(struct fake_node *node);

#endif
