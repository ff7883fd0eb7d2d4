/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/send_state.h"

#include "mux/code.h"
#include "mux/frame.h"

#include <assert.h>

/* A frame without payload still takes room on the wire. */
#define COST_MIN 1u

static void check(const struct mux_send_state *send)
{
    assert(send->acked <= send->sent && send->sent <= send->end && send->sent <= send->limit);
    assert(send->buffer.len == send->end - send->acked);
    assert(send->fin < MUX_FIN_AGAIN || send->sent == send->end);
}

/* The peer is to be told where the direction ends. */
static bool fin_due(const struct mux_send_state *send)
{
    return send->fin == MUX_FIN_QUEUED || send->fin == MUX_FIN_AGAIN;
}

void mux_send_state_init(struct mux_send_state *send, uint64_t limit)
{
    *send = (struct mux_send_state){.limit = limit};
}

void mux_send_state_deinit(struct mux_send_state *send)
{
    mux_bytes_clear(&send->buffer);
    mux_digest_deinit(&send->digest);
}

int mux_send_state_append(struct mux_send_state *send, struct mux_chunk *chunk, const uint8_t *data,
                          size_t len)
{
    struct mux_segment *tail = send->buffer.tail;
    size_t tail_len = tail != NULL ? tail->len : 0;
    int rc;

    assert(send->fin == MUX_FIN_NONE);
    rc = mux_digest_reserve(&send->digest); /* for when it is acknowledged */
    if (rc == 0)
        rc = mux_bytes_append(&send->buffer, chunk, data, len);
    if (rc < 0)
        return rc;
    if (send->cursor.seg == NULL && len > 0) {
        /* The new bytes are the next to go: in the former tail where that grew, else in what follows it. */
        bool grew = tail != NULL && tail->len > tail_len;

        if (tail == NULL)
            send->cursor = (struct mux_cursor){.seg = send->buffer.head};
        else
            send->cursor = (struct mux_cursor){.seg = grew ? tail : tail->next, .off = grew ? tail_len : 0};
    }
    send->end += len;
    check(send);
    return 0;
}

void mux_send_state_fin(struct mux_send_state *send)
{
    if (send->fin == MUX_FIN_NONE)
        send->fin = MUX_FIN_QUEUED;
}

bool mux_send_state_ready(const struct mux_send_state *send)
{
    if (send->sent < send->end)
        return send->sent < send->limit;
    return fin_due(send);
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t mux_data_pull(struct mux_batch *batch, uint32_t session, uint64_t offset, struct mux_cursor *at,
                     size_t max, size_t fin_after, bool *fin)
{
    uint8_t *header = mux_batch_area(batch, MUX_DATA_HEADER);
    size_t len = 0;

    if (max > MUX_DATA_MAX)
        max = MUX_DATA_MAX;
    assert(header != NULL);
    while (at->seg != NULL && len < max && mux_batch_vectors(batch) > 0) {
        size_t n = min_size(at->seg->len - at->off, max - len);

        mux_batch_payload(batch, at->seg->chunk, at->seg->data + at->off, n);
        len += n;
        at->off += n;
        if (at->off == at->seg->len)
            *at = (struct mux_cursor){.seg = at->seg->next};
    }
    *fin = len == fin_after;
    mux_encode_data_header(header, session, offset, (uint32_t)len, *fin);
    return len;
}

size_t mux_send_state_pull(struct mux_send_state *send, struct mux_batch *batch, uint32_t session, size_t max)
{
    uint64_t credit = send->limit - send->sent;
    size_t fin_after = fin_due(send) ? (size_t)(send->end - send->sent) : SIZE_MAX;
    bool fin;
    size_t n;

    if (!mux_send_state_ready(send))
        return 0;
    if (max > credit)
        max = (size_t)credit;
    n = mux_data_pull(batch, session, send->sent, &send->cursor, max, fin_after, &fin);
    send->sent += n;
    if (fin)
        send->fin = MUX_FIN_SENT;
    check(send);
    return n > COST_MIN ? n : COST_MIN;
}

uint64_t mux_send_state_highest(const struct mux_send_state *send)
{
    return send->sent + (send->fin >= MUX_FIN_AGAIN ? 1 : 0);
}

/* Add the first `n` bytes that are held to a digest. */
static void digest_held(const struct mux_send_state *send, size_t n, struct mux_digest *digest)
{
    for (const struct mux_segment *seg = send->buffer.head; n > 0; seg = seg->next) {
        size_t len = min_size(seg->len, n);

        mux_digest_add(digest, seg->data, len);
        n -= len;
    }
}

/* May the peer that has acknowledged what it has say that it has received so much? */
static bool claimable(const struct mux_send_state *send, uint64_t received)
{
    uint64_t lowest = send->acked + (send->fin == MUX_FIN_ACKED ? 1 : 0);

    return received >= lowest && received <= mux_send_state_highest(send);
}

int mux_send_state_digest(const struct mux_send_state *send, uint64_t received, uint64_t *value)
{
    struct mux_digest digest = {0};
    int rc;

    if (!claimable(send, received))
        return -MUX_OFFSET_RANGE;
    rc = mux_digest_copy(&digest, &send->digest);
    if (rc < 0)
        return rc;
    digest_held(send, (size_t)((received < send->end ? received : send->end) - send->acked), &digest);
    *value = mux_digest_value(&digest);
    mux_digest_deinit(&digest);
    return 0;
}

/* Forget what the peer has. `received` is within [acked, highest]. */
static void forget(struct mux_send_state *send, uint64_t received)
{
    if (received > send->end) {
        send->fin = MUX_FIN_ACKED;
        received = send->end;
    }
    if (received > send->acked) {
        digest_held(send, (size_t)(received - send->acked), &send->digest);
        mux_bytes_drop(&send->buffer, (size_t)(received - send->acked));
        send->acked = received;
    }
}

int mux_send_state_ack(struct mux_send_state *send, uint64_t received, uint64_t limit)
{
    uint64_t before = send->acked;

    if (received > mux_send_state_highest(send))
        return -MUX_OFFSET_RANGE;
    forget(send, received);
    /* A drop inside the segment that the cursor is in moved that segment's start. */
    if (send->acked != before && send->cursor.seg != NULL && send->cursor.seg == send->buffer.head)
        send->cursor.off = (size_t)(send->sent - send->acked);
    if (limit > send->limit)
        send->limit = limit;
    check(send);
    return 0;
}

int mux_send_state_rewind(struct mux_send_state *send, uint64_t received)
{
    if (!claimable(send, received))
        return -MUX_OFFSET_RANGE;
    forget(send, received);
    send->sent = send->acked;
    if (send->fin == MUX_FIN_SENT || send->fin == MUX_FIN_AGAIN)
        send->fin = send->sent == send->end ? MUX_FIN_AGAIN : MUX_FIN_QUEUED;
    send->cursor = (struct mux_cursor){.seg = send->buffer.head};
    check(send);
    return 0;
}

bool mux_send_state_drained(const struct mux_send_state *send)
{
    return send->acked == send->end && (send->fin == MUX_FIN_NONE || send->fin == MUX_FIN_ACKED);
}
