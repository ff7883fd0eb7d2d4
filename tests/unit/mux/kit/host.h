/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host-proxy: relays guest streams to its one link, which it dials again when it breaks. It may be killed
 * and started again.
 */
#ifndef KIT_HOST_H
#define KIT_HOST_H

#include "mux/relay.h"
#include "tests/unit/mux/kit/far.h"

/* Links at once: one in use, others that the far edge has not found broken yet. */
#define KIT_HOST_LINKS 4u

struct kit_host;

/* A guest stream and what the host keeps for it. */
struct kit_guest {
    struct kit_stream stream;
    struct kit_host *host;
    struct mux_relay relay;
    bool relayed; /* relay is in use */
    bool paused;  /* by too much backlog */
};

struct kit_host {
    struct mux_pool pool;
    struct kit_stream links[KIT_HOST_LINKS];
    struct kit_stream *link; /* the one in use; NULL: none */
    struct kit_far *far;
    uint32_t window_bytes;
    uint64_t now_ms;      /* of the last step */
    uint64_t retry_at_ms; /* the link is dialled then */
    uint32_t backoff_ms;
    uint64_t down_until_ms; /* it does not run before */
};

void kit_host_init(struct kit_host *host, struct kit_far *far, uint32_t window_bytes);

/* Its streams must be closed. */
void kit_host_deinit(struct kit_host *host, uint64_t now);

/* Dial the link when it is time. Returns whether it was done. */
bool kit_host_step(struct kit_host *host, uint64_t now);
uint64_t kit_host_deadline(const struct kit_host *host);

/* A guest stream arrives: open the host's end of it. False: there is no host. */
bool kit_host_accept(struct kit_host *host, struct kit_guest *guest, uint64_t now);

/* Kill it: everything it has is reset, and it is back at `until_ms`. `guests` are all its guest streams. */
void kit_host_kill(struct kit_host *host, struct kit_guest **guests, unsigned guest_count, uint64_t until_ms,
                   uint64_t now);

/* What its relay holds is within its bounds. */
void kit_guest_check_bounds(const struct kit_guest *guest);

#endif
