/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams between virtual machines and their host, whatever carries them.
 *
 * Three transports stand behind one set of functions, chosen by the endpoint's text:
 *
 *   vsock:CID:PORT     the kernel's AF_VSOCK. To listen: vsock:any:PORT, or the CID to be reached by.
 *   embedded:CID:PORT  a fabric of Unix sockets in a folder, no hypervisor needed. To listen: embedded:PORT.
 *   hybrid:GLOB:PORT   the Unix sockets of Firecracker, Cloud Hypervisor and vhost-device-vsock, GLOB naming
 *                      their uds_path: `/run/vms/X/v.sock`, where X may be `*`. To listen: a socket GLOB_PORT
 *                      for each VM that matches, also for those that come later. To connect: one path
 *                      without wildcards, and the PORT in the VM.
 *
 * What comes out are ordinary descriptors of connected, non-blocking, close-on-exec stream sockets, which the
 * caller owns: read, write, poll and close them as any other.
 *
 * Nothing here blocks (vmci_listen() on the fabric may wait 0.1 s for another process that cleans up there),
 * starts a thread or touches a signal. Objects may be used by one thread at a time; different objects are
 * independent.
 *
 * Errors are 0 or -errno, with the numbers that the kernel's vsock gives on every transport:
 *
 *   -ECONNRESET     nobody listens there, or the listener's backlog is full
 *   -ETIMEDOUT      no answer (the kernel gives up after 2 s; hybrid has no deadline of its own: use yours)
 *   -ENODEV         no such VM, or no transport to it on this machine
 *   -ENETUNREACH    a CID that may not be reached from here: guest to guest
 *   -EADDRNOTAVAIL  the local CID is unknown, not ours, or out of ports
 *   -EADDRINUSE     somebody listens there already
 *   -EACCES         a port below 1024 without CAP_NET_BIND_SERVICE; permissions of a socket or folder
 *   -EINVAL         an endpoint that can't be used this way
 *   -ENAMETOOLONG   a folder whose sockets would not fit the 107 bytes of a Unix socket's path
 *
 * Functions with `err, err_size` also write there what was wrong and what was expected, as text without a
 * newline, cut to the buffer; err may be NULL when err_size is 0. On success it holds nothing of use.
 */
#ifndef VMCI_TRANSPORT_H
#define VMCI_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

struct vmci_transport; /* vmci/transport_impl.h */
struct vmci_listener;
struct vmci_connector;

#define VMCI_CID_ANY  UINT32_MAX /* to listen: every CID that is ours; of a peer: not known */
#define VMCI_CID_HOST 2U
#define VMCI_PORT_ANY UINT32_MAX /* of a peer: not known (hybrid does not tell) */

/* The longest GLOB, with its NUL. The paths that it matches must fit sun_path; that is checked one by one. */
#define VMCI_ENDPOINT_PATH_SIZE 256

struct vmci_endpoint {
    const struct vmci_transport *transport;
    uint32_t cid;                       /* VMCI_CID_ANY where the text has none */
    uint32_t port;                      /* 1 to 4294967294 */
    char path[VMCI_ENDPOINT_PATH_SIZE]; /* hybrid: GLOB; otherwise "" */
};

/* Who is at the other end of an accepted stream. */
struct vmci_peer {
    uint32_t cid;   /* the hypervisor's word, or the kernel's; VMCI_CID_ANY: a hybrid VM that has none */
    uint32_t port;  /* the peer's own word; VMCI_PORT_ANY where not known */
    char name[256]; /* the VM's name (hybrid), otherwise "" */
};

/* What a listener tells by `report`, apart from what vmci_accept() returns. */
enum vmci_report {
    VMCI_REPORT_REFUSED, /* a peer was closed at once: CID not owned, guest to guest, no descriptors left … */
    VMCI_REPORT_VM_APPEARED, /* hybrid: listening for one more VM */
    VMCI_REPORT_VM_VANISHED, /* hybrid: one VM less; streams already accepted from it are not touched */
    VMCI_REPORT_TROUBLE, /* hybrid: a VM can't be served or a folder not be watched; tried again every second,
                            told again only when the reason changes */
};

/* All zero is a good start. Copied by vmci_listen() and vmci_connect(); only `arg` must live as long as the
 * object. */
