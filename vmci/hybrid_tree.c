/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders that a hybrid glob leads through, kept in step with the file system by inotify.
 *
 * An event only says where to look: what is there now is found by looking, so that no order or loss of events
 * can mislead. A folder is watched before it is read, so that nothing falls between.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "vmci/hybrid_impl.h"

#define WATCH_MASK (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR)

static void dir_look(struct hybrid *h, struct hybrid_dir *dir);

void hybrid_path(const struct hybrid_dir *dir, const char *name, char *text, size_t size)
{
    size_t length;

    text[0] = '\0';
    if (dir->parent)
        hybrid_path(dir->parent, dir->name, text, size);
    length = strlen(text);
    (void)snprintf(text + length, size - length, "/%s", name);
}

/* Whatever it is, it is tried again; reported when it is not the same as last time. */
static void dir_trouble(struct hybrid *h, struct hybrid_dir *dir, int rc, const char *what)
{
    char path[VMCI_ENDPOINT_PATH_SIZE] = "/";

    h->retry = true;
    dir->failed = true;
    if (dir->trouble == rc)
        return;
    dir->trouble = rc;
    if (dir->parent)
        hybrid_path(dir->parent, dir->name, path, sizeof(path));
    vmci_listener_report(&h->base, VMCI_REPORT_TROUBLE, "%s: %s: %s", path, what, strerror(-rc));
}

static bool is_last_level(const struct hybrid *h, const struct hybrid_dir *dir)
{
    return dir->level + 1 == h->glob.depth;
}

static struct hybrid_dir *find_child(const struct hybrid *h, const struct hybrid_dir *parent,
                                     const char *name)
{
    struct hybrid_dir *dir;

    TAILQ_FOREACH (dir, &h->dirs, entry) {
        if (dir->parent == parent && (!name || strcmp(dir->name, name) == 0))
            return dir;
    }
    return NULL;
}

/* A linear search, as events are rare and folders are few. */
static struct hybrid_dir *find_watch(const struct hybrid *h, int wd)
{
    struct hybrid_dir *dir;

    TAILQ_FOREACH (dir, &h->dirs, entry) {
        if (dir->wd == wd)
            return dir;
    }
    return NULL;
}

/* With all that is below it. */
static void dir_remove(struct hybrid *h, struct hybrid_dir *dir)
{
    struct hybrid_dir *child;
    struct hybrid_vm *vm;
    struct hybrid_vm *next;

    while ((child = find_child(h, dir, NULL)))
        dir_remove(h, child);
    for (vm = TAILQ_FIRST(&h->vms); vm; vm = next) {
        next = TAILQ_NEXT(vm, entry);
        if (vm->dir == dir)
            hybrid_vm_remove(h, vm);
    }
    TAILQ_REMOVE(&h->dirs, dir, entry);
    if (dir->wd >= 0)
        (void)inotify_rm_watch(h->inotify, dir->wd);
    (void)close(dir->fd);
    free(dir);
}

/* One folder has one watch. If it has one already, two paths lead here, and whoever is found at their end
 * would have two names: only the first is served. */
static void dir_watch(struct hybrid *h, struct hybrid_dir *dir)
{
    char path[sizeof("/proc/self/fd/") + 10];
    int wd;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", dir->fd);
    wd = inotify_add_watch(h->inotify, path, WATCH_MASK);
    if (wd < 0)
        dir_trouble(h, dir, -errno,
                    errno == ENOSPC ? "fs.inotify.max_user_watches is too low" : "can't be watched");
    else if (find_watch(h, wd))
        dir_trouble(h, dir, -EEXIST, "is another folder under a second name");
    else
        dir->wd = wd;
}

/* Takes fd over. NULL, and fd closed, when there is no memory. */
static struct hybrid_dir *dir_add(struct hybrid *h, struct hybrid_dir *parent, const char *name, int fd,
                                  const struct stat *st)
{
    const size_t length = strlen(name) + 1;
    struct hybrid_dir *dir = malloc(sizeof(*dir) + length);

    if (!dir) {
        (void)close(fd);
        return NULL;
    }
    *dir = (struct hybrid_dir){.parent = parent,
                               .level = parent ? parent->level + 1 : 0,
                               .fd = fd,
                               .wd = -1,
                               .dev = st->st_dev,
                               .ino = st->st_ino};
    memcpy(dir->name, name, length);
    TAILQ_INSERT_TAIL(&h->dirs, dir, entry);
    return dir;
}

/* The folder under that name, or -errno. On the glob's fixed part, links are the operator's and followed. */
static int dir_open(const struct hybrid *h, const struct hybrid_dir *parent, const char *name,
                    struct stat *st)
{
    const int nofollow = parent->level < h->glob.first_wild ? 0 : O_NOFOLLOW;
    const int fd = openat(parent->fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC | nofollow);

    if (fd < 0)
        return -errno;
    if (fstat(fd, st) == 0)
        return fd;
    (void)close(fd);
    return -EIO;
}

static bool is_absence(int rc)
{
    return rc == -ENOENT || rc == -ENOTDIR || rc == -ELOOP;
}

