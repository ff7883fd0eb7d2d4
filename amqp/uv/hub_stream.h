/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_UV_HUB_STREAM_H
#define AMQP_UV_HUB_STREAM_H

/*
 * A hub (amqp/hub.h) on a connected socket. The socket is always read: the hub bounds what that makes of it.
 */

#include "amqp/hub.h"
#include "mux/uv/stream.h"
#include "mux/uv/timer.h"

struct amqp_uv_hub;

struct amqp_uv_hub_ops {
    /* As in amqp_hub_ops; on_login, on_suspect and on_hush_given_up may be NULL. */
    void (*on_login)(struct amqp_uv_hub *uv_hub);
    void (*on_suspect)(struct amqp_uv_hub *uv_hub, struct amqp_member *member,
                       const struct amqp_method_spec *method);
    void (*on_hush_given_up)(struct amqp_uv_hub *uv_hub);
    void (*on_running)(struct amqp_uv_hub *uv_hub);

    /* As in amqp_hub_ops. The socket closes itself after this call. */
    void (*on_down)(struct amqp_uv_hub *uv_hub, const struct amqp_exception *e);

    /* After on_down: the memory is the owner's again. */
    void (*on_closed)(struct amqp_uv_hub *uv_hub);
};

struct amqp_uv_hub {
    struct amqp_hub hub;
    const struct amqp_uv_hub_ops *ops;
    struct amqp_hub_ops hub_ops;
    struct mux_uv_stream stream;
    struct mux_uv_timer timer;
    uint8_t *out; /* AMQP_HUB_WRITE_MIN bytes, of which [out_off, out_len) are to be written */
    size_t out_off;
    size_t out_len;
    unsigned handles;
};

/*
 * Takes over the connected descriptor, also on failure, and begins with the handshake. `config` and `ops`
 * must outlive it. 0, or a libuv error code: then nothing is open and no callback comes. Nothing is read or
 * written before the loop goes on: until then a filter may be put on uv_hub->stream.
 */
int amqp_uv_hub_open(struct amqp_uv_hub *uv_hub, struct mux_uv_loop *mux_loop, int fd,
                     const struct amqp_uv_hub_ops *ops, const struct amqp_hub_config *config);

/* In on_login or later: go on to this vhost. */
void amqp_uv_hub_choose(struct amqp_uv_hub *uv_hub, struct amqp_span vhost);

/* Ends it in order, as amqp_hub_close does; on_down and on_closed follow. No effect when it is over. */
void amqp_uv_hub_close(struct amqp_uv_hub *uv_hub, const char *reason);

/* Ends it at once; on_down comes from inside, on_closed later. No effect when it is over. */
void amqp_uv_hub_abort(struct amqp_uv_hub *uv_hub, const char *reason);

/*
 * Is there something that the broker has sent and we have not read? libuv looks after timers before it looks
 * after sockets: when this process was held up, the broker was not silent for that.
 */
bool amqp_uv_hub_has_unread(const struct amqp_uv_hub *uv_hub);

static inline struct amqp_uv_hub *amqp_uv_hub_of(struct amqp_hub *hub)
{
    return (struct amqp_uv_hub *)((char *)hub - offsetof(struct amqp_uv_hub, hub));
}

#endif
