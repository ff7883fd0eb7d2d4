/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local side of a session at one edge, as a client's or a broker's socket would be: it sends a stream of
 * pattern bytes, checks that what comes is the other's stream without a byte missing, repeated or out of
 * place, and checks the session's bounds all the time. What it does and when is its plan.
 */
#ifndef KIT_APP_H
#define KIT_APP_H

#include "mux/session.h"
#include "tests/unit/mux/kit/rng.h"

/* How the local side ends its direction once all is sent. */
enum kit_finale {
    KIT_FINALE_FIN,    /* in order */
    KIT_FINALE_RESET,  /* it breaks off: mux_session_reset */
    KIT_FINALE_FINISH, /* it is gone, what it sent is to arrive: mux_session_finish */
};

struct kit_plan {
    uint64_t send_bytes;
    uint64_t piece_max;     /* bytes sent or taken at once, at most */
    uint32_t pause_max_ms;  /* between one piece and the next, at most */
    bool answer;            /* send only as much as was received so far: a dialogue */
    enum kit_finale finale; /* with code KIT_FINALE_CODE unless FIN */
};

#define KIT_FINALE_CODE MUX_BROKER_CLOSED

/* The sender was copied when it had sent `at` bytes: from there on original and copy send different ones. */
struct kit_fork {
    uint64_t at;
    uint64_t salt; /* of the copy's bytes from there on */
    bool exists;
    enum { KIT_HEARD_NEITHER, KIT_HEARD_ORIGINAL, KIT_HEARD_COPY } heard;
};

struct kit_app;

/* What the edge around it does: finds transports, keeps it in a registry. NULL: nothing. */
struct kit_app_ops {
    void (*on_detached)(struct kit_app *app, enum mux_code code, const char *reason);
    void (*on_closed)(struct kit_app *app, enum mux_code code, const char *reason);
};

struct kit_app {
    struct mux_session session;
    const struct kit_app_ops *ops;
    void *owner;
    struct mux_pool *pool; /* what it sends is read into */
    struct kit_plan plan;
    uint64_t salt_out;
    uint64_t salt_in;
    uint64_t peer_bytes;  /* what will come if all goes well */
    struct kit_fork fork; /* of the peer */
    uint64_t now_ms;      /* of the call under way: callbacks have no clock of their own */
    uint64_t sent;
    uint64_t received;
    uint64_t consumed;
    uint64_t armed_ms; /* the session's deadline when it last spoke of it */
    uint64_t next_send_ms;
    uint64_t next_take_ms;
    unsigned attached;
    unsigned detached;
    bool ended;               /* its finale was given */
    bool reset_when_detached; /* with MUX_KILLED, from inside on_detached */
    bool fin_heard;           /* the peer's direction ended */
    bool closed;              /* on_closed came */
    enum mux_code code;
    char reason[128];
};

/* The streams' salts are of the bytes sent and of the bytes to come. Then initialise `session` with
 * kit_session_ops. */
void kit_app_init(struct kit_app *app, const struct kit_app_ops *ops, void *owner, struct mux_pool *pool,
                  const struct kit_plan *plan, uint64_t salt_out, uint64_t salt_in, uint64_t peer_bytes);

extern const struct mux_session_ops kit_session_ops;

/* Send `n` bytes, n <= mux_session_space. 0 or -MUX_NO_MEMORY. */
int kit_app_send(struct kit_app *app, size_t n);

/* `n` bytes of what came are taken. */
void kit_app_take(struct kit_app *app, uint64_t n);

/* Follow the plan. Returns whether something was done. */
bool kit_app_step(struct kit_app *app, struct kit_rng *rng, uint64_t now);

/* Let the session's timer run. Returns whether it fired. */
bool kit_app_tick(struct kit_app *app, uint64_t now);

/* When the plan goes on by itself; UINT64_MAX: not before something comes. */
uint64_t kit_app_deadline(const struct kit_app *app);

/* The session's bounds: no more is held for replay, or handed out and not taken, than a window. */
void kit_app_check_bounds(const struct kit_app *app);

/* Was everything sent and received, in order, and is the session over? */
bool kit_app_complete(const struct kit_app *app);

static inline struct kit_app *kit_app_of(struct mux_session *session)
{
    return (struct kit_app *)((char *)session - offsetof(struct kit_app, session));
}

#endif
