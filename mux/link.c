/* SPDX-License-Identifier: Apache-2.0 */
#define HASH_NONFATAL_OOM 1 /* an element that could not be added has no table then */
#include "mux/link.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_HELLO  1u
#define PENDING_PING   2u
#define PENDING_PONG   4u
#define PENDING_GOAWAY 8u

/* More unsent refusals than this, and the peer is not reading what it asks for. */
#define REFUSALS_MAX 4096u

struct mux_refusal {
    STAILQ_ENTRY(mux_refusal) entry;
    uint32_t number;
    enum mux_code code;
    char reason[];
};

void mux_link_init(struct mux_link *link, const struct mux_link_ops *ops,
                   const struct mux_link_config *config, uint64_t now)
{
    *link = (struct mux_link){
        .ops = ops, .config = config, .created_ms = now, .heard_ms = now, .pending = PENDING_HELLO};
    mux_reader_init(&link->reader, MUX_PAYLOAD_MAX);
    STAILQ_INIT(&link->refusals);
    TAILQ_INIT(&link->control);
    mux_sched_init(&link->sched);
}

void mux_link_deinit(struct mux_link *link, uint64_t now)
{
    mux_link_close(link, MUX_SHUTTING_DOWN, "link closed", now);
    while (!STAILQ_EMPTY(&link->refusals)) {
        struct mux_refusal *refusal = STAILQ_FIRST(&link->refusals);

        STAILQ_REMOVE_HEAD(&link->refusals, entry);
        free(refusal);
    }
    mux_reader_deinit(&link->reader);
}

void mux_link_close(struct mux_link *link, enum mux_code code, const char *reason, uint64_t now)
{
    if (link->state == MUX_LINK_CLOSED)
        return;
    link->state = MUX_LINK_CLOSED;
    while (link->attachments != NULL) {
        struct mux_attachment *attachment = link->attachments;

        mux_link_remove(attachment);
        attachment->ops->on_lost(attachment, code, reason, now);
    }
}

static int __attribute__((format(printf, 2, 3))) fail(struct mux_link *link, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(link->error, sizeof(link->error), format, args);
    va_end(args);
    return -MUX_PROTOCOL_ERROR;
}

/* ── Attachments ── */

uint32_t mux_link_next_number(struct mux_link *link)
{
    return link->last_number == UINT32_MAX ? 0 : link->last_number + 1;
}

int mux_link_attach(struct mux_link *link, struct mux_attachment *attachment, uint32_t number)
{
    assert(attachment->link == NULL && link->state == MUX_LINK_OPEN && number != 0);
    assert(!link->config->opener || number > link->last_number);
    attachment->number = number;
    HASH_ADD(hh, link->attachments, number, sizeof(attachment->number), attachment);
    if (attachment->hh.tbl == NULL)
        return -MUX_NO_MEMORY;
    attachment->link = link;
    if (link->config->opener)
        link->last_number = number;
    return 0;
}

void mux_link_remove(struct mux_attachment *attachment)
{
    struct mux_link *link = attachment->link;

    if (link == NULL)
        return;
    if (attachment->control_queued)
        TAILQ_REMOVE(&link->control, attachment, control_entry);
    attachment->control_queued = false;
    mux_sched_remove(&link->sched, &attachment->flow);
    HASH_DEL(link->attachments, attachment);
    attachment->link = NULL;
}

unsigned mux_link_count(const struct mux_link *link)
{
    return HASH_COUNT(link->attachments);
}

void mux_link_want_control(struct mux_attachment *attachment)
{
    struct mux_link *link = attachment->link;

    if (link == NULL || attachment->control_queued)
        return;
    TAILQ_INSERT_TAIL(&link->control, attachment, control_entry);
    attachment->control_queued = true;
    link->ops->on_output(link);
}

void mux_link_want_data(struct mux_attachment *attachment)
{
    struct mux_link *link = attachment->link;

    if (link == NULL || attachment->flow.place != MUX_SCHED_IDLE)
        return;
    mux_sched_activate(&link->sched, &attachment->flow);
    link->ops->on_output(link);
}

