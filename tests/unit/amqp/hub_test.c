/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/hub_test.h"

struct rig rig;
struct frames f;

void join(unsigned clients, unsigned can)
{
    f.len = 0;
    for (unsigned client = 0; client < clients; client++)
        rig_join(&rig, client, can);
}

void join_and_open(unsigned clients, unsigned can)
{
    join(clients, can);
    for (unsigned client = 0; client < clients; client++)
        opened(client, 1);
}

int teardown(void **state)
{
    (void)state;
    rig_deinit(&rig);
    return 0;
}

void say(unsigned client)
{
    rig_say(&rig, client, &f);
}

void said(unsigned client)
{
    say(client);
    rig_pump_without_answers(&rig);
}

void done(unsigned client)
{
    say(client);
    rig_pump(&rig);
}

void time_passes(uint64_t ms)
{
    rig.now += ms;
    amqp_hub_tick(&rig.hub, rig.now);
    rig_pump_without_answers(&rig);
}

static void heard(unsigned client, uint16_t channel, uint32_t method)
{
    done(client);
    assert_last_on(client, channel, method);
    rig.clients[client].events = 0;
}

void opened(unsigned client, uint16_t channel)
{
    frames_open(&f, channel);
    heard(client, channel, AMQP_CHANNEL_OPEN_OK_METHOD);
}

void closed(unsigned client, uint16_t channel)
{
    frames_close(&f, channel);
    heard(client, channel, AMQP_CHANNEL_CLOSE_OK_METHOD);
}

void assert_last(unsigned client, uint32_t method)
{
    assert_int_equal(rig_last(&rig, client)->method, method);
}

void assert_last_on(unsigned client, uint16_t channel, uint32_t method)
{
    assert_int_equal(rig_last(&rig, client)->channel, channel);
    assert_last(client, method);
}

void assert_last_close(unsigned client, uint32_t method, uint16_t code)
{
    assert_last(client, method);
    assert_int_equal(rig_last(&rig, client)->code, code);
}
