/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/config.h"

#include "mux/frame.h"
#include "mux/uv/tls.h"
#include "service/daemon.h"
#include "vmci/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_guests(const char *value, char *why, size_t why_size)
{
    struct vmci_endpoint endpoint;
    int rc = vmci_endpoint_parse(&endpoint, value, why, why_size);

    return rc < 0 ? rc : vmci_endpoint_can_listen(&endpoint, why, why_size);
}

static int check_upstream(const char *value, char *why, size_t why_size)
{
    struct upstream_url url;
    int rc = upstream_url_parse(&url, value, why, why_size);

    if (rc == 0)
        upstream_url_deinit(&url);
    return rc;
}

static int check_queue_type(const char *value, char *why, size_t why_size)
{
    if (strcmp(value, "classic") == 0 || strcmp(value, "quorum") == 0 || strcmp(value, "stream") == 0)
        return 0;
    snprintf(why, why_size, "RabbitMQ has no such type: expected classic, quorum or stream");
    return -EINVAL;
}

static const struct config_choice host_on_stop_choices[] = {
    {"handover", HOST_ON_STOP_HANDOVER}, {"close", HOST_ON_STOP_CLOSE}, {NULL, 0}};
static const struct config_choice identity_choices[] = {
    {"client", HOST_IDENTITY_CLIENT}, {"fixed", HOST_IDENTITY_FIXED}, {NULL, 0}};
static const struct config_choice connections_choices[] = {{"1", HOST_CONNECTIONS_ONE},
                                                           {"per-guest", HOST_CONNECTIONS_PER_GUEST},
                                                           {"split", HOST_CONNECTIONS_SPLIT},
                                                           {NULL, 0}};

