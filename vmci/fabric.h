/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded fabric: virtual machines' sockets as Unix sockets in a folder.
 *
 *   FABRIC/                  0755, the operator's
 *   FABRIC/2/                0711, the host's
 *   FABRIC/2/5672.stream     0666, a listener of the host at port 5672
 *   FABRIC/101/              0711, of the user who is guest 101; 01711 if that guest is isolated
 *   FABRIC/101/3735928559.stream   0600, a stream from that guest while it connects; PORT.dgram for datagrams
 *   FABRIC/101/3735928559.b00800   the same, and proposes buffers of 32768 bytes (limits.h)
 *
 * Who may be a CID is said by who owns its folder, and vouched for by the kernel: a connecting socket is
 * bound in its own CID's folder, so that its name tells CID and port; but a name is only text, which mount
 * namespaces and relative paths can bend. What counts is that the peer's uid (SO_PEERCRED) owns the folder of
 * the CID it names, or is root, in the fabric as the judge sees it. The port is the peer's own word: inside
 * its folder a guest's user is master, as root is inside a virtual machine.
 *
 * Streams and seqpackets share one space of ports, datagrams have another, as in the kernel.
 */
#ifndef VMCI_FABRIC_H
#define VMCI_FABRIC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmci/error.h"
#include "vmci/folder.h"

#define VMCI_FABRIC_LISTENER_MODE                                                                            \
    0666 /* who gets that far is told by the folders; who it is, by the kernel */
#define VMCI_FABRIC_CLIENT_MODE 0600

#define VMCI_FABRIC_CID_SIZE  sizeof("4294967294")
#define VMCI_FABRIC_NAME_SIZE sizeof("4294967294.stream")

/* The longest fabric whose sockets all fit sun_path, with its NUL: 79. Checked at once, not when a long port
 * comes. */
#define VMCI_FABRIC_PATH_SIZE                                                                                \
    (sizeof(((struct sockaddr_un *)NULL)->sun_path) - VMCI_FABRIC_CID_SIZE - VMCI_FABRIC_NAME_SIZE)

struct vmci_fabric {
    int fd; /* of the folder, O_PATH */
    uid_t ambiguous_uid;
    char path[VMCI_FABRIC_PATH_SIZE]; /* absolute, without symbolic links */
};

/* One port of ours. */
struct vmci_fabric_port {
    uint32_t port;
    uint32_t proposal; /* of a buffer's size, told in the name; 0: not told, as it is the default */
    struct vmci_name held;
};

/* Opens the fabric, making its folder if need be (0755); path as in struct vmci_settings. On failure nothing
 * is to be closed. */
int vmci_fabric_open(struct vmci_fabric *fabric, const char *path, const struct vmci_err *err);
void vmci_fabric_close(struct vmci_fabric *fabric);

/* Who we are: `wanted`, or $VMCI_CID when that is 0. 0 or -EADDRNOTAVAIL. */
int vmci_fabric_local_cid(uint32_t wanted, uint32_t *cid, const struct vmci_err *err);

/* May these two talk, as far as their CIDs say? The host with anybody, a guest with itself; never guest to
 * guest. */
bool vmci_fabric_allows(uint32_t one, uint32_t other);

/* May the host's socket talk to this CID? An isolated guest, whose folder has the sticky bit (01711), only
 * talks to trusted sockets: `trusted` is what the socket is by its maker's capability; besides, who runs as
 * the guest's own user is trusted by it. True for all others, and on the guest's side. */
bool vmci_fabric_trusts(const struct vmci_fabric *fabric, uint32_t self, uint32_t cid, bool trusted);

/* Is there a folder of this CID? */
bool vmci_fabric_has(const struct vmci_fabric *fabric, uint32_t cid);

/* The fabric that the bound socket fd is in, by its name: what the socket was bound by, environments may
 * since have changed. As vmci_fabric_open(); -EINVAL when the socket has no such name. */
int vmci_fabric_of(struct vmci_fabric *fabric, int fd, const struct vmci_err *err);

/* Opens our own folder, making it if need be (0711) and possible. 0; -EADDRNOTAVAIL when it is not ours. On
 * success folder->fd is the caller's to close. */
int vmci_fabric_enter(const struct vmci_fabric *fabric, uint32_t cid, int socket_type,
                      struct vmci_folder *folder, const struct vmci_err *err);

/* The folder of another CID, as far as needed for vmci_folder_address(); opens nothing. */
void vmci_fabric_point(const struct vmci_fabric *fabric, uint32_t cid, int socket_type,
                       struct vmci_folder *folder);

/* May the peer of the connected socket fd be this CID? 0, or -EACCES. */
int vmci_fabric_vouch(const struct vmci_fabric *fabric, uint32_t cid, int fd, const struct vmci_err *err);

/* May somebody of that uid be this CID? 0, or -EACCES. */
int vmci_fabric_vouch_uid(const struct vmci_fabric *fabric, uint32_t cid, uid_t uid,
                          const struct vmci_err *err);

/*
 * Ports and their names: fabric_port.c.
 */

/* PORT.stream or PORT.dgram, for the type of the folder's sockets. */
void vmci_fabric_port_name(const struct vmci_folder *folder, uint32_t port, char name[VMCI_FABRIC_NAME_SIZE]);

/* Reads …/CID/PORT.stream from the address of a peer. False for whatever is not exactly that. */
bool vmci_fabric_parse_peer(const struct sockaddr_un *address, socklen_t length, int socket_type,
                            uint32_t *cid, uint32_t *port);

/* The proposal in a peer's name, which vmci_fabric_parse_peer() has found right; 0 when it has none. */
uint32_t vmci_fabric_parse_proposal(const struct sockaddr_un *address, socklen_t length);

/* Binds fd to a port of our folder, and forgets what an earlier holder noted of its buffers. 0; -EACCES:
 * below 1024 without CAP_NET_BIND_SERVICE; -EADDRINUSE. */
int vmci_fabric_bind(const struct vmci_folder *folder, int fd, uint32_t port, mode_t mode,
                     struct vmci_fabric_port *bound, const struct vmci_err *err);

/* Binds fd to a random free port from 1024; bound->proposal is set already. 0; -EADDRNOTAVAIL when none was
 * found.
 */
int vmci_fabric_bind_ephemeral(const struct vmci_folder *folder, int fd, mode_t mode,
                               struct vmci_fabric_port *bound, const struct vmci_err *err);

/* Removes the port's name, if it is still ours. To be called before fd is closed. */
void vmci_fabric_unbind(const struct vmci_folder *folder, const struct vmci_fabric_port *bound);

/*
 * Streams between two CIDs: fabric_peer.c.
 */

/* May the peer of this accepted stream, which has that address, talk to us? 0, and who it is; -EACCES,
 * -ENETUNREACH with the reason. `trusted` as in vmci_fabric_trusts(). */
int vmci_fabric_admit(const struct vmci_fabric *fabric, uint32_t self, bool trusted, int fd,
                      const struct sockaddr_un *address, socklen_t length, uint32_t *cid, uint32_t *port,
                      const struct vmci_err *err);

/* Connects fd, which is bound and does not block, and checks who listens. 0; -ENODEV, -ECONNRESET, -EACCES …
 */
int vmci_fabric_reach(const struct vmci_fabric *fabric, int fd, uint32_t cid, uint32_t port,
                      const struct vmci_err *err);

#endif
