/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_HUB_H
#define AMQP_HUB_H

/*
 * One connection to the broker and the sessions that share it (members). DIRECT.md tells how the parts work
 * together.
 *
 * Sans-IO: the owner moves bytes between its socket and amqp_hub_feed and amqp_hub_write, and minds the
 * deadline. Callbacks come from within those calls and the members'. on_wake must do no more than take note:
 * whoever is woken looks after the call has returned.
 */

#include "amqp/back.h"
#include "amqp/brake.h"
#include "amqp/errand.h"
#include "amqp/fair.h"
#include "amqp/hush.h"
#include "amqp/kept.h"
#include "amqp/queues.h"
#include "amqp/rules.h"
#include "amqp/seat.h"
#include "amqp/slots.h"
#include "amqp/tokens.h"
#include <amqp.h>

struct amqp_hub;

struct amqp_hub_ops {
    /* The broker accepts user and password. Without a vhost in the settings, amqp_hub_open goes on. NULL:
     * don't care. */
    void (*on_login)(struct amqp_hub *hub);

    void (*on_running)(struct amqp_hub *hub); /* members may join */

    /* An error ends it that could not be foreseen, and this member's command was the last one sent: perhaps
     * its cause. Comes before on_down. NULL: don't care. */
    void (*on_suspect)(struct amqp_hub *hub, struct amqp_member *member,
                       const struct amqp_method_spec *method);

    /* The broker does not answer what a hush waits for: who publishes goes on, and the connection may be lost
     * by that (amqp/hush.h). NULL: don't care. */
    void (*on_hush_given_up)(struct amqp_hub *hub);

    /* It is over, as on_down of amqp/back.h; all members have been told, and none is left. */
    void (*on_down)(struct amqp_hub *hub, const struct amqp_exception *e);

    void (*on_wake)(struct amqp_hub *hub); /* amqp_hub_write has something */
};

struct amqp_hub_config {
    struct amqp_back_config back;
    const char *const *exchange_types; /* as in amqp/rules.h */
    const char *const *queue_types;    /* likewise */
    unsigned reply_tokens_max;         /* direct reply-to tokens that are remembered */
    unsigned exclusive_max;            /* exclusive queues of one client; 0: AMQP_EXCLUSIVE_MAX_DEFAULT */
    uint32_t believe_types_ms;         /* how long a queue's type is believed; 0: it is asked each time */
    unsigned kept_max;                 /* channels that are kept open for clients to come; 0: none */
    uint64_t body_max;                 /* bytes of one message */
    size_t memory_max;    /* what all clients may have sent that the broker has not taken yet, in bytes */
    size_t member_up_max; /* of one client's complete commands: past it, nothing is read from it */

    /* What is held for clients that do not read, in bytes; 0: amqp/brake.c has a default. */
    size_t member_down_max;    /* for one: past it, it is closed */
    size_t member_down_soft;   /* for one: past it, the broker is asked for less */
    size_t member_replies_max; /* answers for one: past it, nothing is read from it */
    size_t down_max;           /* for all: past it, the one with the most is closed */

    uint16_t prefetch; /* of consumers with no_ack, and at first of those with more or none; 0: a default */
    uint16_t prefetch_wide; /* the most for a consumer that can't be replaced by a wider one; 0: a default */

    uint32_t
        stall_timeout_ms;    /* with memory_max reached: how long the one that may go on can take to do so */
    uint32_t end_timeout_ms; /* how long the broker may be silent about a member that ends before its client
                                is told */
};

struct amqp_hub {
    const struct amqp_hub_ops *ops;
    const struct amqp_hub_config *config;
    struct amqp_back back;
    struct amqp_slots slots;
    uint16_t opened; /* when it is over: channels that the broker had opened */
    struct amqp_kept kept;
    struct amqp_fair fair;
    struct amqp_rules rules;
    struct amqp_tokens tokens;
    struct amqp_errands errands;
    struct amqp_queues queues;
    struct amqp_hush hush;
    char vhost[256];
    struct amqp_tokens
        plain_queues; /* declared through us, neither streams nor with a single active consumer */
    amqp_pool_t pool; /* for one command at a time */
    const struct amqp_method_spec *last_method; /* sent to the broker; NULL: none yet */
    uint16_t last_channel;                      /* on which */
    struct amqp_limits limits;                  /* of what is held for clients */
    size_t held;                                /* for clients, of all members */
    TAILQ_HEAD(amqp_seats, amqp_seat) seats;    /* that members have taken */
    struct amqp_seats crowd;                    /* those of them that await room */
    size_t waiting_cost;                        /* commands held back or incomplete, of all members */
    struct amqp_member *favourite; /* the only one to be read while memory is short; NULL: none yet */
    uint64_t stall_ms;             /* when the favourite loses its patience */
    char blocked[256];             /* the broker's reason; "": it is not blocked */
    uint64_t now;                  /* of the call that is under way */
};

void amqp_hub_init(struct amqp_hub *hub, const struct amqp_hub_ops *ops, const struct amqp_hub_config *config,
                   uint64_t now);

/* No member may be left. */
void amqp_hub_deinit(struct amqp_hub *hub);

void amqp_hub_feed(struct amqp_hub *hub, const uint8_t *data, size_t len, uint64_t now);

/* Moves bytes for the broker to buf[0, size), size >= AMQP_HUB_WRITE_MIN. Returns how many. */
size_t amqp_hub_write(struct amqp_hub *hub, uint8_t *buf, size_t size, uint64_t now);

#define AMQP_HUB_FRAME_MAX 131072u
#define AMQP_HUB_WRITE_MIN (AMQP_HUB_FRAME_MAX + AMQP_FRAME_OVERHEAD)

/* After on_login: to this vhost, which is copied. */
void amqp_hub_open(struct amqp_hub *hub, struct amqp_span vhost, uint64_t now);

/* Ends it in order; members are closed with 320 and this reason first. */
void amqp_hub_close(struct amqp_hub *hub, const char *reason, uint64_t now);

/* The transport is lost. */
void amqp_hub_lost(struct amqp_hub *hub, const char *reason, uint64_t now);

uint64_t amqp_hub_deadline(const struct amqp_hub *hub);
void amqp_hub_tick(struct amqp_hub *hub, uint64_t now);

static inline bool amqp_hub_is_running(const struct amqp_hub *hub)
{
    return hub->back.state == AMQP_BACK_RUNNING;
}

/* --- between the hub and its members --- */

/* What all members have sent and the broker has not taken. */
static inline size_t amqp_hub_cost(const struct amqp_hub *hub)
{
    return hub->fair.cost + hub->waiting_cost;
}

/* Whether a client may be read although memory may be short; `is_partial`: a message of its is incomplete. */
bool amqp_hub_lets_read(struct amqp_hub *hub, struct amqp_member *member, bool is_partial);

/* Commands of a member that wait have grown or shrunk. */
void amqp_hub_account(struct amqp_hub *hub, size_t before, size_t after);

/* Queues a command for the broker, with its channel set. Takes it over. */
void amqp_hub_send(struct amqp_hub *hub, struct amqp_flow *flow, struct amqp_command *command);

/* Queues the Close-Ok to a Close of the broker's, made of the slot's spare. */
void amqp_hub_send_close_ok(struct amqp_hub *hub, struct amqp_slot *slot);

/*
 * Leaves an OPEN slot: it is kept for others if it can be, else closed, by `close` or, if that is NULL, one
 * of our own. Takes `close` over.
 */
void amqp_hub_leave_slot(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *close);

/* Queues channel.close on an OPEN slot, which no lane has any more interest in. */
void amqp_hub_close_slot(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *close);

#endif
