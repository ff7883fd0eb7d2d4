/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/session_fixture.h"

#include "tests/unit/mux/kit/check.h"
#include "tests/unit/mux/kit/pattern.h"

#include <stdlib.h>
#include <string.h>

/* Bytes either side may send in a test. */
#define PLENTY (1u << 24)

static const uint8_t token[MUX_TOKEN_SIZE] = "0123456789abcdef";
static const struct kit_app_ops app_ops;

/* ── Links ── */

static void on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    const struct mux_link_config *config = link->config;
    struct session_fixture *f =
        (struct session_fixture *)((char *)(uintptr_t)config - offsetof(struct session_fixture, link_config));

    if (f->session->state == MUX_SESSION_IDLE) {
        KIT_CHECK(mux_session_accept(f->session, link, number, open, now) == 0, "no memory");
        return;
    }
    f->resumed = mux_session_resume(f->session, link, number, open, now);
    if (f->resumed != MUX_OK)
        mux_link_refuse(link, number, f->resumed, mux_code_text(f->resumed));
}

static void on_output(struct mux_link *link)
{
    KIT_CHECK(link->state == MUX_LINK_OPEN, "output of a link that is closed");
}

static const struct mux_link_ops link_ops = {.on_open = on_open, .on_output = on_output};

/* ── Life ── */

static struct session_fixture *create(enum mux_edge edge)
{
    static const struct kit_plan plan = {.send_bytes = PLENTY, .piece_max = PLENTY};
    struct session_fixture *f = calloc(1, sizeof(*f));

    KIT_CHECK(f != NULL, "out of memory");
    f->config = (struct mux_session_config){.window_bytes = WINDOW,
                                            .ack_delay_ms = ACK_DELAY,
                                            .ping_interval_ms = PING_INTERVAL,
                                            .ping_timeout_ms = PING_TIMEOUT,
                                            .open_timeout_ms = OPEN_TIMEOUT,
                                            .detach_timeout_ms = DETACH_TIMEOUT,
                                            .connect_timeout_ms = CONNECT_TIMEOUT};
    f->link_config = (struct mux_link_config){.opener = edge == MUX_EDGE_NEAR, .name = "tested"};
    f->now = NOW;
    f->session = &f->app.session;
    mux_pool_init(&f->pool);
    for (unsigned i = 0; i < LINKS; i++) {
        mux_link_init(&f->links[i], &link_ops, &f->link_config, NOW);
        kit_peer_init(&f->peers[i], &f->links[i]);
    }
    f->peer = &f->peers[0];
    kit_app_init(&f->app, &app_ops, f, &f->pool, &plan, OUT, IN, PLENTY);
    f->app.now_ms = NOW;
    return f;
}

int session_fixture_setup_near(void **state)
{
    struct session_fixture *f = create(MUX_EDGE_NEAR);

    mux_session_init_near(f->session, &kit_session_ops, &f->config, token, NOW);
    f->app.armed_ms = mux_session_deadline(f->session);
    *state = f;
    return 0;
}

int session_fixture_setup_far(void **state)
{
    struct session_fixture *f = create(MUX_EDGE_FAR);

    mux_session_init_far(f->session, &kit_session_ops, &f->config, token, NOW);
    f->app.armed_ms = mux_session_deadline(f->session);
    *state = f;
    return 0;
}

int session_fixture_teardown(void **state)
{
    struct session_fixture *f = *state;

    mux_session_deinit(f->session);
    for (unsigned i = 0; i < LINKS; i++) {
        mux_link_deinit(&f->links[i], f->now);
        kit_peer_deinit(&f->peers[i]);
    }
    mux_pool_deinit(&f->pool);
    free(f);
    return 0;
}

/* ── Opening ── */

static void hello(struct session_fixture *f, unsigned i)
{
    f->peer = &f->peers[i];
    KIT_CHECK(kit_peer_hello(f->peer, MUX_ROLE_HOST, f->now) == 0, "HELLO was refused");
    session_fixture_hear(f, MUX_HELLO);
}

const struct kit_frame *session_fixture_attach(struct session_fixture *f, unsigned i)
{
    hello(f, i);
    KIT_CHECK(mux_session_attach(f->session, &f->links[i], &f->attributes, f->now) == 0, "no memory");
    return session_fixture_hear(f, MUX_OPEN);
}

/* Of what the local side has sent, as far as it has. */
static uint64_t digest_sent(const struct session_fixture *f, uint64_t received)
{
    return kit_pattern_digest(OUT, received < f->app.sent ? received : f->app.sent);
}

void session_fixture_open_ok(struct session_fixture *f, uint64_t received, uint64_t max_data)
{
    KIT_CHECK(kit_peer_open_ok(f->peer, NUMBER, received, digest_sent(f, received), max_data, f->now) == 0,
              "OPEN_OK was refused");
}

void session_fixture_open_near(struct session_fixture *f)
{
    session_fixture_attach(f, 0);
    session_fixture_open_ok(f, 0, WINDOW);
    KIT_CHECK(f->session->state == MUX_SESSION_ATTACHED, "the session is not attached");
}

struct mux_open session_fixture_truth(const struct session_fixture *f, uint32_t attempt, uint64_t received,
                                      uint64_t max_data)
{
    struct mux_open open = {
        .attempt = attempt,
        .resume = attempt > 1,
        .received_offset = received,
        .received_digest = digest_sent(f, received),
        .sent_offset = f->told,
        .max_data = max_data,
    };

    memcpy(open.token, token, MUX_TOKEN_SIZE);
    return open;
}

void session_fixture_open(struct session_fixture *f, unsigned i, uint32_t attempt, uint64_t received,
                          uint64_t max_data)
{
    struct mux_open open = session_fixture_truth(f, attempt, received, max_data);

    hello(f, i);
    KIT_CHECK(kit_peer_open(f->peer, NUMBER, &open, f->now) == 0, "OPEN: %s", f->links[i].error);
}

void session_fixture_open_far(struct session_fixture *f)
{
    session_fixture_open(f, 0, 1, 0, WINDOW);
    session_fixture_hear(f, MUX_OPEN_OK);
}

/* ── What the peer does ── */

const struct kit_frame *session_fixture_hear(struct session_fixture *f, enum mux_frame_type type)
{
    kit_peer_listen(f->peer, f->now);
    return kit_peer_expect(f->peer, type, type == MUX_HELLO ? 0 : NUMBER);
}

void session_fixture_hear_none(struct session_fixture *f)
{
    kit_peer_listen(f->peer, f->now);
    kit_peer_expect_none(f->peer);
}

void session_fixture_pass(struct session_fixture *f, uint64_t ms)
{
    f->now += ms;
    kit_app_tick(&f->app, f->now);
}

void session_fixture_data(struct session_fixture *f, uint64_t offset, size_t len, bool fin)
{
    KIT_CHECK(kit_peer_data(f->peer, NUMBER, IN, offset, len, fin, f->now) == 0, "DATA: %s",
              f->peer->link->error);
    if (f->told < offset + len + (fin ? 1 : 0))
        f->told = offset + len + (fin ? 1 : 0);
}

void session_fixture_max_data(struct session_fixture *f, uint64_t received, uint64_t max_data)
{
    KIT_CHECK(kit_peer_max_data(f->peer, NUMBER, received, max_data, f->now) == 0, "MAX_DATA: %s",
              f->peer->link->error);
}
