/* SPDX-License-Identifier: Apache-2.0 */
/* vmci-address: what the functions of vmci_sockets.h say, one line each. */
#include <stdio.h>

#include <linux/vm_sockets.h> /* before and beside ours: both at once must do */

#include "vmci_sockets.h"

int main(void)
{
    const unsigned version = VMCISock_Version();
    int fd = -2;

    printf("family %d\n", VMCISock_GetAFValue());
    printf("family by fd %d\n", VMCISock_GetAFValueFd(&fd));
    printf("device %s\n", fd >= 0 ? "open" : fd == -1 ? "none" : "not set");
    VMCISock_ReleaseAFValueFd(fd);
    printf("cid %u\n", VMCISock_GetLocalCID());
    if (version == VMCI_SOCKETS_INVALID_VERSION)
        printf("version invalid\n");
    else
        printf("version %u.%u.%u\n", VMCI_SOCKETS_VERSION_EPOCH(version), VMCI_SOCKETS_VERSION_MAJOR(version),
               VMCI_SOCKETS_VERSION_MINOR(version));
    return 0;
}
