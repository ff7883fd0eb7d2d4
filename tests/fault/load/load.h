/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault-load: the clients of one guest, each a thread with a connection of its own, and the account of their
 * messages.
 *
 *   pair     a publisher with confirms and a consumer with acks of the same queue; messages are numbered
 *   idler    a connection that says little: an RPC a second
 *   listener consumes without acks what the tickers of all guests say, and makes an RPC now and then
 *   visitor  connects, has one message there and back, closes, again and again
 *
 * Each thread works until it is told to stop, and then ends in order: everything published is confirmed,
 * everything confirmed is consumed, connections are closed. A connection that ends in any other way is a
 * disconnect: the thread says why and is not seen again.
 */
#ifndef FAULT_LOAD_H
#define FAULT_LOAD_H

#include <amqp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOAD_CHANNEL 1

struct load_options {
    const char *host;
    int port;
    const char *vhost;
    const char *name; /* first part of the queues' names */
    int heartbeat_s;
    unsigned pairs;
    unsigned idlers;
    unsigned listeners; /* and one ticker, if any */
    unsigned visitors;
    unsigned slower;     /* publishers pause so many times longer */
    unsigned patience_s; /* a consumer waits so long for the rest of its messages */
};

/* Sums over all threads. */
struct load_tally {
    _Atomic uint64_t sessions; /* that were opened */
    _Atomic uint64_t published;
    _Atomic uint64_t confirmed;
    _Atomic uint64_t consumed; /* each number once */
    _Atomic uint64_t lost;     /* confirmed, and not consumed: known when a thread has ended */
    _Atomic uint64_t duplicated;
    _Atomic uint64_t corrupt;
    _Atomic uint64_t disconnects;
    _Atomic uint64_t pause_ms; /* the longest since it was last taken */
};

extern struct load_options load_options;
extern struct load_tally load_tally;

/* Publishers, idlers and visitors end; consumers follow when they have everything. */
extern atomic_bool load_stopping;

struct load_worker {
    pthread_t thread;
    void (*run)(struct load_worker *worker); /* the thread's work */
    const char *role;
    unsigned index;
    struct load_pair *pair; /* publishers and consumers */
    amqp_connection_state_t connection;
    /* When the newest piece of work that is done was begun; UINT64_MAX: not to be waited for. */
    _Atomic uint64_t fresh_ms;
};

/* Milliseconds of the monotonic clock, which all processes of a machine share. */
uint64_t load_now_ms(void);

/* ── worker.c ── */

/* Connect, log in and open LOAD_CHANNEL. False after load_disconnected. */
bool load_connect(struct load_worker *worker);

/* Close in order. */
void load_close(struct load_worker *worker);

/* The last call that has an answer failed? Then false, after load_disconnected. */
bool load_answered(struct load_worker *worker, const char *what);

/* As load_answered, for a call that returns a status. */
bool load_done(struct load_worker *worker, int status, const char *what);

/* The connection ended as it must not: count it, say why on standard error, and give it up. */
void load_disconnected(struct load_worker *worker, const char *what, const char *why);

/* As load_disconnected, because of this frame. */
void load_unexpected(struct load_worker *worker, const char *what, const amqp_frame_t *frame);

/* As load_disconnected: amqp_consume_message gave no message but this error. */
void load_no_message(struct load_worker *worker, int error);

/* A piece of work that was begun at `begun_ms` is done. */
void load_fresh(struct load_worker *worker, uint64_t begun_ms);

/* ── The threads ── */

/* pair.c: a publisher and a consumer, created stopped. NULL: no memory. */
struct load_pair *load_pair_create(unsigned index, struct load_worker *publisher,
                                   struct load_worker *consumer);
void load_publish(struct load_worker *worker);
void load_consume(struct load_worker *worker);

/* listener.c */
void load_tick(struct load_worker *worker);
void load_listen(struct load_worker *worker);

/* visitor.c */
void load_idle(struct load_worker *worker);
void load_visit(struct load_worker *worker);

#endif
