/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_BACK_H
#define AMQP_BACK_H

/*
 * The client's side of one connection to the broker: handshake, heartbeats and the end; all of channel 0.
 * Frames of other channels are handed to the owner. It carries sessions of many, or is made to verify
 * somebody's credentials before they are trusted (then it is closed as soon as it runs).
 *
 *     STARTING ─► LOGIN ─► TUNED ─► OPENING ─► RUNNING ─► CLOSING ─► CLOSED
 *       Start     Tune    a vhost   Open-Ok      our Close   Close-Ok   ▲
 *                         is known                                      └─ broker's Close, fault, silence
 *
 * Sans-IO, as amqp/front.h is. on_down comes exactly once, when the state turns to CLOSED.
 */

#include "amqp/frame_reader.h"
#include "amqp/login.h"
#include "amqp/out.h"
#include "amqp/pulse.h"

enum amqp_back_state {
    AMQP_BACK_STARTING,
    AMQP_BACK_LOGIN,
    AMQP_BACK_TUNED,
    AMQP_BACK_OPENING,
    AMQP_BACK_RUNNING,
    AMQP_BACK_CLOSING,
    AMQP_BACK_CLOSED,
};

struct amqp_back;

struct amqp_back_ops {
    /* The broker accepts user and password. With no vhost yet, amqp_back_open goes on. NULL: don't care. */
    void (*on_login)(struct amqp_back *back);

    /* Open: frames of channels may be sent, within frame_max and channel_max. */
    void (*on_running)(struct amqp_back *back);

    /* A frame of a channel other than 0. 0, or -1 with `*e` filled in: the broker can't be understood. NULL:
     * there are none. */
    int (*on_frame)(struct amqp_back *back, const struct amqp_frame *frame, struct amqp_exception *e,
                    uint64_t now);

    /* connection.blocked with its reason, or unblocked (NULL). NULL: don't care. */
    void (*on_blocked)(struct amqp_back *back, const char *reason);

    /*
     * The connection is over. `e` has the broker's code and text, or ours; code 0: we closed it in order, or
     * the transport was lost after that. What amqp_back_write has is still to be sent if possible.
     */
    void (*on_down)(struct amqp_back *back, const struct amqp_exception *e);
};

struct amqp_back_config {
    struct amqp_span user;
    struct amqp_span password;
    struct amqp_span vhost;        /* data NULL: told later, by amqp_back_open */
    const char *connection_name;   /* what RabbitMQ's tools show; made fit for them; NULL: none */
    uint32_t frame_max;            /* most we want */
    uint16_t channel_max;          /* most we want; 0: what the broker offers */
    uint16_t heartbeat_s;          /* least we want; 0: what the broker offers */
    uint32_t handshake_timeout_ms; /* for each step */
    uint32_t close_timeout_ms;     /* how long to wait for Close-Ok */
};

#define AMQP_BACK_NAME_MAX 256

struct amqp_back {
    const struct amqp_back_ops *ops;
    const struct amqp_back_config *config;
    enum amqp_back_state state;
    uint32_t frame_max;   /* agreed; the least before */
    uint16_t channel_max; /* agreed: numbers 1 to this one */
    uint64_t deadline_ms; /* of the state; UINT64_MAX: none */
    struct amqp_frame_reader reader;
    struct amqp_out out;
    struct amqp_pulse pulse;
    char product[64]; /* "RabbitMQ 3.10.8", as the broker says, for the log */
};

/* Begins with the protocol header. The config must live as long; user, password and vhost until RUNNING. */
void amqp_back_init(struct amqp_back *back, const struct amqp_back_ops *ops,
                    const struct amqp_back_config *config, uint64_t now);
void amqp_back_deinit(struct amqp_back *back);

/* Takes bytes from the broker. Any failure is told by on_down. */
void amqp_back_feed(struct amqp_back *back, const uint8_t *data, size_t len, uint64_t now);

/* In TUNED: go on to this vhost. */
void amqp_back_open(struct amqp_back *back, struct amqp_span vhost, uint64_t now);

/* Ends the connection in order, as far as it got: Close when it runs, otherwise at once. */
void amqp_back_close(struct amqp_back *back, const char *reason, uint64_t now);

/* The transport is lost. */
void amqp_back_lost(struct amqp_back *back, const char *reason);

/* The broker was not silent: what it has said has not been read yet. */
void amqp_back_excuse(struct amqp_back *back, uint64_t now);

/* As amqp_front_write, amqp_front_sent, amqp_front_deadline, amqp_front_tick. */
size_t amqp_back_write(struct amqp_back *back, uint8_t *buf, size_t size);
void amqp_back_sent(struct amqp_back *back, uint64_t now);
uint64_t amqp_back_deadline(const struct amqp_back *back);
void amqp_back_tick(struct amqp_back *back, uint64_t now);

const char *amqp_back_state_name(enum amqp_back_state state);

#endif
