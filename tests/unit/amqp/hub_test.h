/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_HUB_TEST_H
#define TESTS_AMQP_HUB_TEST_H

/*
 * What the tests of a hub have in common: one rig, what a client is about to say on it, and the words for the
 * steps that all of them take. A test begins with rig_init and join, and ends with teardown.
 */

#include "tests/unit/amqp/rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

extern struct rig rig;
extern struct frames f; /* to be said next */

/* Clients 0 to n - 1 join, and have heard nothing since; the latter opens channel 1 of each. */
void join(unsigned clients, unsigned can);
void join_and_open(unsigned clients, unsigned can);

/* All ends in order, and nothing is left. For cmocka. */
int teardown(void **state);

/* What is in `f` is said: that is all; it reaches the broker, too; and all is answered. */
void say(unsigned client);
void said(unsigned client);
void done(unsigned client);

/* Time passes, and the broker says nothing. */
void time_passes(uint64_t ms);

/* A channel is opened, or closed, and the client has heard nothing since. */
void opened(unsigned client, uint16_t channel);
void closed(unsigned client, uint16_t channel);

/* What the client has heard last. */
void assert_last(unsigned client, uint32_t method);
void assert_last_on(unsigned client, uint16_t channel, uint32_t method);

/* That was a Close of a channel or the connection. */
void assert_last_close(unsigned client, uint32_t method, uint16_t code);

#endif
