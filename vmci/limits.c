/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "vmci/fabric.h"

#define NOTE_SIZE 64 /* three numbers of up to 20 digits would not fit, and are cut before */

static void fit(struct vmci_limits *limits)
{
    limits->size = MAX(MIN(limits->size, limits->max), limits->min);
}

void vmci_limits_set_size(struct vmci_limits *limits, uint64_t size)
{
    limits->size = size;
    fit(limits);
}

void vmci_limits_set_min(struct vmci_limits *limits, uint64_t min)
{
    limits->min = min;
    fit(limits);
}

void vmci_limits_set_max(struct vmci_limits *limits, uint64_t max)
{
    limits->max = max;
    fit(limits);
}

uint32_t vmci_limits_proposal(const struct vmci_limits *client)
{
    return (uint32_t)MIN(client->size, VMCI_PROPOSAL_MAX);
}

uint64_t vmci_limits_answer(const struct vmci_limits *server, uint32_t proposal)
{
    return proposal >= server->min && proposal <= server->max ? proposal : server->size;
}

bool vmci_limits_takes(const struct vmci_limits *client, uint64_t answer)
{
    /* What was cut from the proposal is no reason to refuse it. */
    return answer >= MIN(client->min, VMCI_PROPOSAL_MAX) && answer <= client->max;
}

static void note_name(uint32_t port, char name[VMCI_FABRIC_NAME_SIZE])
{
    (void)snprintf(name, VMCI_FABRIC_NAME_SIZE, "%u.buffer", port);
}

static bool is_default(const struct vmci_limits *limits)
{
    const struct vmci_limits defaults = VMCI_LIMITS_DEFAULT;

    return limits->size == defaults.size && limits->min == defaults.min && limits->max == defaults.max;
}

int vmci_limits_publish(const struct vmci_folder *folder, uint32_t port, const struct vmci_limits *limits)
{
    char name[VMCI_FABRIC_NAME_SIZE];
    char text[NOTE_SIZE];

    note_name(port, name);
    if (is_default(limits)) {
        vmci_folder_remove(folder, name);
        return 0;
    }
    (void)snprintf(text, sizeof(text), "%" PRIu64 ":%" PRIu64 ":%" PRIu64, MIN(limits->size, UINT32_MAX),
                   MIN(limits->min, UINT32_MAX), MIN(limits->max, UINT32_MAX));
    return vmci_folder_note(folder, name, text);
}

void vmci_limits_retract(const struct vmci_folder *folder, uint32_t port)
{
    char name[VMCI_FABRIC_NAME_SIZE];

    note_name(port, name);
    vmci_folder_remove(folder, name);
}

void vmci_limits_look_up(const struct vmci_fabric *fabric, uint32_t cid, uint32_t port,
                         struct vmci_limits *limits)
{
    char path[VMCI_FABRIC_CID_SIZE + VMCI_FABRIC_NAME_SIZE];
    char text[NOTE_SIZE] = "";
    struct vmci_limits read = {0};
    ssize_t length;

    *limits = VMCI_LIMITS_DEFAULT;
    (void)snprintf(path, sizeof(path), "%u/%u.buffer", cid, port);
    length = readlinkat(fabric->fd, path, text, sizeof(text) - 1);
    if (length > 0 &&
        sscanf(text, "%10" SCNu64 ":%10" SCNu64 ":%10" SCNu64, &read.size, &read.min, &read.max) == 3)
        *limits = read;
}
