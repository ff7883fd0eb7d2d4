/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/hybrid_glob.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#define WILDCARDS "*?["

static int add_part(struct vmci_glob *glob, const char *part, const char *path, const struct vmci_err *err)
{
    if (part[0] == '\0' || strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
        return vmci_fail(err, -EINVAL, "path \"%s\": expected no empty, \".\" or \"..\" components", path);
    if (glob->depth == VMCI_GLOB_DEPTH)
        return vmci_fail(err, -EINVAL, "path \"%s\": expected at most %d components", path, VMCI_GLOB_DEPTH);
    glob->start[glob->depth] = (size_t)(part - glob->text);
    if (glob->first_wild == SIZE_MAX && strpbrk(part, WILDCARDS))
        glob->first_wild = glob->depth;
    glob->depth++;
    return 0;
}

int vmci_glob_compile(struct vmci_glob *glob, const char *path, const struct vmci_err *err)
{
    const size_t length = strlen(path);
    char *slash;

    if (path[0] != '/')
        return vmci_fail(err, -EINVAL, "path \"%s\": expected it to start with /", path);
    if (length >= sizeof(glob->text))
        return vmci_fail(err, -EINVAL, "path of %zu bytes: expected at most %zu", length,
                         sizeof(glob->text) - 1);
    memcpy(glob->text, path, length + 1);
    glob->depth = 0;
    glob->first_wild = SIZE_MAX;
    for (char *part = glob->text + 1; part; part = slash ? slash + 1 : NULL) {
        int rc;

        slash = strchr(part, '/');
        if (slash)
            *slash = '\0';
        rc = add_part(glob, part, path, err);
        if (rc < 0)
            return rc;
    }
    if (glob->first_wild == SIZE_MAX)
        glob->first_wild = glob->depth;
    return 0;
}

const char *vmci_glob_part(const struct vmci_glob *glob, size_t level)
{
    return glob->text + glob->start[level];
}

bool vmci_glob_is_wild(const struct vmci_glob *glob, size_t level)
{
    return strpbrk(vmci_glob_part(glob, level), WILDCARDS) != NULL;
}

bool vmci_glob_matches(const struct vmci_glob *glob, size_t level, const char *name)
{
    const char *part = vmci_glob_part(glob, level);

    if (!vmci_glob_is_wild(glob, level))
        return strcmp(part, name) == 0;
    return fnmatch(part, name, FNM_PERIOD | FNM_NOESCAPE) == 0;
}

void vmci_glob_matched(const struct vmci_glob *glob, size_t level, const char *name, const char **start,
                       size_t *length)
{
    const char *part = vmci_glob_part(glob, level);
    const char *wild = strpbrk(part, WILDCARDS);

    *start = name;
    *length = strlen(name);
    if (!wild || *wild != '*' || strpbrk(wild + 1, WILDCARDS))
        return;
    *start += wild - part;
    *length -= strlen(part) - 1;
}
