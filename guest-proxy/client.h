/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client's connection, from accept to close.
 *
 *     HEADER ──► SERVING ──► REFUSING ──► CLOSING
 *        │          └── both sides ended ────┤
 *        └── not AMQP, or gone ──────────────┘
 *
 * HEADER: an AMQP client has not said its eight bytes yet; no session exists. SERVING: a session carries its
 * bytes. REFUSING: the session is over, and the client is told why (refuse.c). CLOSING: what is queued is
 * written, then all is closed.
 */
#ifndef GUEST_PROXY_CLIENT_H
#define GUEST_PROXY_CLIENT_H

#include "amqp/protocol_header.h"
#include "amqp/refusal.h"
#include "amqp/uv/watch.h"
#include "guest-proxy/guest.h"
#include "guest-proxy/uplink.h"
#include "mux/uv/edge.h"

enum client_state { CLIENT_HEADER, CLIENT_SERVING, CLIENT_REFUSING, CLIENT_CLOSING };

struct client {
    struct mux_uv_edge edge;
    TAILQ_ENTRY(client) entry;
    struct guest *guest;
    const char *service; /* NULL: AMQP, which is looked at; otherwise passed through unread */
    enum client_state state;
    struct uplink uplink;
    struct mux_attributes attributes;
    uint8_t header[AMQP_PROTOCOL_HEADER_SIZE]; /* HEADER */
    size_t header_len;
    struct amqp_watch watch;         /* AMQP only */
    struct amqp_refusal *refusal;    /* REFUSING; heap */
    uint64_t deadline_ms;            /* of HEADER, REFUSING, CLOSING; UINT64_MAX: none */
    char address[NET_NAME_MAX];      /* of the client */
    char process[64];                /* Unix sockets: "pid=N uid=N"; otherwise "" */
    char object[NET_NAME_MAX + 128]; /* for log lines */
};

/*
 * A client connected. Both descriptors are taken over: `reserve_fd` keeps the place of its stream's.
 * `service` NULL: AMQP; it must outlive the client.
 */
void client_open(struct guest *guest, int fd, int reserve_fd, const char *service);

/* End the client's session and tell it "shutting down". */
void client_drain(struct client *client);

/* Close without a word. */
void client_close(struct client *client);

/* Close as soon as what is queued for the client is written, within a time limit. */
void client_close_when_written(struct client *client);

/* refuse.c: the session is over for this reason; tell the client. */
void client_refuse(struct client *client, const char *reason);

/* refuse.c: the client said something while it is being refused. */
void client_refuse_feed(struct client *client, const uint8_t *data, size_t len);

/* Move to a later state; it has no time limit yet. */
void client_set_state(struct client *client, enum client_state next);

/* Set the time limit of the state that the client is in now. */
void client_limit(struct client *client, uint64_t ms);

static inline struct client *client_of(struct mux_uv_edge *edge)
{
    return (struct client *)((char *)edge - offsetof(struct client, edge));
}

#endif
