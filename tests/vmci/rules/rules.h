/* SPDX-License-Identifier: Apache-2.0 */
/* What the rules of VMCI sockets share: the table they stand in, and sockets of the transport they run on. */
#ifndef RULES_H
#define RULES_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "vmci_sockets.h"

struct rule {
    const char *name;
    bool (*holds)(void); /* leaves no descriptor open */
};

/* clang-format off */
#define RULE(name) {#name, name}
#define RULES_END  {NULL, NULL}
/* clang-format on */

/* Each ends with RULES_END. */
extern const struct rule name_rules[];
extern const struct rule option_rules[];
extern const struct rule connect_rules[];
extern const struct rule stream_rules[];
extern const struct rule absent_datagram_rules[];
extern const struct rule datagram_rules[];

/* The address family, and whether it leads to the kernel or to the fabric. */
extern int af;
extern bool on_kernel;

/* A new socket; the program ends when there is none. */
int open_socket(int type);
int stream(void);

/* Closes fd, and gives errno of a call that has returned rc; 0 when it went well. */
int ended(int fd, long rc);

/* Are these what a call has returned, and its errno? */
static inline bool failed(long rc, int error)
{
    return rc == -1 && errno == error;
}

struct sockaddr_vm address_of(unsigned cid, unsigned port);
int bind_to(int fd, unsigned cid, unsigned port);
int connect_to(int fd, unsigned cid, unsigned port);
struct sockaddr_vm name_of(int fd);

/* Both ends of a connection to ourselves, by accept(). */
struct ends {
    int listener;
    int client;
    int server; /* -1 when there is none */
    struct sockaddr_vm from;
};

/* All three are open after this; true when they are connected. close_ends() gives holds back. */
bool open_ends(struct ends *ends, int type);
bool close_ends(const struct ends *ends, bool holds);

#endif
