/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest at host-proxy: any bytes after its HELLO, into a guest stream whose session is relayed to a
 * link.
 *
 * Input: | seed of the splits | n | n actions of the far edge | what the guest says … |
 *
 * Nothing crashes, what waits in the relay stays within its bounds, both sides hear well-formed frames only
 * (the peers' readers check that), and the far edge hears of one session what the protocol allows: see struct
 * far_view.
 */
#include "tests/unit/mux/kit/check.h"
#include "tests/unit/mux/kit/relay_fixture.h"
#include "tests/unit/mux/kit/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ACTIONS_MAX 32u
#define PIECE_MAX   1024u

/* What the far edge has heard, and said. */
struct far_view {
    bool opened;
    bool resumed;
    bool over;         /* RESET or DETACH was heard, or said */
    bool answered;     /* OPEN_OK was said */
    uint64_t received; /* of the guest's bytes */
    uint64_t granted;  /* to the guest */
    uint64_t sent;     /* to the guest */
    uint64_t limit;    /* credit granted by the guest, as the relay has it */
};

/* ── What the far edge hears ── */

static void hear_open(struct far_view *view, const struct kit_frame *frame)
{
    KIT_CHECK(!view->opened, "a second OPEN");
    KIT_CHECK(frame->max_data <= frame->received_offset + WINDOW ||
                  frame->received_offset > UINT64_MAX - WINDOW,
              "OPEN with more credit than the window");
    view->opened = true;
    view->resumed = frame->resume;
    view->sent = frame->received_offset;
    view->limit = frame->max_data;
    view->granted = frame->resume ? 0 : MUX_INITIAL_CREDIT;
}

static void hear_data(struct far_view *view, const struct kit_frame *frame)
{
    KIT_CHECK(view->answered || !view->resumed, "DATA before a resume was answered");
    KIT_CHECK(frame->offset <= view->received || frame->offset + frame->len <= view->received,
              "DATA leaves a gap");
    KIT_CHECK(frame->offset + frame->len <= view->granted, "DATA beyond the credit");
    if (frame->offset + frame->len > view->received)
        view->received = frame->offset + frame->len;
}

static void hear_max_data(struct far_view *view, const struct kit_frame *frame)
{
    KIT_CHECK(frame->received_offset <= view->sent || frame->received_offset - view->sent == 1,
              "more was acknowledged than was sent");
    if (frame->max_data > view->limit)
        view->limit = frame->max_data;
}

static void hear(struct far_view *view, const struct kit_frame *frame)
{
    if (frame->type == MUX_HELLO || frame->session == 0)
        return;
    KIT_CHECK(frame->session == LINK, "a frame for session %u", frame->session);
    KIT_CHECK(view->opened || frame->type == MUX_OPEN, "frame type %u before OPEN", frame->type);
    switch (frame->type) {
    case MUX_OPEN: hear_open(view, frame); break;
    case MUX_DATA: hear_data(view, frame); break;
    case MUX_MAX_DATA: hear_max_data(view, frame); break;
    case MUX_RESET:
    case MUX_DETACH: view->over = true; break;
    default:
        KIT_CHECK(frame->type == MUX_PING || frame->type == MUX_PONG, "frame type %u", frame->type);
        break;
    }
}

static void listen(struct relay_fixture *f, struct far_view *view)
{
    relay_fixture_listen(f);
    f->guest.count = 0;
    for (; f->far.count > 0; f->far.count--, f->far.first = (f->far.first + 1) % KIT_PEER_FRAMES)
        hear(view, &f->far.frames[f->far.first]);
}

/* ── What the far edge does ── */

static void answer(struct relay_fixture *f, struct far_view *view)
{
    if (view->answered)
        return;
    view->answered = true;
    view->granted = view->received + WINDOW;
    kit_peer_open_ok(&f->far, LINK, view->received, 0, view->granted, NOW);
}

static void send_data(struct relay_fixture *f, struct far_view *view, uint64_t most, bool fin)
{
    uint64_t n = view->limit > view->sent ? view->limit - view->sent : 0;

    n = n < most ? n : most;
    kit_peer_data(&f->far, LINK, DOWN, view->sent, (size_t)n, fin, NOW);
    view->sent += n;
}

/* A far edge keeps the rules: it answers first, and says nothing after the end. Action 0 keeps it waiting. */
static void act(struct relay_fixture *f, struct far_view *view, uint8_t action)
{
    if (!view->opened || view->over || action == 0)
        return;
    answer(f, view);
    switch (action % 8) {
    case 0: break;
    case 1: send_data(f, view, 100, false); break;
    case 2: send_data(f, view, 50000, false); break;
    case 3: send_data(f, view, 10, true); break;
    case 4:
        view->granted += WINDOW;
        kit_peer_max_data(&f->far, LINK, view->received, view->granted, NOW);
        break;
    case 5: kit_peer_ping(&f->far, MUX_PONG, LINK, "opaque!!", NOW); break;
    case 6:
        view->over = true;
        kit_peer_reset(&f->far, LINK, action / 8, "the far edge", NOW);
        break;
    default:
        view->over = true;
        mux_link_close(&f->far_link, MUX_TRY_LATER, "link lost", NOW);
        break;
    }
}

/* ── The relay ── */

static void check_bounds(const struct relay_fixture *f)
{
    if (!f->relayed)
        return;
    KIT_CHECK(f->relay.guest.queue.len <= WINDOW, "%zu bytes wait for the guest", f->relay.guest.queue.len);
    KIT_CHECK(f->relay.link.queue.len <= MUX_RELAY_SHARE + PIECE_MAX, "%zu bytes wait for the link",
              f->relay.link.queue.len);
    KIT_CHECK(f->closed <= 1, "closed twice");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    struct kit_rng rng = {.state = size > 0 ? data[0] : 0};
    size_t actions = size > 1 ? data[1] % ACTIONS_MAX : 0;
    const uint8_t *next_action = data + 2;
    struct far_view view = {0};
    struct relay_fixture *f;
    void *state;

    if (size < 2 + actions)
        return 0;
    relay_fixture_setup(&state);
    f = state;
    for (data += 2 + actions; data < end && f->guest_link.state == MUX_LINK_OPEN;) {
        size_t n = (size_t)kit_size(&rng, PIECE_MAX);

        n = n < (size_t)(end - data) ? n : (size_t)(end - data);
        if (kit_peer_say(&f->guest, data, n, NOW) < 0)
            mux_link_close(&f->guest_link, MUX_PROTOCOL_ERROR, f->guest_link.error, NOW);
        data += n;
        check_bounds(f);
        if (kit_one_in(&rng, 4)) {
            mux_link_compact(&f->far_link); /* the link takes nothing for now */
            continue;
        }
        listen(f, &view);
        if (actions > 0) {
            act(f, &view, *next_action++);
            actions--;
        }
        check_bounds(f);
    }
    mux_link_close(&f->guest_link, MUX_TRY_LATER, "guest stream closed", NOW);
    listen(f, &view);
    KIT_CHECK(!f->relayed || f->closed == 1, "the relay lives on without its guest");
    KIT_CHECK(!view.opened || view.over, "the far edge was not told that the session is over or detached");
    relay_fixture_teardown(&state);
    return 0;
}
