/* SPDX-License-Identifier: Apache-2.0 */
/* The text that goes with an -errno: what was wrong, and what was expected. */
#ifndef VMCI_ERROR_H
#define VMCI_ERROR_H

#include <stddef.h>

/* Where the caller of the library wants the text; one pointer through all inner calls. */
struct vmci_err {
    char *text; /* may be NULL when size is 0 */
    size_t size;
};

/* Writes the text, cut to what fits, and returns rc: `return vmci_fail(err, -EACCES, "…", …);` */
int vmci_fail(const struct vmci_err *err, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "what: strerror(-rc)" as the text, returns rc. */
int vmci_fail_errno(const struct vmci_err *err, int rc, const char *what);

#endif
