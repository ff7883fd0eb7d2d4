/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_PROTOCOL_HEADER_H
#define AMQP_PROTOCOL_HEADER_H

/*
 * The eight bytes that open every AMQP connection.
 *
 *   AMQP 0-9-1, section 4.2.2:       'A' 'M' 'Q' 'P'   0   0   9   1
 *   AMQP 0-9:                        'A' 'M' 'Q' 'P'   1   1   0   9
 *   AMQP 1.0, section 2.2 (part 2):  'A' 'M' 'Q' 'P'  id   1   0   0     id: 0 AMQP, 2 TLS, 3 SASL
 */

#include <stddef.h>
#include <stdint.h>

#define AMQP_PROTOCOL_HEADER_SIZE 8

enum amqp_protocol {
    AMQP_PROTOCOL_MORE,     /* fewer than 8 bytes, all of them right so far */
    AMQP_PROTOCOL_0_9_1,    /* 0-9-1, or 0-9, which RabbitMQ takes as 0-9-1: old clients send its header */
    AMQP_PROTOCOL_1_0,      /* 1.0.0 with a known id */
    AMQP_PROTOCOL_OTHER,    /* "AMQP" and another version or id: the broker decides */
    AMQP_PROTOCOL_NOT_AMQP, /* one of the first four bytes is wrong */
};

/* The id byte of an AMQP 1.0 header. */
enum amqp_1_0_layer {
    AMQP_1_0_LAYER_AMQP = 0,
    AMQP_1_0_LAYER_TLS = 2,
    AMQP_1_0_LAYER_SASL = 3,
};

/* What a server answers to a header that it does not accept, before it closes (0-9-1, section 4.2.2). */
extern const uint8_t amqp_protocol_header_0_9_1[AMQP_PROTOCOL_HEADER_SIZE];

/*
 * Judges the first `len` bytes that a peer has sent; bytes past the eighth are not looked at. Holds no state:
 * whoever receives the header in pieces keeps the pieces together and asks again. NOT_AMQP comes as soon as a
 * byte can't match, the other verdicts with the eighth byte. No bytes at all are MORE.
 */
enum amqp_protocol amqp_protocol_header_check(const uint8_t *bytes, size_t len);

#endif
