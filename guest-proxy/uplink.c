/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-proxy/uplink.h"

#include "guest-proxy/dial.h"
#include "mux/uv/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One attempt to connect. The kernel's own limit for vsock is 2 s. */
#define DIAL_TIMEOUT_MS 5000u

/* A vsock stream. It outlives its uplink's interest while it lingers and closes. */
struct guest_stream {
    struct mux_uv_link link;
    TAILQ_ENTRY(guest_stream) entry;
    struct guest *guest;
    struct uplink *uplink; /* NULL: abandoned */
};

static struct guest_stream *stream_of(struct mux_uv_link *link)
{
    return (struct guest_stream *)((char *)link - offsetof(struct guest_stream, link));
}

static void stream_on_down(struct mux_uv_link *link, enum mux_code code, const char *reason)
{
    struct guest_stream *stream = stream_of(link);

    /* The session was told by the link, and through it the uplink: see uplink_lost. */
    if (stream->uplink != NULL)
        log_debug(stream->uplink->object, "stream down", LOG_STR("code", mux_code_name(code)),
                  LOG_STR("reason", reason));
}

static void stream_on_closed(struct mux_uv_link *link)
{
    struct guest_stream *stream = stream_of(link);

    TAILQ_REMOVE(&stream->guest->streams, stream, entry);
    free(stream);
}

static void stream_on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    (void)open;
    (void)now;
    mux_link_refuse(link, number, MUX_PROTOCOL_ERROR,
                    "guests do not accept sessions"); /* never called on an opener */
}

static const struct mux_uv_link_ops stream_ops = {
    .link = {.on_open = stream_on_open},
    .on_down = stream_on_down,
    .on_closed = stream_on_closed,
};

/* Let go of the stream, if there is one. */
static void abandon(struct uplink *uplink, bool politely)
{
    struct guest_stream *stream = uplink->stream;

    if (stream == NULL)
        return;
    uplink->stream = NULL;
    stream->uplink = NULL;
    if (politely)
        mux_uv_link_linger(&stream->link);
    else
        mux_uv_link_close(&stream->link, MUX_TRY_LATER, "abandoned");
}

/* This attempt came to nothing: the next one, when the gate lets us. */
static void again(struct uplink *uplink, const char *reason)
{
    struct gate *gate = &uplink->guest->gate;

    snprintf(uplink->failure, sizeof(uplink->failure), "%s", reason);
    log_debug(uplink->object, "not connected", LOG_STR("reason", reason));
    uplink->state = UPLINK_WAITING;
    gate_failed(gate, &uplink->visitor);
    gate_enter(gate, &uplink->visitor);
}

static void on_dialed(void *ctx, int fd, const char *text)
{
    struct uplink *uplink = ctx;
    struct guest *guest = uplink->guest;
    struct guest_stream *stream;

    uplink->dial = NULL;
    if (fd < 0) {
        again(uplink, text);
        return;
    }
    if (uplink->session->state >=
        MUX_SESSION_CLOSING) { /* uplink_stop comes later in this turn of the loop */
        close(fd);
        return;
    }
    stream = calloc(1, sizeof(*stream));
    if (stream == NULL ||
        mux_uv_link_open(&stream->link, &guest->mux_loop, fd, &guest->link_config, &stream_ops) < 0) {
        free(stream);
        again(uplink, "out of memory");
        return;
    }
    stream->guest = guest;
    TAILQ_INSERT_TAIL(&guest->streams, stream, entry);
    stream->uplink = uplink;
    uplink->stream = stream;
    uplink->state = UPLINK_OPENING;
    if (mux_session_attach(uplink->session, &stream->link.link, uplink->attributes, uv_now(&guest->loop)) < 0)
        uplink_lost(uplink, "out of memory");
}

static void give_up_reserve(struct uplink *uplink)
{
    if (uplink->reserve_fd >= 0)
        close(uplink->reserve_fd);
    uplink->reserve_fd = -1;
}

static void on_admitted(struct gate_visitor *visitor)
{
    struct uplink *uplink = (struct uplink *)((char *)visitor - offsetof(struct uplink, visitor));
    struct guest *guest = uplink->guest;

    give_up_reserve(uplink);
    uplink->state = UPLINK_DIALING;
    uplink->dial = dial_start(&guest->loop, &guest->host, &guest->vmci, DIAL_TIMEOUT_MS, on_dialed, uplink);
    if (uplink->dial == NULL)
        again(uplink, "out of memory");
}

void uplink_init(struct uplink *uplink, struct guest *guest, struct mux_session *session,
                 const struct mux_attributes *attributes, const char *object, int reserve_fd)
{
    *uplink = (struct uplink){.guest = guest,
                              .session = session,
                              .attributes = attributes,
                              .object = object,
                              .reserve_fd = reserve_fd};
    gate_visitor_init(&guest->gate, &uplink->visitor, on_admitted);
}

void uplink_start(struct uplink *uplink)
{
    if (uplink->state != UPLINK_IDLE)
        return;
    uplink->state = UPLINK_WAITING;
    gate_enter(&uplink->guest->gate, &uplink->visitor);
}

void uplink_attached(struct uplink *uplink)
{
    uplink->state = UPLINK_OPEN;
    uplink->failure[0] = '\0';
    gate_passed(&uplink->guest->gate, &uplink->visitor);
}

void uplink_lost(struct uplink *uplink, const char *reason)
{
    if (uplink->state == UPLINK_OPENING || uplink->state == UPLINK_OPEN) {
        abandon(uplink, false);
        again(uplink, reason);
    }
}

void uplink_stop(struct uplink *uplink, bool politely)
{
    struct gate *gate = &uplink->guest->gate;

    if (uplink->state == UPLINK_OPENING)
        gate_passed(gate, &uplink->visitor); /* it was answered, if not as wished */
    give_up_reserve(uplink);
    uplink->state = UPLINK_IDLE;
    gate_leave(gate, &uplink->visitor);
    dial_cancel(uplink->dial);
    uplink->dial = NULL;
    abandon(uplink, politely);
}

void uplink_close_streams(struct guest *guest)
{
    struct guest_stream *stream;

    TAILQ_FOREACH (stream, &guest->streams, entry)
        mux_uv_link_close(&stream->link, MUX_SHUTTING_DOWN, "guest-proxy is shutting down");
}
