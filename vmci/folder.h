/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets' names in a folder: made once, cleaned up when dead, never taken from the living.
 *
 * A socket's file stays when its process dies, and bind() then fails with EADDRINUSE. Whether anybody still
 * has the socket is asked without disturbing it: to connect a socket of another type fails with EPROTOTYPE
 * when the name is alive (bound, connected or listening alike) and with ECONNREFUSED when it is dead.
 *
 *   bind ──ok──► ours
 *     └─EADDRINUSE─► lock the folder ─► alive? ──yes──► EADDRINUSE
 *                                         └─no─► unlink, bind again, unlock
 *
 * Names are only removed by their owner, while it still has the socket, or under the lock after being found
 * dead. So between the question and the unlink nothing can come alive under that name: a name that exists
 * can't be bound.
 *
 * The folder may belong to somebody else, who may play tricks there when we are root. All changes are
 * therefore made with the owner's file-system identity: nothing can happen that the owner could not do
 * without us.
 */
#ifndef VMCI_FOLDER_H
#define VMCI_FOLDER_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#include "vmci/error.h"

struct vmci_folder {
    int fd;          /* of the folder; O_PATH will do */
    uid_t uid;       /* who its sockets shall belong to */
    gid_t gid;       /* and which group */
    char path[108];  /* what stands before `/NAME` in a socket's address */
    int socket_type; /* of the sockets: SOCK_STREAM or SOCK_DGRAM */
    int lock_ms; /* how long to wait for another one who cleans up here; 0 where the owner may mean harm */
};

/* One name that we hold; tells our file from another one's under the same name. */
struct vmci_name {
    dev_t dev;
    ino_t ino;
};

/* path/name as an address. 0, or -ENAMETOOLONG when it does not fit. */
int vmci_folder_address(const struct vmci_folder *folder, const char *name, struct sockaddr_un *address);

/* Binds fd to the name, with that mode (the umask plays no part). 0 and *held filled; -EADDRINUSE: somebody
 * alive has it; -EPERM: we may not act for the folder's uid (nothing was tried); other
 * -errno of bind(). */
int vmci_folder_bind(const struct vmci_folder *folder, int fd, const char *name, mode_t mode,
                     struct vmci_name *held);

/* Is the file under this name still the one that we made? */
bool vmci_folder_holds(const struct vmci_folder *folder, const char *name, const struct vmci_name *held);

/* Removes the name if it is still ours. To be called before the socket is closed. */
void vmci_folder_unbind(const struct vmci_folder *folder, const char *name, const struct vmci_name *held);

/* Removes the name if nobody has its socket any more: for whoever has closed a socket of which there may be
 * copies. 0; -EADDRINUSE: somebody has it, or the folder is locked; other -errno. */
int vmci_folder_sweep(const struct vmci_folder *folder, const char *name);

/* Removes dead sockets' names that end in suffix, looking at no more than `looks` of them, from a random one
 * on. Whoever does so before making a name keeps the folder from filling up with what killed processes leave.
 */
void vmci_folder_tidy(const struct vmci_folder *folder, const char *suffix, unsigned looks);

/*
 * Notes: a line of text under a name, in a symbolic link that leads nowhere. Made and replaced in one step.
 */

/* Leaves a note. 0 or -errno. */
int vmci_folder_note(const struct vmci_folder *folder, const char *name, const char *text);

/* Removes a note, if there is one. */
void vmci_folder_remove(const struct vmci_folder *folder, const char *name);

#endif
