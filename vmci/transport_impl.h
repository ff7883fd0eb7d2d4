/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a transport is: a struct of functions. kernel.c, embedded.c and hybrid.c are peers; a test may bring
 * its own.
 */
#ifndef VMCI_TRANSPORT_IMPL_H
#define VMCI_TRANSPORT_IMPL_H

#include <stdbool.h>

#include "vmci/error.h"
#include "vmci/transport.h"

/* The first member of every transport's own listener, which malloc() gave. */
struct vmci_listener {
    const struct vmci_transport *transport;
    int fd;           /* what the caller polls; owned */
    uint64_t refused; /* peers closed at once */
    uint32_t buffer_bytes;
    void (*report)(void *arg, enum vmci_report what, const char *text);
    void *arg;
};

/* The first member of every transport's own connector, which malloc() gave. */
struct vmci_connector {
    const struct vmci_transport *transport;
    int fd;       /* the stream to be; owned until taken, then -1 */
    short events; /* what step waits for */
    enum { VMCI_CONNECTING, VMCI_CONNECTED, VMCI_FAILED } state;
};

/*
 * Duties of an implementer:
 *
 *   all          -errno as listed in transport.h, with a text in *err whenever one is passed. Never block.
 * Sockets are non-blocking and close-on-exec from birth. No state outside the objects. parse        Reads
 * what follows `scheme:` into cid, port and path (the rest is set, to ANY and ""). Opens nothing. can_listen,
 * Say -EINVAL for endpoints that parse but make no sense in that role. Open nothing. Called before
 *   can_connect  listen and connect, which need not ask again.
 *   listen       Fills *listener with an object whose base has fd set; transport, refused, report and arg are
 * set by vmci_listener_init(), to be called before anything can report. On failure nothing is left behind: no
 *                descriptor, no file.
 *   accept       Returns one stream and fills all of *peer, or -EAGAIN when there is none. Identity is
 * checked here: what the peer says of its CID is worth nothing, what the kernel or the hypervisor says is. A
 * peer that may not connect is closed and passed to vmci_listener_refuse(), then the next one is tried, at
 *                most VMCI_ACCEPT_TURN of them: then -EAGAIN, with the descriptor still readable. -EINTR,
 *                -ECONNABORTED and other troubles of a single peer never come out.
 *   close        Releases all that listen and accept made, files too; vmci_listener_close() then closes
 * base.fd and frees. May be NULL when that is all. connect      Fills *connector with an object whose base
 * has fd set (vmci_connector_init()), that stays the same descriptor. What fails at once may fail here. On
 * failure nothing is left behind. step         Called while state is VMCI_CONNECTING only. 0, -EAGAIN (events
 * then say what to poll for) or what went wrong; must bear being called without anything to do. After 0 not a
 * byte of the stream has been read.
 */
struct vmci_transport {
    const char *scheme; /* the text before an endpoint's first colon */
    int (*parse)(struct vmci_endpoint *endpoint, const char *text, const struct vmci_err *err);
    int (*can_listen)(const struct vmci_endpoint *endpoint, const struct vmci_err *err);
    int (*can_connect)(const struct vmci_endpoint *endpoint, const struct vmci_err *err);
    int (*listen)(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                  struct vmci_listener **listener, const struct vmci_err *err);
    int (*accept)(struct vmci_listener *listener, struct vmci_peer *peer);
    void (*close)(struct vmci_listener *listener);
    int (*connect)(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                   struct vmci_connector **connector, const struct vmci_err *err);
    int (*step)(struct vmci_connector *connector, const struct vmci_err *err);
};

extern const struct vmci_transport vmci_kernel;
extern const struct vmci_transport vmci_embedded;
extern const struct vmci_transport vmci_hybrid;

/* So many peers may be refused, or events of folders be handled, within one vmci_accept(). */
#define VMCI_ACCEPT_TURN 32

void vmci_listener_init(struct vmci_listener *listener, const struct vmci_transport *transport,
                        const struct vmci_settings *settings);
void vmci_listener_report(const struct vmci_listener *listener, enum vmci_report what, const char *format,
                          ...) __attribute__((format(printf, 3, 4)));
/* Closes fd, counts it, reports the text. */
void vmci_listener_refuse(struct vmci_listener *listener, int fd, const char *text);
void vmci_connector_init(struct vmci_connector *connector, const struct vmci_transport *transport, int fd);

/* 0 in the settings is as many as the system allows: the kernel cuts to its own limit. */
int vmci_backlog(const struct vmci_settings *settings);

/* SO_SNDBUF and SO_RCVBUF of a Unix socket, for as much as the system allows; 0 leaves the default. */
void vmci_unix_set_buffers(int fd, uint32_t bytes);

/* SO_ERROR as 0 or -errno. */
int vmci_socket_error(int fd);

/* Does this errno of accept4() concern one peer only, so that the next one should be tried? */
bool vmci_accept_is_transient(int error);

#endif
