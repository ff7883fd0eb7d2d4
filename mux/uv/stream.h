/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connected stream socket on an event loop. Reads go to the loop's pool; writes are made by the owner in
 * on_flush, which is called once per turn of the loop however often output was announced, and again when the
 * socket takes more.
 *
 * While reading is paused an error of the socket is still noticed (a client that died), a mere end of its
 * data is not.
 */
#ifndef MUX_UV_STREAM_H
#define MUX_UV_STREAM_H

#include "mux/uv/filter.h"
#include "mux/uv/loop.h"

struct mux_uv_stream;

/* No callback comes after mux_uv_stream_close but on_closed. Each may close the stream. */
struct mux_uv_stream_ops {
    /* How many bytes would be welcome now. 0 pauses reading until mux_uv_stream_resume. */
    size_t (*want)(struct mux_uv_stream *stream);

    /* Bytes came. They are in `chunk`: take a reference to keep them. */
    void (*on_read)(struct mux_uv_stream *stream, struct mux_chunk *chunk, const uint8_t *data, size_t len);

    /* The peer sends no more. */
    void (*on_eof)(struct mux_uv_stream *stream);

    /* The socket failed, -errno. It is to be closed. */
    void (*on_error)(struct mux_uv_stream *stream, int error);

    /* Write what there is by mux_uv_stream_writev, until it says -EAGAIN. */
    void (*on_flush)(struct mux_uv_stream *stream);

    /* Closed; the memory is the owner's again. */
    void (*on_closed)(struct mux_uv_stream *stream);
};

enum mux_uv_stream_state {
    MUX_UV_STREAM_OPEN,
    MUX_UV_STREAM_ENDED, /* nothing more to read; may still be written to */
    MUX_UV_STREAM_CLOSING,
};

struct mux_uv_stream {
    struct mux_uv_loop *mux_loop;
    const struct mux_uv_stream_ops *ops;
    struct mux_uv_filter *filter; /* top of the stack */
    struct mux_uv_socket socket;  /* its bottom */
    uv_poll_t poll;
    struct mux_uv_task flush;
    struct mux_uv_task more; /* reads what a filter still has */
    enum mux_uv_stream_state state;
    bool paused;
    bool blocked; /* the last write was cut short: waiting for the socket */
    int polled;   /* events that poll waits for now */
};

/* Takes over the non-blocking descriptor, also on failure. Reading begins paused. 0 or a libuv error code. */
int mux_uv_stream_open(struct mux_uv_stream *stream, struct mux_uv_loop *mux_loop, int fd,
                       const struct mux_uv_stream_ops *ops);

/* Put a filter on top, whose `below` is stream->filter. It is the stream's from now on, and begins its work
 * in this turn of the loop. */
void mux_uv_stream_push(struct mux_uv_stream *stream, struct mux_uv_filter *filter);

/* In on_error, or after a failed write: what the error was, in words. */
const char *mux_uv_stream_reason(const struct mux_uv_stream *stream, int error);

/* Read as long as `want` says more than 0. */
void mux_uv_stream_resume(struct mux_uv_stream *stream);

/* There is output: on_flush will be called in this turn of the loop, unless the socket is blocked. */
void mux_uv_stream_want_flush(struct mux_uv_stream *stream);

/* Bytes written, or -EAGAIN: on_flush comes again when the socket takes more; or another -errno: report it
 * yourself. */
ssize_t mux_uv_stream_writev(struct mux_uv_stream *stream, const struct iovec *iov, int count);

/* No more will be written. */
void mux_uv_stream_shutdown(struct mux_uv_stream *stream);

/* Close the descriptor; on_closed follows. Idempotent. */
void mux_uv_stream_close(struct mux_uv_stream *stream);

#endif
