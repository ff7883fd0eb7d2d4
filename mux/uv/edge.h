/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An edge of a session: a local stream socket (an AMQP client's, a broker's) joined to a mux_session.
 *
 *     local socket ──► tap_out ──► session ──► link
 *     local socket ◄── out ◄── held ◄── tap_in ◄── session
 *
 * The taps let the owner watch the bytes. tap_in also says up to which offset they may be passed on: the
 * owner holds back the tail of a frame until it is complete, so that bytes of its own can be put in between
 * frames at any time (mux_uv_edge_insert). What is held counts as not delivered, so it is bounded by the
 * window like everything here.
 *
 * The local socket may be attached after the session was opened (a broker that is still being dialled), and
 * be closed before the session is over.
 */
#ifndef MUX_UV_EDGE_H
#define MUX_UV_EDGE_H

#include "mux/session.h"
#include "mux/uv/stream.h"
#include "mux/uv/timer.h"

struct mux_uv_edge;

struct mux_uv_edge_ops {
    /* Bytes that may be read from the local socket now, 0: none until mux_uv_edge_read. NULL: what the
     * session takes. */
    size_t (*want)(struct mux_uv_edge *edge);

    /* Bytes from the peer, in order. Returns the offset of the stream up to which they may go to the local
     * socket. NULL: all. */
    uint64_t (*tap_in)(struct mux_uv_edge *edge, const uint8_t *data, size_t len);

    /*
     * Bytes from the local socket, before they are sent. Returns how many of them, from the start, are to be
     * sent: all as a rule; fewer when the owner handles them itself from there on. NULL: all.
     */
    size_t (*tap_out)(struct mux_uv_edge *edge, struct mux_chunk *chunk, const uint8_t *data, size_t len);

    /* The local side ended its direction. NULL: pass FIN on. */
    void (*on_local_eof)(struct mux_uv_edge *edge);

    /* The local socket failed, -errno; it is closed already. */
    void (*on_local_error)(struct mux_uv_edge *edge, int error);

    /* All that was to go to the local socket has been written; may be called often. NULL: does not matter. */
    void (*on_local_drained)(struct mux_uv_edge *edge);

    /* As in mux_session_ops. */
    void (*on_attached)(struct mux_uv_edge *edge);
    void (*on_detached)(struct mux_uv_edge *edge, enum mux_code code, const char *reason);
    void (*on_session_closed)(struct mux_uv_edge *edge, enum mux_code code, const char *reason);

    /*
     * A deadline of the owner's, kept by the edge's timer: in ms of uv_now, UINT64_MAX: none. When it gets
     * earlier, say mux_uv_edge_update_timer. Both NULL: none, ever.
     */
    uint64_t (*deadline)(struct mux_uv_edge *edge);
    void (*on_deadline)(struct mux_uv_edge *edge);

    /* After mux_uv_edge_close: the memory is the owner's again. */
    void (*on_closed)(struct mux_uv_edge *edge);
};

enum mux_uv_edge_local {
    MUX_UV_LOCAL_NONE, /* not attached yet */
    MUX_UV_LOCAL_OPEN,
    MUX_UV_LOCAL_CLOSED, /* or closing */
};

struct mux_uv_edge {
    struct mux_session session;
    struct mux_uv_loop *mux_loop;
    const struct mux_uv_edge_ops *ops;
    enum mux_uv_edge_local local;
    struct mux_uv_stream stream; /* the local socket */
    struct mux_uv_timer timer;   /* of the session, and of the owner */
    struct mux_bytes out;        /* to be written */
    struct mux_bytes held;       /* the tail of an incomplete frame */
    size_t inserted;             /* bytes in `out` that are the owner's, not the session's */
    uint64_t fed_off;            /* session's bytes that came */
    uint64_t released_off;       /* session's bytes that were moved to `out` */
    bool fin_heard;              /* the peer's direction ended: shut the local one down when all is written */
    bool closing;
    unsigned handles;
};

/* Prepare an edge whose session was initialised with mux_uv_edge_session_ops. */
void mux_uv_edge_init(struct mux_uv_edge *edge, struct mux_uv_loop *mux_loop,
                      const struct mux_uv_edge_ops *ops);

extern const struct mux_session_ops mux_uv_edge_session_ops;

/* Attach the connected local socket, which is taken over, also on failure. 0 or a libuv error code. */
int mux_uv_edge_attach(struct mux_uv_edge *edge, int fd);

/* Read from the local socket again after `want` said 0. */
void mux_uv_edge_read(struct mux_uv_edge *edge);

/* The owner's deadline may have become earlier. */
void mux_uv_edge_update_timer(struct mux_uv_edge *edge);

/* Put bytes of the owner's between those of the peer, behind what was released. 0 or -MUX_NO_MEMORY. */
int mux_uv_edge_insert(struct mux_uv_edge *edge, const uint8_t *data, size_t len);

/* Forget the held tail of a frame that will never be complete. */
void mux_uv_edge_drop_held(struct mux_uv_edge *edge);

/* Bytes that wait to be written to the local socket, those of incomplete frames among them. */
size_t mux_uv_edge_queued(const struct mux_uv_edge *edge);

/* Is there nothing left to be written to the local socket? */
bool mux_uv_edge_drained(const struct mux_uv_edge *edge);

/* Close the local socket only. The session goes on. */
void mux_uv_edge_close_local(struct mux_uv_edge *edge);

/* Close everything. The session must be CLOSED, or is abandoned. on_closed follows. Idempotent. */
void mux_uv_edge_close(struct mux_uv_edge *edge);

static inline struct mux_uv_edge *mux_uv_edge_of(struct mux_session *session)
{
    return (struct mux_uv_edge *)((char *)session - offsetof(struct mux_uv_edge, session));
}

#endif
