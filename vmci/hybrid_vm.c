/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One hybrid VM: the socket FILE_PORT beside its VMM's own, for as long as that is there.
 *
 * The VMM connects to it when its guest connects to PORT of the host. Nothing tells the guest apart but this
 * path, so nobody else may connect: the socket belongs to the VMM's user alone. It is made as that user too
 * (folder.h), hence without any trust in what else is in that folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmci/endpoint.h"
#include "vmci/hybrid_impl.h"

#define PORT_SOCKET_MODE 0600

static struct hybrid_vm *find_vm(const struct hybrid *h, const struct hybrid_dir *dir, const char *file)
{
    struct hybrid_vm *vm;

    TAILQ_FOREACH (vm, &h->vms, entry) {
        if (vm->dir == dir && strcmp(vm->file, file) == 0)
            return vm;
    }
    return NULL;
}

uint32_t hybrid_vm_cid(const struct hybrid *h, const struct hybrid_vm *vm)
{
    uint32_t cid;

    if (h->cid_of)
        return h->cid_of(h->base.arg, vm->name);
    if (vmci_parse_number(vm->name, strlen(vm->name), &cid) && vmci_cid_is_guest(cid))
        return cid;
    return VMCI_CID_ANY;
}

static void vm_report(const struct hybrid *h, const struct hybrid_vm *vm, enum vmci_report what,
                      const char *text)
{
    char path[VMCI_ENDPOINT_PATH_SIZE];
    const uint32_t cid = hybrid_vm_cid(h, vm);

    hybrid_path(vm->dir, vm->port_file, path, sizeof(path));
    if (cid == VMCI_CID_ANY)
        vmci_listener_report(&h->base, what, "VM %s: %s: %s", vm->name, path, text);
    else
        vmci_listener_report(&h->base, what, "VM %s, CID %u: %s: %s", vm->name, cid, path, text);
}

/* What is wrong in words, or NULL when strerror() says it well. */
static const char *vm_hint(int rc)
{
    switch (rc) {
    case -EADDRINUSE: return "somebody else listens there";
    case -EPERM: return "the VMM is another user, to whom only root (CAP_SETUID) can give the socket";
    default: return NULL;
    }
}

static void vm_trouble(struct hybrid *h, struct hybrid_vm *vm, int rc)
{
    const char *hint = vm_hint(rc);

    h->retry = true;
    if (vm->trouble == rc)
        return;
    vm->trouble = rc;
    vm_report(h, vm, VMCI_REPORT_TROUBLE, hint ? hint : strerror(-rc));
}

/* Out of the epoll by name: a forked child may still have the socket, which would keep it in there. */
static void vm_close(struct hybrid *h, struct hybrid_vm *vm)
{
    if (vm->fd < 0)
        return;
    (void)epoll_ctl(h->base.fd, EPOLL_CTL_DEL, vm->fd, NULL);
    vmci_folder_unbind(&vm->folder, vm->port_file, &vm->held);
    (void)close(vm->fd);
    vm->fd = -1;
}

