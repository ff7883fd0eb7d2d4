/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: OPEN goes to the link, OPEN_OK comes back, DATA and MAX_DATA pass both ways, both
 * directions end with FIN, the far edge says RESET(ok), the relay is over.
 *
 * What can go wrong: RESET with a code from either side is passed on and is the end; the guest stream breaks:
 * DETACH on the link; the link breaks: the guest stream is closed by the owner (on_closed); a side breaks the
 * rules: RESET to both.
 */
#include "mux/relay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct mux_attachment_ops guest_ops;
static const struct mux_attachment_ops link_ops;

static struct mux_relay *relay_of(struct mux_attachment *attachment)
{
    size_t offset = attachment->ops == &guest_ops ? offsetof(struct mux_relay, guest.attachment)
                                                  : offsetof(struct mux_relay, link.attachment);

    return (struct mux_relay *)((char *)attachment - offset);
}

static bool is_guest(const struct mux_attachment *attachment)
{
    return attachment->ops == &guest_ops;
}

static struct mux_relay_side *side_of(struct mux_relay *relay, const struct mux_attachment *attachment)
{
    return is_guest(attachment) ? &relay->guest : &relay->link;
}

static struct mux_relay_side *other_side(struct mux_relay *relay, const struct mux_attachment *attachment)
{
    return is_guest(attachment) ? &relay->link : &relay->guest;
}

/* Credit the guest grants, cut to what may wait here. All terms only grow, so does the result. */
static uint64_t cut_credit(const struct mux_relay *relay, uint64_t received, uint64_t max_data)
{
    uint64_t written = received < relay->guest.offset ? received : relay->guest.offset;
    uint64_t most = written + relay->window_bytes;

    return max_data < most ? max_data : most;
}

int mux_relay_init(struct mux_relay *relay, const struct mux_relay_ops *ops, struct mux_link *guest,
                   uint32_t guest_number, struct mux_link *link, const struct mux_open *open,
                   uint32_t window_bytes)
{
    struct mux_open onward = *open;
    uint32_t number = mux_link_next_number(link);
    int rc;

    if (number == 0)
        return -MUX_TRY_LATER;
    *relay = (struct mux_relay){.ops = ops, .window_bytes = window_bytes};
    relay->guest.offset = open->received_offset;
    onward.max_data = cut_credit(relay, open->received_offset, open->max_data);
    rc = mux_outbox_open(&relay->link.outbox, number, &onward);
    if (rc < 0)
        return rc;
    relay->guest.attachment.ops = &guest_ops;
    relay->guest.limit = onward.max_data;
    relay->link.attachment.ops = &link_ops;
    relay->link.limit = open->resume ? 0 : MUX_INITIAL_CREDIT; /* a resume waits for OPEN_OK */
    rc = mux_link_attach(guest, &relay->guest.attachment, guest_number);
    if (rc == 0)
        rc = mux_link_attach(link, &relay->link.attachment, number);
    if (rc < 0) {
        mux_relay_deinit(relay);
        return rc;
    }
    mux_link_want_control(&relay->link.attachment);
    return 0;
}

static void side_deinit(struct mux_relay_side *side)
{
    mux_link_remove(&side->attachment);
    mux_outbox_clear(&side->outbox);
    mux_bytes_clear(&side->queue);
}

void mux_relay_deinit(struct mux_relay *relay)
{
    side_deinit(&relay->guest);
    side_deinit(&relay->link);
    free(relay->end_reason);
    relay->end_reason = NULL;
}

size_t mux_relay_backlog(struct mux_relay *relay)
{
    relay->backlogged = relay->backlogged || relay->link.queue.len >= MUX_RELAY_SHARE;
    return relay->link.queue.len;
}

/* ── The end ── */

static void closed(struct mux_relay *relay)
{
    mux_link_remove(&relay->guest.attachment);
    mux_link_remove(&relay->link.attachment);
    relay->state = MUX_RELAY_CLOSED;
    relay->ops->on_closed(relay, relay->end, relay->end_code,
                          relay->end_reason != NULL ? relay->end_reason : mux_code_text(relay->end_code),
                          relay->by_guest);
}

static void decide_end(struct mux_relay *relay, enum mux_relay_end end, enum mux_code code,
                       const char *reason, bool by_guest)
{
    relay->end = end;
    relay->state = MUX_RELAY_ENDING;
    relay->end_code = code;
    relay->end_reason = strdup(reason); /* without memory the code's text has to do */
    relay->by_guest = by_guest;
    mux_bytes_clear(&relay->guest.queue);
    mux_bytes_clear(&relay->link.queue);
}

static void send_reset(struct mux_relay *relay, struct mux_relay_side *side)
{
    mux_outbox_reset(&side->outbox, relay->end_code,
                     relay->end_reason != NULL ? relay->end_reason : mux_code_text(relay->end_code));
    mux_link_want_control(&side->attachment);
}

