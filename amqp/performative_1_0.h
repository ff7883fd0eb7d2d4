/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_PERFORMATIVE_1_0_H
#define AMQP_PERFORMATIVE_1_0_H

/* Descriptors of those AMQP 1.0 performatives that open and close a connection (part 2, section 2.7; part
 * 5, 5.3.3). */
enum amqp_1_0_performative {
    AMQP_1_0_OPEN = 0x10,
    AMQP_1_0_CLOSE = 0x18,
    AMQP_1_0_ERROR = 0x1D,
    AMQP_1_0_SASL_MECHANISMS = 0x40,
    AMQP_1_0_SASL_INIT = 0x41,
    AMQP_1_0_SASL_OUTCOME = 0x44,
};

#endif
