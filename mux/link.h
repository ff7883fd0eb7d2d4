/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a connection that carries frames: the TCP link between host-proxy and amqp-proxy with many
 * sessions on it, and a guest stream with its one session, are the same thing here. Sans-IO: bytes and the
 * time go in, batches of bytes, callbacks and the next deadline come out.
 *
 *     input  ──►  reader ──► HELLO, PING, GOAWAY: handled here
 *                       └──► the rest: to the attachment with the frame's number
 *     output ◄──  HELLO first, then control frames, then DATA by turns (sched.h)
 *
 * The side that connected is the opener: it alone opens sessions, with numbers that only grow and are never
 * used twice on a link. Frames for a number that has ended here are late and dropped; frames for a number
 * never opened are an error.
 *
 * Callbacks may attach and remove attachments and close the link; they must not free it.
 */
#ifndef MUX_LINK_H
#define MUX_LINK_H

#include "mux/batch.h"
#include "mux/code.h"
#include "mux/frame.h"
#include "mux/sched.h"

#include <uthash.h>

struct mux_link;
struct mux_attachment;

/* What a session does on a link it is attached to: implemented by mux_session (an edge) and mux_relay
 * (host-proxy). */
struct mux_attachment_ops {
    /*
     * A frame for it: OPEN_OK, DATA, MAX_DATA, RESET, PING, PONG or DETACH. `chunk` holds DATA's bytes. What
     * is wrong with the frame concerns this session only: it answers with RESET itself. May remove itself and
     * free its memory.
     */
    void (*on_frame)(struct mux_attachment *attachment, const struct mux_frame *frame,
                     struct mux_chunk *chunk, uint64_t now);

    /*
     * Add all pending control frames to the batch. Returns false when the batch was too full: it is asked
     * again. May remove itself and free its memory after its last frame, and then returns true.
     */
    bool (*pull_control)(struct mux_attachment *attachment, struct mux_batch *batch, uint64_t now);

    /* Add one DATA frame of at most `max` bytes. Returns what it costs, 0: nothing to send now. Must not
     * remove itself. */
    size_t (*pull_data)(struct mux_attachment *attachment, struct mux_batch *batch, size_t max, uint64_t now);

    /* The transport is blocked: what waits here should not pin more memory than it is. May be NULL. */
    void (*compact)(struct mux_attachment *attachment);

    /* The link is gone: it is no longer attached. */
    void (*on_lost)(struct mux_attachment *attachment, enum mux_code code, const char *reason, uint64_t now);
};

/* The presence of one session on one link. Embedded in its owner; zeroed before first use. */
struct mux_attachment {
    const struct mux_attachment_ops *ops;
    struct mux_link *link; /* NULL: not attached */
    uint32_t number;
    bool control_queued;
    TAILQ_ENTRY(mux_attachment) control_entry;
    struct mux_sched_flow flow;
    UT_hash_handle hh;
};

struct mux_link_ops {
    /* The peer said HELLO: link->peer tells who it is. May be NULL. */
    void (*on_hello)(struct mux_link *link, uint64_t now);

    /* A session is to be opened (never called on the opener): mux_link_attach or mux_link_refuse it before
     * returning. */
    void (*on_open)(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now);

    /* The peer takes no new sessions. May be NULL. */
    void (*on_goaway)(struct mux_link *link, const char *reason);

    /* There is output: call mux_link_output soon, but not from in here. */
    void (*on_output)(struct mux_link *link);
};

struct mux_link_config {
    bool opener;
    enum mux_role role;
    enum mux_role peer_role;   /* the only one that may be at the other end; 0: any */
    const char *name;          /* for the peer's logs; must outlive the link */
    uint64_t instance;         /* random per process */
    uint32_t ping_interval_ms; /* ping when nothing was heard for so long; 0: never */
    uint32_t ping_timeout_ms;  /* dead when nothing was heard for so long after a ping */
    uint32_t idle_timeout_ms;  /* dead when nothing was heard for so long, without pinging; 0: never */
    uint32_t hello_timeout_ms; /* dead when HELLO has not come by then; 0: never */
    uint32_t open_timeout_ms;  /* acceptor: dead when no session was opened by then; 0: never */
    uint32_t max_sessions;     /* the peer may open in all; 0: no limit */
};

