/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmci/interpose/interpose.h"

_Thread_local int interpose_depth;

void *interpose_next(_Atomic(void *) *slot, const char *name)
{
    void *found = atomic_load_explicit(slot, memory_order_acquire);

    if (found)
        return found;
    found = dlsym(RTLD_NEXT, name);
    if (!found) {
        (void)fprintf(stderr, "vmci: %s is in no library after this one\n", name);
        abort();
    }
    atomic_store_explicit(slot, found, memory_order_release);
    return found;
}

bool interpose_wanted(void)
{
#ifdef VMCI_PRELOAD
    const char *transport = getenv("VMCI_TRANSPORT");

    return !transport || strcmp(transport, "kernel") != 0;
#else
    return vmci_socket_fabric_wanted();
#endif
}
