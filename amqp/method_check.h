/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_METHOD_CHECK_H
#define AMQP_METHOD_CHECK_H

#include "amqp/cursor.h"
#include "amqp/exception.h"
#include "amqp/method_spec.h"

/*
 * Says whether RabbitMQ could decode `arguments` (a method's payload behind its id): every field there, none
 * cut short, nothing left over, tables sound, and short strings UTF-8 in methods without content. After a
 * yes, rabbitmq-c decodes them too, and what it encodes from that is as long as the original.
 *
 * Otherwise false with `*e` as RabbitMQ would have closed a private connection: 501. Unsound tables make
 * RabbitMQ drop the connection without a word; here the client is told 502.
 */
bool amqp_method_check(const struct amqp_method_spec *spec, struct amqp_span arguments,
                       struct amqp_exception *e);

#endif