static const struct config_setting settings[] = {
    CONFIG_LIST(struct host_config, guests, .name = "guests", .initial = "vsock:any:5672",
                .metavar = "ENDPOINT", .check = check_guests,
                .help = "where guests connect: vsock:any:PORT, embedded:PORT or hybrid:GLOB:PORT"),
    CONFIG_STRING(struct host_config, upstream, .name = "upstream", .required = true, .secret = true,
                  .metavar = "URL", .check = check_upstream,
                  .help = "where all sessions go: tunnel://HOST:PORT, an AMQP proxy; or direct mode, "
                          "amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][,HOST...][/VHOST], the nodes of a broker"),
    CONFIG_STRING(struct host_config, password_file, .name = "password-file", .metavar = "FILE",
                  .help = "direct mode: the upstream's password is the first line of this file, and in no "
                          "list of processes"),
    CONFIG_STRING(struct host_config, tls_ca, .name = "tls-ca", .metavar = "FILE",
                  .help = "amqps: the authorities, in PEM, one of which must have signed the nodes' "
                          "certificates (otherwise the system's)"),
    CONFIG_STRING(struct host_config, tls_cert, .name = "tls-cert", .metavar = "FILE",
                  .help = "amqps: a certificate to show to the nodes, in PEM, with its chain"),
    CONFIG_STRING(struct host_config, tls_key, .name = "tls-key", .metavar = "FILE",
                  .help = "amqps: its key (otherwise in tls-cert)"),
    CONFIG_STRING(struct host_config, fabric, .name = "fabric", .metavar = "DIR",
                  .help = "embedded: the fabric's folder (otherwise $VMCI_FABRIC, or amqp-vsock/fabric in "
                          "the runtime folder)"),
    CONFIG_STRING(struct host_config, name, .name = "name", .metavar = "NAME", .check = service_name_check,
                  .help = "what this host calls itself (otherwise its host name)"),
    CONFIG_SIZE(struct host_config, window_bytes, .name = "window", .initial = "1M",
                .min = MUX_INITIAL_CREDIT, .max = 64u << 20,
                .help = "most that may wait here for one session's guest"),
    CONFIG_UNSIGNED(struct host_config, max_sessions, .name = "max-sessions", .initial = "20000", .min = 1,
                    .max = 1000000, .help = "sessions at once, of all guests"),
    CONFIG_UNSIGNED(struct host_config, max_sessions_per_guest, .name = "max-sessions-per-guest",
                    .initial = "10000", .min = 1, .max = 1000000, .help = "sessions at once, of one guest"),
    CONFIG_DURATION(struct host_config, handshake_timeout_ms, .name = "handshake-timeout", .initial = "10s",
                    .min = 100, .max = 3600000,
                    .help = "how long a guest's stream may take to open its session"),
    CONFIG_DURATION(struct host_config, guest_idle_timeout_ms, .name = "guest-idle-timeout", .initial = "60s",
                    .min = 1000, .max = 86400000, .help = "when a silent guest's stream is given up"),
    CONFIG_ENUM(struct host_config, on_stop, .name = "on-stop", .initial = "handover",
                .choices = host_on_stop_choices,
                .help = "what SIGTERM means for sessions: handover leaves them to resume through this host "
                        "proxy's successor, close ends them; direct mode always ends them"),
    CONFIG_DURATION(struct host_config, ping_interval_ms, .name = "ping-interval", .initial = "5s",
                    .min = 100, .max = 3600000, .help = "how often an idle link is checked"),
    CONFIG_DURATION(struct host_config, ping_timeout_ms, .name = "ping-timeout", .initial = "5s", .min = 100,
                    .max = 3600000, .help = "how long a check may remain without an answer"),
    CONFIG_ENUM(struct host_config, identity, .name = "identity", .initial = "client",
                .choices = identity_choices,
                .help = "direct mode: client logs in with each client's own user and password; fixed with "
                        "those of the upstream for all, whatever they say"),
    CONFIG_ENUM(struct host_config, connections, .name = "connections", .initial = "1",
                .choices = connections_choices,
                .help = "direct mode: 1 connection for all who log in alike, one per-guest, or split: a "
                        "second one for publishing, so that a broker that takes no publishes still takes "
                        "acknowledgements"),
    CONFIG_LIST(struct host_config, exchange_types, .name = "exchange-type", .metavar = "TYPE",
                .help = "direct mode: an exchange type of a plugin that guests may declare"),
    CONFIG_LIST(struct host_config, queue_types, .name = "queue-type", .metavar = "TYPE",
                .check = check_queue_type,
                .help = "direct mode: a type of queues that guests may declare: classic, quorum or stream "
                        "(otherwise all)"),
    CONFIG_UNSIGNED(struct host_config, channels_per_session, .name = "channels-per-session",
                    .initial = "2047", .min = 1, .max = 65535,
                    .help = "direct mode: channels that one client may have open"),
    CONFIG_UNSIGNED(struct host_config, exclusive_queues_per_session, .name = "exclusive-queues-per-session",
                    .initial = "1024", .min = 1, .max = 1000000,
                    .help = "direct mode: exclusive queues that one client may have"),
    CONFIG_UNSIGNED(
        struct host_config, prefetch, .name = "prefetch", .initial = "250", .min = 1, .max = 65535,
        .help = "direct mode: messages on their way to a consumer that wants no acknowledgements; "
                "one that wants more begins with as many"),
    CONFIG_UNSIGNED(
        struct host_config, prefetch_wide, .name = "prefetch-wide", .initial = "2000", .min = 1, .max = 65535,
        .help = "direct mode: most messages that a consumer may have unacknowledged which can't be "
                "replaced by one with more, such as an exclusive one"),
    CONFIG_SIZE(struct host_config, body_max_bytes, .name = "body-max", .initial = "128M", .min = 1,
                .help = "direct mode: size of a message that a client may publish"),
    CONFIG_SIZE(struct host_config, publish_memory_bytes, .name = "publish-memory", .initial = "256M",
                .min = 1u << 20,
                .help = "direct mode: most that waits for one broker connection to take it; past that "
                        "clients are not read"),
    CONFIG_SIZE(struct host_config, session_publish_memory_bytes, .name = "session-publish-memory",
                .initial = "4M", .min = 1u << 16, .help = "direct mode: likewise of one client"),
    CONFIG_SIZE(struct host_config, session_delivery_memory_bytes, .name = "session-delivery-memory",
                .initial = "64M", .min = 1u << 20,
                .help = "direct mode: most that waits for one client to read it; past that its connection "
                        "is closed"),
    CONFIG_SIZE(struct host_config, delivery_memory_bytes, .name = "delivery-memory", .initial = "1G",
                .min = 1u << 20,
                .help = "direct mode: likewise of all clients of one broker connection; past that the one "
                        "with the most is closed"),
    CONFIG_DURATION(struct host_config, heartbeat_ms, .name = "heartbeat", .initial = "60s", .min = 1000,
                    .max = 65535000, .help = "direct mode: AMQP heartbeats with clients"),
    CONFIG_DURATION(struct host_config, broker_heartbeat_ms, .name = "broker-heartbeat", .initial = "10s",
                    .min = 1000, .max = 65535000,
                    .help =
                        "direct mode: AMQP heartbeats with the broker; a node that was silent for twice as "
                        "long is lost"),
    CONFIG_DURATION(
        struct host_config, broker_timeout_ms, .name = "broker-timeout", .initial = "5s", .min = 100,
        .max = 600000,
        .help = "direct mode: how long one node may take to accept a connection, and to go on with its "
                "handshake at each step"),
    CONFIG_DURATION(struct host_config, broker_wait_ms, .name = "broker-wait", .initial = "10s", .min = 100,
                    .max = 600000,
                    .help = "direct mode: how long a client that logs in waits for a node to be reachable"),
    CONFIG_DURATION(
        struct host_config, verify_logins_ms, .name = "verify-logins", .initial = "60s", .max = 86400000,
        .help = "direct mode: how long a user's password is good once the broker has accepted it; "
                "0: the broker is asked at each login"),
    CONFIG_DURATION(struct host_config, verify_queue_types_ms, .name = "verify-queue-types", .initial = "1s",
                    .max = 3600000,
                    .help =
                        "direct mode: how long the type of a queue is believed once the broker has told it; "
                        "0: it is asked before each command that the type matters for, such as basic.get"),
    CONFIG_DURATION(struct host_config, detach_timeout_ms, .name = "detach-timeout", .initial = "60s",
                    .min = 100, .max = 86400000,
                    .help = "direct mode: how long a session whose guest stream broke waits to be resumed"),
    CONFIG_SIZE(struct host_config, detached_memory_bytes, .name = "detached-memory", .initial = "256M",
                .min = 0,
                .help = "direct mode: most that all detached sessions together may hold; beyond it the "
                        "longest detached end"),
    CONFIG_DURATION(struct host_config, totals_interval_ms, .name = "totals-interval", .initial = "60s",
                    .max = 86400000,
                    .help = "direct mode: how often the counters are logged, when they changed; 0: only at "
                            "the end"),
    SERVICE_SETTINGS(struct host_config, service),
    CONFIG_END,
};

