/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000L

/* Takes the owner's identity for access to files, of this thread only. 0; -EPERM when we may not, and then
 * nothing is to be tried either: what we make would be ours, and have to be removed again. setfsuid() does
 * not report failure, but tells what was before. */
static int act_as_owner(const struct vmci_folder *folder)
{
    (void)setfsgid(folder->gid);
    (void)setfsuid(folder->uid);
    return (uid_t)setfsuid((uid_t)-1) == folder->uid ? 0 : -EPERM;
}

static void act_as_ourselves(void)
{
    (void)setfsuid(geteuid());
    (void)setfsgid(getegid());
}

int vmci_folder_address(const struct vmci_folder *folder, const char *name, struct sockaddr_un *address)
{
    int length;

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    length = snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s", folder->path, name);
    return length < 0 || (size_t)length >= sizeof(address->sun_path) ? -ENAMETOOLONG : 0;
}

/* Each caller opens a description of its own, so that the lock also holds between threads and listeners of
 * one process. Returns the descriptor to close, or -errno. */
static int folder_lock(const struct vmci_folder *folder)
{
    const struct timespec pause = {.tv_nsec = NS_PER_MS};
    const int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    for (int waited_ms = 0;; waited_ms++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        if (waited_ms >= folder->lock_ms)
            break;
        (void)nanosleep(&pause, NULL);
    }
    (void)close(fd);
    return -EADDRINUSE;
}

