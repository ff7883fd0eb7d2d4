/* SPDX-License-Identifier: Apache-2.0 */
/* vmci-cid: which machine is this, by VMCI's count? And who says so? */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmci/fabric.h"
#include "vmci/socket.h"
#include "vmci/vmci_device.h"
#include "vmci/vmci_sockets.h"

#define EXIT_USAGE  2
#define REASON_SIZE 256

static const char usage[] =
    "usage: vmci-cid [-v]\n"
    "\n"
    "Prints the local context id (CID): 2 on a host, 3 and more in a virtual machine.\n"
    "\n"
    "  -v, --verbose  also who says so, and the transport, address family and version\n"
    "  -h, --help     this text\n"
    "\n"
    "The embedded fabric is asked when VMCI_CID is set or VMCI_TRANSPORT is \"embedded\", else the kernel.\n"
    "Exit code: 0; 1 when there is no CID, with the reason; 2 wrong arguments.\n";

static const struct option options[] = {
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char *role(unsigned cid)
{
    switch (cid) {
    case VMADDR_CID_HYPERVISOR: return "the hypervisor";
    case VMADDR_CID_LOCAL: return "this machine alone: no hypervisor gave it a CID";
    case VMADDR_CID_HOST: return "a host";
    default: return "a virtual machine";
    }
}

static void print_version(void)
{
    const unsigned version = VMCISock_Version();

    if (version == VMCI_SOCKETS_INVALID_VERSION)
        (void)printf("version: unknown\n");
    else
        (void)printf("version: %u.%u.%u\n", VMCI_SOCKETS_VERSION_EPOCH(version),
                     VMCI_SOCKETS_VERSION_MAJOR(version), VMCI_SOCKETS_VERSION_MINOR(version));
}

static const char *kernel_device(void)
{
    return access(VMCI_DEVICE_LINUX, F_OK) == 0 ? VMCI_DEVICE_LINUX : VMCI_DEVICE_ESXI;
}

/* Where the fabric would be; nothing is said when it can't be opened. */
static void print_fabric(void)
{
    const struct vmci_err none = {NULL, 0};
    struct vmci_fabric fabric;

    if (vmci_fabric_open(&fabric, NULL, &none) < 0)
        return;
    (void)printf("fabric: %s\n", fabric.path);
    vmci_fabric_close(&fabric);
}

static void print_why(unsigned cid)
{
    (void)printf("which is: %s\n", role(cid));
    if (vmci_socket_fabric_wanted()) {
        (void)printf("because: VMCI_CID is %s in the environment\n", getenv("VMCI_CID"));
        (void)printf("transport: embedded\n");
        print_fabric();
    } else {
        (void)printf("because: the kernel says so, by %s\n", kernel_device());
        (void)printf("transport: kernel\n");
    }
    (void)printf("family: %d\n", VMCISock_GetAFValue());
    print_version();
}

static void tell_failure(void)
{
    char reason[REASON_SIZE];
    const struct vmci_err err = {reason, sizeof(reason)};
    unsigned cid;

    if (!vmci_socket_fabric_wanted())
        (void)fprintf(stderr,
                      "vmci-cid: no CID: neither VMCI_CID in the environment, nor an answer of the kernel at "
                      "%s or %s\n",
                      VMCI_DEVICE_LINUX, VMCI_DEVICE_ESXI);
    else if (vmci_fabric_local_cid(0, &cid, &err) < 0)
        (void)fprintf(stderr, "vmci-cid: %s\n", reason);
}

int main(int argc, char **argv)
{
    bool verbose = false;
    unsigned cid;
    int letter;

    while ((letter = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
        switch (letter) {
        case 'v': verbose = true; break;
        case 'h': (void)fputs(usage, stdout); return EXIT_SUCCESS;
        default: (void)fputs(usage, stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    cid = VMCISock_GetLocalCID();
    if (cid == VMADDR_CID_ANY) {
        tell_failure();
        return EXIT_FAILURE;
    }
    (void)printf("%u\n", cid);
    if (verbose)
        print_why(cid);
    return EXIT_SUCCESS;
}
