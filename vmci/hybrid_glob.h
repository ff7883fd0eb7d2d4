/* SPDX-License-Identifier: Apache-2.0 */
/* The path of hybrid endpoints, with wildcards: one pattern per component, matched as the shell does
 * (fnmatch). */
#ifndef VMCI_HYBRID_GLOB_H
#define VMCI_HYBRID_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "vmci/error.h"
#include "vmci/transport.h"

#define VMCI_GLOB_DEPTH 24

struct vmci_glob {
    char text[VMCI_ENDPOINT_PATH_SIZE]; /* the path, cut into strings */
    size_t start[VMCI_GLOB_DEPTH];      /* where each component starts in it */
    size_t depth;                       /* how many there are, at least one */
    size_t first_wild;                  /* the first with a wildcard; depth when there is none */
};

/* Takes an absolute path apart. 0, or -EINVAL for one that is relative, has empty, `.` or `..` components, or
 * is too long or deep. */
int vmci_glob_compile(struct vmci_glob *glob, const char *path, const struct vmci_err *err);

const char *vmci_glob_part(const struct vmci_glob *glob, size_t level);
bool vmci_glob_is_wild(const struct vmci_glob *glob, size_t level);
bool vmci_glob_matches(const struct vmci_glob *glob, size_t level, const char *name);

/* What the wildcards of that level matched in `name`, which matches: the part under the `*` when the pattern
 * has but one wildcard, otherwise all of it. Points into name. */
void vmci_glob_matched(const struct vmci_glob *glob, size_t level, const char *name, const char **start,
                       size_t *length);

#endif
