/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of host-proxy. */
#ifndef HOST_PROXY_CONFIG_H
#define HOST_PROXY_CONFIG_H

#include "host-proxy/upstream_url.h"
#include "service/config.h"
#include "service/daemon.h"

/* [vm NAME]: a machine of a hybrid transport, whose CID its socket does not tell. */
struct host_vm_config {
    char *name;
    unsigned cid;
};

enum host_on_stop { HOST_ON_STOP_HANDOVER, HOST_ON_STOP_CLOSE };

/* Direct mode: as whom host-proxy works at the broker. */
enum host_identity { HOST_IDENTITY_CLIENT, HOST_IDENTITY_FIXED };

/* Direct mode: who shares a connection. */
enum host_connections { HOST_CONNECTIONS_ONE, HOST_CONNECTIONS_PER_GUEST, HOST_CONNECTIONS_SPLIT };

struct host_config {
    struct service_settings service;
    struct config_list guests;
    char *upstream;
    char *password_file;
    char *tls_ca;
    char *tls_cert;
    char *tls_key;
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
    int identity;    /* enum host_identity */
    int connections; /* enum host_connections */
    struct config_list exchange_types;
    struct config_list queue_types;
    unsigned channels_per_session;
    unsigned exclusive_queues_per_session;
    unsigned prefetch;
    unsigned prefetch_wide;
    size_t body_max_bytes;
    size_t publish_memory_bytes;
    size_t session_publish_memory_bytes;
    size_t session_delivery_memory_bytes;
    size_t delivery_memory_bytes;
    uint64_t heartbeat_ms;
    uint64_t broker_heartbeat_ms;
    uint64_t broker_timeout_ms;
    uint64_t broker_wait_ms;
    uint64_t verify_logins_ms;
    uint64_t verify_queue_types_ms;
    uint64_t detach_timeout_ms;
    size_t detached_memory_bytes;
    uint64_t totals_interval_ms;
    struct host_vm_config *vms;
    size_t vms_count;
};

extern const struct config_program host_program;

/*
 * The upstream of settings that were checked, with the password from its file if there is one. 0, or negative
 * with what is wrong in `why`. The caller deinits the URL.
 */
int host_upstream(const struct host_config *config, struct upstream_url *url, char *why, size_t why_size);

#endif
