/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/relay_fixture.h"

#include "tests/unit/mux/kit/check.h"

#include <stdio.h>
#include <stdlib.h>

static struct relay_fixture *fixture_of(struct mux_relay *relay)
{
    return (struct relay_fixture *)((char *)relay - offsetof(struct relay_fixture, relay));
}

static void on_guest_end(struct mux_relay *relay)
{
    fixture_of(relay)->guest_ends++;
}

static void on_drained(struct mux_relay *relay)
{
    fixture_of(relay)->drained++;
}

static void on_closed(struct mux_relay *relay, enum mux_relay_end end, enum mux_code code, const char *reason,
                      bool by_guest)
{
    struct relay_fixture *f = fixture_of(relay);

    KIT_CHECK(relay->guest.attachment.link == NULL && relay->link.attachment.link == NULL,
              "the relay is over, but still attached");
    f->closed++;
    f->end = end;
    f->code = code;
    f->by_guest = by_guest;
    snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

static const struct mux_relay_ops relay_ops = {
    .on_guest_end = on_guest_end, .on_drained = on_drained, .on_closed = on_closed};

static void on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    struct relay_fixture *f =
        (struct relay_fixture *)((char *)link - offsetof(struct relay_fixture, guest_link));
    int rc = mux_relay_init(&f->relay, &relay_ops, link, number, &f->far_link, open, WINDOW);

    (void)now;
    if (rc < 0)
        mux_link_refuse(link, number, (enum mux_code) - rc, "test");
    else
        f->relayed = true;
}

static void no_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    (void)link;
    (void)open;
    (void)now;
    KIT_CHECK(false, "session %u was opened from the wrong side", number);
}

static void on_output(struct mux_link *link)
{
    (void)link;
}

static const struct mux_link_ops guest_ops = {.on_open = on_open, .on_output = on_output};
static const struct mux_link_ops far_ops = {.on_open = no_open, .on_output = on_output};
static const struct mux_link_config guest_config = {.role = MUX_ROLE_HOST, .name = "h", .max_sessions = 1};
static const struct mux_link_config far_config = {.opener = true, .role = MUX_ROLE_HOST, .name = "h"};

void relay_fixture_listen(struct relay_fixture *f)
{
    kit_peer_listen(&f->guest, NOW);
    kit_peer_listen(&f->far, NOW);
}

int relay_fixture_setup(void **state)
{
    struct relay_fixture *f = calloc(1, sizeof(*f));

    KIT_CHECK(f != NULL, "out of memory");
    mux_link_init(&f->guest_link, &guest_ops, &guest_config, NOW);
    mux_link_init(&f->far_link, &far_ops, &far_config, NOW);
    kit_peer_init(&f->guest, &f->guest_link);
    kit_peer_init(&f->far, &f->far_link);
    kit_peer_hello(&f->guest, MUX_ROLE_GUEST, NOW);
    kit_peer_hello(&f->far, MUX_ROLE_AMQP, NOW);
    relay_fixture_listen(f);
    kit_peer_expect(&f->guest, MUX_HELLO, 0);
    kit_peer_expect(&f->far, MUX_HELLO, 0);
    *state = f;
    return 0;
}

int relay_fixture_teardown(void **state)
{
    struct relay_fixture *f = *state;

    if (f->relayed)
        mux_relay_deinit(&f->relay);
    mux_link_deinit(&f->guest_link, NOW);
    mux_link_deinit(&f->far_link, NOW);
    kit_peer_deinit(&f->guest);
    kit_peer_deinit(&f->far);
    free(f);
    return 0;
}

const struct kit_frame *relay_fixture_open(struct relay_fixture *f, bool resume, uint64_t received,
                                           uint64_t max_data)
{
    struct mux_open open = {.attempt = resume ? 2 : 1,
                            .resume = resume,
                            .received_offset = received,
                            .max_data = max_data,
                            .attributes = {.service = mux_text("svc")}};

    KIT_CHECK(kit_peer_open(&f->guest, GUEST, &open, NOW) == 0, "OPEN: %s", f->guest_link.error);
    relay_fixture_listen(f);
    return kit_peer_expect(&f->far, MUX_OPEN, LINK);
}

void relay_fixture_open_ok(struct relay_fixture *f, uint64_t max_data)
{
    relay_fixture_open(f, false, 0, WINDOW);
    KIT_CHECK(kit_peer_open_ok(&f->far, LINK, 0, 0, max_data, NOW) == 0, "OPEN_OK: %s", f->far_link.error);
    relay_fixture_listen(f);
    KIT_CHECK(kit_peer_expect(&f->guest, MUX_OPEN_OK, GUEST)->max_data == max_data,
              "OPEN_OK with another credit");
    KIT_CHECK(f->relay.state == MUX_RELAY_OPEN, "the relay is not open");
}

static void skip_data(struct kit_peer *peer, uint32_t number)
{
    while (kit_peer_next_type(peer) == MUX_DATA)
        kit_peer_expect(peer, MUX_DATA, number);
}

static void expect_reset(struct kit_peer *peer, uint32_t number, enum mux_code code)
{
    uint32_t heard;

    skip_data(peer, number);
    heard = kit_peer_expect(peer, MUX_RESET, number)->code;
    KIT_CHECK(heard == code, "RESET(%s), not RESET(%s)", mux_code_name(heard), mux_code_name(code));
}

void relay_fixture_expect_reset(struct relay_fixture *f, enum mux_code code)
{
    relay_fixture_listen(f);
    expect_reset(&f->guest, GUEST, code);
    expect_reset(&f->far, LINK, code);
    KIT_CHECK(f->closed == 1 && f->end == MUX_RELAY_RESET && f->code == code, "closed %u times, end %d, %s",
              f->closed, f->end, mux_code_name(f->code));
    KIT_CHECK(f->guest_link.state == MUX_LINK_OPEN, "the connection itself was not to blame");
}
