/* SPDX-License-Identifier: Apache-2.0 */
/* A far edge as amqp-proxy is one: ends links, keeps sessions by token, resumes or refuses. */
#ifndef KIT_FAR_H
#define KIT_FAR_H

#include "mux/registry.h"
#include "tests/unit/mux/kit/app.h"
#include "tests/unit/mux/kit/stream.h"

/* The guest name of a near edge that is a copy. */
#define KIT_COPY_NAME "copy"

/* What one session does once it is opened. The token tells which it is. */
struct kit_far_session {
    struct kit_app app;
    struct kit_plan plan;
    uint8_t token[MUX_TOKEN_SIZE];
    uint64_t salt_out;
    uint64_t salt_in;
    uint64_t peer_bytes;
    struct kit_fork fork;
    bool opened;
    bool copy_let_in;                     /* it was resumed by the copy of its near edge */
    struct mux_session_counters counters; /* when it closed */
};

struct kit_far {
    struct mux_pool pool;
    struct mux_registry registry;
    const struct mux_session_config *config;
    struct kit_far_session *sessions; /* not owned */
    unsigned session_count;
    unsigned refused; /* OPENs */
};

void kit_far_init(struct kit_far *far, const struct mux_session_config *config,
                  struct kit_far_session *sessions, unsigned session_count);

/* Its links must be closed. Sessions that live are dropped. */
void kit_far_deinit(struct kit_far *far);

/* A link arrives: open the far end of it. */
void kit_far_accept(struct kit_far *far, struct kit_stream *link, uint64_t now);

#endif
