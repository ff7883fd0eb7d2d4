/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net_impl.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct net_lookup {
    uv_getaddrinfo_t request;
    net_found_fn found; /* NULL: nobody waits any more */
    void *ctx;
};

#define PORT_MAX sizeof("65535")

static unsigned copy(struct sockaddr_storage *to, const struct addrinfo *from)
{
    unsigned count = 0;

    for (; from != NULL && count < NET_DIALER_ADDRESSES; from = from->ai_next)
        memcpy(&to[count++], from->ai_addr, from->ai_addrlen);
    return count;
}

unsigned net_address_numbers(const struct net_address *address, struct sockaddr_storage *found)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *info;
    char port[PORT_MAX];

    if (address->kind == NET_UNIX) {
        net_unix_sockaddr(address, (struct sockaddr_un *)found);
        return 1;
    }
    snprintf(port, sizeof(port), "%u", address->port);
    if (getaddrinfo(address->host, port, &hints, &info) != 0)
        return 0;
    const unsigned count = copy(found, info);
    freeaddrinfo(info);
    return count;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *info)
{
    struct net_lookup *lookup = (struct net_lookup *)request;
    struct sockaddr_storage found[NET_DIALER_ADDRESSES] = {0};
    const unsigned count = copy(found, info);
    const net_found_fn done = lookup->found;
    void *ctx = lookup->ctx;

    uv_freeaddrinfo(info);
    free(lookup);
    if (done != NULL)
        done(ctx, status == 0 && count == 0 ? UV_EAI_NODATA : status, found, count);
}

int net_lookup_start(struct net_lookup **lookup, uv_loop_t *loop, const struct net_address *address,
                     net_found_fn found, void *ctx)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct net_lookup *made = calloc(1, sizeof(*made));
    char port[PORT_MAX];

    if (made == NULL)
        return -ENOMEM;
    made->found = found;
    made->ctx = ctx;
    snprintf(port, sizeof(port), "%u", address->port);
    int error = uv_getaddrinfo(loop, &made->request, on_resolved, address->host, port, &hints);
    if (error != 0) {
        free(made);
        return error;
    }
    *lookup = made;
    return 0;
}

void net_lookup_cancel(struct net_lookup *lookup)
{
    lookup->found = NULL;
    (void)uv_cancel((uv_req_t *)&lookup->request); /* it may run already: then it ends unheard */
}
