/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/amqp/draft.h"

#include <amqp.h>
#include <amqp_framing.h>

/* Of a thousand or so. */
static const unsigned usual_weights[PLAY_STEPS] = {
    [PLAY_BYTES] = 1,
    [PLAY_METHOD_FRAME] = 10,
    [PLAY_HEADER_FRAME] = 1,
    [PLAY_BODY_FRAME] = 1,
    [PLAY_OPEN] = 110,
    [PLAY_PUMP_WITHOUT_ANSWERS] = 90,
    [PLAY_ANSWER] = 90,
    [PLAY_CLOSE_CHANNEL] = 20,
    [PLAY_SET_READING] = 15,
    [PLAY_QUEUE_COMMAND] = 120,
    [PLAY_SET_LAZY] = 25,
    [PLAY_RUN] = 90,
    [PLAY_REMOVE_EXCLUSIVE] = 10,
    [PLAY_PUMP] = 60,
    [PLAY_SET_DEAF] = 15,
    [PLAY_DELETE_QUEUE] = 15,
    [PLAY_MESSAGE_COMMAND] = 300,
    [PLAY_HAPPEN] = 20,
    [PLAY_COME_LATE] = 20,
    [PLAY_DECIDE] = 6,
    [PLAY_RAVE] = 1,
};

static void draw_weights(struct draft *draft)
{
    for (int i = 0; i < PLAY_STEPS; i++) {
        draft->weights[i] = kit_one_in(&draft->rng, 4) ? 0 : usual_weights[i];
        draft->weight += draft->weights[i];
    }
}

static void add(struct draft *draft, uint8_t byte)
{
    draft->bytes[draft->len++] = byte;
}

static uint8_t any_byte(struct draft *draft)
{
    return (uint8_t)kit_below(&draft->rng, 256);
}

static void add_any(struct draft *draft, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(draft, any_byte(draft));
}

/* A method without arguments, or with what it takes for them. */
static void add_method(struct draft *draft)
{
    static const uint32_t methods[] = {
        AMQP_CHANNEL_CLOSE_OK_METHOD, AMQP_CHANNEL_FLOW_OK_METHOD,     AMQP_BASIC_CANCEL_OK_METHOD,
        AMQP_CHANNEL_FLOW_METHOD,     AMQP_BASIC_REJECT_METHOD,        AMQP_CONNECTION_CLOSE_METHOD,
        AMQP_BASIC_RECOVER_OK_METHOD, AMQP_CONNECTION_CLOSE_OK_METHOD, AMQP_EXCHANGE_DELETE_METHOD,
    };
    const uint32_t method = methods[kit_below(&draft->rng, sizeof(methods) / sizeof(methods[0]))];
    const uint8_t arguments = (uint8_t)kit_below(&draft->rng, 12);
    add(draft, (uint8_t)(5 + arguments));
    add(draft, (uint8_t)kit_below(&draft->rng, 3));
    add(draft, (uint8_t)(method >> 24));
    add(draft, (uint8_t)(method >> 16));
    add(draft, (uint8_t)(method >> 8));
    add(draft, (uint8_t)method);
    for (int i = 0; i < arguments; i++)
        add(draft, (uint8_t)kit_below(&draft->rng, 3));
}

static void add_bytes(struct draft *draft)
{
    const uint8_t len = (uint8_t)(1 + kit_below(&draft->rng, 20));
    add(draft, len);
    add_any(draft, len);
}

static enum play_step some_step(struct draft *draft)
{
    uint64_t left = kit_below(&draft->rng, draft->weight);
    int step = 0;
    while (left >= draft->weights[step])
        left -= draft->weights[step++];
    return (enum play_step)step;
}

/* Some arguments end a play, or somebody's part in it: they are rare, and others come in their place. */
static uint8_t some_argument(struct draft *draft, enum play_step step)
{
    const uint8_t any = any_byte(draft);
    const bool is_rare = kit_one_in(&draft->rng, 4);
    switch (step) {
    case PLAY_OPEN: return is_rare ? any : (uint8_t)(1 + any % 3);
    case PLAY_HAPPEN: return is_rare ? any : (uint8_t)(any / 8 * 8 + any % 5);
    case PLAY_DECIDE: return is_rare ? any : (uint8_t)(any / 8 * 8 + 5 + any % 3);
    default: return any;
    }
}

static void add_step(struct draft *draft)
{
    const enum play_step step = some_step(draft);
    add(draft, (uint8_t)(step | (any_byte(draft) & PLAY_BY_OTHER)));
    if (step == PLAY_METHOD_FRAME) {
        add_method(draft);
    } else if (step == PLAY_BYTES || step == PLAY_HEADER_FRAME || step == PLAY_BODY_FRAME ||
               step == PLAY_RAVE) {
        add_bytes(draft);
    } else {
        add(draft, some_argument(draft, step));
        if (step == PLAY_MESSAGE_COMMAND)
            add(draft, any_byte(draft));
    }
}

void draft_play(struct draft *draft, uint64_t seed)
{
    *draft = (struct draft){.rng = {.state = seed}};
    draw_weights(draft);
    add(draft, any_byte(draft) & any_byte(draft));
    add(draft, any_byte(draft) | any_byte(draft));
    for (uint64_t steps = DRAFT_STEPS_MIN + kit_below(&draft->rng, DRAFT_STEPS_MAX - DRAFT_STEPS_MIN);
         steps > 0 && draft->weight > 0; steps--)
        add_step(draft);
}
