/* SPDX-License-Identifier: Apache-2.0 */
/* What vmci-nc does, one file for each; all return 0 or -errno, after telling what went wrong. */
#ifndef VMCI_NC_MODES_H
#define VMCI_NC_MODES_H

#include <stdbool.h>

#include "vmci/nc/loop.h"
#include "vmci/nc/place.h"

struct nc_settings {
    bool keep_listening; /* -k */
    bool half_close;     /* -N */
    unsigned wait_s;     /* -w; 0: not given */
};

/* To connect, when -w does not say it. */
#define NC_CONNECT_S 10U

/* talk.c: standard input and output joined with a stream that is connected to, or comes in. */
int nc_talk_connect(struct nc_loop *loop, const struct nc_place *to, const struct nc_settings *settings);
int nc_talk_listen(struct nc_loop *loop, const struct nc_place *at, const struct nc_settings *settings);

/* talk_datagram.c: the same with datagrams, each as long as one read of standard input. */
int nc_talk_datagram_connect(struct nc_loop *loop, const struct nc_place *to,
                             const struct nc_settings *settings);
int nc_talk_datagram_listen(struct nc_loop *loop, const struct nc_place *at,
                            const struct nc_settings *settings);

/* relay.c: each stream that comes in is joined with one to the target, until a signal. */
int nc_relay(struct nc_loop *loop, const struct nc_place *at, const struct nc_place *to,
             const struct nc_settings *settings);

/* relay_datagram.c: each sender gets a socket of its own to the target, until it has been idle for a while.
 */
int nc_relay_datagram(struct nc_loop *loop, const struct nc_place *at, const struct nc_place *to,
                      const struct nc_settings *settings);

/* scan.c: which of the ports can be connected to? text may end in FIRST-LAST. 0 when one can at least, with a
 * line for each on standard output; -ECONNREFUSED when none can. */
int nc_scan(struct nc_loop *loop, const char *text, const struct nc_settings *settings);

#endif
