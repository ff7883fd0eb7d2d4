/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_EXCEPTION_H
#define AMQP_EXCEPTION_H

/*
 * An AMQP exception: what a Connection.Close or Channel.Close says (0-9-1, section 1.2).
 *
 * The texts begin with the name of the code, as RabbitMQ's do ("NOT_ALLOWED - attempt to reuse …"), because
 * clients and their users search for those words.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum amqp_code {
    AMQP_CODE_NONE = 0,
    AMQP_CODE_CONTENT_TOO_LARGE = 311,
    AMQP_CODE_CONNECTION_FORCED = 320,
    AMQP_CODE_INVALID_PATH = 402,
    AMQP_CODE_ACCESS_REFUSED = 403,
    AMQP_CODE_NOT_FOUND = 404,
    AMQP_CODE_RESOURCE_LOCKED = 405,
    AMQP_CODE_PRECONDITION_FAILED = 406,
    AMQP_CODE_FRAME_ERROR = 501,
    AMQP_CODE_SYNTAX_ERROR = 502,
    AMQP_CODE_COMMAND_INVALID = 503,
    AMQP_CODE_CHANNEL_ERROR = 504,
    AMQP_CODE_UNEXPECTED_FRAME = 505,
    AMQP_CODE_RESOURCE_ERROR = 506,
    AMQP_CODE_NOT_ALLOWED = 530,
    AMQP_CODE_NOT_IMPLEMENTED = 540,
    AMQP_CODE_INTERNAL_ERROR = 541,
};

enum amqp_scope {
    AMQP_SCOPE_CHANNEL,    /* the channel is closed */
    AMQP_SCOPE_CONNECTION, /* all of the client's channels and its connection are closed */
};

struct amqp_exception {
    uint16_t code;   /* enum amqp_code; AMQP_CODE_NONE: there is none */
    uint8_t scope;   /* enum amqp_scope */
    uint32_t method; /* the method that caused it, class << 16 | id; 0: none */
    char text[256];  /* a short string, valid UTF-8, with its NUL */
};

/*
 * Fills in an exception; `format` gives the text behind "NAME - ". Without a format the text is the name
 * alone. What `format` brings in may be anything a client sent: it is made fit for a short string.
 */
void amqp_exception_set(struct amqp_exception *e, enum amqp_scope scope, enum amqp_code code, uint32_t method,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Why something was lost, for another exception's text: without the name of CONNECTION_FORCED, which says
 * nothing then. Inside of `e`. */
const char *amqp_exception_cause(const struct amqp_exception *e);

/* Whether RabbitMQ closes the whole connection for this code (a "hard error"). */
bool amqp_code_is_hard(uint16_t code);

/* "NOT_ALLOWED" and so on; "UNKNOWN" for others. Static storage. */
const char *amqp_code_name(uint16_t code);

#endif
