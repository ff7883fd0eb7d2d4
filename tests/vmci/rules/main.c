/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmci-rules embedded|kernel|vmci: the rules of VMCI sockets that a program on one machine can see, with what
 * each transport makes of them. One line per rule; exit code 1 if one does not hold.
 *
 *   embedded   all of them, on a fabric as the host
 *   kernel     streams on mainline Linux with the module vsock_loopback; that there are no datagrams
 *   vmci       datagrams on mainline Linux with the module vmw_vsock_vmci_transport
 *
 * The last two are for a virtual machine: they talk to CID 1, and to CID 2 as one of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

int af;
bool on_kernel;

static const struct set {
    const char *name;
    const char *transport; /* what VMCI_TRANSPORT must say, so that nobody reaches a kernel by mistake */
    const struct rule *rules[6];
} sets[] = {
    {"embedded", "embedded", {name_rules, option_rules, connect_rules, stream_rules, datagram_rules}},
    {"kernel", "kernel", {name_rules, option_rules, connect_rules, stream_rules, absent_datagram_rules}},
    {"vmci", "kernel", {datagram_rules}},
};

static const struct set *find(const char *name)
{
    const char *chosen = getenv("VMCI_TRANSPORT");

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        if (strcmp(sets[i].name, name) == 0 && chosen && strcmp(sets[i].transport, chosen) == 0)
            return &sets[i];
    return NULL;
}

/* How many do not hold. */
static int run(const struct rule *rules)
{
    int broken = 0;

    for (const struct rule *rule = rules; rule->name; rule++) {
        const bool holds = rule->holds();

        printf("%s %s\n", holds ? "ok    " : "BROKEN", rule->name);
        broken += !holds;
    }
    return broken;
}

int main(int argc, char **argv)
{
    const struct set *set = argc == 2 ? find(argv[1]) : NULL;
    int broken = 0;

    if (!set) {
        fprintf(stderr, "usage: VMCI_TRANSPORT=embedded|kernel vmci-rules embedded|kernel|vmci\n");
        return 2;
    }
    on_kernel = strcmp(set->transport, "kernel") == 0;
    af = VMCISock_GetAFValue();
    for (const struct rule *const *rules = set->rules; *rules; rules++)
        broken += run(*rules);
    return broken > 0;
}
