/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of vmci share. Includes cmocka with all it needs. */
#ifndef VMCI_SCRATCH_H
#define VMCI_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/types.h>

#include "vmci/transport.h"

#define NOBODY    65534U /* two users who own nothing, for tests that run as root */
#define DAEMON    1U
#define TEXT_SIZE 512

/* A folder under /tmp, mode 0755, as setup and teardown of a test: *state is its path. All that is in it goes
 * too. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* FOLDER/FORMAT…, in one of a few static buffers: good until a handful of calls later. */
const char *scratch_path(const char *folder, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes folders and files; every failure ends the test. */
void scratch_mkdir(const char *path, mode_t mode, uid_t owner);
int scratch_unix_socket(const char *path, int type); /* bound there, not listening */
int scratch_unix_listener(const char *path);
void scratch_connect(int fd, const char *path);
bool scratch_exists(const char *path);
size_t scratch_count(const char *path); /* entries of a folder */

/* Runs fn in a child, as that user without groups and capabilities (0: as we are), and returns what fn
 * returned, 0 to 125; a child that dies otherwise ends the test. cmocka's asserts do not work in there. */
int scratch_in_child(uid_t uid, int (*fn)(void *arg), void *arg);

/* An endpoint from its text, which must be right. */
struct vmci_endpoint scratch_endpoint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Counts and keeps the last of each kind: for vmci_settings.report, with arg. */
struct scratch_reports {
    unsigned count[VMCI_REPORT_TROUBLE + 1];
    char text[VMCI_REPORT_TROUBLE + 1][TEXT_SIZE];
};
void scratch_report(void *arg, enum vmci_report what, const char *text);

/* Is the descriptor readable within that time? */
bool scratch_readable(int fd, int timeout_ms);

/* Has the stream ended (end of file or reset)? */
bool scratch_ended(int fd);

/* "ping" there, "pong" back: these two are the ends of one stream. */
void scratch_assert_stream(int one, int other);

#endif
