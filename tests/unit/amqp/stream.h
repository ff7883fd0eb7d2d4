/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_STREAM_H
#define TESTS_AMQP_STREAM_H

/* One direction of an AMQP connection, put together byte by byte, for tests. Running out of room aborts. */

#include <stddef.h>
#include <stdint.h>

#define STREAM_SIZE 4096

struct stream {
    size_t len;
    uint8_t bytes[STREAM_SIZE];
};

void stream_bytes(struct stream *s, const void *bytes, size_t len);

/* A protocol header, "AMQP" and four more. */
void stream_header(struct stream *s, uint8_t id, uint8_t major, uint8_t minor, uint8_t revision);

/* AMQP 0-9-1: any frame, and a method with its arguments as they are on the wire. */
void stream_frame(struct stream *s, uint8_t type, uint16_t channel, const void *payload, uint32_t size);
void stream_method(struct stream *s, uint16_t channel, uint32_t id, const void *arguments, size_t size);

/* AMQP 1.0: a frame with `doff` (2: no extended header) and the body that follows. */
void stream_1_0_frame(struct stream *s, uint8_t doff, uint8_t type, const void *body, size_t size);

/*
 * Ordinary sessions: login, a channel, a published and a consumed message, heartbeats, an orderly close.
 * Payloads contain bytes that look like frames and end octets.
 */
void stream_client_session(struct stream *s);
void stream_server_session(struct stream *s);
void stream_1_0_session(struct stream *s, int from_server);

#endif