static const struct config_setting vm_settings[] = {
    CONFIG_UNSIGNED(struct host_vm_config, cid, .name = "cid", .required = true, .min = 3,
                    .max = UINT32_MAX - 1, .metavar = "N", .help = "its context id"),
    CONFIG_END,
};

static const struct config_section sections[] = {
    CONFIG_SECTION(struct host_config, vms, vms_count, struct host_vm_config, name, .name = "vm",
                   .metavar = "NAME", .help = "a machine of a hybrid transport", .settings = vm_settings),
    {.name = NULL},
};

/* ── The whole ── */

/* The first line, without its end; NULL: errno says why. */
static char *read_password(const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;

    if (file == NULL)
        return NULL;
    if (getline(&line, &size, file) < 0) {
        free(line);
        line = strdup("");
    }
    if (line != NULL)
        line[strcspn(line, "\r\n")] = '\0';
    fclose(file);
    return line;
}

/* What a fixed identity needs. 0, or -EINVAL and why. */
static int complete_login(const struct host_config *config, struct upstream_url *url, char *why,
                          size_t why_size)
{
    if (config->password_file != NULL && url->password != NULL) {
        snprintf(why, why_size, "there is a password in the upstream and a password-file");
        return -EINVAL;
    }
    if (config->password_file != NULL) {
        url->password = read_password(config->password_file);
        if (url->password == NULL) {
            snprintf(why, why_size, "can't read the password from %s: %s", config->password_file,
                     strerror(errno));
            return -EINVAL;
        }
    }
    if (url->user != NULL && url->password != NULL && url->password[0] != '\0')
        return 0;
    snprintf(why, why_size,
             "identity = fixed needs a user in the upstream, and a password there or in a "
             "password-file");
    return -EINVAL;
}

