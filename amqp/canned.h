/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_CANNED_H
#define AMQP_CANNED_H

/*
 * Complete AMQP 0-9-1 frames that a proxy says in its own name.
 *
 * Each function writes one frame to buf[0, size) and returns its length, or 0 when it does not fit; the
 * constants say how much is always enough. Nothing outside the returned length is touched or promised.
 */

#include <stddef.h>
#include <stdint.h>

#define AMQP_CANNED_START_MAX      640
#define AMQP_CANNED_CLOSE_MAX      274
#define AMQP_CANNED_CLOSE_OK_SIZE  12
#define AMQP_CANNED_HEARTBEAT_SIZE 8

/* Reply codes that the proxies use (0-9-1, section 1.2; AMQP_… of rabbitmq-c has the others). */
#define AMQP_REPLY_CONNECTION_FORCED 320
#define AMQP_REPLY_ACCESS_REFUSED    403
#define AMQP_REPLY_RESOURCE_ERROR    506
#define AMQP_REPLY_NOT_ALLOWED       530

/* Connection.Start as RabbitMQ sends it, with our own product name and version. */
size_t amqp_canned_start(uint8_t *buf, size_t size);

/* The same with these SASL mechanisms, names separated by spaces, at most 64 bytes. */
size_t amqp_canned_start_with(uint8_t *buf, size_t size, const char *mechanisms);

/* Connection.Close. `text` is made fit for a short string as amqp_text_copy does (amqp/text.h). */
size_t amqp_canned_close(uint8_t *buf, size_t size, uint16_t code, const char *text);

/* Connection.Close-Ok. */
size_t amqp_canned_close_ok(uint8_t *buf, size_t size);

/* A heartbeat. */
size_t amqp_canned_heartbeat(uint8_t *buf, size_t size);

#endif
