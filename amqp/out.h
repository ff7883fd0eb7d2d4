/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_OUT_H
#define AMQP_OUT_H

/*
 * Frames of channel 0 that wait to be sent: few and small, since each answers one of the peer's or stands
 * for a state that is entered once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct amqp_out {
    uint8_t *data;
    size_t len;
    size_t room;
};

void amqp_out_init(struct amqp_out *out);
void amqp_out_deinit(struct amqp_out *out);

/* 0 or -1: out of memory, nothing added. */
int amqp_out_add(struct amqp_out *out, const void *bytes, size_t len);

/* A method on channel 0 from rabbitmq-c's structure, at most 4096 bytes as a frame. 0 or -1: no memory, or it
 * does not fit. */
int amqp_out_add_method(struct amqp_out *out, uint32_t method, void *decoded);

/* Moves bytes to buf[0, size): all, or as many as there is room for. Returns how many. */
size_t amqp_out_take(struct amqp_out *out, uint8_t *buf, size_t size);

#endif
