/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening to hybrid VMs: the parts that hybrid_listen.c, hybrid_tree.c and hybrid_vm.c share.
 *
 *   glob /run/vms/X/v.sock, X = `*`           / ── run ── vms ─┬─ vm1 ── v.sock    a VM, and our socket
 * v.sock_5672 folders      └─ vm2              no VM yet
 *
 * A VM exists while a socket matches the whole glob; its folder alone is not enough. The VMM makes that
 * socket when it sets up the VM's device, before the VM runs, so ours is there in time; and it tells whose
 * VMM it is: our socket is given to the same user, mode 0600, as nothing but its path says which VM a stream
 * comes from.
 *
 * Every folder on the way is open and watched, from the root on: so it does not matter which of them comes,
 * goes or is moved. From the first wildcard on, symbolic links are not followed: the folders there may be in
 * the hands of VMMs' users, who must not be able to be taken for each other.
 */
#ifndef VMCI_HYBRID_IMPL_H
#define VMCI_HYBRID_IMPL_H

#include <sys/queue.h>
#include <sys/stat.h>

#include "vmci/folder.h"
#include "vmci/hybrid_glob.h"
#include "vmci/transport_impl.h"

struct hybrid_dir {
    TAILQ_ENTRY(hybrid_dir) entry;
    struct hybrid_dir *parent; /* NULL: the root */
    size_t level;              /* of the glob, that the entries in here are matched with */
    int fd;                    /* O_PATH */
    int wd;                    /* inotify's; -1 while it can't be watched */
    dev_t dev;                 /* which folder it is, whatever its name */
    ino_t ino;
    int trouble; /* last reported, 0 or -errno */
    bool failed; /* something did since it was last looked at */
    char name[];
};

struct hybrid_vm {
    TAILQ_ENTRY(hybrid_vm) entry;
    struct hybrid_dir *dir;
    int fd;                    /* listening; -1 while that does not work */
    struct vmci_folder folder; /* dir with the VMM's user and group */
    struct vmci_name held;     /* our socket's file */
    int trouble;               /* last reported, 0 or -errno */
    char name[256];            /* the VM's */
    char port_file[128];       /* our socket's name in dir: FILE_PORT */
    char file[];               /* the VMM's socket's name in dir */
};

struct hybrid {
    struct vmci_listener base; /* fd: an epoll over all of the below */
    struct vmci_glob glob;
    uint32_t port;
    int backlog;
    uint32_t (*cid_of)(void *arg, const char *name);
    int inotify;
    int timer;  /* runs while something is to be tried again */
    int spare;  /* given up to take in and close a stream when there are no descriptors left; -1: used up */
    bool retry; /* something failed since all was last looked at */
    TAILQ_HEAD(, hybrid_dir) dirs;
    TAILQ_HEAD(, hybrid_vm) vms;
};

/* hybrid_tree.c: folders. */

/* Opens and watches the root, then everything below that matches. 0, or -errno when the root can't even be
 * opened. */
int hybrid_tree_init(struct hybrid *h);
void hybrid_tree_deinit(struct hybrid *h);

/* Reads some of inotify's events and looks at what they name. */
void hybrid_tree_events(struct hybrid *h);

/* Looks at everything again: after lost events, and while something is in trouble. */
void hybrid_tree_rescan(struct hybrid *h);

/* dir/name as text, cut to the buffer. */
void hybrid_path(const struct hybrid_dir *dir, const char *name, char *text, size_t size);

/* hybrid_vm.c: VMs. */

/* Looks whether dir/file is a VM now, and listens for it or stops. */
void hybrid_vm_check(struct hybrid *h, struct hybrid_dir *dir, const char *file);

/* Stops listening for it, reports that, and forgets it. */
void hybrid_vm_remove(struct hybrid *h, struct hybrid_vm *vm);

/* Its CID by the caller's word or by its name, or VMCI_CID_ANY. */
uint32_t hybrid_vm_cid(const struct hybrid *h, const struct hybrid_vm *vm);

/* hybrid_connect.c */
int hybrid_connect(const struct vmci_endpoint *endpoint, const struct vmci_settings *settings,
                   struct vmci_connector **connector, const struct vmci_err *err);
int hybrid_step(struct vmci_connector *connector, const struct vmci_err *err);

#endif
