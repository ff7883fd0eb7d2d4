/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the four programs of the VMCI Sockets Programming Guide (chapters 3 and 4) include. They are built
 * twice: with vmci_sockets.h and libvmci, and with what plain Linux has (GUIDE_PLAIN), to be run with the
 * preload library.
 */
#ifndef GUIDE_H
#define GUIDE_H

#ifdef GUIDE_PLAIN

#include <sys/socket.h>

#include <linux/vm_sockets.h>

#define VMCISock_GetAFValue() AF_VSOCK
#define SO_VMCI_BUFFER_SIZE   SO_VM_SOCKETS_BUFFER_SIZE

#else

#include "vmci_sockets.h"

#endif

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFSIZE 4096

/* A CID or port of the command line; "any" is the highest number, as VMADDR_CID_ANY and VMADDR_PORT_ANY are.
 */
static inline unsigned number(const char *text)
{
    return strcmp(text, "any") == 0 ? -1U : (unsigned)strtoul(text, NULL, 10);
}

#endif
