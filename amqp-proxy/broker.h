/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses behind each service. */
#ifndef AMQP_PROXY_BROKER_H
#define AMQP_PROXY_BROKER_H

#include "amqp-proxy/config.h"
#include "mux/frame.h"
#include "service/nodes.h"

struct broker_service {
    char name[MUX_ATTR_MAX + 1]; /* "": AMQP */
    struct node_set nodes;
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

#endif
