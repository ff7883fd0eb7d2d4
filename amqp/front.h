/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_FRONT_H
#define AMQP_FRONT_H

/*
 * The server's side of one client's connection: protocol header, handshake, heartbeats and the end; all of
 * channel 0. Frames of other channels are handed to the owner.
 *
 *     HEADER ─► STARTING ─► LOGIN ─► TUNING ─► OPENING ─► VHOST ─► RUNNING ─► WINDING_UP ─┐
 *                  Start-Ok    ▲ owner  Tune-Ok   Open       ▲ owner     │  client's Close   │ owner:
 * Close-Ok │ says yes                    │ says yes  ▼                  ▼ CLOSING ── Close-Ok, time ─► CLOSED
 *                                                               ▲ our Close, from any state after Start-Ok
 *
 * In LOGIN and VHOST the owner finds out whether the client may, at once or later; what the client sends
 * meanwhile waits here, so the owner should stop reading from it (amqp_front_is_waiting).
 *
 * Sans-IO: bytes and `now` (ms) in, bytes by amqp_front_write and the next deadline out. Callbacks come from
 * within the calls that take bytes; all functions may be called from them but deinit.
 */

#include "amqp/frame_reader.h"
#include "amqp/login.h"
#include "amqp/out.h"
#include "amqp/pulse.h"

enum amqp_front_state {
    AMQP_FRONT_HEADER,
    AMQP_FRONT_STARTING,
    AMQP_FRONT_LOGIN,
    AMQP_FRONT_TUNING,
    AMQP_FRONT_OPENING,
    AMQP_FRONT_VHOST,
    AMQP_FRONT_RUNNING,
    AMQP_FRONT_WINDING_UP, /* the client has said Close */
    AMQP_FRONT_CLOSING,    /* we have said Close */
    AMQP_FRONT_CLOSED,     /* nothing more to say or hear: write what is left, then end the stream */
};

/* What a client says that it understands (capabilities of Start-Ok). */
enum {
    AMQP_CAN_BLOCKED = 1 << 0,            /* connection.blocked */
    AMQP_CAN_CANCEL_NOTIFY = 1 << 1,      /* consumer_cancel_notify */
    AMQP_CAN_AUTH_FAILURE_CLOSE = 1 << 2, /* authentication_failure_close */
    AMQP_CAN_PUBLISHER_CONFIRMS = 1 << 3, /* publisher_confirms */
    AMQP_CAN_NACK = 1 << 4,               /* basic.nack */
    AMQP_CAN_EXCHANGE_BINDINGS = 1 << 5,  /* exchange_exchange_bindings */
};

struct amqp_front;

struct amqp_front_ops {
    /* Who the client says it is. `login` is valid in the call. Answer by login_ok or refuse. */
    void (*on_login)(struct amqp_front *front, const struct amqp_login *login);

    /* Where it wants to go. Answer by open_ok or refuse. */
    void (*on_open)(struct amqp_front *front, struct amqp_span vhost);

    /* A frame of a channel other than 0, in RUNNING only. */
    void (*on_frame)(struct amqp_front *front, const struct amqp_frame *frame, uint64_t now);

    /* The client has broken a rule of the connection, in RUNNING: free what belongs to it, then
     * amqp_front_close with this. What it sends meanwhile means nothing. NULL: closed at once. */
    void (*on_fault)(struct amqp_front *front, const struct amqp_exception *e, uint64_t now);

    /* The client closes its connection: free what belongs to it, then amqp_front_close_ok. */
    void (*on_close)(struct amqp_front *front);
};

struct amqp_front_config {
    uint32_t frame_max;            /* offered in Tune */
    uint16_t channel_max;          /* offered, >= 1 */
    uint16_t heartbeat_s;          /* offered */
    uint32_t handshake_timeout_ms; /* from the first byte to Open; the owner's own time does not count */
    uint32_t close_timeout_ms;     /* how long to wait for a Close-Ok */
};

struct amqp_front {
    const struct amqp_front_ops *ops;
    const struct amqp_front_config *config;
    enum amqp_front_state state;
    unsigned can;         /* AMQP_CAN_… */
    uint32_t frame_max;   /* agreed, or the least before */
    uint16_t channel_max; /* agreed */
    uint64_t deadline_ms; /* of the state; UINT64_MAX: none */
    struct amqp_frame_reader reader;
    struct amqp_out out;     /* to be sent */
    struct amqp_out waiting; /* came while the owner was deciding */
    struct amqp_pulse pulse;
    uint8_t header[8];
    uint8_t header_len;
    char mechanism[16];        /* of Start-Ok, for the text of a refusal */
    struct amqp_exception end; /* why we closed; code 0: we did not, or there was nobody to tell */
};

void amqp_front_init(struct amqp_front *front, const struct amqp_front_ops *ops,
                     const struct amqp_front_config *config, uint64_t now);
void amqp_front_deinit(struct amqp_front *front);

/* Takes bytes from the client. 0 or -1: out of memory, the connection can't go on (state CLOSED). */
int amqp_front_feed(struct amqp_front *front, const uint8_t *data, size_t len, uint64_t now);

/* In LOGIN: user and password are good. Goes on with what has come meanwhile. */
void amqp_front_login_ok(struct amqp_front *front, uint64_t now);

/* In VHOST: the client may work there. Goes on with what has come meanwhile. */
void amqp_front_open_ok(struct amqp_front *front, uint64_t now);

/*
 * In LOGIN: wrong user or password. A client that said it understands is told 403 as RabbitMQ words it,
 * others see the connection close. In VHOST use amqp_front_close.
 */
void amqp_front_refuse_login(struct amqp_front *front, uint64_t now);

/*
 * Ends the connection with Connection.Close. A client that has not sent Start-Ok can't be told. No effect in
 * CLOSING and CLOSED. `e` is copied.
 */
void amqp_front_close(struct amqp_front *front, const struct amqp_exception *e, uint64_t now);

/* The client is gone: state CLOSED, nothing is said. */
void amqp_front_abandon(struct amqp_front *front);

/* In WINDING_UP: all is freed. No effect in other states. */
void amqp_front_close_ok(struct amqp_front *front);

/* Connection.Blocked (reason) or Unblocked (NULL), for a client in RUNNING that understands it. */
void amqp_front_notify_blocked(struct amqp_front *front, const char *reason);

/* Moves bytes of channel 0 to buf[0, size). Whatever else is sent may lie between them at any frame's end:
 * so take all before writing other frames. Returns how many. */
size_t amqp_front_write(struct amqp_front *front, uint8_t *buf, size_t size);

/* Bytes for the client have been written, ours or the owner's. */
void amqp_front_sent(struct amqp_front *front, uint64_t now);

/* Silence is not the client's fault: its session is out of reach for the moment. */
void amqp_front_excuse(struct amqp_front *front, uint64_t now);

/* When amqp_front_tick is due; UINT64_MAX: not at all. */
uint64_t amqp_front_deadline(const struct amqp_front *front);
void amqp_front_tick(struct amqp_front *front, uint64_t now);

/* Whether the owner is to decide first: nothing should be read from the client. */
static inline bool amqp_front_is_waiting(const struct amqp_front *front)
{
    return front->state == AMQP_FRONT_LOGIN || front->state == AMQP_FRONT_VHOST;
}

const char *amqp_front_state_name(enum amqp_front_state state);

#endif
