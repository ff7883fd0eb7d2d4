/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/login.h"
#include "amqp/table_check.h"
#include <amqp.h>
#include <amqp_framing.h>

/* NUL and what follows it up to the next NUL or the end. */
static bool take_element(struct amqp_cursor *c, struct amqp_span *element)
{
    if (amqp_cursor_left(c) == 0 || amqp_take_u8(c) != 0)
        return false;
    const uint8_t *end = memchr(c->p, 0, amqp_cursor_left(c));
    *element = amqp_take_span(c, end != NULL ? (size_t)(end - c->p) : amqp_cursor_left(c));
    return true;
}

/* NUL user NUL password: an identity to act as, before the first NUL, is nothing that RabbitMQ knows. */
static bool read_plain(struct amqp_span response, struct amqp_login *login)
{
    struct amqp_cursor c = amqp_cursor_over(response.data, response.len);
    return take_element(&c, &login->user) && take_element(&c, &login->password) && amqp_cursor_done(&c);
}

/* The entries of a table, without its length. */
static bool read_amqplain(struct amqp_span response, struct amqp_login *login)
{
    struct amqp_cursor c = amqp_cursor_over(response.data, response.len);
    return amqp_table_check_entries(response) && amqp_cursor_left(&c) > 0 &&
           amqp_table_find(response, "LOGIN", &login->user) == 'S' &&
           amqp_table_find(response, "PASSWORD", &login->password) == 'S';
}

bool amqp_login_read(struct amqp_span mechanism, struct amqp_span response, struct amqp_login *login,
                     struct amqp_exception *e)
{
    bool good = false;
    if (amqp_span_is(mechanism, "PLAIN")) {
        good = read_plain(response, login);
    } else if (amqp_span_is(mechanism, "AMQPLAIN")) {
        good = read_amqplain(response, login);
    } else {
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_COMMAND_INVALID,
                           AMQP_CONNECTION_START_OK_METHOD, "unknown authentication mechanism '%.*s'",
                           (int)mechanism.len, (const char *)mechanism.data);
        return false;
    }
    if (!good)
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_SYNTAX_ERROR, AMQP_CONNECTION_START_OK_METHOD,
                           "authentication response invalid");
    return good;
}

static bool has_nul(struct amqp_span span)
{
    return span.len > 0 && memchr(span.data, 0, span.len) != NULL;
}

size_t amqp_login_write_plain(const struct amqp_login *login, uint8_t *buf, size_t size)
{
    const size_t len = 2 + login->user.len + login->password.len;
    if (len > size || has_nul(login->user) || has_nul(login->password))
        return 0;
    buf[0] = 0;
    if (login->user.len > 0)
        memcpy(buf + 1, login->user.data, login->user.len);
    buf[1 + login->user.len] = 0;
    if (login->password.len > 0)
        memcpy(buf + 2 + login->user.len, login->password.data, login->password.len);
    return len;
}