struct vmci_settings {
    const char *fabric;    /* embedded: its folder. NULL: $VMCI_FABRIC, then amqp-vsock/fabric in
                              $XDG_RUNTIME_DIR,    or in /run when root */
    uint32_t local_cid;    /* embedded: who we are. 0: $VMCI_CID; the host is VMCI_CID_HOST */
    uint32_t buffer_bytes; /* of each stream and direction; 0: the transport's default */
    int backlog;           /* streams that wait to be accepted; 0: as many as the system allows */

    /* hybrid: the CID of the VM called NAME, VMCI_CID_ANY when it has none (the VM is served all the same).
     * NULL: the name when it is a number that can be a CID, else VMCI_CID_ANY. NAME is what the wildcards
     * matched: `vm7` from
     * `/run/vms/vm7/v.sock` by `/run/vms/X/v.sock` with X = `*`; joined by `/` when several components have
     * wildcards; the folder's name when none has. */
    uint32_t (*cid_of)(void *arg, const char *name);

    /* Called with one line of text, from within vmci_listen() and vmci_accept(); must not call into the
     * listener. NULL: nobody listens. */
    void (*report)(void *arg, enum vmci_report what, const char *text);
    void *arg; /* for cid_of and report */
};

/* Reads one endpoint. 0, or -EINVAL with the reason; *endpoint is then undefined. */
int vmci_endpoint_parse(struct vmci_endpoint *endpoint, const char *text, char *err, size_t err_size);

/* Can this endpoint be listened on, connected to? 0, or -EINVAL with the reason. Opens nothing: good for
 * --check. vmci_listen() and vmci_connect() ask for themselves. */
int vmci_endpoint_can_listen(const struct vmci_endpoint *endpoint, char *err, size_t err_size);
int vmci_endpoint_can_connect(const struct vmci_endpoint *endpoint, char *err, size_t err_size);

/*
 * Listening.
 */

/* Binds and listens. On success *listener is the caller's, until vmci_listener_close(); on failure it is
 * NULL. A hybrid endpoint that matches no VM yet is no failure. */
int vmci_listen(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                struct vmci_listener **listener, char *err, size_t err_size);

/* One descriptor to poll for reading (level-triggered), for as long as the listener lives. Never read from
 * it. */
int vmci_listener_fd(const struct vmci_listener *listener);

/* When readable, call until -EAGAIN. Returns a descriptor, which is the caller's, and fills *peer; or
 *   -EAGAIN                       nothing more for now (or enough for one turn: then it is still readable)
 *   -EMFILE -ENFILE -ENOMEM -ENOBUFS   no resources: the stream waits; stop polling until some are free. A
 * hybrid listener has shed the streams that waited instead, as a full backlog would stall whole VMs: keep
 * polling it, at a slower pace if you like. A peer that may not connect is closed, counted and reported
 * within, and never an error here. */
int vmci_accept(struct vmci_listener *listener, struct vmci_peer *peer);

/* How many peers were closed at once since vmci_listen(). */
uint64_t vmci_listener_refused(const struct vmci_listener *listener);

/* Stops listening, removes the sockets' files, frees. Accepted streams live on. NULL is allowed. */
void vmci_listener_close(struct vmci_listener *listener);

/*
 * Connecting: a small state machine over one descriptor.
 *
 *   vmci_connect ──► step ──0──► take ──► close
 *                    ▲  └─-EAGAIN─► poll fd for events ─┐
 *                    └──────────────────────────────────┘
 */

/* Starts to connect. On success *connector is the caller's, until vmci_connector_close(); call
 * vmci_connector_step() next, without polling. On failure (what is known at once: nobody listens, CID not
 * ours …) *connector is NULL. */
int vmci_connect(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                 struct vmci_connector **connector, char *err, size_t err_size);

/* The descriptor to poll: the same one from vmci_connect() to vmci_connector_take(). */
int vmci_connector_fd(const struct vmci_connector *connector);

/* What to poll it for after -EAGAIN: POLLIN or POLLOUT. */
short vmci_connector_events(const struct vmci_connector *connector);

/* 0: connected, and so it stays; -EAGAIN: poll and call again; other -errno: failed for good. */
int vmci_connector_step(struct vmci_connector *connector, char *err, size_t err_size);

/* After step gave 0: hands over the descriptor, once. Otherwise -ENOTCONN. The connector still has to be
 * closed. */
int vmci_connector_take(struct vmci_connector *connector);

/* At any time: gives up, closes the descriptor unless it was taken, frees. NULL is allowed. */
void vmci_connector_close(struct vmci_connector *connector);

#endif
