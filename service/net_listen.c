/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES   100
#define LOCK_WAIT_NS 10000000L

static int open_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd >= 0 ? fd : -errno;
}

/* --- TCP --- */

static int listen_inet(const struct addrinfo *info)
{
    int fd = open_socket(info->ai_family), on = 1;

    if (fd < 0)
        return fd;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (info->ai_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static int listen_tcp(const struct net_address *address)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char port[8];

    snprintf(port, sizeof(port), "%u", address->port);
    int result = net_lookup_error(getaddrinfo(address->host, port, &hints, &found));
    if (result != 0)
        return result;
    result = -EADDRNOTAVAIL;
    for (const struct addrinfo *info = found; info != NULL && result < 0; info = info->ai_next)
        result = listen_inet(info);
    freeaddrinfo(found);
    return result;
}

/* --- Unix --- */

/*
 * Locks the folder of the path against another process that replaces a stale socket there, so that neither
 * removes what the other has just made. The descriptor holds the lock; or -errno, -EBUSY after a second.
 */
static int lock_folder(const char *path)
{
    const struct timespec pause = {.tv_nsec = LOCK_WAIT_NS};
    char copy[sizeof(((struct net_address *)0)->path)];

    strcpy(copy, path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        nanosleep(&pause, NULL);
    }
    close(fd);
    return -EBUSY;
}

/* Removes the socket file if nobody listens on it. 0 when the path is free now, or -errno. */
static int remove_stale(const struct sockaddr_un *name)
{
    struct stat status;

    if (lstat(name->sun_path, &status) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode))
        return -ENOTSOCK;
    int fd = open_socket(AF_UNIX);
    if (fd < 0)
        return fd;
    int result = connect(fd, (const struct sockaddr *)name, sizeof(*name));
    bool stale = result != 0 && errno == ECONNREFUSED;
    close(fd);
    if (!stale)
        return -EADDRINUSE; /* somebody answers, or it can't be known */
    return unlink(name->sun_path) == 0 ? 0 : -errno;
}

static int bind_unix(int fd, const struct sockaddr_un *name)
{
    if (bind(fd, (const struct sockaddr *)name, sizeof(*name)) == 0)
        return 0;
    int error = errno == EADDRINUSE ? remove_stale(name) : -errno;
    if (error != 0)
        return error;
    return bind(fd, (const struct sockaddr *)name, sizeof(*name)) == 0 ? 0 : -errno;
}

/* The folder is locked. Until listen, connecting to the new socket is refused: nobody is let in before the
 * mode is set. */
static int listen_at_path(const struct sockaddr_un *name, mode_t mode)
{
    int fd = open_socket(AF_UNIX);

    if (fd < 0)
        return fd;
    int error = bind_unix(fd, name);
    if (error == 0) {
        if (chmod(name->sun_path, mode) == 0 && listen(fd, SOMAXCONN) == 0)
            return fd;
        error = -errno;
        unlink(name->sun_path);
    }
    close(fd);
    return error;
}

static int listen_unix(const struct net_address *address, mode_t mode)
{
    struct sockaddr_un name;
    int lock = lock_folder(address->path);

    if (lock < 0)
        return lock;
    net_unix_sockaddr(address, &name);
    int fd = listen_at_path(&name, mode);
    close(lock);
    return fd;
}

int net_listen(const struct net_address *address, mode_t mode, int *fd)
{
    int result = address->kind == NET_UNIX ? listen_unix(address, mode) : listen_tcp(address);

    if (result < 0)
        return result;
    *fd = result;
    return 0;
}

void net_unlink(int fd)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof(storage);
    const struct sockaddr_un *name = (const void *)&storage;

    if (getsockname(fd, (struct sockaddr *)&storage, &length) == 0 && storage.ss_family == AF_UNIX &&
        name->sun_path[0] != '\0')
        unlink(name->sun_path);
}