/* 0 when nobody has the socket any more, otherwise -EADDRINUSE: also when we can't tell. */
static int name_is_dead(const struct vmci_folder *folder, const struct sockaddr_un *address)
{
    const int type = folder->socket_type == SOCK_DGRAM ? SOCK_STREAM : SOCK_DGRAM;
    const int probe = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (probe < 0)
        return -errno;
    error = connect(probe, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : EPROTOTYPE;
    (void)close(probe);
    return error == ECONNREFUSED || error == ENOENT ? 0 : -EADDRINUSE;
}

/* Only a socket is ever removed: another kind of file under our name is somebody's, and not dead. */
static bool name_is_socket(const struct vmci_folder *folder, const char *name)
{
    struct stat st;

    return fstatat(folder->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode);
}

static int name_bind(const struct vmci_folder *folder, int fd, const struct sockaddr_un *address)
{
    int rc = act_as_owner(folder);

    if (rc == 0 && bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        rc = -errno;
    act_as_ourselves();
    return rc;
}

static int name_remove(const struct vmci_folder *folder, const char *name)
{
    int rc = act_as_owner(folder);

    if (rc == 0 && unlinkat(folder->fd, name, 0) < 0 && errno != ENOENT)
        rc = -errno;
    act_as_ourselves();
    return rc;
}

static int name_bind_over_dead(const struct vmci_folder *folder, int fd, const char *name,
                               const struct sockaddr_un *address)
{
    const int lock = folder_lock(folder);
    int rc;

    if (lock < 0)
        return lock;
    rc = name_is_dead(folder, address);
    if (rc == 0)
        rc = name_remove(folder, name);
    if (rc == 0)
        rc = name_bind(folder, fd, address);
    (void)close(lock);
    return rc;
}

/* What bind() left, with the wanted mode whatever the umask took from it. */
static int name_finish(const struct vmci_folder *folder, const char *name, mode_t mode,
                       struct vmci_name *held)
{
    struct stat st;
    int rc;

    if (fstatat(folder->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    *held = (struct vmci_name){.dev = st.st_dev, .ino = st.st_ino};
    rc = act_as_owner(folder);
    if (rc == 0 && fchmodat(folder->fd, name, mode, AT_SYMLINK_NOFOLLOW) < 0)
        rc = -errno;
    act_as_ourselves();
    return rc;
}

int vmci_folder_bind(const struct vmci_folder *folder, int fd, const char *name, mode_t mode,
                     struct vmci_name *held)
{
    struct sockaddr_un address;
    int rc = vmci_folder_address(folder, name, &address);

    if (rc < 0)
        return rc;
    /* The file is made with the mode of the socket's own inode, less the umask: nobody else may connect too
     * early. */
    if (fchmod(fd, mode & S_IRWXU) < 0)
        return -errno;
    rc = name_bind(folder, fd, &address);
    if (rc == -EADDRINUSE && name_is_socket(folder, name))
        rc = name_bind_over_dead(folder, fd, name, &address);
    if (rc < 0)
        return rc;
    rc = name_finish(folder, name, mode, held);
    if (rc < 0)
        (void)name_remove(folder, name);
    return rc;
}

bool vmci_folder_holds(const struct vmci_folder *folder, const char *name, const struct vmci_name *held)
{
    struct stat st;

    return fstatat(folder->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == held->dev &&
           st.st_ino == held->ino;
}

void vmci_folder_unbind(const struct vmci_folder *folder, const char *name, const struct vmci_name *held)
{
    if (vmci_folder_holds(folder, name, held))
        (void)name_remove(folder, name);
}

int vmci_folder_sweep(const struct vmci_folder *folder, const char *name)
{
    struct sockaddr_un address;
    int rc = vmci_folder_address(folder, name, &address);
    int lock;

    if (rc < 0)
        return rc;
    if (!name_is_socket(folder, name))
        return 0;
    lock = folder_lock(folder);
    if (lock < 0)
        return lock;
    rc = name_is_dead(folder, &address);
    if (rc == 0)
        rc = name_remove(folder, name);
    (void)close(lock);
    return rc;
}

/* The next entry that ends in suffix, or NULL. */
static const char *next_with(DIR *entries, const char *suffix)
{
    const struct dirent *entry;

    while ((entry = readdir(entries))) {
        const size_t length = strlen(entry->d_name);

        if (length > strlen(suffix) && strcmp(entry->d_name + length - strlen(suffix), suffix) == 0)
            return entry->d_name;
    }
    return NULL;
}

/* A number below count; where there is no randomness yet, the first will do. */
static unsigned pick(unsigned count)
{
    unsigned value = 0;

    (void)!getrandom(&value, sizeof(value), GRND_NONBLOCK);
    return value % count;
}

/* So many entries have the suffix. */
static unsigned count_with(DIR *entries, const char *suffix)
{
    unsigned count = 0;

    while (next_with(entries, suffix))
        count++;
    rewinddir(entries);
    return count;
}

void vmci_folder_tidy(const struct vmci_folder *folder, const char *suffix, unsigned looks)
{
    const int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    const unsigned count = entries ? count_with(entries, suffix) : 0;
    const unsigned start = count > looks ? pick(count) : 0;
    const char *name;

    for (unsigned i = 0; i < start + looks && count > 0 && (name = next_with(entries, suffix)); i++) {
        struct sockaddr_un address;

        if (i >= start && vmci_folder_address(folder, name, &address) == 0 &&
            name_is_dead(folder, &address) == 0)
            (void)vmci_folder_sweep(folder, name);
    }
    if (entries)
        (void)closedir(entries);
    else if (fd >= 0)
        (void)close(fd);
}

int vmci_folder_note(const struct vmci_folder *folder, const char *name, const char *text)
{
    char draft[NAME_MAX + 1];
    int rc;

    /* Of this thread alone, as no other one has its number; what is there was left by a dead one. */
    (void)snprintf(draft, sizeof(draft), ".%s.%d", name, gettid());
    rc = act_as_owner(folder);
    if (rc == 0)
        (void)unlinkat(folder->fd, draft, 0);
    if (rc == 0 && symlinkat(text, folder->fd, draft) < 0)
        rc = -errno;
    if (rc == 0 && renameat(folder->fd, draft, folder->fd, name) < 0) {
        rc = -errno;
        (void)unlinkat(folder->fd, draft, 0);
    }
    act_as_ourselves();
    return rc;
}

void vmci_folder_remove(const struct vmci_folder *folder, const char *name)
{
    (void)name_remove(folder, name);
}
