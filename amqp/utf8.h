/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_UTF8_H
#define AMQP_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the bytes are UTF-8 as RFC 3629 has it: no overlong forms, no surrogates. Any character will do,
 * NUL and control characters among them. */
bool amqp_utf8_is_valid(const uint8_t *data, size_t len);

#endif
