/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/fabric.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmci/credentials.h"
#include "vmci/endpoint.h"

#define FABRIC_MODE 0755
#define CID_MODE    0711 /* others may pass to a listener whose name they know, and no more */

static void cid_name(uint32_t cid, char name[VMCI_FABRIC_CID_SIZE])
{
    (void)snprintf(name, VMCI_FABRIC_CID_SIZE, "%u", cid);
}

/* mkdir() with that very mode: the umask is meant for users' files, and would shut guests out. */
static int make_folder(int at, const char *path, mode_t mode)
{
    if (mkdirat(at, path, mode) < 0)
        return errno == EEXIST ? 0 : -errno;
    return fchmodat(at, path, mode, 0) < 0 ? -errno : 0;
}

/* FABRIC in the runtime folder. Makes the folder between them too. */
static int default_path(char path[PATH_MAX], const struct vmci_err *err)
{
    const char *runtime = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    int rc;

    if (!runtime || runtime[0] != '/')
        return vmci_fail(
            err, -ENOENT,
            "no folder for the fabric: expected --fabric, or VMCI_FABRIC or XDG_RUNTIME_DIR in the "
            "environment");
    if (snprintf(path, PATH_MAX, "%s/amqp-vsock", runtime) >= PATH_MAX - (int)sizeof("/fabric"))
        return vmci_fail(err, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long");
    rc = make_folder(AT_FDCWD, path, FABRIC_MODE);
    if (rc < 0)
        return vmci_fail_errno(err, rc, path);
    memcpy(path + strlen(path), "/fabric", sizeof("/fabric"));
    return 0;
}

/* What settings, environment or the system say, as written; made if it was not there. */
static int wanted_path(const char *path, char wanted[PATH_MAX], const struct vmci_err *err)
{
    int rc;

    if (!path)
        path = getenv("VMCI_FABRIC");
    if (path && path[0] != '\0') {
        if (strlen(path) >= PATH_MAX)
            return vmci_fail(err, -ENAMETOOLONG, "the fabric's path is too long");
        memcpy(wanted, path, strlen(path) + 1);
    } else {
        rc = default_path(wanted, err);
        if (rc < 0)
            return rc;
    }
    rc = make_folder(AT_FDCWD, wanted, FABRIC_MODE);
    return rc < 0 ? vmci_fail(err, rc, "fabric %s can't be made: %s", wanted, strerror(-rc)) : 0;
}

/* In a folder that anybody may write to, anybody could move a CID's folder aside and put an own one there;
 * unless it is sticky, as /tmp is. */
static int check_fabric(int fd, const char *path, const struct vmci_err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return vmci_fail_errno(err, -errno, path);
    if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
        return vmci_fail(err, -EACCES, "fabric %s may be written to by everybody: expected mode 0755", path);
    return 0;
}

int vmci_fabric_open(struct vmci_fabric *fabric, const char *path, const struct vmci_err *err)
{
    char wanted[PATH_MAX];
    char real[PATH_MAX];
    int rc = wanted_path(path, wanted, err);

    if (rc < 0)
        return rc;
    if (!realpath(wanted, real))
        return vmci_fail(err, -errno, "fabric %s: %s", wanted, strerror(errno));
    if (strlen(real) >= sizeof(fabric->path))
        return vmci_fail(err, -ENAMETOOLONG, "fabric %s: expected a path of at most %zu bytes", real,
                         sizeof(fabric->path) - 1);
    memcpy(fabric->path, real, strlen(real) + 1);
    fabric->ambiguous_uid = vmci_ambiguous_uid();
    fabric->fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fabric->fd < 0)
        return vmci_fail(err, -errno, "fabric %s: %s", real, strerror(errno));
    rc = check_fabric(fabric->fd, real, err);
    if (rc < 0)
        (void)close(fabric->fd);
    return rc;
}

/* Cuts the last component and its slash. */
static bool cut_component(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return false;
    *slash = '\0';
    return true;
}

int vmci_fabric_of(struct vmci_fabric *fabric, int fd, const struct vmci_err *err)
{
    struct sockaddr_un address = {0};
    socklen_t length = sizeof(address) - 1; /* the last byte stays a NUL */
    int rc;

    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return vmci_fail_errno(err, -errno, "getsockname");
    if (!cut_component(address.sun_path) || !cut_component(address.sun_path) ||
        strlen(address.sun_path) >= sizeof(fabric->path))
        return vmci_fail(err, -EINVAL, "the socket is not bound in a fabric");
    memcpy(fabric->path, address.sun_path, strlen(address.sun_path) + 1);
    fabric->ambiguous_uid = vmci_ambiguous_uid();
    fabric->fd = open(fabric->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fabric->fd < 0)
        return vmci_fail(err, -errno, "fabric %s: %s", fabric->path, strerror(errno));
    rc = check_fabric(fabric->fd, fabric->path, err);
    if (rc < 0)
        (void)close(fabric->fd);
    return rc;
}

void vmci_fabric_close(struct vmci_fabric *fabric)
{
    (void)close(fabric->fd);
}

