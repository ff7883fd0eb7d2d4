/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mux_link on a stream socket: the link of host-proxy and amqp-proxy, or a guest stream.
 *
 *     OPEN ──► LINGERING, FINISHING ──► CLOSING ──► on_closed
 *
 * Lingering and finishing: the last frame is queued. Finishing closes as soon as it is written; lingering
 * leaves the transport to the peer to close for a moment, since closing at once may lose what was just
 * written (PROTOCOL.md, "The end").
 */
#ifndef MUX_UV_LINK_H
#define MUX_UV_LINK_H

#include "mux/link.h"
#include "mux/uv/stream.h"
#include "mux/uv/timer.h"

struct mux_uv_link;

struct mux_uv_link_ops {
    struct mux_link_ops link; /* on_output is filled in by mux_uv_link_open; the others are the owner's */

    /* How many bytes may be read now, 0: none until mux_uv_link_resume. NULL: as many as come. */
    size_t (*want)(struct mux_uv_link *link);

    /*
     * The transport is gone or useless: the peer closed it (MUX_OK), it failed, or the peer broke the rules.
     * The attachments are lost already. The link closes itself after this call.
     */
    void (*on_down)(struct mux_uv_link *link, enum mux_code code, const char *reason);

    /* Closed; the memory is the owner's again. */
    void (*on_closed)(struct mux_uv_link *link);
};

enum mux_uv_link_state {
    MUX_UV_LINK_OPEN,
    MUX_UV_LINK_LINGERING,
    MUX_UV_LINK_FINISHING,
    MUX_UV_LINK_CLOSING
};

struct mux_uv_link {
    struct mux_link link;
    struct mux_link_ops link_ops;
    const struct mux_uv_link_ops *ops;
    enum mux_uv_link_state state;
    struct mux_uv_stream stream;
    struct mux_uv_timer timer;
    struct mux_batch *batch; /* begun and not yet written to its end; NULL: none */
    uint64_t linger_until_ms;
    unsigned handles; /* that are still to be closed */
};

/*
 * Takes over the connected descriptor, also on failure. 0, or a libuv error code: then nothing is open and no
 * callback comes. `config` and `ops` must outlive the link.
 */
int mux_uv_link_open(struct mux_uv_link *link, struct mux_uv_loop *mux_loop, int fd,
                     const struct mux_link_config *config, const struct mux_uv_link_ops *ops);

/*
 * Set up a TCP socket for a link: little is queued in the kernel ahead of time (TCP_NOTSENT_LOWAT), so that
 * control frames and small sessions do not wait behind bulk. Does nothing for other sockets.
 */
void mux_uv_link_tune(int fd);

/* Read again after `want` said 0. */
void mux_uv_link_resume(struct mux_uv_link *link);

/* Nothing more is to be said here: write what is queued, wait for the peer to close, at most 2 s, and close.
 */
void mux_uv_link_linger(struct mux_uv_link *link);

/* The peer waits for us to close: write what is queued, for 2 s at most, and close. */
void mux_uv_link_finish(struct mux_uv_link *link);

/* Close at once. Attachments are lost with this reason. on_closed follows, on_down does not. Idempotent. */
void mux_uv_link_close(struct mux_uv_link *link, enum mux_code code, const char *reason);

static inline struct mux_uv_link *mux_uv_link_of(struct mux_link *link)
{
    return (struct mux_uv_link *)((char *)link - offsetof(struct mux_uv_link, link));
}

#endif
