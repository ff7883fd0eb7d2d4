/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_NET_H
#define SERVICE_NET_H

/*
 * TCP and Unix stream sockets, non-blocking and close-on-exec throughout. Functions that fail give a negative
 * libuv error code: -errno, or UV_EAI_... when a name does not resolve; uv_strerror has the text of both.
 */

#include "service/log.h"

#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <uv.h>

/* --- Addresses --- */

#define NET_HOST_MAX 256 /* bytes of a host name, NUL included */
#define NET_NAME_MAX 320 /* bytes of any address as text, NUL included */

enum net_kind { NET_TCP, NET_UNIX };

struct net_address {
    enum net_kind kind;
    uint16_t port;                                          /* NET_TCP */
    char host[NET_HOST_MAX];                                /* NET_TCP: name or number, without brackets */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* NET_UNIX; ends with NUL */
};

/*
 * Reads "127.0.0.1:5672", "[::1]:5672", "name:5672" or "unix:PATH"; nothing is looked up. Port 0 is
 * well-formed. 0, or -EINVAL with what is wrong in `why` (cut to its size). No other code of ours reads
 * addresses, so a text behind a scheme (tunnel://HOST:PORT) is passed here without the scheme.
 */
int net_address_parse(struct net_address *address, const char *text, char *why, size_t why_size);

/* The same as a config_check, for rows of settings tables. */
int net_address_check(const char *text, char *why, size_t why_size);

/* Writes the address as net_address_parse reads it. Returns `name`, cut to its size. */
const char *net_address_name(const struct net_address *address, char *name, size_t size);

/* --- Listening --- */

/*
 * Binds and listens. TCP: SO_REUSEADDR; an IPv6 address takes IPv6 only; port 0 is chosen by the system; a
 * name is looked up at once (this may block) and its first address that can be bound is taken. Unix: a socket
 * file at the path that nobody listens on is replaced; a live one, and any file that is not a socket, never.
 * `mode` is the Unix socket file's permission (0660, say); it takes effect before the first client can
 * connect; TCP ignores it. 0 and the descriptor, which is the caller's; or an error code, -EADDRINUSE for a
 * live Unix socket too, -ENOTSOCK when the path is some other file, -EBUSY when another process holds the
 * folder's lock for a second.
 */
int net_listen(const struct net_address *address, mode_t mode, int *fd);

/* Removes the socket file of a Unix listener; nothing for others. Call before closing the descriptor. */
void net_unlink(int fd);

/*
 * Where the socket is bound, or who is at the other end: "127.0.0.1:5672", "[::1]:5672", "unix:PATH", "unix"
 * when it has no name, "?" when it is none of these or not connected. Returns `name`, cut to its size.
 */
const char *net_local_name(int fd, char *name, size_t size);
const char *net_peer_name(int fd, char *name, size_t size);

/* --- Accepting --- */

/*
 * Accepts from any listening descriptor: those of net_listen, of vmci transports, or inherited ones. When
 * descriptors or memory run out (EMFILE, ENFILE, ENOBUFS, ENOMEM) it pauses, tries again every 100 ms and
 * says so once in ten seconds; clients wait in the backlog meanwhile.
 */
struct net_acceptor;

/* Accepts one connection: a non-blocking descriptor, or -errno; -EAGAIN when none waits. */
typedef int (*net_accept_fn)(void *ctx);

/* A connection came; the descriptor is the callee's. May pause or close the acceptor. */
typedef void (*net_connection_fn)(void *ctx, int fd);

struct net_acceptor_options {
    int fd;               /* listening and non-blocking; stays the caller's */
    const char *object;   /* for log lines: "listener=127.0.0.1:5672"; outlives the acceptor; or NULL */
    net_accept_fn accept; /* NULL: accept4 on fd, with TCP_NODELAY set on TCP */
    net_connection_fn connection; /* required */
    void *ctx;                    /* for both */
};

