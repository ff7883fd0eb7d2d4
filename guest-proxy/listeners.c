/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-proxy/listeners.h"

#include "guest-proxy/client.h"
#include "service/log.h"
#include "service/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Who may connect to a Unix socket of ours: its owner and group. */
#define UNIX_MODE 0660

struct listener {
    TAILQ_ENTRY(listener) entry;
    struct net_acceptor acceptor;
    struct guest *guest;
    const char *service; /* NULL: AMQP */
    int fd;
    int reserve_fd; /* of the client that was accepted last */
    char object[NET_NAME_MAX + 16];
};

/*
 * A client needs two descriptors, its own and its stream's. Both are taken here or none: otherwise clients
 * could be accepted until none of them gets a stream.
 */
static int accept_client(void *ctx)
{
    struct listener *listener = ctx;
    int on = 1;
    int fd;

    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (listener->reserve_fd < 0)
        return -errno;
    fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        int error = errno;

        close(listener->reserve_fd);
        return -error;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
               sizeof(on)); /* fails on Unix sockets, which don't need it */
    return fd;
}

static void on_connection(void *ctx, int fd)
{
    struct listener *listener = ctx;

    client_open(listener->guest, fd, listener->reserve_fd, listener->service);
}

static int accept_on(struct guest *guest, int fd, const char *service)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    char name[NET_NAME_MAX];
    int rc = -ENOMEM;

    if (listener != NULL) {
        *listener = (struct listener){.guest = guest, .service = service, .fd = fd};
        snprintf(listener->object, sizeof(listener->object), "listener=%s",
                 net_local_name(fd, name, sizeof(name)));
        rc = net_acceptor_open(&listener->acceptor, &guest->loop,
                               &(struct net_acceptor_options){.fd = fd,
                                                              .object = listener->object,
                                                              .accept = accept_client,
                                                              .connection = on_connection,
                                                              .ctx = listener});
    }
    if (rc < 0) {
        free(listener);
        net_unlink(fd);
        close(fd);
        return rc;
    }
    TAILQ_INSERT_TAIL(&guest->listeners, listener, entry);
    log_info(listener->object, "listening", LOG_STR("service", service));
    return 0;
}

static int listen_on(struct guest *guest, const char *text, const char *service)
{
    struct net_address address;
    char why[128];
    int fd;
    int rc;

    if (net_address_parse(&address, text, why, sizeof(why)) < 0)
        return -EINVAL; /* the settings were checked */
    rc = net_listen(&address, UNIX_MODE, &fd);
    return rc < 0 ? rc : accept_on(guest, fd, service);
}

static int listen_on_all(struct guest *guest, const struct config_list *addresses, const char *service)
{
    size_t missing = 0;

    for (size_t i = 0; i < addresses->count; i++) {
        int rc = listen_on(guest, addresses->items[i], service);

        if (rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT) {
            log_warning(NULL, "not listening", LOG_STR("address", addresses->items[i]),
                        LOG_ERROR("error", rc));
            missing++;
        } else if (rc < 0) {
            log_error(NULL, "cannot listen", LOG_STR("address", addresses->items[i]), LOG_ERROR("error", rc));
            return -1;
        }
    }
    return missing < addresses->count ? 0 : -1;
}

int listeners_open(struct guest *guest)
{
    if (listen_on_all(guest, &guest->config.listen, NULL) < 0)
        return -1;
    for (size_t i = 0; i < guest->config.services_count; i++) {
        const struct guest_service_config *service = &guest->config.services[i];

        if (listen_on_all(guest, &service->listen, service->name) < 0)
            return -1;
    }
    return 0;
}

static void on_closed(struct net_acceptor *acceptor)
{
    struct listener *listener = (struct listener *)((char *)acceptor - offsetof(struct listener, acceptor));

    net_unlink(listener->fd);
    close(listener->fd);
    free(listener);
}

void listeners_close(struct guest *guest)
{
    while (!TAILQ_EMPTY(&guest->listeners)) {
        struct listener *listener = TAILQ_FIRST(&guest->listeners);

        TAILQ_REMOVE(&guest->listeners, listener, entry);
        net_acceptor_close(&listener->acceptor, on_closed);
    }
}
