/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Clients say anything that names a queue, all about the same few names, and the broker handles channels in
 * any order, closes channels and loses queues by itself. Whatever happens, no client's command may reach
 * another one's exclusive queue, nothing that ends a connection may come out, and nothing may be left.
 */

#include "tests/unit/amqp/hub_test.h"

enum { ROUNDS = 200, STEPS = 400, CHANNELS = 3 };

static uint64_t seed;

static unsigned random_below(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static void add_anything(uint16_t channel, const char *name)
{
    switch (random_below(16)) {
    case 0:
    case 1:
    case 2: frames_declare(&f, channel, name, FRAMES_EXCLUSIVE); break;
    case 3: frames_declare(&f, channel, name, FRAMES_EXCLUSIVE | FRAMES_NOWAIT); break;
    case 4: frames_declare(&f, channel, name, FRAMES_PASSIVE); break;
    case 5: frames_declare(&f, channel, name, 0); break;
    case 6: frames_declare_of_type(&f, channel, name, "stream"); break;
    case 7:
    case 8: frames_delete(&f, channel, name); break;
    case 9: frames_bind(&f, channel, name); break;
    case 10:
    case 11: frames_get(&f, channel, name, true); break;
    case 12: frames_consume(&f, channel, name, "", false); break;
    case 13: frames_consume(&f, channel, name, "", true); break;
    case 14: frames_publish(&f, channel, name, "hello", 5); break;
    default: frames_close(&f, channel); break;
    }
}

/* On a channel that is not open, it is opened. */
static void say_anything(unsigned client)
{
    static const char *const names[] = {"x", "xx", "xxx", ""};
    const uint16_t channel = (uint16_t)(1 + random_below(CHANNELS));
    const struct amqp_lane *lane = amqp_member_lane(&rig.clients[client].member, channel);
    if (lane != NULL && lane->state == AMQP_LANE_TOLD)
        frames_plain(&f, channel, AMQP_CHANNEL_CLOSE_OK_METHOD);
    if (lane == NULL || lane->state == AMQP_LANE_TOLD)
        frames_open(&f, channel);
    else if (lane->state == AMQP_LANE_OPEN)
        add_anything(channel, names[random_below(4)]);
    say(client);
}

static void step(void)
{
    const uint16_t channel = (uint16_t)(1 + random_below(RIG_CLIENTS * CHANNELS + AMQP_ERRAND_CHANNELS));
    switch (random_below(60)) {
    case 0: model_broker_close_channel(&rig.broker, channel); break;
    case 1: model_names_remove(&rig.broker, "x"); break;
    case 2:
        if (random_below(10) == 0)
            amqp_member_gone(&rig.clients[random_below(RIG_CLIENTS)].member, 0);
        break;
    default:
        switch (random_below(4)) {
        case 0: rig_pump_without_answers(&rig); break;
        case 1: model_broker_run(&rig.broker, channel, 1 + random_below(4)); break;
        case 2: model_broker_answer(&rig.broker, random_below(4)); break;
        default: say_anything(random_below(RIG_CLIENTS)); break;
        }
    }
}

/* Returns how many of this method all clients have heard. */
static unsigned play(uint32_t method)
{
    unsigned heard = 0;
    rig_init(&rig);
    join(RIG_CLIENTS, 0);
    rig.broker.is_lazy = true;
    for (int i = 0; i < STEPS; i++)
        step();
    for (unsigned client = 0; client < RIG_CLIENTS; client++)
        heard += rig_count(&rig, client, method);
    if (rig.broker.killed.code != 0)
        fail_msg("%s", rig.broker.killed.text);
    rig_deinit(&rig);
    return heard;
}

static void test_anything_in_any_order(void **state)
{
    unsigned declared = 0;
    (void)state;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        seed = round;
        print_message("seed %u\n", (unsigned)round);
        declared += play(AMQP_QUEUE_DECLARE_OK_METHOD);
    }
    assert_true(declared > ROUNDS); /* they do get somewhere */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_anything_in_any_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