enum net_acceptor_state { NET_ACCEPTING, NET_ACCEPT_STARVED, NET_ACCEPT_PAUSED, NET_ACCEPT_CLOSING };

struct net_acceptor {
    struct net_acceptor_options options;
    enum net_acceptor_state state;
    uv_poll_t poll;
    uv_timer_t retry; /* runs while starved */
    struct log_limit limit;
    unsigned handles_open;
    void (*closed)(struct net_acceptor *acceptor);
};

/* Begins to accept, from the loop. 0 or an error code, and then there is nothing to close. */
int net_acceptor_open(struct net_acceptor *acceptor, uv_loop_t *loop,
                      const struct net_acceptor_options *options);

/* Stops accepting; connections go on queueing in the backlog. Resume undoes it. Both idempotent. */
void net_acceptor_pause(struct net_acceptor *acceptor);
void net_acceptor_resume(struct net_acceptor *acceptor);

/*
 * Ends accepting. No connection is reported any more; the acceptor may be freed and its descriptor closed in
 * `closed` (which may be NULL; options.ctx is at hand there). Idempotent: only the first call's callback
 * runs.
 */
void net_acceptor_close(struct net_acceptor *acceptor, void (*closed)(struct net_acceptor *acceptor));

/* --- Connecting --- */

struct net_dialer; /* the attempt to reach an address; frees itself when it has ended or was cancelled */

#define NET_DIALER_ADDRESSES 8 /* of a name, at most */

/* Before the next one is tried beside it: the delay that RFC 8305 recommends. */
#define NET_HEAD_START_MS 250

/*
 * The attempt has ended. `fd`: a connected, non-blocking descriptor, which is the callee's (TCP_NODELAY is
 * set on TCP), or a negative error code, -ETIMEDOUT when the time was up. `text` says where to and why not,
 * for each address of a name, for log lines and peers; valid during the call. The dialer is gone: it can't be
 * cancelled any more.
 */
typedef void (*net_dialed_fn)(void *ctx, int fd, const char *text);

/*
 * Connects to the address, which is copied. The addresses that a name has are tried in a race: the next one
 * begins as soon as one has failed, and beside those that are silent after NET_HEAD_START_MS (or less: each
 * is to have its share of the time); the first that is connected wins. The callback comes once, from the
 * loop, never from inside this call. 0 and the dialer, or -ENOMEM.
 */
int net_dial(struct net_dialer **dialer, uv_loop_t *loop, const struct net_address *address,
             uint64_t timeout_ms, net_dialed_fn dialed, void *ctx);

/*
 * Asks for one more call, for whoever has other addresses to try beside this one: `late` comes from the loop,
 * at most once and before the net_dialed_fn, when all addresses were begun with and the last has had its head
 * start too, or when the name takes longer than that to look up. The attempt goes on; `late` may cancel it.
 */
void net_dial_when_late(struct net_dialer *dialer, void (*late)(void *ctx));

/*
 * Gives up, at any time before the callback: it does not come any more and `ctx` is not touched again, so the
 * caller may free its own memory at once. What is left to close closes by itself on the loop.
 */
void net_dial_cancel(struct net_dialer *dialer);

/* --- Waiting between attempts --- */

/*
 * Exponential backoff with full jitter: the n-th delay since the reset, n = 1, 2, ..., is uniform in
 * [min, min(max, min * 2^n)], so that many that failed together do not return together.
 */
struct backoff {
    uint64_t min_ms, max_ms; /* 0 < min <= max */
    uint64_t ceiling_ms;     /* upper bound of the next delay; min <= ceiling <= max */
    uint64_t random;         /* state of the generator */
};

/* `seed` 0 takes one from the system; any other gives the same delays each time. */
void backoff_init(struct backoff *backoff, uint64_t min_ms, uint64_t max_ms, uint64_t seed);
uint64_t backoff_next_ms(struct backoff *backoff);
void backoff_reset(struct backoff *backoff);

#endif