void mux_link_refuse(struct mux_link *link, uint32_t number, enum mux_code code, const char *reason)
{
    size_t size = strlen(reason) + 1;
    struct mux_refusal *refusal = malloc(sizeof(*refusal) + size);

    if (refusal == NULL)
        return; /* the opener gives up by its own timeout */
    refusal->number = number;
    refusal->code = code;
    memcpy(refusal->reason, reason, size);
    STAILQ_INSERT_TAIL(&link->refusals, refusal, entry);
    link->refusal_count++;
    link->ops->on_output(link);
}

void mux_link_goaway(struct mux_link *link, const char *reason)
{
    link->goaway_reason = reason;
    link->pending |= PENDING_GOAWAY;
    link->ops->on_output(link);
}

/* ── Input ── */

static const char *role_name(unsigned role)
{
    switch (role) {
    case MUX_ROLE_GUEST: return "guest-proxy";
    case MUX_ROLE_HOST: return "host-proxy";
    case MUX_ROLE_AMQP: return "amqp-proxy";
    default: return "stranger";
    }
}

static int on_hello(struct mux_link *link, const struct mux_hello *hello, uint64_t now)
{
    if (link->peer.version != 0)
        return fail(link, "second HELLO");
    if (hello->version != MUX_VERSION)
        return fail(link, "peer speaks version %u of the session protocol, this is version %u",
                    hello->version, MUX_VERSION);
    if (link->config->peer_role != 0 && hello->role != link->config->peer_role)
        return fail(link, "peer is a %s, this is the place of a %s", role_name(hello->role),
                    role_name(link->config->peer_role));
    if (hello->max_frame < MUX_PAYLOAD_MAX)
        return fail(link, "peer takes frames of %u bytes only, %u are needed", hello->max_frame,
                    MUX_PAYLOAD_MAX);
    link->peer.version = hello->version;
    link->peer.role = hello->role;
    link->peer.instance = hello->instance;
    link->peer.max_frame = hello->max_frame;
    mux_text_copy(hello->name, link->peer.name, sizeof(link->peer.name));
    if (link->ops->on_hello != NULL)
        link->ops->on_hello(link, now);
    return 0;
}

static int on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    if (link->config->opener)
        return fail(link, "OPEN from the side that does not open sessions");
    if (number <= link->last_number)
        return fail(link, "OPEN with session number %u after %u", number, link->last_number);
    link->last_number = number;
    if (link->refusal_count >= REFUSALS_MAX)
        return fail(link, "%u refused sessions and the answers are not read", REFUSALS_MAX);
    if (link->config->max_sessions != 0 && link->opened >= link->config->max_sessions) {
        mux_link_refuse(link, number, MUX_SESSION_LIMIT, "too many sessions on this connection");
        return 0;
    }
    link->opened++;
    link->ops->on_open(link, number, open, now);
    return 0;
}

static int on_connection_frame(struct mux_link *link, const struct mux_frame *frame, uint64_t now)
{
    char reason[MUX_REASON_MAX + 1];

    switch (frame->type) {
    case MUX_HELLO: return on_hello(link, &frame->u.hello, now);
    case MUX_PING:
        memcpy(link->pong, frame->u.ping, MUX_PING_SIZE);
        link->pending |= PENDING_PONG;
        link->ops->on_output(link);
        return 0;
    case MUX_PONG: return 0; /* having heard it is all */
    case MUX_GOAWAY:
        if (link->ops->on_goaway != NULL)
            link->ops->on_goaway(link, mux_text_copy(frame->u.goaway, reason, sizeof(reason)));
        return 0;
    default: return fail(link, "frame type %u on session 0", frame->type);
    }
}

static int on_session_frame(struct mux_link *link, const struct mux_frame *frame, struct mux_chunk *chunk,
                            uint64_t now)
{
    struct mux_attachment *attachment;
    uint32_t number = frame->session;

    if (frame->type == MUX_OPEN)
        return on_open(link, number, &frame->u.open, now);
    if (frame->type == MUX_HELLO || frame->type == MUX_GOAWAY)
        return fail(link, "frame type %u on session %u", frame->type, number);
    HASH_FIND(hh, link->attachments, &number, sizeof(number), attachment);
    if (attachment == NULL)
        return number > link->last_number ? fail(link, "frame for session %u, which was never opened", number)
                                          : 0;
    attachment->ops->on_frame(attachment, frame, chunk, now);
    return 0;
}