static void check_subdir(struct hybrid *h, struct hybrid_dir *parent, const char *name)
{
    struct hybrid_dir *child = find_child(h, parent, name);
    struct stat st;
    const int fd = dir_open(h, parent, name, &st);

    if (fd >= 0 && child && child->dev == st.st_dev && child->ino == st.st_ino) {
        (void)close(fd);
        return;
    }
    if (fd < 0 && !is_absence(fd)) {
        dir_trouble(h, parent, fd, "can't look into a folder here");
        return;
    }
    if (child)
        dir_remove(h, child);
    if (fd < 0)
        return;
    child = dir_add(h, parent, name, fd, &st);
    if (!child) {
        dir_trouble(h, parent, -ENOMEM, "can't look into a folder here");
        return;
    }
    dir_look(h, child);
}

static void check_entry(struct hybrid *h, struct hybrid_dir *dir, const char *name)
{
    if (is_last_level(h, dir))
        hybrid_vm_check(h, dir, name);
    else
        check_subdir(h, dir, name);
}

static void dir_read(struct hybrid *h, struct hybrid_dir *dir)
{
    const int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!stream) {
        dir_trouble(h, dir, -errno, "can't be read");
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    while ((entry = readdir(stream))) {
        if (vmci_glob_matches(&h->glob, dir->level, entry->d_name))
            check_entry(h, dir, entry->d_name);
    }
    (void)closedir(stream);
}

/* Looks at all entries that may matter. */
static void dir_scan(struct hybrid *h, struct hybrid_dir *dir)
{
    if (vmci_glob_is_wild(&h->glob, dir->level))
        dir_read(h, dir);
    else
        check_entry(h, dir, vmci_glob_part(&h->glob, dir->level));
}

/* Watches it if it is not watched yet, then looks at what is in it; a second name of a folder leads nowhere.
 */
static void dir_look(struct hybrid *h, struct hybrid_dir *dir)
{
    dir->failed = false;
    if (dir->wd < 0)
        dir_watch(h, dir);
    if (dir->wd >= 0 || dir->trouble != -EEXIST)
        dir_scan(h, dir);
    if (!dir->failed)
        dir->trouble = 0;
}

/* A name that is not in the glob, but ours beside one that is: FILE_PORT. Somebody may have removed it, or at
 * last given it up. When it was our own failure that left a trace there, the event must not make us try again
 * at once. */
static void check_port_file(struct hybrid *h, struct hybrid_dir *dir, const char *name)
{
    struct hybrid_vm *vm;

    TAILQ_FOREACH (vm, &h->vms, entry) {
        if (vm->dir == dir && strcmp(vm->port_file, name) == 0)
            break;
    }
    if (vm && (vm->fd >= 0 || vm->trouble == -EADDRINUSE))
        hybrid_vm_check(h, dir, vm->file);
}

static void handle_event(struct hybrid *h, const struct inotify_event *event)
{
    struct hybrid_dir *dir = find_watch(h, event->wd);

    if (event->mask & IN_Q_OVERFLOW) {
        hybrid_tree_rescan(h);
        return;
    }
    if (!dir)
        return;
    if (event->mask & IN_IGNORED) {
        dir->wd = -1;
        h->retry = true;
    } else if (event->len == 0) {
        dir_look(h, dir);
    } else if (vmci_glob_matches(&h->glob, dir->level, event->name)) {
        check_entry(h, dir, event->name);
    } else if (is_last_level(h, dir)) {
        check_port_file(h, dir, event->name);
    }
}

void hybrid_tree_events(struct hybrid *h)
{
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    const ssize_t length = read(h->inotify, buffer, sizeof(buffer));
    const struct inotify_event *event;

    for (ssize_t at = 0; at < length; at += (ssize_t)(sizeof(*event) + event->len)) {
        event = (const struct inotify_event *)(const void *)(buffer + at);
        handle_event(h, event);
    }
}

/* Removing one may remove others, so the search starts anew after each. */
static void forget_gone(struct hybrid *h)
{
    struct hybrid_dir *dir = TAILQ_FIRST(&h->dirs);

    while (dir) {
        struct stat st;
        const int fd = dir->parent ? dir_open(h, dir->parent, dir->name, &st) : -EIO;
        const bool gone = fd >= 0 ? st.st_dev != dir->dev || st.st_ino != dir->ino : is_absence(fd);

        if (fd >= 0)
            (void)close(fd);
        if (gone)
            dir_remove(h, dir);
        dir = gone ? TAILQ_FIRST(&h->dirs) : TAILQ_NEXT(dir, entry);
    }
}

void hybrid_tree_rescan(struct hybrid *h)
{
    struct hybrid_dir *dir;
    struct hybrid_vm *vm;
    struct hybrid_vm *next;

    h->retry = false;
    forget_gone(h);
    for (vm = TAILQ_FIRST(&h->vms); vm; vm = next) {
        next = TAILQ_NEXT(vm, entry);
        hybrid_vm_check(h, vm->dir, vm->file);
    }
    /* Folders that are found on the way are added at the end, and so come up here too. */
    TAILQ_FOREACH (dir, &h->dirs, entry) {
        dir_look(h, dir);
    }
}

int hybrid_tree_init(struct hybrid *h)
{
    struct stat st;
    struct hybrid_dir *root;
    const int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        (void)close(fd);
        return -EIO;
    }
    root = dir_add(h, NULL, "", fd, &st);
    if (!root)
        return -ENOMEM;
    dir_look(h, root);
    return 0;
}

void hybrid_tree_deinit(struct hybrid *h)
{
    if (!TAILQ_EMPTY(&h->dirs))
        dir_remove(h, TAILQ_FIRST(&h->dirs));
}
