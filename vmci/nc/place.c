/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/nc/place.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmci/nc/say.h"
#include "vmci/transport_impl.h"
#include "vmci/vmci_sockets.h"

#define HOST_SIZE 256

static bool has_scheme(const char *text, const char *scheme)
{
    return strncmp(text, scheme, strlen(scheme)) == 0;
}

bool nc_place_is_embedded(const struct nc_place *place)
{
    return place->vmci.transport == &vmci_embedded;
}

bool nc_place_is_kernel(const struct nc_place *place)
{
    return place->vmci.transport == &vmci_kernel;
}

/* HOST:PORT into its parts; brackets around HOST go. False when it has not that form. */
static bool split(const char *text, char host[HOST_SIZE], const char **port)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;

    if (!colon || colon[1] == '\0' || length >= HOST_SIZE)
        return false;
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    } else if (memchr(text, ':', length)) {
        return false; /* whose colon is whose? */
    }
    memcpy(host, text, length);
    host[length] = '\0';
    *port = colon + 1;
    return true;
}

static int parse_internet(struct nc_place *place, const char *text, enum nc_use use,
                          const struct vmci_err *err)
{
    const struct addrinfo hints = {.ai_socktype = place->type,
                                   .ai_flags = AI_NUMERICSERV | (use == NC_LISTEN ? AI_PASSIVE : 0)};
    char host[HOST_SIZE];
    const char *port;
    bool any;
    int rc;

    if (!split(text, host, &port))
        return vmci_fail(err, -EINVAL, "%s: expected HOST:PORT, or [ADDRESS]:PORT for IPv6", place->text);
    any = host[0] == '\0' || strcmp(host, "*") == 0;
    if (any && use == NC_CONNECT)
        return vmci_fail(err, -EINVAL, "%s: expected a host to connect to", place->text);
    rc = getaddrinfo(any ? NULL : host, port, &hints, &place->addresses);
    if (rc != 0)
        return vmci_fail(err, -EINVAL, "%s: %s", place->text, gai_strerror(rc));
    return 0;
}

static int parse_path(struct nc_place *place, const char *path, const struct vmci_err *err)
{
    const size_t length = strlen(path);

    if (length == 0 || length >= sizeof(place->path.sun_path))
        return vmci_fail(err, -EINVAL, "%s: expected a path of at most %zu bytes", place->text,
                         sizeof(place->path.sun_path) - 1);
    place->path.sun_family = AF_UNIX;
    memcpy(place->path.sun_path, path, length + 1);
    place->local = (struct addrinfo){.ai_family = AF_UNIX,
                                     .ai_socktype = place->type,
                                     .ai_addr = (struct sockaddr *)&place->path,
                                     .ai_addrlen = sizeof(place->path)};
    place->addresses = &place->local;
    return 0;
}

static int parse_vmci(struct nc_place *place, const char *text, enum nc_use use, const struct vmci_err *err)
{
    int rc;

    if (!has_scheme(text, "vsock:") && !has_scheme(text, "embedded:") && !has_scheme(text, "hybrid:"))
        return vmci_fail(err, -EINVAL,
                         "\"%s\": expected vsock:CID:PORT, embedded:CID:PORT, hybrid:PATH:PORT, "
                         "tcp:HOST:PORT, udp:HOST:PORT or unix:PATH",
                         text);
    rc = vmci_endpoint_parse(&place->vmci, text, err->text, err->size);
    if (rc == 0 && place->type == SOCK_DGRAM && has_scheme(text, "hybrid:"))
        return vmci_fail(err, -EINVAL, "%s: hybrid sockets know no datagrams", text);
    if (rc < 0)
        return rc;
    return use == NC_LISTEN ? vmci_endpoint_can_listen(&place->vmci, err->text, err->size)
                            : vmci_endpoint_can_connect(&place->vmci, err->text, err->size);
}

