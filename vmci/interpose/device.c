/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device of VMCI sockets, which programs open to ask who they are. On the fabric it is not there, or is
 * that of a hypervisor we have nothing to do with: /dev/null stands in for it, and is answered for.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "vmci/fabric.h"
#include "vmci/interpose/interpose.h"
#include "vmci/vmci_device.h"

#define STAND_IN "/dev/null"

static const char *instead_of(const char *path)
{
    if (interpose_depth == 0 && path &&
        (strcmp(path, VMCI_DEVICE_LINUX) == 0 || strcmp(path, VMCI_DEVICE_ESXI) == 0) && interpose_wanted())
        return STAND_IN;
    return path;
}

static bool takes_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

/* The mode that follows flags, where there is one. */
#define MODE_AFTER(flags, mode)                                                                              \
    do {                                                                                                     \
        if (takes_mode(flags)) {                                                                             \
            va_list args;                                                                                    \
                                                                                                             \
            va_start(args, flags);                                                                           \
            (mode) = va_arg(args, mode_t);                                                                   \
            va_end(args);                                                                                    \
        }                                                                                                    \
    } while (0)

VMCI_INTERPOSE int open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE_AFTER(flags, mode);
    return NEXT(open)(instead_of(path), flags, mode);
}

VMCI_INTERPOSE int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE_AFTER(flags, mode);
    return NEXT(open64)(instead_of(path), flags, mode);
}

VMCI_INTERPOSE int openat(int at, const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE_AFTER(flags, mode);
    return NEXT(openat)(at, instead_of(path), flags, mode);
}

VMCI_INTERPOSE int openat64(int at, const char *path, int flags, ...)
{
    mode_t mode = 0;

    MODE_AFTER(flags, mode);
    return NEXT(openat64)(at, instead_of(path), flags, mode);
}

/* What open() is called in programs built with _FORTIFY_SOURCE. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

VMCI_INTERPOSE int __open_2(const char *path, int flags)
{
    return NEXT(__open_2)(instead_of(path), flags);
}

VMCI_INTERPOSE int __open64_2(const char *path, int flags)
{
    return NEXT(__open64_2)(instead_of(path), flags);
}

static bool is_stand_in(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* As mainline's device: the CID, and nothing else. 0 or -errno. */
static int answer(unsigned *cid)
{
    const struct vmci_err none = {NULL, 0};

    return cid ? WITHIN(vmci_fabric_local_cid(0, cid, &none)) : -EFAULT;
}

VMCI_INTERPOSE int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    void *argument;

    va_start(args, request);
    argument = va_arg(args, void *);
    va_end(args);
    if (request == VMCI_IOCTL_LOCAL_CID && interpose_depth == 0 && interpose_wanted() && is_stand_in(fd))
        return result(answer(argument));
    return NEXT(ioctl)(fd, request, argument);
}
