/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses behind each service. Their nodes are taken in turn; when one can't be reached the next is
 * tried, until each was tried once.
 */
#ifndef AMQP_PROXY_BROKER_H
#define AMQP_PROXY_BROKER_H

#include "amqp-proxy/config.h"
#include "mux/frame.h"

#include <uv.h>

struct broker_service {
    char name[MUX_ATTR_MAX + 1]; /* "": AMQP */
    struct net_address *nodes;
    size_t count;
    size_t next; /* whose turn it is */
};

struct broker_set {
    struct broker_service *services; /* AMQP first */
    size_t count;
};

/* From settings that were checked. 0 or -ENOMEM. */
int broker_set_init(struct broker_set *set, const struct amqp_config *config);
void broker_set_deinit(struct broker_set *set);

/* The service with this name, "" for AMQP; NULL when there is none. */
struct broker_service *broker_service_find(struct broker_set *set, struct mux_text name);

/* One connection to a service: the attempts to make it. Embedded. */
struct broker_dial {
    uv_loop_t *loop;
    struct broker_service *service;
    uint64_t timeout_ms;       /* per node */
    size_t tried;              /* nodes that failed */
    size_t node;               /* the one that is tried now */
    struct net_dialer *dialer; /* NULL: not dialling */
    char failure[256];         /* what each node said, as far as it fits */
    /* Connected: the descriptor is the callee's; or negative, and `text` has what each node said. */
    void (*dialed)(struct broker_dial *dial, int fd, const char *text);
};

/* Begin. The callback comes once, from the loop. 0 or -ENOMEM: then it does not come. */
int broker_dial_start(struct broker_dial *dial, uv_loop_t *loop, struct broker_service *service,
                      uint64_t timeout_ms,
                      void (*dialed)(struct broker_dial *dial, int fd, const char *text));

/* Give up; no effect when it has ended or was never begun. */
void broker_dial_cancel(struct broker_dial *dial);

#endif
