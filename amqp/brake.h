/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_BRAKE_H
#define AMQP_BRAKE_H

/*
 * What is held in memory for clients that do not read, and who pays for it. The shared connection is always
 * read, so all that the broker sends must go somewhere:
 *
 *     0 ──────────── soft ─────────────────────── hard ─── ∞
 *       all flows      wide consumers are narrowed   the session is closed, its messages are requeued
 *                      (amqp/intake.h)
 *
 * The first command in line does not count towards the hard limit, so a message of any size gets through.
 */

#include "amqp/command.h"
#include <stdbool.h>

struct amqp_hub;
struct amqp_hub_config;
struct amqp_member;

struct amqp_limits {
    size_t soft;            /* bytes that wait for one client: past it, wide consumers are narrowed */
    size_t hard;            /* bytes held for one client: past it, it is closed */
    size_t all;             /* bytes held for all clients: past it, the one with the most is closed */
    size_t replies;         /* bytes of answers that wait for one client: past it, it is not read */
    uint16_t prefetch;      /* of consumers that the proxy takes for, and of wide ones at first */
    uint16_t prefetch_wide; /* the most that a consumer gets which can't be replaced by a wider one */
};

/* Limits as configured, with a sane one wherever the configuration says 0. */
struct amqp_limits amqp_limits_of(const struct amqp_hub_config *config);

/* What is held for one member, in bytes of memory. */
struct amqp_load {
    size_t waiting; /* commands in line for the client */
    size_t replies; /* those of them that are not deliveries: the client has asked for them itself */
    size_t kept;    /* its consumers, and its deliveries that are not acknowledged */
};

static inline size_t amqp_load_held(const struct amqp_load *load)
{
    return load->waiting + load->kept;
}

/* A command is now in line for the client. May doom this member or another one. */
void amqp_brake_queued(struct amqp_member *member, const struct amqp_command *command);

/* A command, still intact, is no longer in line. */
void amqp_brake_unqueued(struct amqp_member *member, const struct amqp_command *command);

/* What is kept about a channel of its has grown or shrunk. May doom this member or another one. */
void amqp_brake_kept(struct amqp_member *member, size_t before, size_t after);

/* The member leaves its hub: what is still in line for it is the hub's business no longer. */
void amqp_brake_leave(struct amqp_member *member);

/* Whether the client takes its answers: otherwise it must not ask for more. */
bool amqp_brake_lets_ask(const struct amqp_member *member);

#endif
