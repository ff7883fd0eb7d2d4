/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMCI Sockets API's own functions. On the fabric they know the answers; otherwise the device is asked:
 *
 *                      VMware's module                      mainline Linux
 *     version (1972)   answers                              ENOTTY: its module's version is in /sys
 *     family (1976)    answers, until the device is closed  ENOTTY: AF_VSOCK, always
 *     local CID (1977) answers                              answers
 */
#include "vmci/vmci_sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmci/fabric.h"
#include "vmci/socket.h"
#include "vmci/vmci_device.h"

#define FABRIC_VERSION ((unsigned[]){1, 0, 2})

static const char *const devices[] = {VMCI_DEVICE_LINUX, VMCI_DEVICE_ESXI};

/* The first device that can be opened, or -1. */
static int open_device(void)
{
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        int fd = open(devices[i], O_RDONLY | O_CLOEXEC);

        if (fd < 0)
            fd = open(devices[i], O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

/* What the device says, by the number of the ioctl; false when it does not know that one. */
static bool ask_device(int fd, unsigned long request, unsigned *answer)
{
    return ioctl(fd, request, answer) >= 0;
}

/* Mainline's "1.0.2.0-k" is VMware's 1.0.2. */
static unsigned version_of_module(void)
{
    unsigned parts[3];
    FILE *file = fopen("/sys/module/vsock/version", "re");
    int count;

    if (!file)
        return VMCI_SOCKETS_INVALID_VERSION;
    count = fscanf(file, "%u.%u.%u", &parts[0], &parts[1], &parts[2]);
    (void)fclose(file);
    return count == 3 ? VMCI_SOCKETS_MAKE_VERSION(parts) : VMCI_SOCKETS_INVALID_VERSION;
}

unsigned VMCISock_Version(void)
{
    unsigned version;
    int fd;

    if (vmci_socket_fabric_wanted())
        return VMCI_SOCKETS_MAKE_VERSION(FABRIC_VERSION);
    fd = open_device();
    if (fd < 0 || !ask_device(fd, VMCI_IOCTL_VERSION, &version))
        version = version_of_module();
    if (fd >= 0)
        (void)close(fd);
    return version;
}

/* Has the kernel sockets of mainline's family? Such a socket leads nowhere yet. */
static bool mainline_has_family(void)
{
    const int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

int VMCISock_GetAFValueFd(int *fd)
{
    unsigned family;
    int device;

    if (!fd)
        return VMCISock_GetAFValue();
    *fd = -1;
    if (vmci_socket_fabric_wanted())
        return AF_VSOCK;
    device = open_device();
    if (device >= 0 && ask_device(device, VMCI_IOCTL_FAMILY, &family)) {
        *fd = device;
        return (int)family;
    }
    if (device >= 0)
        (void)close(device);
    return mainline_has_family() ? AF_VSOCK : -1;
}

void VMCISock_ReleaseAFValueFd(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

/* The first answer stays, with the device that holds it; a failure is tried again. */
static pthread_mutex_t family_lock = PTHREAD_MUTEX_INITIALIZER;
static int family_fd = -1;
static int held_family;

int VMCISock_GetAFValue(void)
{
    int family;

    if (vmci_socket_fabric_wanted())
        return AF_VSOCK;
    (void)pthread_mutex_lock(&family_lock);
    if (family_fd < 0)
        held_family = VMCISock_GetAFValueFd(&family_fd);
    family = held_family;
    (void)pthread_mutex_unlock(&family_lock);
    return family;
}

unsigned VMCISock_GetLocalCID(void)
{
    const struct vmci_err none = {NULL, 0};
    unsigned cid;
    int fd;

    if (vmci_socket_fabric_wanted())
        return vmci_fabric_local_cid(0, &cid, &none) == 0 ? cid : VMADDR_CID_ANY;
    fd = open_device();
    if (fd < 0)
        return VMADDR_CID_ANY;
    if (!ask_device(fd, VMCI_IOCTL_LOCAL_CID, &cid))
        cid = VMADDR_CID_ANY;
    (void)close(fd);
    return cid;
}