int nc_place_parse(struct nc_place *place, const char *text, int type, enum nc_use use,
                   const struct vmci_err *err)
{
    *place = (struct nc_place){.type = type};
    if (snprintf(place->text, sizeof(place->text), "%s", text) >= (int)sizeof(place->text))
        return vmci_fail(err, -EINVAL, "an endpoint of more than %zu bytes", sizeof(place->text) - 1);
    if (has_scheme(text, "tcp:") && type == SOCK_DGRAM)
        return vmci_fail(err, -EINVAL, "%s: TCP knows no datagrams (-u)", text);
    if (has_scheme(text, "udp:") && type == SOCK_STREAM)
        return vmci_fail(err, -EINVAL, "%s: UDP goes with -u only", text);
    if (has_scheme(text, "tcp:") || has_scheme(text, "udp:"))
        return parse_internet(place, text + strlen("tcp:"), use, err);
    if (has_scheme(text, "unix:"))
        return parse_path(place, text + strlen("unix:"), err);
    return parse_vmci(place, text, use, err);
}

void nc_place_free(struct nc_place *place)
{
    if (place->addresses && place->addresses != &place->local)
        freeaddrinfo(place->addresses);
    place->addresses = NULL;
}

static void vsock_name(const struct sockaddr_storage *address, char name[NC_NAME_SIZE])
{
    struct sockaddr_vm vm;

    memcpy(&vm, address, sizeof(vm));
    (void)snprintf(name, NC_NAME_SIZE, "CID %u port %u", vm.svm_cid, vm.svm_port);
}

static void path_name(const struct sockaddr_storage *address, socklen_t length, char name[NC_NAME_SIZE])
{
    struct sockaddr_un path;

    memcpy(&path, address, sizeof(path));
    if (length <= offsetof(struct sockaddr_un, sun_path) || path.sun_path[0] == '\0')
        (void)snprintf(name, NC_NAME_SIZE, "an unnamed socket");
    else
        (void)snprintf(name, NC_NAME_SIZE, "%.*s", (int)sizeof(path.sun_path), path.sun_path);
}

void nc_address_name(const struct sockaddr_storage *address, socklen_t length, char name[NC_NAME_SIZE])
{
    char host[HOST_SIZE];
    char port[sizeof("65535")];

    if (address->ss_family == AF_UNIX)
        path_name(address, length, name);
    else if (address->ss_family != AF_INET && address->ss_family != AF_INET6)
        vsock_name(address, name);
    else if (getnameinfo((const struct sockaddr *)address, length, host, sizeof(host), port, sizeof(port),
                         NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        (void)snprintf(name, NC_NAME_SIZE, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    else
        (void)snprintf(name, NC_NAME_SIZE, "an unknown address");
}

/* The API's functions ask the environment which sockets are meant; here the endpoint says it. */
static void note_properties(const char *transport)
{
    char version[sizeof("255.255.65535")] = "unknown";
    char cid[sizeof("4294967295")] = "unknown";
    unsigned number;

    (void)setenv("VMCI_TRANSPORT", transport, 1);
    number = VMCISock_Version();
    if (number != VMCI_SOCKETS_INVALID_VERSION)
        (void)snprintf(version, sizeof(version), "%u.%u.%u", VMCI_SOCKETS_VERSION_EPOCH(number),
                       VMCI_SOCKETS_VERSION_MAJOR(number), VMCI_SOCKETS_VERSION_MINOR(number));
    number = VMCISock_GetLocalCID();
    if (number != VMADDR_CID_ANY)
        (void)snprintf(cid, sizeof(cid), "%u", number);
    nc_note("transport %s, family %d, local CID %s, version %s", transport, VMCISock_GetAFValue(), cid,
            version);
}

void nc_place_note(const struct nc_place *place)
{
    if (nc_place_is_embedded(place))
        note_properties("embedded");
    else if (nc_place_is_kernel(place))
        note_properties("kernel");
    else if (place->vmci.transport)
        nc_note("transport hybrid, family %d (Unix sockets), no local CID, no version", AF_UNIX);
}
