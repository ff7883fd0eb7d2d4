/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_MEMBER_H
#define AMQP_MEMBER_H

/*
 * One client in direct mode: its connection (amqp/front.h), and once it has joined a hub, its channels there.
 *
 *     GREETING ─ join ─► JOINED ─ it leaves, breaks a rule, the broker is lost ─► ENDING ─ all freed ─► OVER
 *         └────────────────────────── closed before it joined ──────────────────────────────────────────┘
 *
 * In ENDING its channels are closed upstream, then its exclusive queues are deleted. The client gets the
 * answers to what it said before, and hears of the end when all is freed (or that takes longer than the end
 * timeout), as it would from the broker itself. The member may be freed once amqp_member_is_over and what
 * amqp_member_write gives is sent, or the client is gone.
 */

#include "amqp/brake.h"
#include "amqp/front.h"
#include "amqp/hub.h"
#include "amqp/lane.h"

enum amqp_member_state {
    AMQP_MEMBER_GREETING,
    AMQP_MEMBER_JOINED,
    AMQP_MEMBER_ENDING,
    AMQP_MEMBER_OVER,
};

struct amqp_member;

struct amqp_member_ops {
    /* As in amqp_front_ops; answer by the functions of amqp/front.h on &member->front. */
    void (*on_login)(struct amqp_member *member, const struct amqp_login *login);

    /* As in amqp_front_ops. Answer by amqp_member_join, or amqp_front_close. */
    void (*on_open)(struct amqp_member *member, struct amqp_span vhost);

    /* Something has changed: bytes are to be written, reading makes sense again, or it is over. Take note,
     * look later, as amqp/hub.h says. */
    void (*on_wake)(struct amqp_member *member);
};

struct amqp_member {
    const struct amqp_member_ops *ops;
    enum amqp_member_state state;
    struct amqp_front front;
    struct amqp_seat main;          /* taken in JOINED and ENDING, unless its hub is lost */
    struct amqp_seat publishing;    /* likewise, if it publishes apart */
    struct amqp_lane *lanes;        /* hash by the client's number */
    struct amqp_command_queue down; /* to the client */
    struct amqp_load load;          /* what is held for the client */
    bool awaits_drain;              /* a lane is to be looked at when the client has read all */
    size_t held_cost;               /* commands held back in lanes */
    size_t partial_cost;            /* incomplete commands in lanes */
    struct amqp_owner queues;       /* exclusive ones */
    struct amqp_exception end; /* ENDING: what the client will be told; code 0: nothing but what it asked */
    uint64_t end_ms;           /* ENDING: when it is told if the broker says nothing before */
    bool is_hurried;           /* it is told nothing but its end any more (amqp_member_doom, _hurry) */
    struct amqp_lane *refused; /* JOINED: the one over which the connection will end, as soon as it is left */
    uint64_t refused_ms;       /* or then */
};

void amqp_member_init(struct amqp_member *member, const struct amqp_member_ops *ops,
                      const struct amqp_front_config *config, uint64_t now);

/* In GREETING or OVER. */
void amqp_member_deinit(struct amqp_member *member);

/* Takes bytes from the client. They are taken in any case; see amqp_member_wants_input first. */
void amqp_member_feed(struct amqp_member *member, const uint8_t *data, size_t len, uint64_t now);

/*
 * In answer to on_open: it works on this hub, and publishes on that one (amqp/outlet.h); NULL: on the same.
 * Both are running. The client is told Open-Ok.
 */
void amqp_member_join(struct amqp_member *member, struct amqp_hub *hub, struct amqp_hub *publishing,
                      uint64_t now);

/* Whether bytes should be read from the client: it is not ahead of the broker, takes its answers, and memory
 * is not short. If not, ask again after on_wake, and when something was written to it. */
bool amqp_member_wants_input(struct amqp_member *member);

/* Moves bytes for the client to buf[0, size), size >= AMQP_HUB_WRITE_MIN. Returns how many. */
size_t amqp_member_write(struct amqp_member *member, uint8_t *buf, size_t size, uint64_t now);

/* Ends it, telling the client. */
void amqp_member_end(struct amqp_member *member, const struct amqp_exception *e, uint64_t now);

/* The client is gone: nothing more will be written. on_wake comes when it is over, unless it is at once. */
void amqp_member_gone(struct amqp_member *member, uint64_t now);

uint64_t amqp_member_deadline(const struct amqp_member *member);
void amqp_member_tick(struct amqp_member *member, uint64_t now);

/* Nothing of it is left upstream, and the client has been told what it will be told. */
bool amqp_member_is_over(const struct amqp_member *member);

/* --- between the member, its lanes and its hub --- */

/* Queues a command for the client, on a channel of its. Takes it over. NULL: there was no memory to make it.
 */
void amqp_member_tell(struct amqp_member *member, uint16_t channel, struct amqp_command *command);

/*
 * Its end can't wait, but it is in use: what is in line for it is dropped now, the rest happens in
 * amqp_member_tick, which is due at once. In JOINED only.
 */
void amqp_member_doom(struct amqp_member *member, const struct amqp_exception *e);

/* Likewise in ENDING: it is told of its end as soon as can be, and of nothing else any more. */
void amqp_member_hurry(struct amqp_member *member);

static inline bool amqp_member_is_doomed(const struct amqp_member *member)
{
    return member->state == AMQP_MEMBER_JOINED && member->is_hurried;
}

/* A slot of one of its seats is free again. */
void amqp_member_slot_freed(struct amqp_seat *seat);

/* Of both hubs, those that are not free yet. */
static inline unsigned amqp_member_slots(const struct amqp_member *member)
{
    return member->main.slots + member->publishing.slots;
}

/* Whether nothing is left of it but exclusive queues, which are being deleted. */
static inline bool amqp_member_is_releasing(const struct amqp_member *member)
{
    return member->state == AMQP_MEMBER_ENDING && amqp_member_slots(member) == 0;
}

/* They are gone. */
void amqp_member_released(struct amqp_member *member);

/* The hub of this seat is lost: nothing is left of the member there, and it leaves the other one. */
void amqp_member_cut_off(struct amqp_seat *seat, const struct amqp_exception *e);

/* The broker blocks the connection of this seat's hub, or does so no more (NULL). */
void amqp_member_hear_blocked(struct amqp_seat *seat, const char *reason);

/* The time of the last call, of the member's or one of its hubs'. */
uint64_t amqp_member_now(const struct amqp_member *member);

/* The hub that pays for what it has said that can't be sent yet: mostly, that waits for publishing. NULL:
 * there is none. */
static inline struct amqp_hub *amqp_member_payer(const struct amqp_member *member)
{
    return amqp_seat_is_taken(&member->publishing) ? member->publishing.hub : member->main.hub;
}

/* The lane of a channel; NULL: there is none. Numbers lie close together: each is its own hash. */
static inline struct amqp_lane *amqp_member_lane(const struct amqp_member *member, uint16_t number)
{
    struct amqp_lane *lane;
    HASH_FIND_BYHASHVALUE(hh, member->lanes, &number, sizeof(number), number, lane);
    return lane;
}

/* A lane's verdict on what the broker said. */
void amqp_member_judge(struct amqp_member *member, struct amqp_lane *lane, int verdict,
                       const struct amqp_exception *e);

/* A lane holds back more, or less. */
void amqp_member_account_held(struct amqp_member *member, size_t before, size_t after);

#endif
