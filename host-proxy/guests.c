/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/guests.h"

#include "host-proxy/guest.h"
#include "service/net.h"
#include "vmci/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct guest_listener {
    TAILQ_ENTRY(guest_listener) entry;
    struct host *host;
    struct vmci_listener *listener;
    struct net_acceptor acceptor;
    struct vmci_peer peer; /* of the stream that was accepted last */
    struct log_limit reports;
    char object[320];
};

/* The CID of a hybrid transport's machine: from its [vm NAME], or its name when that is a number. */
static uint32_t cid_of(void *arg, const char *name)
{
    const struct host_config *config = &((struct guest_listener *)arg)->host->config;
    char *end;
    unsigned long number;

    for (size_t i = 0; i < config->vms_count; i++)
        if (strcmp(config->vms[i].name, name) == 0)
            return config->vms[i].cid;
    errno = 0;
    number = strtoul(name, &end, 10);
    if (errno != 0 || end == name || *end != '\0' || number <= VMCI_CID_HOST || number >= VMCI_CID_ANY)
        return VMCI_CID_ANY;
    return (uint32_t)number;
}

static void report(void *arg, enum vmci_report what, const char *text)
{
    struct guest_listener *listener = arg;
    static const char *const events[] = {
        [VMCI_REPORT_REFUSED] = "guest refused",
        [VMCI_REPORT_VM_APPEARED] = "vm appeared",
        [VMCI_REPORT_VM_VANISHED] = "vm vanished",
        [VMCI_REPORT_TROUBLE] = "trouble",
    };
    bool bad = what == VMCI_REPORT_REFUSED || what == VMCI_REPORT_TROUBLE;
    uint64_t suppressed;

    if (log_limit_pass(&listener->reports, uv_now(&listener->host->loop), &suppressed))
        LOG_AT(bad ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, listener->object, events[what],
               LOG_STR("detail", text), LOG_SUPPRESSED(suppressed));
}

static int accept_guest(void *ctx)
{
    struct guest_listener *listener = ctx;

    return vmci_accept(listener->listener, &listener->peer);
}

static void on_connection(void *ctx, int fd)
{
    struct guest_listener *listener = ctx;

    guest_open(listener->host, fd, &listener->peer);
}

static int listen_on(struct host *host, const char *text)
{
    struct guest_listener *listener = calloc(1, sizeof(*listener));
    struct vmci_endpoint endpoint;
    struct vmci_settings settings = {.fabric = host->config.fabric,
                                     .local_cid = VMCI_CID_HOST,
                                     .cid_of = cid_of,
                                     .report = report,
                                     .arg = listener};
    char why[256] = "out of memory";
    int rc = -ENOMEM;

    if (listener == NULL)
        goto failed;
    listener->host = host;
    listener->reports = (struct log_limit){.burst = 20, .interval_ms = 10000};
    snprintf(listener->object, sizeof(listener->object), "listener=%s", text);
    rc = vmci_endpoint_parse(&endpoint, text, why, sizeof(why));
    if (rc == 0)
        rc = vmci_listen(&endpoint, &settings, &listener->listener, why, sizeof(why));
    if (rc < 0)
        goto failed;
    rc = net_acceptor_open(&listener->acceptor, &host->loop,
                           &(struct net_acceptor_options){.fd = vmci_listener_fd(listener->listener),
                                                          .object = listener->object,
                                                          .accept = accept_guest,
                                                          .connection = on_connection,
                                                          .ctx = listener});
    if (rc < 0) {
        snprintf(why, sizeof(why), "%s", uv_strerror(rc));
        goto failed;
    }
    TAILQ_INSERT_TAIL(&host->listeners, listener, entry);
    log_info(listener->object, "listening");
    return 0;
failed:
    log_error(NULL, "cannot listen", LOG_STR("endpoint", text), LOG_STR("reason", why));
    if (listener != NULL)
        vmci_listener_close(listener->listener);
    free(listener);
    return -1;
}

int guests_listen(struct host *host)
{
    for (size_t i = 0; i < host->config.guests.count; i++)
        if (listen_on(host, host->config.guests.items[i]) < 0)
            return -1;
    return 0;
}

static void on_closed(struct net_acceptor *acceptor)
{
    struct guest_listener *listener =
        (struct guest_listener *)((char *)acceptor - offsetof(struct guest_listener, acceptor));

    vmci_listener_close(listener->listener);
    free(listener);
}

void guests_stop(struct host *host)
{
    while (!TAILQ_EMPTY(&host->listeners)) {
        struct guest_listener *listener = TAILQ_FIRST(&host->listeners);

        TAILQ_REMOVE(&host->listeners, listener, entry);
        net_acceptor_close(&listener->acceptor, on_closed);
    }
}
