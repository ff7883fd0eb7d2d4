/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_CLIENT_DOUBLE_H
#define TESTS_AMQP_CLIENT_DOUBLE_H

/*
 * An AMQP 0-9-1 client that answers by the book and fails the test when it is spoken to in a way that a
 * client library would not understand: a second Start, a Close before it sent Start-Ok, anything but a
 * Close-Ok after its own Close.
 */

#include "amqp/scanner.h"
#include "tests/unit/amqp/stream.h"

enum client_habit {
    CLIENT_POLITE,
    CLIENT_PIPELINES, /* sends all of its login before it hears anything */
    CLIENT_IMPATIENT, /* closes as soon as it was told Start */
};

struct client_double {
    enum client_habit habit;
    struct stream out; /* all that it says */
    size_t out_at;     /* how much of it was taken */
    struct stream in;  /* all that it heard */
    struct amqp_scanner in_scanner;
    uint16_t close_code; /* of the Close that it heard, 0 before */
    char close_text[256];
};

/* A client that has said its protocol header. */
void client_init(struct client_double *c, enum client_habit habit);

/* A client in the middle of things: it says `out`, and has heard `in`. */
void client_resume(struct client_double *c, const struct stream *out, const struct stream *in);

void client_hear(struct client_double *c, const uint8_t *data, size_t len);

/* Takes at most `max` bytes of what it says. */
size_t client_say(struct client_double *c, size_t max, const uint8_t **data);

#endif
