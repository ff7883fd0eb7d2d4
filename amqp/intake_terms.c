/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/intake_terms.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include "amqp/rules.h"

static const struct amqp_limits *limits_of(const struct amqp_lane *lane)
{
    return &lane->member->main.hub->limits;
}

/* Replies come to those who asked, and must be taken with no_ack; a stream would begin at its offset again.
 */
bool amqp_consume_is_relayed(const amqp_basic_consume_t *consume)
{
    if (amqp_is_reply_queue(amqp_span_of(consume->queue)))
        return true;
    for (int i = 0; i < consume->arguments.num_entries; i++) {
        if (amqp_span_is(amqp_span_of(consume->arguments.entries[i].key), "x-stream-offset"))
            return true;
    }
    return false;
}

/* More than the moderate prefetch, or any number. */
static bool is_wide(const struct amqp_lane *lane, uint16_t prefetch)
{
    return prefetch == 0 || prefetch > limits_of(lane)->prefetch;
}

bool amqp_consumer_can_be_replaced(struct amqp_lane *lane, const struct amqp_consumer *consumer,
                                   struct amqp_span queue)
{
    if (consumer->is_relayed || consumer->is_exclusive)
        return false;
    if (consumer->no_ack)
        return true;
    if (lane->stream != NULL) /* it may be this one */
        return false;
    return is_wide(lane, consumer->prefetch) && amqp_consumers_has_room(&lane->intake.consumers) &&
           amqp_tokens_use(&lane->member->main.hub->plain_queues, queue);
}

/* What a consumer gets at first, in the mode that the channel is in or about to be in. */
struct amqp_terms amqp_terms_at_first(const struct amqp_lane *lane, const struct amqp_consumer *consumer,
                                      bool is_fixed)
{
    const struct amqp_limits *limits = limits_of(lane);
    const struct amqp_intake *intake = &lane->intake;
    struct amqp_terms terms = {.no_ack = consumer->no_ack, .prefetch = consumer->prefetch};
    if (consumer->is_relayed || intake->is_limited || intake->next_mode == AMQP_INTAKE_LIMITED)
        return terms;
    if (consumer->no_ack) {
        terms.no_ack = intake->next_mode != AMQP_INTAKE_FREE;
        terms.prefetch = terms.no_ack ? 0 : limits->prefetch;
    } else if (is_wide(lane, consumer->prefetch)) {
        const bool can_grow = !is_fixed && intake->next_mode == AMQP_INTAKE_FREE;
        const uint16_t most = can_grow ? limits->prefetch : limits->prefetch_wide;
        if (terms.prefetch == 0 || terms.prefetch > most)
            terms.prefetch = most;
    }
    return terms;
}

/* Whether the client may wait for a message that it does not get: it holds as many as its consumer may have.
 */
bool amqp_tap_is_full(const struct amqp_tap *tap)
{
    const struct amqp_consumer *consumer = tap->consumer;
    const uint64_t held = consumer->held.count[AMQP_HELD_BY_CLIENT];
    if (tap->terms.prefetch == 0 || tap->messages < tap->terms.prefetch)
        return false;
    if (consumer->prefetch != 0 && held >= consumer->prefetch)
        return false; /* it may not have more */
    return amqp_deliveries_count(&consumer->held, AMQP_HELD_BY_CLIENT, tap->first) >= tap->terms.prefetch;
}

/* `wanted`, or what keeps the client from holding more than it said; 0: nothing does. */
static uint16_t within(const struct amqp_consumer *consumer, uint64_t wanted)
{
    const uint64_t held = consumer->held.count[AMQP_HELD_BY_CLIENT];
    if (consumer->prefetch == 0)
        return wanted <= UINT16_MAX ? (uint16_t)wanted : 0;
    const uint64_t left = consumer->prefetch > held ? consumer->prefetch - held : 1;
    return (uint16_t)(wanted < left ? wanted : left);
}

/*
 * The next prefetch of a full one: twice the last, as far as the messages so far let expect that they can
 * wait within the soft limit should the client stop reading, and always a moderate one.
 */
static uint64_t wider(const struct amqp_limits *limits, const struct amqp_tap *tap)
{
    const uint64_t expected = limits->soft / (tap->bytes / tap->messages + 1);
    const uint64_t most = expected > limits->prefetch ? expected : limits->prefetch;
    const uint64_t doubled = 2 * (uint64_t)tap->terms.prefetch;
    return doubled < most ? doubled : most;
}

struct amqp_terms amqp_terms_now(const struct amqp_lane *lane, const struct amqp_tap *tap)
{
    const struct amqp_limits *limits = limits_of(lane);
    const size_t waiting = lane->member->load.waiting;
    const uint16_t now = tap->terms.prefetch;
    const uint16_t moderate = within(tap->consumer, limits->prefetch);
    struct amqp_terms terms = tap->terms;
    if (waiting > limits->soft && is_wide(lane, now))
        terms.prefetch = 1;
    else if (waiting == 0 && now != 0 && now < moderate)
        terms.prefetch = moderate;
    else if (waiting == 0 && amqp_tap_is_full(tap))
        terms.prefetch = within(tap->consumer, wider(limits, tap));
    return terms;
}