int host_upstream(const struct host_config *config, struct upstream_url *url, char *why, size_t why_size)
{
    int rc = upstream_url_parse(url, config->upstream, why, why_size);

    if (rc < 0 || url->kind == UPSTREAM_TUNNEL)
        return rc;
    rc = -EINVAL;
    if (config->identity == HOST_IDENTITY_FIXED)
        rc = complete_login(config, url, why, why_size);
    else if (url->user != NULL || url->vhost != NULL || config->password_file != NULL)
        snprintf(why, why_size,
                 "with identity = client each client brings its user, password and vhost: the upstream has "
                 "none of them, unless identity = fixed");
    else
        rc = 0;
    if (rc < 0)
        upstream_url_deinit(url);
    return rc;
}

/* Direct mode puts whole frames into a session. */
#define DIRECT_WINDOW_MIN (256u << 10)

static void check_direct(const struct host_config *config, struct config_load *load)
{
    if (config->window_bytes < DIRECT_WINDOW_MIN)
        config_fault(load, "window", "direct mode needs 256k or more");
    if (config->prefetch_wide < config->prefetch)
        config_fault(load, "prefetch-wide", "it must not be less than prefetch, which is %u",
                     config->prefetch);
}

/* Settings that change what an operator relies on, and would be for nothing. */
static void check_tunnel(const struct host_config *config, struct config_load *load)
{
    static const char *const why = "is for direct mode: the upstream is a tunnel";

    if (config->identity == HOST_IDENTITY_FIXED)
        config_fault(load, "identity", "fixed %s", why);
    if (config->connections != HOST_CONNECTIONS_ONE)
        config_fault(load, "connections", "this %s", why);
    if (config->password_file != NULL)
        config_fault(load, "password-file", "this %s", why);
}

static void check_tls(const struct host_config *config, struct config_load *load)
{
    const struct mux_uv_tls_options options = {
        .ca_file = config->tls_ca, .cert_file = config->tls_cert, .key_file = config->tls_key};
    char why[256];
    struct mux_uv_tls *tls = mux_uv_tls_create(&options, why, sizeof(why));

    if (tls == NULL)
        config_fault(load, NULL, "%s", why);
    mux_uv_tls_destroy(tls);
    if (config->tls_key != NULL && config->tls_cert == NULL)
        config_fault(load, "tls-key", "a key is for nothing without tls-cert");
}

static void check_no_tls(const struct host_config *config, struct config_load *load)
{
    static const char *const why = "no TLS is spoken: the upstream does not begin with amqps://";

    if (config->tls_ca != NULL)
        config_fault(load, "tls-ca", "%s", why);
    if (config->tls_cert != NULL)
        config_fault(load, "tls-cert", "%s", why);
    if (config->tls_key != NULL)
        config_fault(load, "tls-key", "%s", why);
}

static void check(const void *loaded, struct config_load *load)
{
    const struct host_config *config = loaded;
    struct upstream_url url;
    char why[256];

    if (host_upstream(config, &url, why, sizeof(why)) < 0) {
        config_fault(load, "upstream", "%s", why);
        return;
    }
    (url.kind == UPSTREAM_TUNNEL ? check_tunnel : check_direct)(config, load);
    (url.kind == UPSTREAM_AMQPS ? check_tls : check_no_tls)(config, load);
    upstream_url_deinit(&url);
}

const struct config_program host_program = {
    .name = "host-proxy",
    .summary = "Accepts the guests of a hypervisor over vsock and takes all their sessions over one link to "
               "the AMQP proxy, or over one AMQP connection to the broker itself.",
    .settings = settings,
    .sections = sections,
    .check = check,
};
