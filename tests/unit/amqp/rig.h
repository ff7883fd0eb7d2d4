/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_RIG_H
#define TESTS_AMQP_RIG_H

/*
 * A model broker, a hub on it, and clients of the hub: all in one process, every byte moved by hand. With a
 * pair the clients publish on a second hub, over a second connection to the same broker.
 */

#include "amqp/member.h"
#include "tests/unit/amqp/frames.h"
#include "tests/unit/amqp/ledger.h"
#include "tests/unit/amqp/model_broker.h"

#define RIG_CLIENTS 4
#define RIG_EVENTS  256

/* A method that a client got. */
struct rig_event {
    uint16_t channel;
    uint32_t method;
    uint16_t code;     /* of a Close */
    size_t body_size;  /* of content */
    uint8_t first;     /* octet of the body */
    uint64_t tag;      /* of a delivery, an answer to basic.get, a confirm */
    char consumer[32]; /* of a delivery, consume-ok, cancel-ok, cancel: the beginning of its tag */
};

struct rig_client {
    struct amqp_member member;
    struct amqp_frame_reader reader;
    struct ledger ledger; /* what it hears must follow from what it says */
    bool is_deaf;         /* takes no bytes */
    bool is_patient;      /* what it says is read only when the member wants input */
    struct frames unread; /* of that */
    unsigned wakes;       /* on_wake of its member */
    unsigned events;
    struct rig_event event[RIG_EVENTS];
    char text[256];    /* of the last Close */
    size_t body_bytes; /* of all content */
};

struct rig_apart {
    struct model_broker broker;
    struct amqp_hub hub;
    bool broker_reads;
    bool is_down;
};

struct rig {
    struct model_broker broker;
    struct amqp_hub hub;
    bool broker_reads; /* the broker takes bytes */
    bool is_down;
    bool is_pair;
    struct rig_apart apart; /* of a pair: for publishing */
    bool refuses_logins;    /* of clients */
    struct amqp_exception down;
    struct amqp_member *suspect; /* of that; NULL: nobody */
    const char *suspect_method;
    uint64_t now;
    struct rig_client clients[RIG_CLIENTS];
};

extern struct amqp_hub_config rig_config; /* may be changed between tests: rig_init resets it */

/* The hub runs, nobody has joined. */
void rig_init(struct rig *rig);

void rig_init_pair(struct rig *rig);

/* The same, whatever comes of it. */
void rig_start(struct rig *rig);
void rig_start_pair(struct rig *rig);

/* Of rig_start_as: a pair; the hubs are told their vhost when they have logged in. */
enum { RIG_PAIR = 1, RIG_TOLD_LATE = 2 };
void rig_start_as(struct rig *rig, unsigned how);

/* Nothing has been said that RabbitMQ would have closed a connection for. */
void rig_require_alive(const struct rig *rig);

/* Everything ends in order; nothing may be left. */
void rig_deinit(struct rig *rig);

/* The client logs in with these capabilities (AMQP_CAN_…) and joins. */
void rig_join(struct rig *rig, unsigned client, unsigned can);

/* The same, whatever comes of it. */
void rig_log_in(struct rig *rig, unsigned client, unsigned can);

/* Whether a client can say that many bytes more: a patient one only so much ahead of its member. */
bool rig_has_room(const struct rig *rig, unsigned client, size_t len);

/* These bytes come from the client. */
void rig_feed(struct rig *rig, unsigned client, const uint8_t *data, size_t len);

/* What is in `f` comes from the client, in one piece; `f` is empty then. */
void rig_say(struct rig *rig, unsigned client, struct frames *f);

/* Moves all bytes both ways; the broker lets all its answers go, or none. */
void rig_pump(struct rig *rig);
void rig_pump_without_answers(struct rig *rig);

/* Time passes for the hub. */
void rig_wait(struct rig *rig, uint64_t ms);

/* Whether the client got this method. */
bool rig_got(const struct rig *rig, unsigned client, uint32_t method);

/* How many of this method it got. */
unsigned rig_count(const struct rig *rig, unsigned client, uint32_t method);

/* The client's last event. */
const struct rig_event *rig_last(const struct rig *rig, unsigned client);

#endif
