/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_UV_WATCH_H
#define AMQP_UV_WATCH_H

/*
 * AMQP awareness at the edge of a session, the same for the client's side (guest-proxy) and the broker's
 * (amqp-proxy): where frames begin and end, and heartbeats while the other side is out of reach.
 *
 * Frames are passed on to the local side whole, so that something can be said to it between two frames at any
 * time.
 *
 * When AMQP heartbeats were negotiated and nothing came from the peer for half their interval, the peer is
 * asked whether it is there (mux_session_probe). As long as it does not answer, or the session has no
 * transport at all, the local side gets heartbeats from us, outside the session's offsets, so that it does
 * not give up before the detach timeout. A peer that answers but whose AMQP side is silent gets no such help:
 * that silence is the truth.
 */

#include "amqp/scanner.h"
#include "mux/uv/edge.h"

struct amqp_watch {
    struct mux_uv_edge *edge;
    struct amqp_scanner to_local;   /* what the peer sends */
    struct amqp_scanner from_local; /* what the local side sends */
    uint64_t heartbeat_ms;          /* negotiated; 0: none, or not yet */
    uint64_t due_ms;                /* when to look after heartbeats next */
    uint64_t beats;                 /* heartbeats of ours */
};

/* `local`: who is at the local socket, the client or the server. */
void amqp_watch_init(struct amqp_watch *watch, struct mux_uv_edge *edge, enum amqp_direction local);

/* Bytes from the peer. Returns the offset up to which they may be passed on, as an edge's tap_in does. */
uint64_t amqp_watch_in(struct amqp_watch *watch, const uint8_t *data, size_t len);

/* Bytes from the local side. */
void amqp_watch_out(struct amqp_watch *watch, const uint8_t *data, size_t len);

/* When amqp_watch_expired is due, in ms of uv_now; UINT64_MAX: never. */
uint64_t amqp_watch_deadline(const struct amqp_watch *watch);
void amqp_watch_expired(struct amqp_watch *watch);

#endif
