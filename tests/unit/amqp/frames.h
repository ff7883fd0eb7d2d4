/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_FRAMES_H
#define TESTS_AMQP_FRAMES_H

/* Frames for the tests of direct mode, written with rabbitmq-c. Running out of room aborts. */

#include "amqp/frame_reader.h"
#include <amqp.h>
#include <amqp_framing.h>

struct frames {
    size_t len;
    uint8_t bytes[1 << 18];
};

void frames_raw(struct frames *f, uint8_t type, uint16_t channel, const void *payload, size_t len);

/* A method from its structure. */
void frames_method(struct frames *f, uint16_t channel, uint32_t method, void *decoded);

/* A content header with these properties, and body frames of at most `piece` bytes. */
void frames_content(struct frames *f, uint16_t channel, const amqp_basic_properties_t *properties,
                    const void *body, size_t len, size_t piece);

/* basic.publish to the default exchange with its content. */
void frames_publish(struct frames *f, uint16_t channel, const char *key, const void *body, size_t len);

/* Of frames_declare. */
enum { FRAMES_PASSIVE = 1, FRAMES_EXCLUSIVE = 2, FRAMES_NOWAIT = 4 };

/* How clients log in: the capabilities are AMQP_CAN_…; user "u", password "p", vhost "/". */
void frames_protocol_header(struct frames *f);
void frames_start_ok(struct frames *f, const char *mechanism, unsigned can);
void frames_tune_ok(struct frames *f);
void frames_connection_open(struct frames *f);

/* What clients say. */
void frames_open(struct frames *f, uint16_t channel);
void frames_close(struct frames *f, uint16_t channel);
void frames_close_ok(struct frames *f, uint16_t channel);
void frames_consume(struct frames *f, uint16_t channel, const char *queue, const char *tag, bool no_ack);
void frames_cancel(struct frames *f, uint16_t channel, const char *tag);
void frames_qos(struct frames *f, uint16_t channel, uint16_t prefetch, bool global);
void frames_get(struct frames *f, uint16_t channel, const char *queue, bool no_ack);
void frames_declare(struct frames *f, uint16_t channel, const char *queue, unsigned flags);
void frames_bind(struct frames *f, uint16_t channel, const char *queue);
void frames_delete(struct frames *f, uint16_t channel, const char *queue);
void frames_delete_if(struct frames *f, uint16_t channel, const char *queue, bool unused, bool empty);
void frames_declare_of_type(struct frames *f, uint16_t channel, const char *queue, const char *type);
void frames_purge(struct frames *f, uint16_t channel, const char *queue);
void frames_confirm_select(struct frames *f, uint16_t channel, bool nowait);
void frames_ack(struct frames *f, uint16_t channel, uint64_t tag, bool multiple);
void frames_nack(struct frames *f, uint16_t channel, uint64_t tag, bool multiple);

/* A method without arguments, or with the one bit of basic.recover set. */
void frames_plain(struct frames *f, uint16_t channel, uint32_t method);

/* A table of one entry. */
amqp_table_t frames_table(amqp_table_entry_t *entry, const char *key, uint8_t kind);

#endif
