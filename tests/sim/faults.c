/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/faults.h"

#include <string.h>

/* How long something may last, ms. Pings find a silent transport in 15 s. */
#define SILENT_MAX_MS 40000u
#define FROZEN_MAX_MS 60000u
#define DOWN_MAX_MS   3000u
#define SAVED_MAX_MS  20000u /* until a machine goes on from a saved state */

/* ── Transports ── */

static struct kit_near *some_near(struct kit_world *world)
{
    return &world->nears[kit_below(&world->rng, world->config.sessions)];
}

/* The stream that some near edge uses; NULL: it has none now. */
static struct kit_stream *some_guest_stream(struct kit_world *world)
{
    struct kit_near *near = some_near(world);

    return near->guest != NULL ? &near->guest->stream : NULL;
}

static void silence(struct kit_world *world, struct kit_stream *stream)
{
    stream->silent_until_ms = world->now_ms + kit_size(&world->rng, SILENT_MAX_MS);
}

static void freeze(struct kit_world *world)
{
    some_near(world)->frozen_until_ms = world->now_ms + kit_size(&world->rng, FROZEN_MAX_MS);
}

static void kill_host(struct kit_world *world)
{
    struct kit_guest *guests[2 * KIT_SESSIONS_MAX * KIT_NEAR_GUESTS];
    unsigned count = 0;

    for (unsigned i = 0; i < world->config.sessions; i++) {
        for (unsigned j = 0; j < KIT_NEAR_GUESTS; j++)
            guests[count++] = &world->nears[i].guests[j];
        for (unsigned j = 0; world->copies[i] != NULL && j < KIT_NEAR_GUESTS; j++)
            guests[count++] = &world->copies[i]->guests[j];
    }
    kit_host_kill(&world->host, guests, count, world->now_ms + kit_below(&world->rng, DOWN_MAX_MS),
                  world->now_ms);
}

/* ── Strangers ── */

/* An OPEN that is right in all but what it remembers. */
static void make_up_history(struct kit_world *world, const struct kit_far_session *far, struct mux_open *open)
{
    const struct mux_session *session = &far->app.session;

    open->attempt = UINT32_MAX;
    if (far->app.closed)
        return;
    open->received_offset = session->send.sent;
    open->received_digest = kit_rand(&world->rng);
    open->sent_offset = mux_recv_state_received(&session->recv);
    if (open->sent_offset > 0 && kit_one_in(&world->rng, 2))
        open->sent_offset = kit_below(&world->rng, open->sent_offset);
}

/*
 * Somebody else opens a guest stream for a session that exists: an attempt from before a snapshot was taken,
 * another history, a guess. It says HELLO and OPEN, and then closes or stays. Whatever it says must be
 * refused without harm.
 */
static bool intrude(struct kit_world *world, enum fault kind)
{
    unsigned index = (unsigned)kit_below(&world->rng, world->config.sessions);
    struct kit_near *near = &world->nears[index];
    struct kit_guest *guest = kit_near_free_guest(near);
    uint8_t bytes[2 * (MUX_HEADER_SIZE + MUX_CONTROL_MAX)];
    struct mux_hello hello = {.version = MUX_VERSION, .role = MUX_ROLE_GUEST, .max_frame = MUX_PAYLOAD_MAX};
    struct mux_open open = {.attempt = 1, .resume = true, .max_data = UINT64_MAX};
    size_t n = mux_encode_hello(bytes, &hello);

    if (guest == NULL || near->app.closed || !world->far_sessions[index].opened)
        return false;
    memcpy(open.token, world->far_sessions[index].token, MUX_TOKEN_SIZE);
    open.received_offset = kit_below(&world->rng, 100000);
    if (kind == FAULT_STALE_OPEN && !world->far_sessions[index].app.closed)
        open.attempt = (uint32_t)kit_below(&world->rng, world->far_sessions[index].app.session.attempt + 1);
    if (kind == FAULT_BAD_OFFSET) {
        open.attempt = UINT32_MAX;
        open.received_offset = UINT64_MAX - kit_below(&world->rng, 1000);
    }
    if (kind == FAULT_BAD_HISTORY)
        make_up_history(world, &world->far_sessions[index], &open);
    if (kind == FAULT_BAD_TOKEN)
        open.token[kit_below(&world->rng, MUX_TOKEN_SIZE)] ^= 1;
    kit_stream_init(&guest->stream);
    if (!kit_host_accept(&world->host, guest, world->now_ms))
        return false;
    n += mux_encode_open(bytes + n, 1, &open);
    kit_stream_inject(&guest->stream, bytes, n);
    guest->stream.ab.ended = kit_one_in(&world->rng, 2);
    return true;
}

/* A machine goes on from a state that is saved now. */
static bool copy(struct kit_world *world, bool revert)
{
    unsigned index = (unsigned)kit_below(&world->rng, world->config.sessions);

    return kit_world_copy(world, index, world->now_ms + kit_size(&world->rng, SAVED_MAX_MS), revert);
}

/* ── Drawing ── */

/* Make it happen. False: there was nothing it could happen to. */
static bool inject(struct kit_world *world, enum fault kind)
{
    bool on_guest = kind == FAULT_GUEST_RESET || kind == FAULT_GUEST_EOF || kind == FAULT_GUEST_SILENT;
    struct kit_stream *stream = on_guest ? some_guest_stream(world) : world->host.link;

    if (kind < FAULT_HOST_KILLED && kind != FAULT_GUEST_FROZEN && stream == NULL)
        return false;
    switch (kind) {
    case FAULT_GUEST_RESET:
    case FAULT_LINK_RESET: kit_stream_reset(stream); return true;
    case FAULT_GUEST_EOF:
    case FAULT_LINK_EOF: kit_stream_end(stream); return true;
    case FAULT_GUEST_SILENT:
    case FAULT_LINK_SILENT: silence(world, stream); return true;
    case FAULT_GUEST_FROZEN: freeze(world); return true;
    case FAULT_HOST_KILLED: kill_host(world); return true;
    case FAULT_REVERTED:
    case FAULT_CLONED: return copy(world, kind == FAULT_REVERTED);
    default: return intrude(world, kind);
    }
}

void faults_init(struct faults *faults, struct kit_world *world, uint64_t counts[FAULT_KINDS])
{
    faults->left = 1 + (unsigned)kit_size(&world->rng, 12);
    faults->one_in = (unsigned)kit_size(&world->rng, 300);
    faults->counts = counts;
}

void faults_turn(struct faults *faults, struct kit_world *world)
{
    enum fault kind;

    if (faults->left == 0 || !kit_one_in(&world->rng, faults->one_in))
        return;
    kind = (enum fault)kit_below(&world->rng, FAULT_KINDS);
    if (!inject(world, kind))
        return;
    faults->left--;
    faults->counts[kind]++;
}
