/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of host-proxy. */
#ifndef HOST_PROXY_CONFIG_H
#define HOST_PROXY_CONFIG_H

#include "service/config.h"
#include "service/daemon.h"

/* [vm NAME]: a machine of a hybrid transport, whose CID its socket does not tell. */
struct host_vm_config {
    char *name;
    unsigned cid;
};

enum host_on_stop { HOST_ON_STOP_HANDOVER, HOST_ON_STOP_CLOSE };

struct host_config {
    struct service_settings service;
    struct config_list guests;
    char *upstream;
    char *fabric;
    char *name;
    size_t window_bytes;
    unsigned max_sessions;
    unsigned max_sessions_per_guest;
    uint64_t handshake_timeout_ms;
    uint64_t guest_idle_timeout_ms;
    int on_stop; /* enum host_on_stop */
    uint64_t ping_interval_ms;
    uint64_t ping_timeout_ms;
    struct host_vm_config *vms;
    size_t vms_count;
};

extern const struct config_program host_program;

/* The HOST:PORT of an upstream that the settings' check has passed. */
const char *host_upstream_address(const char *upstream);

#endif
