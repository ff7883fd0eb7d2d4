/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_LEDGER_H
#define TESTS_AMQP_LEDGER_H

/*
 * What a client has said on its channels, and what it may hear of it. Aborts when it hears
 *
 *   - what is not well formed: frames out of order, content in pieces, what no server says;
 *   - an answer that is not the one to the first command of the channel that has none yet;
 *   - a delivery tag that is not the next one;
 *   - a confirm that is not the next one, or of more messages than it has said in whole.
 *
 * A client that says what can't be understood, or a Close-Ok to what it has not heard, is not watched from
 * then on.
 */

#include "amqp/assembler.h"

enum { LEDGER_AWAITED_MAX = 512, LEDGER_CHANNELS_MAX = 64 };

struct ledger_channel {
    uint16_t number;
    struct amqp_assembler said;
    struct amqp_assembler heard;
    uint32_t awaited[LEDGER_AWAITED_MAX]; /* answers, in order */
    unsigned awaited_count;
    bool is_open;     /* it has said open, and has not heard of an end since */
    bool is_refused;  /* it has heard Close, and not said Close-Ok */
    bool has_settled; /* it has said an acknowledgement or the like, maybe of what it has not heard */
    uint64_t last_tag;
    uint64_t last_confirm;
    uint64_t published; /* in whole, since ever */
};

struct ledger {
    const char *name;                /* of the client, for narrate.h */
    struct amqp_frame_reader reader; /* of what it says */
    unsigned header_left;            /* bytes of the protocol header that it has not said */
    bool is_blind;
    struct ledger_channel *channels[LEDGER_CHANNELS_MAX]; /* in the order of their first use; NULL: none */
};

void ledger_init(struct ledger *ledger, const char *name);
void ledger_deinit(struct ledger *ledger);

/* The client says these bytes, from the protocol header on. */
void ledger_say(struct ledger *ledger, const uint8_t *data, size_t len);

/* The client hears a frame. */
void ledger_hear(struct ledger *ledger, const struct amqp_frame *frame);

/* What a client that keeps to the protocol may say on a channel. */
enum ledger_state {
    LEDGER_CLOSED,  /* channel.open */
    LEDGER_OPEN,    /* anything else */
    LEDGER_CLOSING, /* nothing: it has said Close */
    LEDGER_REFUSED, /* Close-Ok */
};
enum ledger_state ledger_state(const struct ledger *ledger, uint16_t channel);

/* The last delivery tag that was heard there; 0: none. */
uint64_t ledger_last_tag(const struct ledger *ledger, uint16_t channel);

/* Up to where deliveries there may be acknowledged for the client: what it has heard, unless it has settled
 * some itself, heard or not. UINT64_MAX: anything. */
uint64_t ledger_acks_due_to(const struct ledger *ledger, uint16_t channel);

/* Whether there is an answer that it waits for. */
bool ledger_awaits(const struct ledger *ledger);

#endif
