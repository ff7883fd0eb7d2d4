/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a test dials: ports of 127.0.0.1 that listen, refuse or are silent, and lookups that are slow. */
#ifndef TESTS_DIAL_RIG_H
#define TESTS_DIAL_RIG_H

#include "service/net.h"

#include <netinet/in.h>

#define RIG_SILENT_FILLERS 4

/* A port to which no connection comes about and which says so to nobody: its backlog is full. */
struct rig_silent {
    int fd;
    int fillers[RIG_SILENT_FILLERS];
};

/* Sockets; the caller closes them. */
int rig_listening(void);
int rig_refusing(void);

void rig_silent_open(struct rig_silent *silent);
void rig_silent_close(struct rig_silent *silent);

/* From now on it accepts: those who try get through when their kernel tries again, in a second. */
void rig_silent_wake(struct rig_silent *silent);

/* Where a socket is bound. */
struct sockaddr_in rig_name(int fd);
uint16_t rig_port(int fd);
struct net_address rig_address(const char *host, int fd);
struct net_address rig_parse(const char *text);

/* How many descriptors are open. */
unsigned rig_descriptors(void);

/* All threads that look names up are busy, from rig_lookups_stop to rig_lookups_go; `loop` runs after that.
 */
void rig_lookups_stop(uv_loop_t *loop);
void rig_lookups_go(void);

#endif
