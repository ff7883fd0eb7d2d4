/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a session or a connection ended. One set of codes serves the wire (RESET, PROTOCOL.md), the return
 * values of this library (0, or the negative of a code) and the operator's log.
 */
#ifndef MUX_CODE_H
#define MUX_CODE_H

/* number, name, text for people. Numbers are on the wire: never reuse one. */
#define MUX_CODES(X)                                                                                         \
    X(1, CLIENT_CLOSED, "client closed its connection")                                                      \
    X(2, BROKER_CLOSED, "broker closed the connection")                                                      \
    X(3, REFUSED, "refused by policy")                                                                       \
    X(4, SESSION_LIMIT, "session limit reached")                                                             \
    X(5, BROKER_UNREACHABLE, "broker unreachable")                                                           \
    X(6, UNKNOWN_SESSION, "session unknown to the far edge: it was restarted, or the session expired")       \
    X(7, SESSION_EXPIRED, "session expired while detached")                                                  \
    X(8, TRY_LATER, "try later")                                                                             \
    X(9, OFFSET_RANGE, "offset out of range")                                                                \
    X(10, CREDIT_EXCEEDED, "credit exceeded")                                                                \
    X(11, PROTOCOL_ERROR, "protocol error")                                                                  \
    X(12, IDLE_TIMEOUT, "idle timeout")                                                                      \
    X(13, KILLED, "killed by operator")                                                                      \
    X(14, SHUTTING_DOWN, "shutting down")                                                                    \
    X(15, STALE_ATTEMPT, "a newer attempt owns the session")                                                 \
    X(16, UNKNOWN_SERVICE, "no such service")                                                                \
    X(17, NO_MEMORY, "out of memory")                                                                        \
    X(18, HOST_UNREACHABLE, "host proxy unreachable")                                                        \
    X(19, HISTORY_MISMATCH, "the two ends remember different bytes: a snapshot was reverted, or cloned")

enum mux_code {
    MUX_OK = 0,
#define X(number, name, text) MUX_##name = (number),
    MUX_CODES(X)
#undef X
};

/* Short name such as "credit_exceeded", for logs and metrics. "unknown" for a number that is not in the
 * table. */
const char *mux_code_name(unsigned code);

/* Sentence fragment for people, such as "credit exceeded". "unknown reason" for a number not in the table. */
const char *mux_code_text(unsigned code);

#endif
