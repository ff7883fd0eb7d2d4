/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffer sizes of a stream (Programming Guide, "Set and Get Socket Options"): a size within a range, agreed
 * upon when a connection is made, as VMware's VMCI does:
 *
 *     client proposes its size ──► within the server's range? that size : the server's own size
 *                                  within the client's range? agreed     : EINVAL, no connection
 *
 * On the fabric the client works that out before it connects: a listener's limits are in a note beside its
 * name,
 *
 *     FABRIC/2/5672.buffer -> 32768:128:262144        a symbolic link's text; none for the defaults
 *
 * which is read by whoever may connect, and changed by the folder's owner only. The server learns the
 * proposal from the client's name in turn, or its note if the client has bound a port itself.
 */
#ifndef VMCI_LIMITS_H
#define VMCI_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct vmci_fabric;
struct vmci_folder;

struct vmci_limits {
    uint64_t size; /* min <= size <= max, unless min > max: then size = min */
    uint64_t min;
    uint64_t max;
};

/* The guide's. */
#define VMCI_LIMITS_DEFAULT ((struct vmci_limits){.size = 65536, .min = 128, .max = 262144})

/* A client can propose no more; what is above is cut for the proposal. */
#define VMCI_PROPOSAL_MAX ((1U << 30) - 1)

/* Change one, and then size to fit: the maximum first, then the minimum, as the kernel does. */
void vmci_limits_set_size(struct vmci_limits *limits, uint64_t size);
void vmci_limits_set_min(struct vmci_limits *limits, uint64_t min);
void vmci_limits_set_max(struct vmci_limits *limits, uint64_t max);

/* What a client with these limits asks for. */
uint32_t vmci_limits_proposal(const struct vmci_limits *client);

/* What a server with these limits answers. */
uint64_t vmci_limits_answer(const struct vmci_limits *server, uint32_t proposal);

/* Does the client take it? */
bool vmci_limits_takes(const struct vmci_limits *client, uint64_t answer);

/* Leaves the note of a port of ours, or removes it if these are the defaults. 0 or -errno. */
int vmci_limits_publish(const struct vmci_folder *folder, uint32_t port, const struct vmci_limits *limits);

/* Removes the note, if there is one: for whoever takes the port next. */
void vmci_limits_retract(const struct vmci_folder *folder, uint32_t port);

/* The note of anybody's port; the defaults if there is none that makes sense. */
void vmci_limits_look_up(const struct vmci_fabric *fabric, uint32_t cid, uint32_t port,
                         struct vmci_limits *limits);

#endif
