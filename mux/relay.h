/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session on its way through host-proxy: a guest stream on one side, the link on the other. Frames pass
 * with their session number changed; DATA waits here only while the side it goes to is busy.
 *
 * The relay trusts neither side with this process's memory. Towards the guest at most `window_bytes` can
 * wait, since credit beyond that is cut from what the guest grants, and since a guest can't claim to have
 * received what has not been written to it. Towards the link the owner stops reading the guest stream while
 * mux_relay_backlog is above MUX_RELAY_SHARE.
 *
 * It keeps nothing that is worth saving: when either transport breaks the relay is over, and the edges
 * resume.
 */
#ifndef MUX_RELAY_H
#define MUX_RELAY_H

#include "mux/link.h"
#include "mux/outbox.h"
#include "mux/send_state.h"

/* A guest stream is not read while so much of it waits for the link, and read again below half of it. */
#define MUX_RELAY_SHARE (128u * 1024u)

struct mux_relay;

enum mux_relay_end {
    MUX_RELAY_ENDED,  /* in order: the far edge said so */
    MUX_RELAY_RESET,  /* one side, or the owner, ended it; the other was told */
    MUX_RELAY_BROKEN, /* a transport broke: the session waits for its resume */
};

struct mux_relay_ops {
    /* The guest stream has nothing more to say (RESET was heard from it, or the end in order was said to it):
     * close it once all is written. */
    void (*on_guest_end)(struct mux_relay *relay);

    /* The backlog fell below half of MUX_RELAY_SHARE again. */
    void (*on_drained)(struct mux_relay *relay);

    /*
     * It is over and on neither link any more; the last callback, in which it may be freed. `by_guest`: it
     * was the guest's side that ended or broke.
     */
    void (*on_closed)(struct mux_relay *relay, enum mux_relay_end end, enum mux_code code, const char *reason,
                      bool by_guest);
};

enum mux_relay_state {
    MUX_RELAY_OPENING, /* OPEN_OK was not heard yet */
    MUX_RELAY_OPEN,
    MUX_RELAY_ENDING, /* a last frame is to be written on one side */
    MUX_RELAY_CLOSED,
};

/* What is to be sent on one side. */
struct mux_relay_side {
    struct mux_attachment attachment;
    struct mux_outbox outbox;
    struct mux_bytes queue; /* DATA to be sent */
    uint64_t offset;        /* of the queue's first byte: all before it was written */
    uint64_t limit;         /* credit this side granted */
    enum mux_fin fin;       /* of the direction towards this side */
};

struct mux_relay {
    const struct mux_relay_ops *ops;
    enum mux_relay_state state;
    struct mux_relay_side guest;
    struct mux_relay_side link;
    uint32_t window_bytes;
    bool backlogged; /* on_drained is due some time */
    bool by_guest;
    enum mux_relay_end end;
    enum mux_code end_code;
    char *end_reason; /* heap */
    uint64_t bytes_to_guest;
    uint64_t bytes_from_guest;
};

/*
 * Relay the session that `open` opens, number `guest_number` of the guest stream, to `link`, with the
 * attributes that `open` has now: the caller has checked them and added the host's. 0; -MUX_NO_MEMORY;
 * -MUX_TRY_LATER: the link's numbers are used up. After an error nothing was attached.
 */
int mux_relay_init(struct mux_relay *relay, const struct mux_relay_ops *ops, struct mux_link *guest,
                   uint32_t guest_number, struct mux_link *link, const struct mux_open *open,
                   uint32_t window_bytes);

/* Free what it holds, and leave both links. */
void mux_relay_deinit(struct mux_relay *relay);

/* End the session, telling both edges. on_closed follows, not from inside this call. */
void mux_relay_reset(struct mux_relay *relay, enum mux_code code, const char *reason);

/* Bytes from the guest that wait for the link. */
size_t mux_relay_backlog(struct mux_relay *relay);

#endif
