/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_REFUSAL_H
#define AMQP_REFUSAL_H

/*
 * The server's side of the shortest conversation that tells an AMQP client why it can't be served, or no
 * longer: in 0-9-1 a Connection.Close with code and text, in 1.0 a close with an error condition and the
 * text.
 *
 * A client understands that only at certain points. What it has sent and what it was given so far decides the
 * next step; that is all the state there is.
 *
 * How to use it:
 *
 * - amqp_refusal_init; also amqp_refusal_take_over when bytes went to and fro before.
 * - In state SENDING, write what amqp_refusal_write gives. In WAITING, feed what the client sends.
 * - When DONE, shut down the sending side, read and drop until the client closes, then close.
 * - At the caller's deadline, or when the client closes, close. Many clients don't answer a Close in words.
 *
 * Why not close at once: TCP resets a connection that is closed while bytes from the client are unread, and
 * the reset can destroy the very message. Feeding is allowed in every state. No allocation, no errors.
 */

#include "amqp/scanner.h"
#include <stddef.h>
#include <stdint.h>

#define AMQP_REFUSAL_TEXT_SIZE 256 /* a short string and its NUL */

/* A buffer of this size takes all that one call of amqp_refusal_write can have to say. */
#define AMQP_REFUSAL_WRITE_MAX 1280

enum amqp_refusal_state {
    AMQP_REFUSAL_SENDING, /* amqp_refusal_write has bytes */
    AMQP_REFUSAL_WAITING, /* the client is to speak */
    AMQP_REFUSAL_DONE,    /* the client was told, or can't be: nothing follows the bytes written */
};

/* Embedded by the caller, holds nothing to release. All fields are private. */
struct amqp_refusal {
    struct amqp_scanner client; /* what came from the client, its past included */
    uint16_t told;              /* enum amqp_seen: what the client was sent, by the server before or by us */
    uint16_t code;              /* reply code of 0-9-1 */
    char text[AMQP_REFUSAL_TEXT_SIZE]; /* valid UTF-8 */
};

/*
 * A refusal of a client from which nothing came and to which nothing was sent. `text` (NUL-terminated) is
 * copied as amqp_text_copy does: at most 255 bytes. The state is WAITING, for the protocol header.
 */
void amqp_refusal_init(struct amqp_refusal *r, uint16_t code, const char *text);

/*
 * Goes on where a connection stands. Call right after init. `from_client` has scanned all that came from the
 * client, in the middle of a frame or not; `from_server` has scanned what came for it, of which bytes before
 * `released_off` were passed on (the rest is to be dropped). Both are only read. DONE at once when our words
 * can't follow what was passed on (middle of a frame, unknown framing) or when both sides have closed
 * already.
 */
void amqp_refusal_take_over(struct amqp_refusal *r, const struct amqp_scanner *from_client,
                            const struct amqp_scanner *from_server, uint64_t released_off);

/* Takes the next `len` bytes from the client, split anywhere. What does not matter is ignored; garbage leads
 * to DONE. */
void amqp_refusal_feed(struct amqp_refusal *r, const uint8_t *data, size_t len);

/*
 * Writes the messages that are due now to buf[0, size), whole ones only, and counts them as sent. Returns the
 * number of bytes; 0 unless SENDING. The state afterwards is WAITING or DONE, or still SENDING if `size` was
 * too small.
 */
size_t amqp_refusal_write(struct amqp_refusal *r, uint8_t *buf, size_t size);

enum amqp_refusal_state amqp_refusal_state(const struct amqp_refusal *r);

/* What is being sent or waited for, in a few words for logs. Static storage. */
const char *amqp_refusal_step_text(const struct amqp_refusal *r);

#endif
