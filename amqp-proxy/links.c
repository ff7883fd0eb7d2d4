/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp-proxy/links.h"

#include "mux/uv/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Who may connect to a Unix socket of ours: its owner and group. */
#define UNIX_MODE 0660

struct host_link {
    struct mux_uv_link link;
    TAILQ_ENTRY(host_link) entry;
    struct amqp_proxy *proxy;
    char object[128]; /* for log lines */
};

struct link_listener {
    TAILQ_ENTRY(link_listener) entry;
    struct net_acceptor acceptor;
    struct amqp_proxy *proxy;
    int fd;
    char object[NET_NAME_MAX + 16];
};

static struct host_link *link_of(struct mux_link *link)
{
    return (struct host_link *)((char *)mux_uv_link_of(link) - offsetof(struct host_link, link));
}

/* ── One link ── */

static void on_hello(struct mux_link *link, uint64_t now)
{
    struct host_link *host = link_of(link);

    (void)now;
    snprintf(host->object, sizeof(host->object), "host=%s", link->peer.name);
    log_info(host->object, "link up");
}

static void on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    struct host_link *host = link_of(link);

    (void)now;
    far_open(&host->proxy->sessions, link, number, open, host->object, NULL);
}

static void on_down(struct mux_uv_link *link, enum mux_code code, const char *reason)
{
    log_warning(link_of(&link->link)->object, "link down",
                LOG_STR("code", code != MUX_OK ? mux_code_name(code) : NULL), LOG_STR("reason", reason));
}

static void on_closed(struct mux_uv_link *link)
{
    struct host_link *host = link_of(&link->link);

    TAILQ_REMOVE(&host->proxy->links, host, entry);
    free(host);
}

static const struct mux_uv_link_ops link_ops = {
    .link = {.on_hello = on_hello, .on_open = on_open},
    .on_down = on_down,
    .on_closed = on_closed,
};

static void on_connection(void *ctx, int fd)
{
    struct link_listener *listener = ctx;
    struct amqp_proxy *proxy = listener->proxy;
    struct host_link *host = calloc(1, sizeof(*host));
    char name[NET_NAME_MAX];

    if (host == NULL) {
        log_error(listener->object, "out of memory");
        close(fd);
        return;
    }
    host->proxy = proxy;
    snprintf(host->object, sizeof(host->object), "peer=%.100s", net_peer_name(fd, name, sizeof(name)));
    mux_uv_link_tune(fd);
    if (mux_uv_link_open(&host->link, &proxy->mux_loop, fd, &proxy->link_config, &link_ops) < 0) {
        free(host);
        return;
    }
    TAILQ_INSERT_TAIL(&proxy->links, host, entry);
}

void links_close(struct amqp_proxy *proxy)
{
    struct host_link *host;

    TAILQ_FOREACH (host, &proxy->links, entry)
        mux_uv_link_close(&host->link, MUX_SHUTTING_DOWN, "amqp-proxy is shutting down");
}

/* ── Listening ── */

static int listen_on(struct amqp_proxy *proxy, const char *text)
{
    struct link_listener *listener = calloc(1, sizeof(*listener));
    struct net_address address;
    char name[NET_NAME_MAX];
    char why[128];
    int rc = -ENOMEM;

    if (listener == NULL)
        goto failed;
    *listener = (struct link_listener){.proxy = proxy, .fd = -1};
    rc = net_address_parse(&address, text, why, sizeof(why));
    if (rc == 0)
        rc = net_listen(&address, UNIX_MODE, &listener->fd);
    if (rc < 0)
        goto failed;
    snprintf(listener->object, sizeof(listener->object), "listener=%s",
             net_local_name(listener->fd, name, sizeof(name)));
    rc = net_acceptor_open(
        &listener->acceptor, &proxy->loop,
        &(struct net_acceptor_options){
            .fd = listener->fd, .object = listener->object, .connection = on_connection, .ctx = listener});
    if (rc < 0)
        goto failed;
    TAILQ_INSERT_TAIL(&proxy->listeners, listener, entry);
    log_info(listener->object, "listening");
    return 0;
failed:
    log_error(NULL, "cannot listen", LOG_STR("address", text), LOG_ERROR("error", rc));
    if (listener != NULL && listener->fd >= 0) {
        net_unlink(listener->fd);
        close(listener->fd);
    }
    free(listener);
    return -1;
}

int links_listen(struct amqp_proxy *proxy)
{
    for (size_t i = 0; i < proxy->config.listen.count; i++)
        if (listen_on(proxy, proxy->config.listen.items[i]) < 0)
            return -1;
    return 0;
}

static void on_acceptor_closed(struct net_acceptor *acceptor)
{
    struct link_listener *listener =
        (struct link_listener *)((char *)acceptor - offsetof(struct link_listener, acceptor));

    net_unlink(listener->fd);
    close(listener->fd);
    free(listener);
}

void links_stop(struct amqp_proxy *proxy)
{
    struct host_link *host;

    while (!TAILQ_EMPTY(&proxy->listeners)) {
        struct link_listener *listener = TAILQ_FIRST(&proxy->listeners);

        TAILQ_REMOVE(&proxy->listeners, listener, entry);
        net_acceptor_close(&listener->acceptor, on_acceptor_closed);
    }
    TAILQ_FOREACH (host, &proxy->links, entry)
        mux_link_goaway(&host->link.link, "amqp-proxy is shutting down");
}