int vmci_fabric_local_cid(uint32_t wanted, uint32_t *cid, const struct vmci_err *err)
{
    const char *text = getenv("VMCI_CID");

    *cid = wanted;
    if (wanted == 0) {
        if (!text || text[0] == '\0')
            return vmci_fail(err, -EADDRNOTAVAIL,
                             "own CID unknown: expected --cid, or VMCI_CID in the environment");
        if (!vmci_parse_number(text, strlen(text), cid))
            return vmci_fail(err, -EADDRNOTAVAIL, "VMCI_CID \"%s\": expected a number", text);
    }
    if (*cid != VMCI_CID_HOST && !vmci_cid_is_guest(*cid))
        return vmci_fail(err, -EADDRNOTAVAIL, "CID %u: expected %u for the host, or %u to %u for a guest",
                         *cid, VMCI_CID_HOST, VMCI_GUEST_MIN, VMCI_LAST_NUMBER);
    return 0;
}

bool vmci_fabric_allows(uint32_t one, uint32_t other)
{
    if (one == VMCI_CID_HOST)
        return other == VMCI_CID_HOST || vmci_cid_is_guest(other);
    return vmci_cid_is_guest(one) && (other == VMCI_CID_HOST || other == one);
}

/* Never through a symbolic link: its target may be anybody's. */
static int cid_stat(const struct vmci_fabric *fabric, uint32_t cid, struct stat *st)
{
    char name[VMCI_FABRIC_CID_SIZE];

    cid_name(cid, name);
    if (fstatat(fabric->fd, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return S_ISDIR(st->st_mode) ? 0 : -ENOTDIR;
}

bool vmci_fabric_trusts(const struct vmci_fabric *fabric, uint32_t self, uint32_t cid, bool trusted)
{
    struct stat st;

    if (self != VMCI_CID_HOST || !vmci_cid_is_guest(cid) || trusted || cid_stat(fabric, cid, &st) < 0)
        return true;
    return !(st.st_mode & S_ISVTX) || st.st_uid == geteuid();
}

bool vmci_fabric_has(const struct vmci_fabric *fabric, uint32_t cid)
{
    struct stat st;

    return cid_stat(fabric, cid, &st) == 0;
}

void vmci_fabric_point(const struct vmci_fabric *fabric, uint32_t cid, int socket_type,
                       struct vmci_folder *folder)
{
    *folder = (struct vmci_folder){.fd = -1, .socket_type = socket_type};
    (void)snprintf(folder->path, sizeof(folder->path), "%s/%u", fabric->path, cid);
}

static int open_cid(const struct vmci_fabric *fabric, uint32_t cid, const struct vmci_err *err)
{
    char name[VMCI_FABRIC_CID_SIZE];
    const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd;
    int rc;

    cid_name(cid, name);
    fd = openat(fabric->fd, name, flags);
    if (fd < 0 && errno == ENOENT) {
        rc = make_folder(fabric->fd, name, CID_MODE);
        if (rc < 0)
            return vmci_fail(
                err, -EADDRNOTAVAIL,
                "CID %u has no folder, and it can't be made (%s): the operator does it by `install -d -o "
                "USER -m 0711 %s/%u`",
                cid, strerror(-rc), fabric->path, cid);
        fd = openat(fabric->fd, name, flags);
    }
    if (fd < 0)
        return vmci_fail(err, -EADDRNOTAVAIL, "%s/%u: %s", fabric->path, cid, strerror(errno));
    return fd;
}

int vmci_fabric_enter(const struct vmci_fabric *fabric, uint32_t cid, int socket_type,
                      struct vmci_folder *folder, const struct vmci_err *err)
{
    const uid_t self = geteuid();
    struct stat st;
    int rc = 0;
    const int fd = open_cid(fabric, cid, err);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        rc = vmci_fail_errno(err, -errno, "fstat");
    else if (st.st_uid != self && self != 0)
        rc = vmci_fail(err, -EADDRNOTAVAIL, "CID %u belongs to uid %u, who owns %s/%u; we are uid %u", cid,
                       st.st_uid, fabric->path, cid, self);
    else if (st.st_mode & S_IWOTH)
        rc = vmci_fail(err, -EADDRNOTAVAIL, "%s/%u may be written to by everybody: expected mode 0711",
                       fabric->path, cid);
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    vmci_fabric_point(fabric, cid, socket_type, folder);
    folder->fd = fd;
    folder->uid = st.st_uid;
    folder->gid = st.st_gid;
    folder->lock_ms = 100;
    return 0;
}

int vmci_fabric_vouch_uid(const struct vmci_fabric *fabric, uint32_t cid, uid_t uid,
                          const struct vmci_err *err)
{
    struct stat st;
    int rc;

    if (uid == fabric->ambiguous_uid)
        return vmci_fail(err, -EACCES,
                         "the peer says CID %u, but its user has no number in our user namespace", cid);
    rc = cid_stat(fabric, cid, &st);
    if (rc < 0)
        return vmci_fail(err, -EACCES, "the peer says CID %u, which has no folder in %s (%s)", cid,
                         fabric->path, strerror(-rc));
    if (uid != st.st_uid && uid != 0)
        return vmci_fail(err, -EACCES, "the peer says CID %u, which is uid %u's, but it is uid %u", cid,
                         st.st_uid, uid);
    return 0;
}

int vmci_fabric_vouch(const struct vmci_fabric *fabric, uint32_t cid, int fd, const struct vmci_err *err)
{
    uid_t uid;
    const int rc = vmci_peer_uid(fd, &uid);

    if (rc < 0)
        return vmci_fail_errno(err, -EACCES, "peer's user");
    return vmci_fabric_vouch_uid(fabric, cid, uid, err);
}
