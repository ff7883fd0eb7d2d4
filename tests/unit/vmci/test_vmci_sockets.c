/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of vmci_sockets.h against devices that this program plays itself: open(), ioctl(), close()
 * and socket() of the library end up here (the linker's --wrap), so that no real device is asked.
 */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmci/vmci_device.h"
#include "vmci/vmci_sockets.h"

#define DEVICE_FD     1000000 /* no descriptor of this process */
#define ESXI_FAMILY   56
#define SOCKET_FD     1000001
#define VMWARE_CID    1066538581U
#define VMWARE_NUMBER 0x01020003U /* epoch 1, major 2, minor 3 */

static struct {
    const char *path; /* where the device is; NULL: nowhere */
    int mode;         /* it can be opened by this only, or by O_RDWR */
    bool answers_all; /* VMware's; mainline's knows the CID alone */
    bool has_family;  /* mainline's socket() works */
    int open;         /* how often it is open now */
    int opened;       /* and was in all */
} device;

int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_socket(int family, int type, int protocol);

int __wrap_open(const char *path, int flags, ...)
{
    if (!strstr(path, "vsock"))
        return __real_open(path, flags, 0);
    if (!device.path || strcmp(path, device.path) != 0) {
        errno = ENOENT;
        return -1;
    }
    if (device.mode != O_RDWR && (flags & O_ACCMODE) != device.mode) {
        errno = EACCES;
        return -1;
    }
    assert_true(flags & O_CLOEXEC);
    device.open++;
    device.opened++;
    return DEVICE_FD;
}

int __wrap_close(int fd)
{
    if (fd == SOCKET_FD)
        return 0;
    if (fd != DEVICE_FD)
        return __real_close(fd);
    device.open--;
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    unsigned *answer;

    assert_int_equal(fd, DEVICE_FD);
    va_start(args, request);
    answer = va_arg(args, unsigned *);
    va_end(args);
    if (request != VMCI_IOCTL_LOCAL_CID && !device.answers_all) {
        errno = ENOTTY;
        return -1;
    }
    switch (request) {
    case VMCI_IOCTL_VERSION: *answer = VMWARE_NUMBER; return 0;
    case VMCI_IOCTL_FAMILY: *answer = ESXI_FAMILY; return 0;
    case VMCI_IOCTL_LOCAL_CID: *answer = VMWARE_CID; return 0;
    default: fail_msg("ioctl %lu", request); return -1;
    }
}

int __wrap_socket(int family, int type, int protocol)
{
    (void)type;
    (void)protocol;
    assert_int_equal(family, AF_VSOCK);
    errno = EAFNOSUPPORT;
    return device.has_family ? SOCKET_FD : -1;
}

static int setup(void **state)
{
    (void)state;
    memset(&device, 0, sizeof(device));
    device.mode = O_RDWR;
    return setenv("VMCI_TRANSPORT", "kernel", 1);
}

static void test_vmware(void **state)
{
    int fd = -2;

    (void)state;
    device.path = VMCI_DEVICE_LINUX;
    device.answers_all = true;
    assert_int_equal(VMCISock_Version(), VMWARE_NUMBER);
    assert_int_equal(VMCI_SOCKETS_VERSION_EPOCH(VMCISock_Version()), 1);
    assert_int_equal(VMCI_SOCKETS_VERSION_MAJOR(VMCISock_Version()), 2);
    assert_int_equal(VMCI_SOCKETS_VERSION_MINOR(VMCISock_Version()), 3);
    assert_int_equal(VMCISock_GetLocalCID(), VMWARE_CID);
    assert_int_equal(device.open, 0);
    assert_int_equal(VMCISock_GetAFValueFd(&fd), ESXI_FAMILY);
    assert_int_equal(fd, DEVICE_FD);
    assert_int_equal(device.open, 1); /* for as long as the family is in use */
    VMCISock_ReleaseAFValueFd(fd);
    assert_int_equal(device.open, 0);
    VMCISock_ReleaseAFValueFd(-1);
}

static void test_esxis_other_device(void **state)
{
    (void)state;
    device.path = VMCI_DEVICE_ESXI;
    device.answers_all = true;
    assert_int_equal(VMCISock_GetLocalCID(), VMWARE_CID);
}

/* Some are only for writing, or only for reading. */
static void test_devices_of_either_mode(void **state)
{
    (void)state;
    device.path = VMCI_DEVICE_LINUX;
    device.mode = O_WRONLY;
    assert_int_equal(VMCISock_GetLocalCID(), VMWARE_CID);
    device.mode = O_RDONLY;
    assert_int_equal(VMCISock_GetLocalCID(), VMWARE_CID);
}

static void test_mainline(void **state)
{
    int fd = -2;

    (void)state;
    device.path = VMCI_DEVICE_LINUX;
    device.has_family = true;
    assert_int_equal(VMCISock_GetAFValue(), AF_VSOCK);
    assert_int_equal(VMCISock_GetAFValueFd(&fd), AF_VSOCK);
    assert_int_equal(fd, -1);
    assert_int_equal(VMCISock_GetLocalCID(), VMWARE_CID);
    assert_int_equal(device.open, 0);
}

static void test_no_vmci_sockets(void **state)
{
    int fd = -2;

    (void)state;
    assert_int_equal(VMCISock_GetAFValue(), -1);
    assert_int_equal(VMCISock_GetAFValueFd(&fd), -1);
    assert_int_equal(fd, -1);
    assert_int_equal(VMCISock_GetLocalCID(), VMADDR_CID_ANY);
}

/* The family without a descriptor is held by one that stays, whoever asks how often. The last test: it does.
 */
static void test_vmwares_family_is_held(void **state)
{
    (void)state;
    device.path = VMCI_DEVICE_LINUX;
    device.answers_all = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(VMCISock_GetAFValue(), ESXI_FAMILY);
    assert_int_equal(VMCISock_GetAFValueFd(NULL), ESXI_FAMILY);
    assert_int_equal(device.open, 1);
    assert_int_equal(device.opened, 1);
}

static void test_the_fabric_asks_no_device(void **state)
{
    int fd = -2;

    (void)state;
    device.path = VMCI_DEVICE_LINUX;
    device.answers_all = true;
    assert_int_equal(setenv("VMCI_TRANSPORT", "", 1), 0);
    assert_int_equal(setenv("VMCI_CID", "101", 1), 0);
    assert_int_equal(VMCISock_GetAFValue(), AF_VSOCK);
    assert_int_equal(VMCISock_GetAFValueFd(&fd), AF_VSOCK);
    assert_int_equal(fd, -1);
    assert_int_equal(VMCISock_GetLocalCID(), 101);
    assert_int_equal(VMCISock_Version(), 0x01000002);
    assert_int_equal(unsetenv("VMCI_CID"), 0);
    assert_int_equal(setenv("VMCI_TRANSPORT", "embeded", 1), 0); /* mistyped: not the kernel */
    assert_int_equal(VMCISock_GetAFValue(), AF_VSOCK);
    assert_int_equal(VMCISock_GetLocalCID(), VMADDR_CID_ANY);
    assert_int_equal(device.opened, 0);
}

static void test_constants(void **state)
{
    const unsigned parts[] = {1, 2, 3};

    (void)state;
    assert_int_equal(VMCI_SOCKETS_MAKE_VERSION(parts), 0x01020003);
    assert_int_equal(sizeof(struct sockaddr_vm), 16);
    assert_int_equal(offsetof(struct sockaddr_vm, svm_port), 4);
    assert_int_equal(offsetof(struct sockaddr_vm, svm_cid), 8);
    assert_int_equal(VMADDR_CID_ANY, UINT32_MAX);
    assert_int_equal(VMADDR_CID_HYPERVISOR, 0);
    assert_int_equal(VMADDR_CID_LOCAL, 1);
    assert_int_equal(VMADDR_CID_RESERVED, 1);
    assert_int_equal(VMADDR_CID_HOST, 2);
    assert_int_equal(VMADDR_PORT_ANY, UINT32_MAX);
    assert_int_equal(SO_VMCI_BUFFER_SIZE, SO_VM_SOCKETS_BUFFER_SIZE);
    assert_int_equal(SO_VMCI_BUFFER_MIN_SIZE, SO_VM_SOCKETS_BUFFER_MIN_SIZE);
    assert_int_equal(SO_VMCI_BUFFER_MAX_SIZE, SO_VM_SOCKETS_BUFFER_MAX_SIZE);
    assert_int_equal(SO_VMCI_PEER_HOST_VM_ID, SO_VM_SOCKETS_PEER_HOST_VM_ID);
    assert_int_equal(SO_VMCI_TRUSTED, SO_VM_SOCKETS_TRUSTED);
    assert_int_equal(SO_VMCI_NONBLOCK_TXRX, SO_VM_SOCKETS_NONBLOCK_TXRX);
    assert_int_equal(VMCI_IOCTL_LOCAL_CID, IOCTL_VM_SOCKETS_GET_LOCAL_CID);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_vmware),    TEST(test_esxis_other_device),     TEST(test_devices_of_either_mode),
        TEST(test_mainline),  TEST(test_no_vmci_sockets),        TEST(test_the_fabric_asks_no_device),
        TEST(test_constants), TEST(test_vmwares_family_is_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