static int vm_listen(struct hybrid *h, struct hybrid_vm *vm)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = vm}};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return -errno;
    rc = vm->port_file[0] == '\0' ? -ENAMETOOLONG : 0;
    if (rc == 0)
        rc = vmci_folder_bind(&vm->folder, fd, vm->port_file, PORT_SOCKET_MODE, &vm->held);
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    vm->fd = fd;
    if (listen(fd, h->backlog) == 0 && epoll_ctl(h->base.fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    rc = -errno;
    vm_close(h, vm);
    return rc;
}

/* Listens, unless it does already at a file that is still there and for a VMM that is still the same user. */
static void vm_refresh(struct hybrid *h, struct hybrid_vm *vm, const struct stat *st)
{
    int rc;

    if (vm->fd >= 0 && vm->folder.uid == st->st_uid &&
        vmci_folder_holds(&vm->folder, vm->port_file, &vm->held))
        return;
    vm_close(h, vm);
    vm->folder.uid = st->st_uid;
    vm->folder.gid = st->st_gid;
    rc = vm_listen(h, vm);
    if (rc < 0) {
        vm_trouble(h, vm, rc);
        return;
    }
    vm->trouble = 0;
    vm_report(h, vm, VMCI_REPORT_VM_APPEARED, "listening");
}

/* The names on the way to dir/file, by level of the glob. */
static void names_by_level(const struct hybrid_dir *dir, const char *file, const char *names[VMCI_GLOB_DEPTH])
{
    names[dir->level] = file;
    for (; dir->parent; dir = dir->parent)
        names[dir->level - 1] = dir->name;
}

/* As struct vmci_settings says of cid_of. 0, or -ENAMETOOLONG: cut, two VMs could have one name. */
static int vm_name(const struct hybrid *h, const struct hybrid_dir *dir, const char *file, char *name,
                   size_t size)
{
    const struct vmci_glob *glob = &h->glob;
    const char *names[VMCI_GLOB_DEPTH];
    const char *start;
    size_t length;
    size_t at = 0;

    names_by_level(dir, file, names);
    if (glob->first_wild == glob->depth) {
        start = names[glob->depth > 1 ? glob->depth - 2 : 0];
        return (size_t)snprintf(name, size, "%s", start) < size ? 0 : -ENAMETOOLONG;
    }
    for (size_t level = glob->first_wild; level < glob->depth; level++) {
        if (!vmci_glob_is_wild(glob, level))
            continue;
        vmci_glob_matched(glob, level, names[level], &start, &length);
        at += (size_t)snprintf(name + at, size - at, "%s%.*s", at ? "/" : "", (int)length, start);
        if (at >= size)
            return -ENAMETOOLONG;
    }
    return 0;
}

/* A VM whose names do not fit has no port_file: it is there, but in trouble. */
static struct hybrid_vm *vm_add(struct hybrid *h, struct hybrid_dir *dir, const char *file)
{
    const size_t length = strlen(file) + 1;
    struct hybrid_vm *vm = calloc(1, sizeof(*vm) + length);
    int written;

    if (!vm)
        return NULL;
    vm->dir = dir;
    vm->fd = -1;
    vm->folder.fd = dir->fd;
    vm->folder.socket_type = SOCK_STREAM;
    (void)snprintf(vm->folder.path, sizeof(vm->folder.path), "/proc/self/fd/%d", dir->fd);
    memcpy(vm->file, file, length);
    written = snprintf(vm->port_file, sizeof(vm->port_file), "%s_%u", file, h->port);
    if (vm_name(h, dir, file, vm->name, sizeof(vm->name)) < 0 || written < 0 ||
        (size_t)written >= sizeof(vm->port_file))
        vm->port_file[0] = '\0';
    TAILQ_INSERT_TAIL(&h->vms, vm, entry);
    return vm;
}

void hybrid_vm_remove(struct hybrid *h, struct hybrid_vm *vm)
{
    if (vm->fd >= 0)
        vm_report(h, vm, VMCI_REPORT_VM_VANISHED, "vanished");
    TAILQ_REMOVE(&h->vms, vm, entry);
    vm_close(h, vm);
    free(vm);
}

/* FILE_PORT is some port's socket, not a VMM's, although the wildcard matches. */
static bool is_port_file(const char *file)
{
    const char *end = strrchr(file, '_');

    return end && end[1] != '\0' && strspn(end + 1, "0123456789") == strlen(end + 1);
}

void hybrid_vm_check(struct hybrid *h, struct hybrid_dir *dir, const char *file)
{
    struct hybrid_vm *vm = find_vm(h, dir, file);
    struct stat st;

    if (vmci_glob_is_wild(&h->glob, dir->level) && is_port_file(file))
        return;
    if (fstatat(dir->fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISSOCK(st.st_mode)) {
        if (vm)
            hybrid_vm_remove(h, vm);
        return;
    }
    if (!vm)
        vm = vm_add(h, dir, file);
    if (vm)
        vm_refresh(h, vm, &st);
    else
        h->retry = true;
}
