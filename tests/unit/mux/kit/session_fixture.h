/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One session at one edge, with a local side (app.h) that does what the test says, and up to three transports
 * one after another, whose other end the test plays frame by frame.
 */
#ifndef KIT_SESSION_FIXTURE_H
#define KIT_SESSION_FIXTURE_H

#include "tests/unit/mux/kit/app.h"
#include "tests/unit/mux/kit/peer.h"

#define NOW    1000000u
#define WINDOW 131072u
#define OUT    1u /* salt of the bytes the session sends */
#define IN     2u /* and of those it gets */
#define NUMBER 1u /* of the session, on every link */
#define LINKS  3u

/* Timeouts of the session, ms. */
#define ACK_DELAY       20u
#define PING_INTERVAL   10000u
#define PING_TIMEOUT    5000u
#define OPEN_TIMEOUT    4000u
#define DETACH_TIMEOUT  60000u
#define CONNECT_TIMEOUT 30000u

struct session_fixture {
    struct mux_session_config config;
    struct mux_link_config link_config;
    struct mux_pool pool; /* of the local side */
    struct kit_app app;
    struct mux_session *session; /* app.session */
    struct mux_link links[LINKS];
    struct kit_peer peers[LINKS];
    struct kit_peer *peer; /* of the link in use */
    uint64_t now;
    enum mux_code resumed; /* far: what mux_session_resume answered */
    uint64_t told;         /* highest offset that the peers have said DATA up to, FIN counted */
    struct mux_attributes attributes;
};

/* For cmocka. The session is IDLE. */
int session_fixture_setup_near(void **state);
int session_fixture_setup_far(void **state);
int session_fixture_teardown(void **state);

/* Near: attach to link `i`, whose peer says HELLO and hears OPEN, which is returned. */
const struct kit_frame *session_fixture_attach(struct session_fixture *f, unsigned i);

/* Near: the peer in use says OPEN_OK, with the digest of what the local side has sent. */
void session_fixture_open_ok(struct session_fixture *f, uint64_t received, uint64_t max_data);

/* Near: attach to link 0 and be answered: nothing received, a window of credit. */
void session_fixture_open_near(struct session_fixture *f);

/* What a near edge would say that has received so much of what was sent, and sent what the peers have. */
struct mux_open session_fixture_truth(const struct session_fixture *f, uint32_t attempt, uint64_t received,
                                      uint64_t max_data);

/* Far: the peer of link `i` says HELLO and that OPEN (RESUME when attempt > 1). A session that is there
 * already is resumed, a refusal is said. */
void session_fixture_open(struct session_fixture *f, unsigned i, uint32_t attempt, uint64_t received,
                          uint64_t max_data);

/* Far: opened by link 0, a window of credit, OPEN_OK heard. */
void session_fixture_open_far(struct session_fixture *f);

/* The peer in use hears what there is; returns its next frame, which must be of this type. */
const struct kit_frame *session_fixture_hear(struct session_fixture *f, enum mux_frame_type type);

/* It hears nothing. */
void session_fixture_hear_none(struct session_fixture *f);

/* The clock moves on by `ms`; the session's timer fires when it is due. */
void session_fixture_pass(struct session_fixture *f, uint64_t ms);

/* The peer sends `len` bytes from `offset` on. */
void session_fixture_data(struct session_fixture *f, uint64_t offset, size_t len, bool fin);

/* The peer acknowledges and grants. */
void session_fixture_max_data(struct session_fixture *f, uint64_t received, uint64_t max_data);

#endif
