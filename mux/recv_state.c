/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/recv_state.h"

#include "mux/code.h"

#include <assert.h>

static void check(const struct mux_recv_state *recv)
{
    assert(recv->consumed <= recv->next && recv->next <= recv->limit);
}

void mux_recv_state_init(struct mux_recv_state *recv, uint64_t initial, uint64_t window)
{
    *recv = (struct mux_recv_state){.limit = initial, .window = window};
}

int mux_recv_state_accept(struct mux_recv_state *recv, uint64_t offset, size_t len, bool fin, size_t *skip)
{
    uint64_t end = offset + len;

    if (offset > recv->next || end < offset)
        return -MUX_OFFSET_RANGE;
    if (end > recv->limit)
        return -MUX_CREDIT_EXCEEDED;
    if (recv->fin && (end > recv->next || (fin && end != recv->next)))
        return -MUX_OFFSET_RANGE;
    if (fin && end < recv->next)
        return -MUX_OFFSET_RANGE; /* ends before what it sent */
    *skip = recv->next - offset < len ? (size_t)(recv->next - offset) : len;
    if (end > recv->next)
        recv->next = end;
    recv->fin = recv->fin || fin;
    check(recv);
    return 0;
}

void mux_recv_state_consume(struct mux_recv_state *recv, uint64_t n)
{
    recv->consumed += n;
    check(recv);
}

uint64_t mux_recv_state_received(const struct mux_recv_state *recv)
{
    return recv->next + (recv->fin && recv->consumed == recv->next ? 1 : 0);
}

/* After the end no credit is needed any more. */
static uint64_t grantable(const struct mux_recv_state *recv)
{
    uint64_t limit = recv->consumed + recv->window;

    return recv->fin || limit < recv->limit ? recv->limit : limit;
}

bool mux_recv_state_untold(const struct mux_recv_state *recv)
{
    return recv->told != mux_recv_state_received(recv) || grantable(recv) != recv->limit;
}

bool mux_recv_state_urgent(const struct mux_recv_state *recv)
{
    return grantable(recv) - recv->limit >= recv->window / 4 || (recv->fin && recv->told <= recv->next);
}

uint64_t mux_recv_state_tell(struct mux_recv_state *recv, uint64_t *received)
{
    recv->limit = grantable(recv);
    recv->told = mux_recv_state_received(recv);
    *received = recv->told;
    return recv->limit;
}
