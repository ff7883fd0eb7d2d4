/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/upstream_url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* User and vhost are short strings in the handshake; a password that is longer is a mistake. */
#define PART_MAX 255

struct why {
    char *text;
    size_t size;
};

static int refuse(const struct why *why, const char *text)
{
    snprintf(why->text, why->size, "%s", text);
    return -EINVAL;
}

static const struct {
    const char *prefix;
    enum upstream_kind kind;
    const char *port; /* unless given; NULL: it must be */
} schemes[] = {
    {"tunnel://", UPSTREAM_TUNNEL, NULL},
    {"amqp://", UPSTREAM_AMQP, "5672"},
    {"amqps://", UPSTREAM_AMQPS, "5671"},
};

/* ── Percent-encoding (RFC 3986, section 2.1) ── */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte at *at, which moves on; 0: it is none. */
static char take_byte(const char **at, const char *end)
{
    int high, low;

    if (**at != '%')
        return *(*at)++;
    high = end - *at > 2 ? hex_digit((*at)[1]) : -1;
    low = high >= 0 ? hex_digit((*at)[2]) : -1;
    *at += 3;
    return low >= 0 ? (char)(high * 16 + low) : '\0';
}

/* Decodes [at, end) into a new string. 0, -EINVAL or -ENOMEM. */
static int decode(const char *at, const char *end, char **decoded, const struct why *why)
{
    char *out = malloc((size_t)(end - at) + 1);
    size_t n = 0;

    if (out == NULL)
        return -ENOMEM;
    *decoded = out;
    while (at < end) {
        out[n] = take_byte(&at, end);
        if (out[n++] == '\0')
            return refuse(why, "a % in user, password and vhost takes two hexadecimal digits, and not 00");
    }
    out[n] = '\0';
    if (n > PART_MAX)
        return refuse(why, "user, password and vhost have at most 255 bytes each");
    return 0;
}

/* ── The parts ── */

static int parse_user(struct upstream_url *url, const char *at, const char *end, const struct why *why)
{
    const char *colon = memchr(at, ':', (size_t)(end - at));
    int rc = decode(at, colon != NULL ? colon : end, &url->user, why);

    if (rc == 0 && colon != NULL)
        rc = decode(colon + 1, end, &url->password, why);
    if (rc == 0 && url->user[0] == '\0')
        rc = refuse(why, "no user before the @");
    return rc;
}

/* Is there a port behind the host? "[::1]" has colons of its own. */
static bool has_port(const char *host)
{
    const char *bracket = strrchr(host, ']');

    return strchr(bracket != NULL ? bracket : host, ':') != NULL;
}

static int parse_node(struct upstream_url *url, const char *at, size_t len, const char *port,
                      const struct why *why)
{
    char text[NET_NAME_MAX];
    struct net_address address;
    int rc;

    if (len + sizeof(":65535") > sizeof(text))
        return refuse(why, "a host name is too long");
    memcpy(text, at, len);
    text[len] = '\0';
    if (port != NULL && !has_port(text))
        snprintf(text + len, sizeof(text) - len, ":%s", port);
    rc = net_address_parse(&address, text, why->text, why->size);
    if (rc == 0 && address.kind == NET_TCP && address.port == 0)
        rc = refuse(why, "nobody can be reached at port 0");
    return rc < 0 ? rc : node_set_add(&url->nodes, &address);
}

/* A node of a broker. */
static int parse_broker(struct upstream_url *url, const char *at, size_t len, const char *port,
                        const struct why *why)
{
    static const char unix_prefix[] = "unix:";

    if (len == 0 || (*at == ':' && memchr(at + 1, ':', len - 1) == NULL))
        return refuse(why, "a host is missing");
    if (len >= sizeof(unix_prefix) - 1 && memcmp(at, unix_prefix, sizeof(unix_prefix) - 1) == 0)
        return refuse(why, "a broker's nodes are reached over TCP, not by a Unix socket");
    return parse_node(url, at, len, port, why);
}

/* What is behind tunnel://. */
static int parse_tunnel(struct upstream_url *url, const char *at, const struct why *why)
{
    if (strncmp(at, "unix:", strlen("unix:")) != 0 && strpbrk(at, ",/@?") != NULL)
        return refuse(why, "behind tunnel:// stands one HOST:PORT, an AMQP proxy's, and nothing else");
    return parse_node(url, at, strlen(at), NULL, why);
}

static int parse_nodes(struct upstream_url *url, const char *at, const char *end, const char *port,
                       const struct why *why)
{
    int rc = 0;

    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *until = comma != NULL ? comma : end;

        rc = parse_broker(url, at, (size_t)(until - at), port, why);
        if (rc < 0 || comma == NULL)
            return rc;
        at = comma + 1;
    }
}

/* What is behind amqp://. */
static int parse_amqp(struct upstream_url *url, const char *at, const char *port, const struct why *why)
{
    const char *slash = strchr(at, '/');
    const char *end = slash != NULL ? slash : at + strlen(at);
    const char *host = memchr(at, '@', (size_t)(end - at));
    int rc = 0;

    if (strstr(at, "://") != NULL)
        return refuse(why, "the scheme stands once, before all hosts");
    if (strpbrk(at, "?#") != NULL)
        return refuse(
            why, "nothing may follow the vhost; ? and # in it, and in a password, are written %3F and %23");
    if (strchr(end, '@') != NULL)
        return refuse(why, "a / in user or password is written %2F, an @ in a vhost %40");
    if (host != NULL && memchr(host + 1, '@', (size_t)(end - host - 1)) != NULL)
        return refuse(why, "user and password stand once, before all hosts; an @ in them is written %40");
    if (host != NULL)
        rc = parse_user(url, at, host, why);
    if (rc == 0)
        rc = parse_nodes(url, host != NULL ? host + 1 : at, end, port, why);
    if (rc < 0 || slash == NULL)
        return rc;
    if (slash[1] == '\0')
        return refuse(why, "a vhost is missing behind the /; the vhost \"/\" is written %2F");
    if (strchr(slash + 1, '/') != NULL)
        return refuse(why, "a / in a password, user or vhost is written %2F");
    return decode(slash + 1, slash + 1 + strlen(slash + 1), &url->vhost, why);
}

int upstream_url_parse(struct upstream_url *url, const char *text, char *why, size_t why_size)
{
    const struct why reason = {why, why_size};
    int rc = -EINVAL;

    *url = (struct upstream_url){0};
    snprintf(why, why_size, "it begins neither with tunnel:// nor with amqp:// or amqps://");
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        const char *rest = text + strlen(schemes[i].prefix);

        if (strncmp(text, schemes[i].prefix, strlen(schemes[i].prefix)) != 0)
            continue;
        url->kind = schemes[i].kind;
        rc = url->kind == UPSTREAM_TUNNEL ? parse_tunnel(url, rest, &reason)
                                          : parse_amqp(url, rest, schemes[i].port, &reason);
    }
    if (rc < 0)
        upstream_url_deinit(url);
    return rc;
}

void upstream_url_deinit(struct upstream_url *url)
{
    if (url->password != NULL)
        explicit_bzero(url->password, strlen(url->password));
    free(url->user);
    free(url->password);
    free(url->vhost);
    node_set_deinit(&url->nodes);
    *url = (struct upstream_url){0};
}