void mux_relay_reset(struct mux_relay *relay, enum mux_code code, const char *reason)
{
    if (relay->state >= MUX_RELAY_ENDING)
        return;
    decide_end(relay, MUX_RELAY_RESET, code, reason, false);
    send_reset(relay, &relay->guest);
    send_reset(relay, &relay->link);
}

/* ── Frames ── */

/* DATA from one side for `to`. 0 or a negative code. */
static int on_data(struct mux_relay_side *to, const struct mux_frame *frame, struct mux_chunk *chunk)
{
    uint64_t next = to->offset + to->queue.len;
    uint64_t end = frame->u.data.offset + frame->u.data.len;
    size_t skip;
    int rc;

    if (frame->u.data.offset > next || end < frame->u.data.offset)
        return -MUX_OFFSET_RANGE; /* a gap */
    if ((to->fin != MUX_FIN_NONE && end > next) || (frame->u.data.fin && end < next))
        return -MUX_OFFSET_RANGE; /* past its end, or an end before what was sent */
    if (end > to->limit)
        return -MUX_CREDIT_EXCEEDED;
    skip = next - frame->u.data.offset < frame->u.data.len ? (size_t)(next - frame->u.data.offset)
                                                           : frame->u.data.len;
    rc = mux_bytes_append_ref(&to->queue, chunk, frame->u.data.bytes + skip, frame->u.data.len - skip);
    if (rc < 0)
        return rc;
    if (frame->u.data.fin && to->fin == MUX_FIN_NONE)
        to->fin = MUX_FIN_QUEUED;
    mux_link_want_data(&to->attachment);
    return 0;
}

/*
 * MAX_DATA from `from`: about what was sent to it, so it can't claim more than that. The end counts as one,
 * and may have passed before this relay was there; whether it has, the other edge knows.
 */
static int on_max_data(struct mux_relay *relay, struct mux_relay_side *from, struct mux_relay_side *to,
                       const struct mux_max_data *max)
{
    uint64_t credit = max->max_data;

    if (max->received_offset > from->offset && max->received_offset - from->offset > 1)
        return -MUX_OFFSET_RANGE;
    if (from == &relay->guest)
        credit = cut_credit(relay, max->received_offset, credit);
    if (credit > from->limit)
        from->limit = credit;
    mux_outbox_max_data(&to->outbox, max->received_offset, credit);
    return 0;
}

/* The far edge says how far it has got: the guest goes on from there. */
static int on_open_ok(struct mux_relay *relay, const struct mux_open_ok *ok)
{
    struct mux_relay_side *link = &relay->link;

    if (relay->state != MUX_RELAY_OPENING)
        return -MUX_PROTOCOL_ERROR;
    if (ok->received_offset > link->offset) {
        uint64_t known = ok->received_offset - link->offset;

        mux_bytes_drop(&link->queue, known < link->queue.len ? (size_t)known : link->queue.len);
        link->offset = ok->received_offset;
    }
    if (ok->max_data > link->limit)
        link->limit = ok->max_data;
    relay->state = MUX_RELAY_OPEN;
    mux_outbox_open_ok(&relay->guest.outbox, ok);
    return 0;
}

/* Before OPEN_OK the far edge says nothing else, and the guest sends no DATA but the early data of a new
 * session. */
static bool too_early(const struct mux_relay *relay, const struct mux_relay_side *from, uint8_t type)
{
    if (relay->state != MUX_RELAY_OPENING)
        return false;
    return from == &relay->link ? type != MUX_OPEN_OK : type == MUX_DATA && relay->link.limit == 0;
}

/* Everything but RESET, and DETACH by the far edge. 0 or a negative code: what is wrong with it. */
static int pass_frame(struct mux_relay *relay, struct mux_relay_side *from, struct mux_relay_side *to,
                      const struct mux_frame *frame, struct mux_chunk *chunk)
{
    int rc = 0;

    if (too_early(relay, from, frame->type))
        return -MUX_PROTOCOL_ERROR;
    switch (frame->type) {
    case MUX_DATA: return on_data(to, frame, chunk);
    case MUX_MAX_DATA: rc = on_max_data(relay, from, to, &frame->u.max_data); break;
    case MUX_OPEN_OK:
        rc = from == &relay->link ? on_open_ok(relay, &frame->u.open_ok) : -MUX_PROTOCOL_ERROR;
        break;
    case MUX_PING: mux_outbox_ping(&to->outbox, frame->u.ping); break;
    case MUX_PONG: mux_outbox_pong(&to->outbox, frame->u.ping); break;
    default: return -MUX_PROTOCOL_ERROR;
    }
    if (rc == 0)
        mux_link_want_control(&to->attachment);
    return rc;
}

