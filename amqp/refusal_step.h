/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_REFUSAL_STEP_H
#define AMQP_REFUSAL_STEP_H

/* The steps of a refusal, for refusal*.c alone. */

#include "amqp/refusal.h"

enum amqp_refusal_step {
    AMQP_REFUSAL_STEP_DONE,
    AMQP_REFUSAL_AWAIT_HEADER,
    AMQP_REFUSAL_SEND_VERSION, /* the header of 0-9-1, to a client that speaks something else */

    AMQP_REFUSAL_SEND_START, /* AMQP 0-9-1 */
    AMQP_REFUSAL_AWAIT_START_OK,
    AMQP_REFUSAL_SEND_CLOSE,
    AMQP_REFUSAL_AWAIT_CLOSE_OK,
    AMQP_REFUSAL_SEND_CLOSE_OK,

    AMQP_REFUSAL_SEND_SASL_HEADER, /* AMQP 1.0 */
    AMQP_REFUSAL_SEND_MECHANISMS,
    AMQP_REFUSAL_AWAIT_SASL_INIT,
    AMQP_REFUSAL_SEND_OUTCOME,
    AMQP_REFUSAL_AWAIT_1_0_HEADER,
    AMQP_REFUSAL_SEND_1_0_HEADER,
    AMQP_REFUSAL_SEND_1_0_OPEN,
    AMQP_REFUSAL_SEND_1_0_CLOSE,
};

/* A bit of `told` beside those of enum amqp_seen: we have nothing to say, or nothing more. */
#define AMQP_REFUSAL_TOLD_ALL (1 << 15)

/* Writes one message to buf[0, size). Returns its length, 0 when it does not fit. */
typedef size_t amqp_refusal_writer(const struct amqp_refusal *r, uint8_t *buf, size_t size);

/* The step that is due with a client whose header was one of AMQP 1.0, and the messages it may need. */
enum amqp_refusal_step amqp_refusal_1_0_step(const struct amqp_refusal *r);
amqp_refusal_writer amqp_refusal_1_0_write_sasl_header;
amqp_refusal_writer amqp_refusal_1_0_write_mechanisms;
amqp_refusal_writer amqp_refusal_1_0_write_outcome;
amqp_refusal_writer amqp_refusal_1_0_write_header;
amqp_refusal_writer amqp_refusal_1_0_write_open;
amqp_refusal_writer amqp_refusal_1_0_write_close;

#endif
