/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_PULSE_H
#define AMQP_PULSE_H

/*
 * Heartbeats of one connection (0-9-1, section 4.2.7): anything sent counts as one of ours, anything heard as
 * one of the peer's. As RabbitMQ does it: one is sent after half the agreed time of silence, and a peer that
 * was silent for twice the time is gone.
 */

#include <stdbool.h>
#include <stdint.h>

struct amqp_pulse {
    uint32_t interval_ms; /* agreed; 0: no heartbeats */
    uint64_t heard_ms;
    uint64_t sent_ms;
};

static inline void amqp_pulse_start(struct amqp_pulse *p, uint16_t interval_s, uint64_t now)
{
    *p = (struct amqp_pulse){.interval_ms = 1000u * interval_s, .heard_ms = now, .sent_ms = now};
}

static inline void amqp_pulse_heard(struct amqp_pulse *p, uint64_t now)
{
    p->heard_ms = now;
}

static inline void amqp_pulse_sent(struct amqp_pulse *p, uint64_t now)
{
    p->sent_ms = now;
}

static inline bool amqp_pulse_must_send(const struct amqp_pulse *p, uint64_t now)
{
    return p->interval_ms > 0 && now >= p->sent_ms + p->interval_ms / 2;
}

static inline bool amqp_pulse_is_lost(const struct amqp_pulse *p, uint64_t now)
{
    return p->interval_ms > 0 && now >= p->heard_ms + 2 * (uint64_t)p->interval_ms;
}

/* When one of the two above turns true; UINT64_MAX: never. */
static inline uint64_t amqp_pulse_deadline(const struct amqp_pulse *p)
{
    if (p->interval_ms == 0)
        return UINT64_MAX;
    const uint64_t send = p->sent_ms + p->interval_ms / 2;
    const uint64_t lost = p->heard_ms + 2 * (uint64_t)p->interval_ms;
    return send < lost ? send : lost;
}

#endif
