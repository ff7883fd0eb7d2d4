/* SPDX-License-Identifier: Apache-2.0 */
/* The device of VMCI sockets, and what it can be asked (facts of VMware's and mainline's kernel modules). */
#ifndef VMCI_DEVICE_H
#define VMCI_DEVICE_H

#define VMCI_DEVICE_LINUX "/dev/vsock"
#define VMCI_DEVICE_ESXI  "/vmfs/devices/char/vsock/vsock"

/* Requests of ioctl(); the argument is an unsigned int. */
#define VMCI_IOCTL_VERSION   1972UL
#define VMCI_IOCTL_FAMILY    1976UL
#define VMCI_IOCTL_LOCAL_CID 1977UL

#endif