static void on_reset(struct mux_relay *relay, struct mux_relay_side *from, struct mux_relay_side *to,
                     const struct mux_reset *reset)
{
    char reason[MUX_REASON_MAX + 1];
    bool by_guest = from == &relay->guest;
    bool in_order = !by_guest && reset->code == MUX_OK; /* only the far edge can tell */

    decide_end(relay, in_order ? MUX_RELAY_ENDED : MUX_RELAY_RESET, (enum mux_code)reset->code,
               mux_text_copy(reset->reason, reason, sizeof(reason)), by_guest);
    mux_link_remove(&from->attachment);
    send_reset(relay, to);
    if (by_guest)
        relay->ops->on_guest_end(relay);
}

static void on_frame(struct mux_attachment *attachment, const struct mux_frame *frame,
                     struct mux_chunk *chunk, uint64_t now)
{
    struct mux_relay *relay = relay_of(attachment);
    struct mux_relay_side *from = side_of(relay, attachment);
    struct mux_relay_side *to = other_side(relay, attachment);
    int rc;

    (void)now;
    if (relay->state >= MUX_RELAY_ENDING)
        return; /* our RESET is on its way */
    if (frame->type == MUX_RESET) {
        on_reset(relay, from, to, &frame->u.reset);
        return;
    }
    if (frame->type == MUX_DETACH && from == &relay->link) {
        decide_end(relay, MUX_RELAY_BROKEN, MUX_TRY_LATER, "detached", false);
        closed(relay);
        return;
    }
    rc = pass_frame(relay, from, to, frame, chunk);
    if (rc < 0)
        mux_relay_reset(relay, (enum mux_code) - rc, mux_code_text((unsigned)-rc));
}

static bool pull_control(struct mux_attachment *attachment, struct mux_batch *batch, uint64_t now)
{
    struct mux_relay *relay = relay_of(attachment);
    struct mux_relay_side *side = side_of(relay, attachment);

    (void)now;
    if (!mux_outbox_pull(&side->outbox, batch, attachment->number))
        return false;
    if (relay->state != MUX_RELAY_ENDING)
        return true;
    if (relay->end == MUX_RELAY_ENDED)
        relay->ops->on_guest_end(relay);
    mux_link_remove(attachment);
    if (other_side(relay, attachment)->attachment.link == NULL)
        closed(relay);
    return true;
}

static size_t pull_data(struct mux_attachment *attachment, struct mux_batch *batch, size_t max, uint64_t now)
{
    struct mux_relay *relay = relay_of(attachment);
    struct mux_relay_side *side = side_of(relay, attachment);
    struct mux_cursor at = {.seg = side->queue.head};
    bool fin;
    size_t n;

    (void)now;
    if (side->queue.len == 0 && side->fin != MUX_FIN_QUEUED)
        return 0;
    n = mux_data_pull(batch, attachment->number, side->offset, &at, max,
                      side->fin == MUX_FIN_QUEUED ? side->queue.len : SIZE_MAX, &fin);
    mux_bytes_drop(&side->queue, n);
    side->offset += n;
    if (fin)
        side->fin = MUX_FIN_SENT;
    if (is_guest(attachment)) {
        relay->bytes_to_guest += n;
    } else {
        relay->bytes_from_guest += n;
        if (relay->backlogged && side->queue.len < MUX_RELAY_SHARE / 2) {
            relay->backlogged = false;
            relay->ops->on_drained(relay);
        }
    }
    return n > 0 ? n : 1;
}

static void compact(struct mux_attachment *attachment)
{
    mux_bytes_compact(&side_of(relay_of(attachment), attachment)->queue);
}

static void on_lost(struct mux_attachment *attachment, enum mux_code code, const char *reason, uint64_t now)
{
    struct mux_relay *relay = relay_of(attachment);
    struct mux_relay_side *other = other_side(relay, attachment);

    (void)now;
    if (relay->state >= MUX_RELAY_ENDING) {
        /* What was to be said here can't be said. The other side may still have its last frame to send. */
        if (other->attachment.link == NULL)
            closed(relay);
        return;
    }
    decide_end(relay, MUX_RELAY_BROKEN, code, reason, is_guest(attachment));
    if (is_guest(attachment)) {
        mux_outbox_detach(&other->outbox);
        mux_link_want_control(&other->attachment);
    } else {
        closed(relay); /* the guest stream is closed by the owner: that says it all */
    }
}

static const struct mux_attachment_ops guest_ops = {
    .on_frame = on_frame,
    .pull_control = pull_control,
    .pull_data = pull_data,
    .compact = compact,
    .on_lost = on_lost,
};

static const struct mux_attachment_ops link_ops = {
    .on_frame = on_frame,
    .pull_control = pull_control,
    .pull_data = pull_data,
    .compact = compact,
    .on_lost = on_lost,
};
