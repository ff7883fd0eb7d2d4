/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt to connect over vmci on an event loop; frees itself when it has ended or was cancelled. */
#ifndef GUEST_PROXY_DIAL_H
#define GUEST_PROXY_DIAL_H

#include "vmci/transport.h"

#include <uv.h>

struct dial;

/* The attempt has ended: a connected descriptor, which is the callee's, or -errno, and then `text` says why.
 */
typedef void (*dialed_fn)(void *ctx, int fd, const char *text);

/*
 * Starts to connect. The callback comes once, from the loop, never from inside this call. `endpoint` and
 * `settings` are copied. Returns NULL when out of memory.
 */
struct dial *dial_start(uv_loop_t *loop, const struct vmci_endpoint *endpoint,
                        const struct vmci_settings *settings, uint64_t timeout_ms, dialed_fn dialed,
                        void *ctx);

/* Give up, any time before the callback, which does not come any more. */
void dial_cancel(struct dial *dial);

#endif
