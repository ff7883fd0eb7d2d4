/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIX_PREFIX "unix:"

struct why {
    char *text;
    size_t size;
};

static __attribute__((format(printf, 2, 3))) int refuse(const struct why *why, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why->text, why->size, format, args);
    va_end(args);
    return -EINVAL;
}

static int parse_unix(struct net_address *address, const char *path, const struct why *why)
{
    if (*path == '\0')
        return refuse(why, "no path behind unix:");
    if (strlen(path) >= sizeof(address->path))
        return refuse(why, "the path is longer than the %zu bytes of a Unix socket's path",
                      sizeof(address->path) - 1);
    address->kind = NET_UNIX;
    strcpy(address->path, path);
    return 0;
}

static int parse_port(struct net_address *address, const char *text, const struct why *why)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || port > UINT16_MAX)
        return refuse(why, "port '%s' is not a number from 0 to 65535", text);
    address->port = (uint16_t)port;
    return 0;
}

static int parse_host(struct net_address *address, const char *host, size_t length, const struct why *why)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

    if (length == 0)
        return refuse(why, "no host before the port; all addresses are 0.0.0.0 or [::]");
    if (memchr(host, ':', length) != NULL && strspn(host, "0123456789abcdefABCDEF.:") >= length)
        return refuse(why, "an IPv6 address goes in brackets: [::1]:5672");
    if (strspn(host, allowed) < length)
        return refuse(why, "'%.*s' is not a host name or address", (int)length, host);
    if (length >= sizeof(address->host))
        return refuse(why, "the host name is longer than %zu bytes", sizeof(address->host) - 1);
    memcpy(address->host, host, length);
    return 0;
}

/* The text between brackets: a number, perhaps with %ZONE. */
static int parse_ipv6(struct net_address *address, const char *host, size_t length, const struct why *why)
{
    struct in6_addr number;

    if (length < sizeof(address->host)) {
        memcpy(address->host, host, length);
        char *zone = strchr(address->host, '%');
        if (zone != NULL)
            *zone = '\0';
        if (inet_pton(AF_INET6, address->host, &number) == 1) {
            if (zone != NULL)
                *zone = '%';
            return 0;
        }
    }
    return refuse(why, "'%.*s' is not an IPv6 address", (int)length, host);
}

static int parse_tcp(struct net_address *address, const char *text, const struct why *why)
{
    const char *colon = strrchr(text, ':');
    int error;

    address->kind = NET_TCP;
    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');
        if (bracket == NULL || bracket[1] != ':')
            return refuse(why, "'%s' is not [ADDRESS]:PORT", text);
        colon = bracket + 1;
        error = parse_ipv6(address, text + 1, (size_t)(bracket - text) - 1, why);
    } else if (colon == NULL) {
        return refuse(why, "'%s' is neither HOST:PORT nor unix:PATH", text);
    } else {
        error = parse_host(address, text, (size_t)(colon - text), why);
    }
    return error != 0 ? error : parse_port(address, colon + 1, why);
}

int net_address_parse(struct net_address *address, const char *text, char *why, size_t why_size)
{
    const struct why reason = {why, why_size};

    memset(address, 0, sizeof(*address));
    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return parse_unix(address, text + strlen(UNIX_PREFIX), &reason);
    return parse_tcp(address, text, &reason);
}

int net_address_check(const char *text, char *why, size_t why_size)
{
    struct net_address address;

    return net_address_parse(&address, text, why, why_size);
}

const char *net_address_name(const struct net_address *address, char *name, size_t size)
{
    if (address->kind == NET_UNIX)
        snprintf(name, size, UNIX_PREFIX "%s", address->path);
    else if (strchr(address->host, ':') != NULL)
        snprintf(name, size, "[%s]:%u", address->host, address->port);
    else
        snprintf(name, size, "%s:%u", address->host, address->port);
    return name;
}

int net_lookup_error(int eai)
{
    static const struct {
        int eai, uv;
    } codes[] = {
        {0, 0},
        {EAI_ADDRFAMILY, UV_EAI_ADDRFAMILY},
        {EAI_AGAIN, UV_EAI_AGAIN},
        {EAI_BADFLAGS, UV_EAI_BADFLAGS},
        {EAI_FAIL, UV_EAI_FAIL},
        {EAI_FAMILY, UV_EAI_FAMILY},
        {EAI_MEMORY, UV_EAI_MEMORY},
        {EAI_NODATA, UV_EAI_NODATA},
        {EAI_NONAME, UV_EAI_NONAME},
        {EAI_SERVICE, UV_EAI_SERVICE},
        {EAI_SOCKTYPE, UV_EAI_SOCKTYPE},
    };

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].eai == eai)
            return codes[i].uv;
    return eai == EAI_SYSTEM ? -errno : UV_EAI_FAIL;
}

void net_unix_sockaddr(const struct net_address *address, struct sockaddr_un *sockaddr)
{
    memset(sockaddr, 0, sizeof(*sockaddr));
    sockaddr->sun_family = AF_UNIX;
    memcpy(sockaddr->sun_path, address->path, sizeof(sockaddr->sun_path));
}

socklen_t net_sockaddr_length(const struct sockaddr *sockaddr)
{
    switch (sockaddr->sa_family) {
    case AF_INET: return sizeof(struct sockaddr_in);
    case AF_INET6: return sizeof(struct sockaddr_in6);
    default: return sizeof(struct sockaddr_un);
    }
}

const char *net_sockaddr_name(const struct sockaddr *sockaddr, char *name, size_t size)
{
    const struct sockaddr_in *in = (const void *)sockaddr;
    const struct sockaddr_in6 *in6 = (const void *)sockaddr;
    const struct sockaddr_un *un = (const void *)sockaddr;
    char number[INET6_ADDRSTRLEN] = "";

    switch (sockaddr->sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &in->sin_addr, number, sizeof(number));
        snprintf(name, size, "%s:%u", number, ntohs(in->sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &in6->sin6_addr, number, sizeof(number));
        snprintf(name, size, "[%s]:%u", number, ntohs(in6->sin6_port));
        break;
    case AF_UNIX:
        snprintf(name, size, "unix%s%.*s", un->sun_path[0] != '\0' ? ":" : "", (int)sizeof(un->sun_path),
                 un->sun_path);
        break;
    default: snprintf(name, size, "?"); break;
    }
    return name;
}

/* A Unix name may fill sun_path to the last byte, without NUL; zeroed storage of the largest kind ends it. */
static const char *socket_name(int fd, int (*get)(int, struct sockaddr *restrict, socklen_t *restrict),
                               char *name, size_t size)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof(storage);

    if (get(fd, (struct sockaddr *)&storage, &length) != 0)
        storage.ss_family = AF_UNSPEC;
    return net_sockaddr_name((struct sockaddr *)&storage, name, size);
}

const char *net_local_name(int fd, char *name, size_t size)
{
    return socket_name(fd, getsockname, name, size);
}

const char *net_peer_name(int fd, char *name, size_t size)
{
    return socket_name(fd, getpeername, name, size);
}

void net_set_nodelay(int fd)
{
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* a Unix socket has no such option */
}
