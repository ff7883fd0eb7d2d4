/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session at one of its edges: the near edge (guest-proxy) opens it and finds new transports for it, the
 * far edge (amqp-proxy, or host-proxy in direct mode) accepts it and keeps it while it has none. Both
 * directions have absolute offsets; what the peer has not acknowledged is kept and sent again after a resume,
 * so the transport under a session may break at any byte without one being lost or sent twice. PROTOCOL.md
 * has the rules; session.c and resume.c follow them.
 *
 *              attach            OPEN_OK                       near: attach ─► RESUMING ─ OPEN_OK ─► ATTACHED
 *     IDLE ─────────────► OPENING ──────► ATTACHED ◄──────┐
 *       │                    │ lost          │ lost       │    far: resume ─► ATTACHED
 *       │ accept (far)       └──► DETACHED ◄─┘            │
 *       └─────────────────────────────┼───────────────────┘
 *                                     └── CLOSING ─► CLOSED   from any state: reset here, RESET heard, both
 * ends, timeout
 *
 * Bytes for the local side come by on_data; the owner says mux_session_consume when they are delivered, and
 * only then is credit granted for more. Bytes from the local side go in by mux_session_send, at most
 * mux_session_space of them.
 *
 * on_closed is the last callback, exactly once, never from inside a call of the owner's to this session; the
 * owner may free the session in it. Other callbacks must not.
 */
#ifndef MUX_SESSION_H
#define MUX_SESSION_H

#include "mux/link.h"
#include "mux/outbox.h"
#include "mux/recv_state.h"
#include "mux/send_state.h"

enum mux_session_state {
    MUX_SESSION_IDLE,     /* never attached */
    MUX_SESSION_OPENING,  /* OPEN(NEW) sent */
    MUX_SESSION_RESUMING, /* OPEN(RESUME) sent */
    MUX_SESSION_ATTACHED,
    MUX_SESSION_DETACHED,
    MUX_SESSION_CLOSING, /* RESET is on its way out */
    MUX_SESSION_CLOSED,
};

enum mux_edge { MUX_EDGE_NEAR, MUX_EDGE_FAR };

struct mux_session;

struct mux_session_ops {
    /* Bytes from the peer, new and in order. They are in `chunk`: take a reference to keep them beyond the
     * call. */
    void (*on_data)(struct mux_session *session, struct mux_chunk *chunk, const uint8_t *data, size_t len);

    /* No more will come. */
    void (*on_fin)(struct mux_session *session);

    /* The peer acknowledged bytes: mux_session_space has grown. */
    void (*on_space)(struct mux_session *session);

    /* Attached, for the first time or again. */
    void (*on_attached)(struct mux_session *session);

    /* The transport is lost or was given up: a near edge finds another, and closes the old one. */
    void (*on_detached)(struct mux_session *session, enum mux_code code, const char *reason);

    /* The session is over. MUX_OK: both directions ended in order. */
    void (*on_closed)(struct mux_session *session, enum mux_code code, const char *reason);

    /* mux_session_deadline may have become earlier. */
    void (*on_timer)(struct mux_session *session);
};

struct mux_session_config {
    uint32_t window_bytes; /* credit per direction, and most that is kept for replay; >= MUX_INITIAL_CREDIT */
    uint32_t ack_delay_ms; /* an acknowledgement waits this long for company */
    uint32_t ping_interval_ms;   /* near: end-to-end PING when nothing was heard for so long */
    uint32_t ping_timeout_ms;    /* near: without an answer the transport is given up */
    uint32_t open_timeout_ms;    /* near: without an answer to OPEN the transport is given up */
    uint32_t detach_timeout_ms;  /* far: how long a session waits for its near edge */
    uint32_t connect_timeout_ms; /* near: how long a new session may take to be opened */
};

struct mux_session_counters {
    uint64_t detaches;
    uint64_t resumes;
    uint64_t replayed_bytes;
};

