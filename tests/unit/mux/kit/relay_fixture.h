/* SPDX-License-Identifier: Apache-2.0 */
/* A relay between a guest and a far edge, both played by the test. */
#ifndef KIT_RELAY_FIXTURE_H
#define KIT_RELAY_FIXTURE_H

#include "mux/relay.h"
#include "tests/unit/mux/kit/peer.h"

#define NOW    1000000u
#define WINDOW 100000u
#define UP     1u /* salt of the bytes from the guest */
#define DOWN   2u /* and of those to it */
#define GUEST  5u /* the session's number on the guest stream */
#define LINK   1u /* and on the link */

struct relay_fixture {
    struct mux_link guest_link;
    struct mux_link far_link;
    struct kit_peer guest;
    struct kit_peer far;
    struct mux_relay relay;
    bool relayed;
    unsigned guest_ends; /* calls of on_guest_end */
    unsigned drained;
    unsigned closed;
    enum mux_relay_end end; /* as on_closed said */
    enum mux_code code;
    bool by_guest;
    char reason[64];
};

/* For cmocka: both HELLOs are said, nothing is opened. */
int relay_fixture_setup(void **state);
int relay_fixture_teardown(void **state);

/* Both peers hear what there is. */
void relay_fixture_listen(struct relay_fixture *f);

/* The guest says OPEN. Returns what the far edge hears. */
const struct kit_frame *relay_fixture_open(struct relay_fixture *f, bool resume, uint64_t received,
                                           uint64_t max_data);

/* A session is opened, nothing sent yet. The far edge grants `max_data`. */
void relay_fixture_open_ok(struct relay_fixture *f, uint64_t max_data);

/* Both sides hear RESET with this code, DATA before it aside, and the relay is over. */
void relay_fixture_expect_reset(struct relay_fixture *f, enum mux_code code);

#endif
