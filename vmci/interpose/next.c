/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmci/interpose/interpose.h"

_Thread_local int interpose_depth;

#define FUNCTION_NAME(function) [NEXT_##function] = #function,
static const char *const names[NEXT_COUNT] = {VMCI_INTERPOSED_FUNCTIONS(FUNCTION_NAME)};
static _Atomic(void *) found[NEXT_COUNT];

/* Other libraries' constructors may call before ours has run. */
static void *look_up(enum interpose_function function)
{
    void *const next = dlsym(RTLD_NEXT, names[function]);

    if (!next) {
        (void)fprintf(stderr, "vmci: %s is in no library after this one\n", names[function]);
        abort();
    }
    atomic_store_explicit(&found[function], next, memory_order_release);
    return next;
}

void *interpose_next(enum interpose_function function)
{
    void *const next = atomic_load_explicit(&found[function], memory_order_acquire);

    return next ? next : look_up(function);
}

__attribute__((constructor)) static void look_all_up(void)
{
    for (int i = 0; i < NEXT_COUNT; i++)
        (void)look_up((enum interpose_function)i);
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
