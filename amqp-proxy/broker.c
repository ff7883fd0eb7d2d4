/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp-proxy/broker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct broker_service *add_service(struct broker_set *set, const char *name, size_t name_len)
{
    struct broker_service *services = realloc(set->services, (set->count + 1) * sizeof(*services));

    if (services == NULL)
        return NULL;
    set->services = services;
    services[set->count] = (struct broker_service){0};
    memcpy(services[set->count].name, name, name_len);
    return &services[set->count++];
}

struct broker_service *broker_service_find(struct broker_set *set, struct mux_text name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strlen(set->services[i].name) == name.len &&
            (name.len == 0 || memcmp(set->services[i].name, name.data, name.len) == 0))
            return &set->services[i];
    return NULL;
}

static int add(struct broker_set *set, const char *name, size_t name_len, const struct net_address *address)
{
    struct broker_service *service =
        broker_service_find(set, (struct mux_text){.data = name, .len = name_len});

    if (service == NULL)
        service = add_service(set, name, name_len);
    return service != NULL ? node_set_add(&service->nodes, address) : -ENOMEM;
}

int broker_set_init(struct broker_set *set, const struct amqp_config *config)
{
    struct net_address address;
    char why[256];
    size_t name_len;
    int rc = 0;

    *set = (struct broker_set){0};
    for (size_t i = 0; i < config->brokers.count && rc == 0; i++) {
        rc = net_address_parse(&address, config->brokers.items[i], why, sizeof(why));
        if (rc == 0)
            rc = add(set, "", 0, &address);
    }
    for (size_t i = 0; i < config->services.count && rc == 0; i++) {
        rc = amqp_service_parse(config->services.items[i], &name_len, &address, why, sizeof(why));
        if (rc == 0)
            rc = add(set, config->services.items[i], name_len, &address);
    }
    if (rc < 0)
        broker_set_deinit(set);
    return rc;
}

void broker_set_deinit(struct broker_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        node_set_deinit(&set->services[i].nodes);
    free(set->services);
    *set = (struct broker_set){0};
}
