/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and addresses in texts: endpoints, environment variables, names of sockets. */
#ifndef VMCI_ENDPOINT_H
#define VMCI_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "vmci/error.h"
#include "vmci/transport.h"

#define VMCI_CID_LOCAL   1U /* the machine itself, whatever its CID */
#define VMCI_GUEST_MIN   3U /* 0 hypervisor, 1 local, 2 host */
#define VMCI_LAST_NUMBER (UINT32_MAX - 1U)
#define VMCI_PORT_FIRST  1024U /* below it a port needs the privilege */

/* Can this CID be a virtual machine's? */
static inline bool vmci_cid_is_guest(uint32_t cid)
{
    return cid >= VMCI_GUEST_MIN && cid <= VMCI_LAST_NUMBER;
}

/* Exactly the decimal digits of [text, text + length), as printf would write them: no sign, no leading zero,
 * no space, at most VMCI_LAST_NUMBER. One number has one spelling, so that one port has one name. */
bool vmci_parse_number(const char *text, size_t length, uint32_t *value);

/* PORT, from 1. 0 or -EINVAL. */
int vmci_parse_port(const char *text, uint32_t *port, const struct vmci_err *err);

/* CID:PORT or any:PORT into endpoint; `expected` is quoted in the error. 0 or -EINVAL. */
int vmci_parse_address(struct vmci_endpoint *endpoint, const char *text, const char *expected,
                       const struct vmci_err *err);

#endif
