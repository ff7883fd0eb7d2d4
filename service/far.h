/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_FAR_H
#define SERVICE_FAR_H

/*
 * The sessions of a far edge: amqp-proxy, or host-proxy in direct mode. Which session an OPEN means, the
 * memory of those that have lost their transport, what is counted and logged. What a session is joined to is
 * the owner's: it embeds a far_session beside its mux_session and passes the mux_session's callbacks on.
 */

#include "mux/registry.h"
#include "service/detached.h"
#include "service/log.h"
#include "service/totals.h"

#include <sys/queue.h>
#include <uv.h>

struct far_set;
struct far_session;

/* What is counted. */
enum far_count {
    FAR_SESSIONS,
    FAR_REFUSED,
    FAR_DETACHES,
    FAR_RESUMES,
    FAR_RESUMES_REFUSED,
    FAR_REPLAYED_BYTES,
    FAR_EXPIRED,
    FAR_COUNT_END,
};

struct far_ops {
    /*
     * Make the session that `open` opens: far_session_begin is its duty, with `object` for log lines. MUX_OK
     * and the session, or why not.
     */
    enum mux_code (*create)(struct far_set *set, struct mux_link *link, uint32_t number,
                            const struct mux_open *open, const char *object, struct far_session **made);

    /* The session of this mux_session. */
    struct far_session *(*of_session)(struct mux_session *session);

    /* Bytes that the owner holds for a session, beside those that the mux_session keeps. */
    size_t (*held)(struct far_session *far);
};

/* An acknowledgement waits so long for company. */
#define FAR_ACK_DELAY_MS 20u

struct far_config {
    struct mux_session_config session;
    size_t detached_memory_bytes; /* for all detached sessions */
    uint64_t totals_interval_ms;
    unsigned max_sessions;
};

TAILQ_HEAD(far_list, far_session);

struct far_set {
    const struct far_ops *ops;
    uv_loop_t *loop;
    struct far_config config;
    struct mux_registry registry;
    struct far_list sessions;
    unsigned session_count;
    struct detached_set detached;
    struct total counts[FAR_COUNT_END + 1]; /* by enum far_count */
    struct totals totals;
    bool draining; /* no new sessions */
};

#define FAR_OBJECT_MAX 160

/* Embedded by the owner beside its mux_session. */
struct far_session {
    TAILQ_ENTRY(far_session) entry;
    struct far_set *set;
    struct mux_session *session;
    struct detached_member detached;
    char object[FAR_OBJECT_MAX]; /* for log lines: what it came on, and the first bytes of its token */
};

void far_set_init(struct far_set *set, uv_loop_t *loop, const struct far_config *config,
                  const struct far_ops *ops);

/* Log the counters for the last time; the handles are closed once the loop has turned. */
void far_set_close(struct far_set *set);

/* After the loop has ended. */
void far_set_deinit(struct far_set *set);

/*
 * An OPEN came on a link: the session is made, or resumed, or refused (the peer is told). Returns it; NULL:
 * refused. `object` is the link's, for log lines; `refusals` limits the lines about refusals, NULL: it does
 * not.
 */
struct far_session *far_open(struct far_set *set, struct mux_link *link, uint32_t number,
                             const struct mux_open *open, const char *object, struct log_limit *refusals);

/*
 * In `create`: put the session in the set and accept it. `session` is initialised by mux_session_init_far,
 * with set->config.session; `service` is for the log. MUX_OK, or why it is to be given
 * up, with far_session_gone.
 */
enum mux_code far_session_begin(struct far_set *set, struct far_session *far, struct mux_session *session,
                                struct mux_link *link, uint32_t number, const struct mux_open *open,
                                const char *object, const char *service);

/* To be called in the mux_session's callbacks of the same names. */
void far_session_attached(struct far_session *far);
void far_session_detached(struct far_session *far, enum mux_code code, const char *reason);
void far_session_closed(struct far_session *far, enum mux_code code, const char *reason);

/* What it holds has grown, or is about to by `more` bytes: sessions that are detached may have to end. */
void far_session_account(struct far_session *far, size_t more);

/* It takes no more part; its memory is the owner's. */
void far_session_gone(struct far_session *far);

#endif
