/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transport in memory with a mux_link at each end, as a socket pair would be under two daemons: bytes wait
 * in a bounded buffer each way, reads and writes move as much or as little as the caller says, and the whole
 * may end cleanly, be reset, or fall silent for a while.
 *
 *     end a (opener) ──write──► way ab ──read──► end b
 *                    ◄──read─── way ba ◄─write──
 *
 * An end closes as daemons do: at once, when all is written, or after lingering so that its last frame is not
 * lost.
 */
#ifndef KIT_STREAM_H
#define KIT_STREAM_H

#include "mux/link.h"

/* What the kernel would buffer each way. */
#define KIT_WAY_SIZE 8192u

/* How long a lingering end waits for the other to close. */
#define KIT_LINGER_MS 2000u

struct kit_end;
struct kit_stream;

struct kit_end_ops {
    struct mux_link_ops link; /* on_output: kit_end_on_output */

    /* How many bytes may be read now. NULL: any number. */
    size_t (*want)(struct kit_end *end);

    /* The transport is gone or useless, and so is the link already. The end closes itself after this call.
     * MUX_OK: the other side closed it. */
    void (*on_down)(struct kit_end *end, enum mux_code code, const char *reason, uint64_t now);
};

enum kit_end_state { KIT_END_UNUSED, KIT_END_OPEN, KIT_END_LINGERING, KIT_END_FINISHING, KIT_END_CLOSED };

/* One direction of the transport. */
struct kit_way {
    uint8_t bytes[KIT_WAY_SIZE]; /* a ring */
    size_t first;
    size_t len;
    bool ended;        /* nothing follows */
    uint64_t ready_ms; /* what is in it arrives then */
    uint64_t passed;   /* bytes that were read from it */
};

struct kit_end {
    struct mux_link link;
    const struct kit_end_ops *ops;
    void *owner;
    enum kit_end_state state;
    struct kit_stream *stream;
    struct mux_pool *pool;
    struct mux_batch batch;
    uint64_t linger_until_ms;
    bool output_due; /* the link has said so: nothing is written otherwise */
    bool deinit_due; /* closed, and its link still holds memory */
};

struct kit_stream {
    struct kit_end a; /* the side that connected */
    struct kit_end b;
    struct kit_way ab;
    struct kit_way ba;
    bool reset;               /* both ends find out when they next look */
    uint64_t silent_until_ms; /* nothing arrives before */
};

/* For kit_end_ops.link. */
void kit_end_on_output(struct mux_link *link);

/* Both ways empty, both ends unused. */
void kit_stream_init(struct kit_stream *stream);

/* Open one end; `pool` takes what it reads. `config` and `ops` must outlive it. */
void kit_end_open(struct kit_end *end, struct kit_stream *stream, const struct kit_end_ops *ops, void *owner,
                  const struct mux_link_config *config, struct mux_pool *pool, uint64_t now);

/* Write at most `max` bytes of what the link has to say, which arrive `delay_ms` later. Returns how many
 * went. */
size_t kit_end_write(struct kit_end *end, size_t max, uint64_t delay_ms, uint64_t now);

/* Read at most `max` bytes and hand them to the link. Returns whether something happened: bytes, the end of
 * the stream, or that it was reset. */
bool kit_end_read(struct kit_end *end, size_t max, uint64_t now);

/* The earliest time at which reading may do something, UINT64_MAX: it depends on others. */
uint64_t kit_end_next_read(const struct kit_end *end);

/* Is there nothing to read, to write, or to find out? Then reading and writing would do nothing. */
bool kit_end_quiet(const struct kit_end *end);

/* Time for the link, and for a lingering end. Returns whether something happened. */
bool kit_end_tick(struct kit_end *end, uint64_t now);
uint64_t kit_end_deadline(const struct kit_end *end);

/* Say what is queued, wait for the other side to close, then close. */
void kit_end_linger(struct kit_end *end, uint64_t now);

/* Say what is queued, then close. */
void kit_end_finish(struct kit_end *end);

/* Close cleanly. The link's attachments are lost with this reason. on_down is not called. As with sockets,
 * what was just written may be lost when something unread has come. May be called from the link's callbacks.
 */
void kit_end_close(struct kit_end *end, enum mux_code code, const char *reason, uint64_t now);

/* The transport breaks: what is under way is lost. */
void kit_stream_reset(struct kit_stream *stream);

/* The transport ends on both sides, as if each had closed it: what is under way still arrives. */
void kit_stream_end(struct kit_stream *stream);

/* Bytes for end b from nobody: end a is not there. */
void kit_stream_inject(struct kit_stream *stream, const uint8_t *data, size_t len);

/* Free what closed ends hold. Not from a callback. */
void kit_stream_reap(struct kit_stream *stream, uint64_t now);

/* Are both ends unused or closed, and reaped? */
bool kit_stream_over(const struct kit_stream *stream);

/* Close what is open, without a word to anybody, and free all. */
void kit_stream_deinit(struct kit_stream *stream, uint64_t now);

static inline bool kit_end_alive(const struct kit_end *end)
{
    return end->state != KIT_END_UNUSED && end->state != KIT_END_CLOSED;
}

static inline struct kit_end *kit_end_of(struct mux_link *link)
{
    return (struct kit_end *)((char *)link - offsetof(struct kit_end, link));
}

#endif
