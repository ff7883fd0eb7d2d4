/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/endpoint.h"

#include <errno.h>
#include <string.h>

#include "vmci/transport_impl.h"

static const struct vmci_transport *const transports[] = {&vmci_kernel, &vmci_embedded, &vmci_hybrid};

bool vmci_parse_number(const char *text, size_t length, uint32_t *value)
{
    uint64_t sum = 0;

    if (length == 0 || length > 10 || (text[0] == '0' && length > 1))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        sum = sum * 10 + (uint64_t)(text[i] - '0');
    }
    if (sum > VMCI_LAST_NUMBER)
        return false;
    *value = (uint32_t)sum;
    return true;
}

int vmci_parse_port(const char *text, uint32_t *port, const struct vmci_err *err)
{
    if (!vmci_parse_number(text, strlen(text), port) || *port == 0)
        return vmci_fail(err, -EINVAL, "port \"%s\": expected a number from 1 to %u", text, VMCI_LAST_NUMBER);
    return 0;
}

int vmci_parse_address(struct vmci_endpoint *endpoint, const char *text, const char *expected,
                       const struct vmci_err *err)
{
    const char *colon = strchr(text, ':');

    if (!colon)
        return vmci_fail(err, -EINVAL, "\"%s\": expected %s", text, expected);
    if (colon - text == 3 && memcmp(text, "any", 3) == 0)
        endpoint->cid = VMCI_CID_ANY;
    else if (!vmci_parse_number(text, (size_t)(colon - text), &endpoint->cid))
        return vmci_fail(err, -EINVAL, "CID \"%.*s\": expected a number up to %u, or any",
                         (int)(colon - text), text, VMCI_LAST_NUMBER);
    return vmci_parse_port(colon + 1, &endpoint->port, err);
}

int vmci_endpoint_parse(struct vmci_endpoint *endpoint, const char *text, char *err, size_t err_size)
{
    const struct vmci_err error = {err, err_size};
    const char *colon = strchr(text, ':');

    memset(endpoint, 0, sizeof(*endpoint));
    endpoint->cid = VMCI_CID_ANY;
    for (size_t i = 0; colon && i < sizeof(transports) / sizeof(transports[0]); i++) {
        const size_t length = strlen(transports[i]->scheme);

        if ((size_t)(colon - text) == length && memcmp(text, transports[i]->scheme, length) == 0) {
            endpoint->transport = transports[i];
            return transports[i]->parse(endpoint, colon + 1, &error);
        }
    }
    return vmci_fail(&error, -EINVAL,
                     "\"%s\": expected vsock:CID:PORT, vsock:any:PORT, embedded:CID:PORT, embedded:PORT or "
                     "hybrid:GLOB:PORT",
                     text);
}

int vmci_endpoint_can_listen(const struct vmci_endpoint *endpoint, char *err, size_t err_size)
{
    const struct vmci_err error = {err, err_size};

    return endpoint->transport->can_listen(endpoint, &error);
}

int vmci_endpoint_can_connect(const struct vmci_endpoint *endpoint, char *err, size_t err_size)
{
    const struct vmci_err error = {err, err_size};

    return endpoint->transport->can_connect(endpoint, &error);
}
