/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two ends of the bench share: numeric IPv4 addresses, sockets, the clock.
 *
 * A bench that can't set itself up has nothing to measure: the functions here that return no error end the
 * process with a message on stderr and exit code 1.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <netinet/in.h>
#include <stdint.h>

/* The sink answers one byte for each of these that it has read, so that a sender knows what has arrived. */
#define BENCH_ACK_BYTES (1024 * 1024)

/* Size of one read or write of bulk data. */
#define BENCH_BLOCK_BYTES (256 * 1024)

/* A blocked send or receive of a client socket ends after this: a dead proxy fails a run, it doesn't hang it.
 */
#define BENCH_STALL_SECONDS 30

/* Prints "PROGRAM: text" and, unless ERRNUM is 0, its description (EAGAIN: of a stall); exits with 1. */
void bench_fail(int errnum, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* Monotonic time in nanoseconds. */
uint64_t bench_now_ns(void);

/* CPU time of this process, user and system, in seconds. */
double bench_cpu_seconds(void);

/* Reads TEXT as a decimal number within MIN..MAX; WHAT names it in the message when it isn't. */
double bench_number(const char *what, const char *text, double min, double max);

/* Reads "A.B.C.D:PORT". */
struct sockaddr_in bench_address(const char *text);

/* A listening TCP socket, non-blocking. Port 0 lets the kernel choose; *addr then holds what it chose. */
int bench_listen(struct sockaddr_in *addr);

/*
 * A blocking TCP connection to TO, with TCP_NODELAY and the stall timeout set.
 * SOURCE spreads connections over the addresses 127.0.0.1 … 127.0.0.16 when TO is a loopback address, so that
 * ports in TIME_WAIT don't run out when many are opened one after the other.
 */
int bench_connect(const struct sockaddr_in *to, unsigned source);

/* Sends or receives exactly LEN bytes; what was cut short or timed out is fatal. */
void bench_send_all(int fd, const void *data, size_t len);
void bench_recv_all(int fd, void *data, size_t len);

/* Raises the soft limit on descriptors to the hard one; fatal when that is less than NEEDED. */
void bench_allow_descriptors(unsigned needed);

#endif
