/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_LOGIN_H
#define AMQP_LOGIN_H

/* User name and password in Connection.Start-Ok: SASL mechanisms PLAIN (RFC 4616) and AMQPLAIN. */

#include "amqp/cursor.h"
#include "amqp/exception.h"

#define AMQP_LOGIN_MECHANISMS "PLAIN AMQPLAIN"

struct amqp_login {
    struct amqp_span user;
    struct amqp_span password;
};

/*
 * Reads a client's response. The spans lie in it. Otherwise false and `*e`: 503 for a mechanism that is not
 * offered, 502 for a response that says something else than a user and a password.
 */
bool amqp_login_read(struct amqp_span mechanism, struct amqp_span response, struct amqp_login *login,
                     struct amqp_exception *e);

/* Writes a PLAIN response to buf[0, size). Its length, or 0 when it does not fit or a NUL is in the way. */
size_t amqp_login_write_plain(const struct amqp_login *login, uint8_t *buf, size_t size);

#endif
