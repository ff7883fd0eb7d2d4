/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/protocol_header.h"
#include <stdbool.h>
#include <string.h>

const uint8_t amqp_protocol_header_0_9_1[AMQP_PROTOCOL_HEADER_SIZE] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};

static const uint8_t header_0_9[AMQP_PROTOCOL_HEADER_SIZE] = {'A', 'M', 'Q', 'P', 1, 1, 0, 9};

enum { MAGIC_SIZE = 4 };

static bool is_0_9_1(const uint8_t *bytes)
{
    return memcmp(bytes, amqp_protocol_header_0_9_1, AMQP_PROTOCOL_HEADER_SIZE) == 0 ||
           memcmp(bytes, header_0_9, AMQP_PROTOCOL_HEADER_SIZE) == 0;
}

static bool is_1_0(const uint8_t *bytes)
{
    const uint8_t id = bytes[4];
    const bool known = id == AMQP_1_0_LAYER_AMQP || id == AMQP_1_0_LAYER_TLS || id == AMQP_1_0_LAYER_SASL;
    return known && bytes[5] == 1 && bytes[6] == 0 && bytes[7] == 0;
}

enum amqp_protocol amqp_protocol_header_check(const uint8_t *bytes, size_t len)
{
    if (memcmp(bytes, amqp_protocol_header_0_9_1, len < MAGIC_SIZE ? len : MAGIC_SIZE) != 0)
        return AMQP_PROTOCOL_NOT_AMQP;
    if (len < AMQP_PROTOCOL_HEADER_SIZE)
        return AMQP_PROTOCOL_MORE;
    if (is_0_9_1(bytes))
        return AMQP_PROTOCOL_0_9_1;
    return is_1_0(bytes) ? AMQP_PROTOCOL_1_0 : AMQP_PROTOCOL_OTHER;
}
