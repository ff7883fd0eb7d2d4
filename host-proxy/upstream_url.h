/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where host-proxy takes the sessions:
 *
 *     tunnel://HOST:PORT
 *     amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...][/VHOST]
 *
 * The second as in RabbitMQ's URI specification, with several hosts: USER, PASSWORD and VHOST are
 * percent-encoded ("%2F" is the vhost "/"), and a vhost that is not given is "/".
 */
#ifndef HOST_PROXY_UPSTREAM_URL_H
#define HOST_PROXY_UPSTREAM_URL_H

#include "service/nodes.h"

#include <stdbool.h>

enum upstream_kind { UPSTREAM_TUNNEL, UPSTREAM_AMQP, UPSTREAM_AMQPS };

struct upstream_url {
    enum upstream_kind kind;
    struct node_set nodes;
    char *user;     /* NULL: not given. Decoded, as the two below */
    char *password; /* likewise */
    char *vhost;    /* likewise */
};

/*
 * 0; -EINVAL with what is wrong in `why`, which never tells of user and password; or -ENOMEM. Nothing is to
 * be freed after an error.
 */
int upstream_url_parse(struct upstream_url *url, const char *text, char *why, size_t why_size);

/* Wipes the password. */
void upstream_url_deinit(struct upstream_url *url);

#endif
