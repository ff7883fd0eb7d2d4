/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int vmci_fail(const struct vmci_err *err, int rc, const char *format, ...)
{
    va_list args;

    if (err->size == 0)
        return rc;
    va_start(args, format);
    (void)vsnprintf(err->text, err->size, format, args);
    va_end(args);
    return rc;
}

int vmci_fail_errno(const struct vmci_err *err, int rc, const char *what)
{
    return vmci_fail(err, rc, "%s: %s", what, strerror(-rc));
}