struct mux_session {
    struct mux_attachment attachment;
    const struct mux_session_ops *ops;
    const struct mux_session_config *config;
    enum mux_edge edge;
    enum mux_session_state state;
    uint8_t token[MUX_TOKEN_SIZE];
    uint32_t attempt;           /* near: of the last OPEN; far: of the newest accepted */
    bool established;           /* near: OPEN_OK was heard once */
    struct mux_send_state send; /* local side to peer */
    struct mux_recv_state recv; /* peer to local side */
    struct mux_digest received; /* of [0, recv.next) */
    struct mux_outbox outbox;
    uint64_t replay_until;      /* sending below this offset is replay */
    uint32_t detach_timeout_ms; /* near: told by OPEN_OK */
    uint64_t lost_ms;           /* since when it is without a transport */
    uint64_t opened_ms;         /* near: when OPEN was sent */
    uint64_t heard_ms;          /* last frame from the peer */
    uint64_t ping_deadline_ms;  /* near: when the PING under way must be answered; 0: none is */
    bool ping_after_sleep;      /* near: only its own PONG answers that PING */
    uint64_t ack_due_ms;        /* 0: none is due; UINT64_MAX: it is queued */
    uint64_t closing_ms;        /* CLOSING: since when */
    enum mux_code end_code; /* why, from the moment the end was decided on; MUX_OK: it was not, or in order */
    bool end_heard;         /* the peer said RESET */
    char *end_reason;       /* heap; NULL: the code's text */
    struct mux_session_counters counters;
};

/* A session for the near edge. `token` is 16 bytes from the system's random source. */
void mux_session_init_near(struct mux_session *session, const struct mux_session_ops *ops,
                           const struct mux_session_config *config, const uint8_t token[MUX_TOKEN_SIZE],
                           uint64_t now);

/* A session for the far edge, with the token of its OPEN. Follow with mux_session_accept. */
void mux_session_init_far(struct mux_session *session, const struct mux_session_ops *ops,
                          const struct mux_session_config *config, const uint8_t token[MUX_TOKEN_SIZE],
                          uint64_t now);

/* Free what it holds; it must be CLOSED or IDLE, or the program is ending. Takes it off its link. */
void mux_session_deinit(struct mux_session *session);

/*
 * Near: attach to a new transport and send OPEN there, with these attributes the first time, RESUME later.
 * From IDLE or DETACHED. 0, or -MUX_NO_MEMORY with the state unchanged.
 */
int mux_session_attach(struct mux_session *session, struct mux_link *link,
                       const struct mux_attributes *attributes, uint64_t now);

/*
 * Far: the session that `open` opens is attached, OPEN_OK sent. 0; after an error nothing has changed:
 * -MUX_NO_MEMORY; -MUX_OFFSET_RANGE: it claims to have received what can't have been sent yet.
 */
int mux_session_accept(struct mux_session *session, struct mux_link *link, uint32_t number,
                       const struct mux_open *open, uint64_t now);

/*
 * Far: a new transport for a session that exists. Returns MUX_OK, or why it is refused, the session being as
 * it was: MUX_STALE_ATTEMPT, MUX_OFFSET_RANGE, MUX_HISTORY_MISMATCH, or the end's code when it is over.
 * MUX_TRY_LATER: no memory for it now; the old transport may be left all the same, since the near edge has
 * given it up, but the attempt does not count. The caller answers the refused OPEN.
 */
enum mux_code mux_session_resume(struct mux_session *session, struct mux_link *link, uint32_t number,
                                 const struct mux_open *open, uint64_t now);

/* Bytes that mux_session_send takes now. */
size_t mux_session_space(const struct mux_session *session);

/* Send bytes that lie in `chunk`. 0 or -MUX_NO_MEMORY: reset the session then. Ignored when closing. */
int mux_session_send(struct mux_session *session, struct mux_chunk *chunk, const uint8_t *data, size_t len);

/* Nothing more will be sent. */
void mux_session_send_fin(struct mux_session *session);

/* `n` bytes given by on_data were delivered. */
void mux_session_consume(struct mux_session *session, size_t n, uint64_t now);

/* End the session in both directions at once. `reason` NULL: the code's text. */
void mux_session_reset(struct mux_session *session, enum mux_code code, const char *reason, uint64_t now);

/* End it as soon as the peer has acknowledged all that was sent. Nothing that arrives is delivered any more.
 */
void mux_session_finish(struct mux_session *session, enum mux_code code, const char *reason, uint64_t now);

/* Leave the transport, for instance because it was closed: as if it had been lost. */
void mux_session_detach(struct mux_session *session, enum mux_code code, const char *reason, uint64_t now);

/* Ask the peer whether it is there, unless that is being asked already. No effect when not attached. */
void mux_session_probe(struct mux_session *session, uint64_t now);

/* The session has no transport, or one that has not answered a question yet: the peer may be out of reach. */
bool mux_session_in_doubt(const struct mux_session *session);

/* When mux_session_tick is due; UINT64_MAX: not at all. */
uint64_t mux_session_deadline(const struct mux_session *session);
void mux_session_tick(struct mux_session *session, uint64_t now);

/* Bytes of payload it keeps in memory for sending again. */
size_t mux_session_held(const struct mux_session *session);

const char *mux_session_state_name(enum mux_session_state state);

#endif