/* What the peer said of itself. */
struct mux_peer {
    uint16_t version; /* 0 until its HELLO came */
    uint8_t role;
    uint64_t instance;
    uint32_t max_frame;
    char name[64];
};

/* Ended before it was attached: RESET to be sent. */
struct mux_refusal;

STAILQ_HEAD(mux_refusal_list, mux_refusal);
TAILQ_HEAD(mux_attachment_list, mux_attachment);

enum mux_link_state {
    MUX_LINK_OPEN,
    MUX_LINK_CLOSED, /* nothing goes in or out any more */
};

struct mux_link {
    const struct mux_link_ops *ops;
    const struct mux_link_config *config;
    enum mux_link_state state;
    struct mux_reader reader;
    struct mux_peer peer;
    struct mux_attachment *attachments; /* by number */
    uint32_t last_number;               /* highest number opened */
    uint32_t opened;                    /* OPENs handed to on_open */
    unsigned pending;                   /* link-level frames to send, bits */
    uint8_t pong[MUX_PING_SIZE];
    const char *goaway_reason; /* static */
    struct mux_refusal_list refusals;
    unsigned refusal_count;
    struct mux_attachment_list control; /* attachments with control frames to send */
    struct mux_sched sched;
    uint64_t created_ms;
    uint64_t heard_ms;  /* when something was last received */
    uint64_t pinged_ms; /* when a PING was sent that nothing came after; 0: none */
    char error[128];    /* what a negative return of mux_link_input was about */
};

/* HELLO is queued at once. `ops` and `config` must outlive the link. */
void mux_link_init(struct mux_link *link, const struct mux_link_ops *ops,
                   const struct mux_link_config *config, uint64_t now);

/* Close if that was not done, and free what it holds. */
void mux_link_deinit(struct mux_link *link, uint64_t now);

/* All attachments are lost, with this reason. No frames go in or out afterwards. Idempotent. */
void mux_link_close(struct mux_link *link, enum mux_code code, const char *reason, uint64_t now);

/*
 * Bytes from the transport, lying in `chunk`. Returns 0 or a negative code, link->error says what was wrong:
 * the transport is to be closed. May call any callback.
 */
int mux_link_input(struct mux_link *link, struct mux_chunk *chunk, const uint8_t *data, size_t len,
                   uint64_t now);

/* Fill an empty batch with what is to be sent next. Returns false when there is nothing. */
bool mux_link_output(struct mux_link *link, struct mux_batch *batch, uint64_t now);

/* To call when the transport takes no more for now: what waits to be sent is copied out of large chunks. */
void mux_link_compact(struct mux_link *link);

/* When mux_link_tick is to be called next, in ms of the clock that `now` is of; UINT64_MAX: never. */
uint64_t mux_link_deadline(const struct mux_link *link);

/* Time has passed. Returns 0, or -MUX_IDLE_TIMEOUT: the peer is silent, close the transport. */
int mux_link_tick(struct mux_link *link, uint64_t now);

/* Opener: the number for a session that is about to be opened, 0 when the numbers of this link are used up.
 */
uint32_t mux_link_next_number(struct mux_link *link);

/*
 * Attach under `number`: one from mux_link_next_number, or the one that on_open was called with. 0 or
 * -MUX_NO_MEMORY, nothing changed.
 */
int mux_link_attach(struct mux_link *link, struct mux_attachment *attachment, uint32_t number);

/* Take an attachment off its link without a word. No effect when it is not attached. */
void mux_link_remove(struct mux_attachment *attachment);

/* The attachment has control frames, or DATA, to send. No effect when it is not attached. */
void mux_link_want_control(struct mux_attachment *attachment);
void mux_link_want_data(struct mux_attachment *attachment);

/* Answer an OPEN with RESET. `reason` is copied. */
void mux_link_refuse(struct mux_link *link, uint32_t number, enum mux_code code, const char *reason);

/* Tell the peer to open no more sessions. `reason` must be static. */
void mux_link_goaway(struct mux_link *link, const char *reason);

unsigned mux_link_count(const struct mux_link *link);

#endif