int mux_link_input(struct mux_link *link, struct mux_chunk *chunk, const uint8_t *data, size_t len,
                   uint64_t now)
{
    const uint8_t *end = data + len;
    struct mux_frame frame;
    int rc = 0;

    link->heard_ms = now;
    link->pinged_ms = 0;
    while (link->state == MUX_LINK_OPEN) {
        rc = mux_reader_next(&link->reader, &data, end, &frame);
        if (rc < 0) {
            fail(link, "%s", rc == -MUX_PROTOCOL_ERROR ? link->reader.error : mux_code_text((unsigned)-rc));
            return rc;
        }
        if (rc == 0)
            return 0;
        if (link->peer.version == 0 && frame.type != MUX_HELLO)
            return fail(link, "first frame is of type %u, not HELLO", frame.type);
        rc = frame.session == 0 ? on_connection_frame(link, &frame, now)
                                : on_session_frame(link, &frame, chunk, now);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ── Output ── */

static bool output_connection(struct mux_link *link, struct mux_batch *batch)
{
    uint8_t frame[MUX_HEADER_SIZE + MUX_REASON_MAX + 64];
    static const uint8_t ping[MUX_PING_SIZE] = "amqpvsk";
    unsigned bit = link->pending & -link->pending; /* the lowest first: HELLO */
    uint8_t *area;
    size_t size = 0;

    switch (bit) {
    case PENDING_HELLO: {
        struct mux_hello hello = {.version = MUX_VERSION,
                                  .role = (uint8_t)link->config->role,
                                  .max_frame = MUX_PAYLOAD_MAX,
                                  .instance = link->config->instance,
                                  .name = mux_text(link->config->name)};

        size = mux_encode_hello(frame, &hello);
        break;
    }
    case PENDING_PING: size = mux_encode_ping(frame, MUX_PING, 0, ping); break;
    case PENDING_PONG: size = mux_encode_ping(frame, MUX_PONG, 0, link->pong); break;
    case PENDING_GOAWAY: size = mux_encode_goaway(frame, link->goaway_reason); break;
    default: return false;
    }
    area = mux_batch_area(batch, size);
    if (area == NULL)
        return false;
    memcpy(area, frame, size);
    link->pending &= ~bit;
    return true;
}

static bool output_refusal(struct mux_link *link, struct mux_batch *batch)
{
    struct mux_refusal *refusal = STAILQ_FIRST(&link->refusals);
    uint8_t frame[MUX_HEADER_SIZE + 4 + MUX_REASON_MAX];
    uint8_t *area;
    size_t size;

    if (refusal == NULL)
        return false;
    size = mux_encode_reset(frame, refusal->number, refusal->code, refusal->reason);
    area = mux_batch_area(batch, size);
    if (area == NULL)
        return false;
    memcpy(area, frame, size);
    STAILQ_REMOVE_HEAD(&link->refusals, entry);
    link->refusal_count--;
    free(refusal);
    return true;
}

static bool output_control(struct mux_link *link, struct mux_batch *batch, uint64_t now)
{
    struct mux_attachment *attachment = TAILQ_FIRST(&link->control);

    if (attachment == NULL)
        return false;
    TAILQ_REMOVE(&link->control, attachment, control_entry);
    attachment->control_queued = false;
    if (attachment->ops->pull_control(attachment, batch, now))
        return true;
    /* No room: first again in the next batch. */
    TAILQ_INSERT_HEAD(&link->control, attachment, control_entry);
    attachment->control_queued = true;
    return false;
}

static struct mux_attachment *of_flow(struct mux_sched_flow *flow)
{
    return (struct mux_attachment *)((char *)flow - offsetof(struct mux_attachment, flow));
}

static bool output_data(struct mux_link *link, struct mux_batch *batch, uint64_t now)
{
    struct mux_sched_flow *flow = mux_sched_next(&link->sched);
    struct mux_attachment *attachment;
    size_t max;
    size_t cost;

    if (flow == NULL)
        return false;
    attachment = of_flow(flow);
    max = mux_batch_room(batch);
    if (max > (size_t)flow->deficit)
        max = (size_t)flow->deficit;
    cost = attachment->ops->pull_data(attachment, batch, max, now);
    if (cost == 0)
        mux_sched_exhausted(&link->sched, flow);
    else
        mux_sched_charge(flow, cost);
    return true;
}

bool mux_link_output(struct mux_link *link, struct mux_batch *batch, uint64_t now)
{
    assert(batch->count == 0);
    if (link->state == MUX_LINK_CLOSED)
        return false;
    while (output_connection(link, batch))
        ;
    while (mux_batch_room(batch) > 0) {
        if (output_refusal(link, batch) || output_control(link, batch, now))
            continue;
        if (!TAILQ_EMPTY(&link->control) || !output_data(link, batch, now))
            break;
    }
    return batch->bytes > 0;
}

static void compact_list(struct mux_sched_list *list)
{
    struct mux_sched_flow *flow;

    TAILQ_FOREACH (flow, list, entry) {
        struct mux_attachment *attachment = of_flow(flow);

        if (attachment->ops->compact != NULL)
            attachment->ops->compact(attachment);
    }
}

void mux_link_compact(struct mux_link *link)
{
    compact_list(&link->sched.fresh);
    compact_list(&link->sched.bulk);
}

/* ── Time ── */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When the peer must have said HELLO and, if it is to, opened a session. */
static uint64_t handshake_deadline(const struct mux_link *link)
{
    const struct mux_link_config *config = link->config;
    uint64_t deadline = UINT64_MAX;

    if (config->hello_timeout_ms > 0 && link->peer.version == 0)
        deadline = link->created_ms + config->hello_timeout_ms;
    if (config->open_timeout_ms > 0 && link->last_number == 0)
        deadline = earlier(deadline, link->created_ms + config->open_timeout_ms);
    return deadline;
}

uint64_t mux_link_deadline(const struct mux_link *link)
{
    const struct mux_link_config *config = link->config;
    uint64_t deadline = handshake_deadline(link);

    if (link->state == MUX_LINK_CLOSED)
        return UINT64_MAX;
    if (config->ping_interval_ms > 0)
        deadline = earlier(deadline, link->pinged_ms != 0 ? link->pinged_ms + config->ping_timeout_ms
                                                          : link->heard_ms + config->ping_interval_ms);
    if (config->idle_timeout_ms > 0)
        deadline = earlier(deadline, link->heard_ms + config->idle_timeout_ms);
    return deadline;
}

int mux_link_tick(struct mux_link *link, uint64_t now)
{
    const struct mux_link_config *config = link->config;
    uint64_t silent = now - link->heard_ms;

    if (link->state == MUX_LINK_CLOSED)
        return 0;
    if (now >= handshake_deadline(link)) {
        snprintf(link->error, sizeof(link->error), "no %s within the handshake timeout",
                 link->peer.version == 0 ? "HELLO" : "OPEN");
        return -MUX_IDLE_TIMEOUT;
    }
    if (config->idle_timeout_ms > 0 && silent >= config->idle_timeout_ms) {
        snprintf(link->error, sizeof(link->error), "nothing heard for %llu ms", (unsigned long long)silent);
        return -MUX_IDLE_TIMEOUT;
    }
    if (config->ping_interval_ms == 0 || silent < config->ping_interval_ms)
        return 0;
    if (link->pinged_ms == 0) {
        link->pinged_ms = now;
        link->pending |= PENDING_PING;
        link->ops->on_output(link);
    } else if (now - link->pinged_ms >= config->ping_timeout_ms) {
        snprintf(link->error, sizeof(link->error), "no answer to PING, nothing heard for %llu ms",
                 (unsigned long long)silent);
        return -MUX_IDLE_TIMEOUT;
    }
    return 0;
}
