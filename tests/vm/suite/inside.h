/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the virtual machine share. They use the kernel's AF_VSOCK, and on a machine that is
 * itself virtual that leads to somebody else's hypervisor: so they run in the machine that tests/vm boots, or
 * not at all.
 */
#ifndef VM_INSIDE_H
#define VM_INSIDE_H

#include "tests/unit/vmci/scratch.h"

#define PATIENCE_MS 20000 /* an emulated machine is slow */

/* Ends the program unless it runs in the machine of tests/vm. To be called first in main(). */
void inside_require(void);

/* Listens on a vsock endpoint from its text; every failure ends the test. */
struct vmci_listener *inside_listen(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same with settings; 0 or -errno, the text in inside_err. */
int inside_try_listen(const char *text, const struct vmci_settings *settings,
                      struct vmci_listener **listener);

/* Connects, and waits for the outcome: a descriptor that is the caller's, or -errno, the text in inside_err.
 */
int inside_connect(const char *text, const struct vmci_settings *settings);

/* Waits for a stream and takes it. `peer` may be NULL. */
int inside_accept(struct vmci_listener *listener, struct vmci_peer *peer);

/* Both ends of a stream over vsock:1:PORT, of a listener that is gone again. */
struct inside_pair {
    int client;
    int server;
};
struct inside_pair inside_pair(uint32_t port, const struct vmci_settings *settings);
void inside_pair_close(struct inside_pair *pair);

/* Sends and receives all of it, waiting as needed. inside_recv returns less only at the stream's end. */
void inside_send(int fd, const void *data, size_t size);
size_t inside_recv(int fd, void *data, size_t size);

extern char inside_err[TEXT_SIZE];

#endif
