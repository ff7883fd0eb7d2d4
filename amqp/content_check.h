/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_CONTENT_CHECK_H
#define AMQP_CONTENT_CHECK_H

#include "amqp/cursor.h"

/*
 * A content header's payload:  | class 2 | weight 2 | body size 8 | property flags 2 | properties … |
 *
 * The fourteen properties of class basic, from bit 15 of the flags down to bit 2. Bit 1 means nothing to
 * RabbitMQ, bit 0 would announce a second word of flags.
 */
enum amqp_property {
    AMQP_PROPERTY_CONTENT_TYPE,
    AMQP_PROPERTY_CONTENT_ENCODING,
    AMQP_PROPERTY_HEADERS,
    AMQP_PROPERTY_DELIVERY_MODE,
    AMQP_PROPERTY_PRIORITY,
    AMQP_PROPERTY_CORRELATION_ID,
    AMQP_PROPERTY_REPLY_TO,
    AMQP_PROPERTY_EXPIRATION,
    AMQP_PROPERTY_MESSAGE_ID,
    AMQP_PROPERTY_TIMESTAMP,
    AMQP_PROPERTY_TYPE,
    AMQP_PROPERTY_USER_ID,
    AMQP_PROPERTY_APP_ID,
    AMQP_PROPERTY_CLUSTER_ID,
    AMQP_PROPERTY_COUNT,
};

#define AMQP_CONTENT_HEADER_MIN 12 /* what RabbitMQ takes for a content header at all */
#define AMQP_CONTENT_FLAGS_AT   12

/*
 * Says whether RabbitMQ could take the flags and properties apart, `properties` being what lies behind the
 * body size. If not (flags that don't match the data, bytes left over, an unsound table), it ends the
 * connection of whoever published it with 541.
 */
bool amqp_properties_check(struct amqp_span properties);

/*
 * Finds the value of a property: strings and the table without their lengths, inside of the input. False:
 * there is none, or what lies before it is not sound.
 */
bool amqp_properties_find(struct amqp_span properties, enum amqp_property which, struct amqp_span *value);

#endif
