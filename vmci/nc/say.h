/* SPDX-License-Identifier: Apache-2.0 */
/* What vmci-nc tells on standard error, one line each, after its name. */
#ifndef VMCI_NC_SAY_H
#define VMCI_NC_SAY_H

#include <stdbool.h>

/* With -v. Set once, before all else. */
void nc_say_verbosely(bool verbose);

/* A failure. */
void nc_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An event that only -v wants to know. */
void nc_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
