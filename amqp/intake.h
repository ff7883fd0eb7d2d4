/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_INTAKE_H
#define AMQP_INTAKE_H

/*
 * What a channel takes in: its consumers and its unacknowledged deliveries, kept so that a client that does
 * not read holds a bounded number of messages, and loses none. DIRECT.md, "Slow consumers", has the table.
 *
 * A consumer with no_ack is one with acknowledgements at the broker (proxied); the proxy acknowledges when
 * the bytes have left for the client. A wide consumer (a high prefetch, or none) begins with a moderate one
 * and is replaced: by a wider one when the client holds all it may have and has read it, by a narrow one
 * while it does not read. Neither works in transactions, nor the former under a limit of all consumers
 * together; before the channel enters these, consumers are replaced by such as the client said.
 *
 * What is sent here goes the same way as the client's own commands, never between tx.commit and commit-ok.
 */

#include "amqp/consumers.h"
#include "amqp/deliveries.h"
#include "amqp/due.h"
#include "amqp/exception.h"

struct amqp_lane;

enum amqp_intake_mode {
    AMQP_INTAKE_FREE,
    AMQP_INTAKE_LIMITED, /* basic.qos with global: unacknowledged deliveries of all consumers count */
    AMQP_INTAKE_TX,      /* tx.select: acknowledgements are part of transactions */
};

enum amqp_recovery {
    AMQP_RECOVERY_NONE,
    AMQP_RECOVERY_ASKED, /* basic.recover waits until the broker has answered all before it */
    AMQP_RECOVERY_READY,
    AMQP_RECOVERY_SENT, /* to the broker as it is; what comes before the answer will be delivered again */
};

struct amqp_intake {
    struct amqp_consumers consumers;
    struct amqp_deliveries deliveries; /* not in TX */
    enum amqp_intake_mode mode;
    enum amqp_intake_mode next_mode; /* what the consumers are being made fit for */
    enum amqp_recovery recovery;
    struct amqp_due qos;      /* basic.qos-ok that are due */
    struct amqp_due declares; /* queue.declare-ok that are due */
    uint16_t prefetch;        /* of the client's next consumer, as it said */
    uint16_t prefetch_there;  /* as the broker knows it */
    bool is_limited;          /* a limit of all consumers is in force, in TX too */
    bool is_getting;          /* basic.get was sent, its answer is due */
    bool gets_no_ack;         /* and it was with no_ack */
    bool has_reused;          /* a tag may have messages of an earlier consumer */
    bool waits_for_drain;     /* a consumer is to be replaced when the client has read all */
    uint64_t newest;          /* the highest delivery tag so far */
    unsigned retiring;        /* taps that are ENDING without the client\'s knowledge */
    struct amqp_tap *recent;  /* whose delivery came last; NULL: look */
    size_t kept;              /* memory, as accounted for the member */
};

void amqp_intake_init(struct amqp_intake *intake);

/* The channel is on its way out: nothing more will be said. What the broker still says is told as before. */
void amqp_intake_stop(struct amqp_lane *lane);
void amqp_intake_deinit(struct amqp_lane *lane);

/* --- from the client --- */

/*
 * A command is the next one to pass: does what must be done before. Called again until it may pass. 0 or -1
 * with
 * `*e`: it can't pass at all.
 */
int amqp_intake_prepare(struct amqp_lane *lane, const struct amqp_command *command, struct amqp_exception *e);

/* Whether it must wait for something that the broker has yet to answer. */
bool amqp_intake_must_wait(const struct amqp_lane *lane, const struct amqp_command *command);

/* Sends a command that keeps all rules, or what stands for it. Takes it over. 0 or -1 with `*e`. */
int amqp_intake_send(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e);

/* --- from the broker --- */

/* Notes a command, which may move. Whether the client is to see it; if not, it is still the caller's. */
bool amqp_intake_hear(struct amqp_lane *lane, struct amqp_command **command);

/* A hush is over, or tx.commit answered: what replacements have waited for. */
void amqp_intake_resume(struct amqp_lane *lane);

/* The broker has closed the channel: tells the client of consumers that are the cause without its doing. */
void amqp_intake_hear_close(struct amqp_lane *lane, const struct amqp_command *close);

/* --- to the client --- */

/* Deliveries with the tags `first` to `last`, and maybe more between, have left for the client. */
void amqp_intake_written(struct amqp_lane *lane, uint64_t first, uint64_t last);

/* The client has read all there is. */
void amqp_intake_drained(struct amqp_lane *lane);

/* The delivery tag of a basic.deliver. */
uint64_t amqp_delivery_tag(const struct amqp_command *deliver);

/* --- between the parts of this module --- */

/* Sends a command of our own. 0, or -1: out of memory, the channel is being closed. */
int amqp_intake_say(struct amqp_lane *lane, uint32_t method, void *decoded);

/* What is kept has changed. */
void amqp_intake_account(struct amqp_lane *lane);

/* Queues a command on the lane's slot. Takes it over. */
void amqp_intake_pass(struct amqp_lane *lane, struct amqp_command *command);

/* Notes an unacknowledged delivery. */
void amqp_intake_add(struct amqp_lane *lane, uint64_t tag, enum amqp_holder holder);

/* They are settled: one, or all up to one. */
void amqp_intake_remove(struct amqp_lane *lane, uint64_t tag);
void amqp_intake_remove_to(struct amqp_lane *lane, uint64_t tag);

/* Closes the channel for want of memory. */
void amqp_intake_no_memory(struct amqp_lane *lane);

/* What the client says, as amqp_intake_send. */
int amqp_intake_consume(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e);
int amqp_intake_cancel(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e);

/* basic.ack, nack and reject; basic.recover and recover-async. */
int amqp_intake_settle(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e);
int amqp_intake_recover(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e);

/* Sends basic.qos for the next consumer if the broker has another value in mind. 0 or -1 as amqp_intake_say.
 */
int amqp_intake_set_prefetch(struct amqp_lane *lane, uint16_t prefetch);

/* Acknowledges all that the proxy holds. */
void amqp_intake_let_go(struct amqp_lane *lane);

/* Whether all consumers are such as the next mode needs. */
bool amqp_intake_is_fit(const struct amqp_lane *lane);

/* Replaces consumers that don't fit any more. */
void amqp_intake_fit(struct amqp_lane *lane);
void amqp_intake_fit_one(struct amqp_lane *lane, struct amqp_consumer *consumer);

/* consume-ok, cancel-ok, cancel, deliver: as amqp_intake_hear. */
bool amqp_intake_hear_consumer(struct amqp_lane *lane, struct amqp_command **command);

#endif
