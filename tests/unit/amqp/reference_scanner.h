/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_REFERENCE_SCANNER_H
#define TESTS_AMQP_REFERENCE_SCANNER_H

/*
 * The scanner's contract once more, written for nothing but plainness: the whole stream is in memory and is
 * parsed from its first byte each time. Unit tests and the fuzz target hold the real scanner against it.
 */

#include "amqp/scanner.h"
#include <stdbool.h>

#define REFERENCE_METHODS_MAX 512

struct reference {
    uint64_t boundary_off;
    uint64_t frame_size; /* of the frame in progress, 0 when unknown */
    uint64_t fault_off;
    uint64_t frames;
    uint64_t heartbeats;
    uint16_t seen;
    enum amqp_scanner_state state;
    enum amqp_scanner_fault fault;
    size_t method_count; /* all of them; the first REFERENCE_METHODS_MAX are kept */
    struct amqp_connection_method methods[REFERENCE_METHODS_MAX];
};

void reference_scan(struct reference *ref, enum amqp_direction direction, const uint8_t *data, size_t len);

/* True when the scanner, having been fed the same `len` bytes, shows the same. */
bool reference_agrees(const struct reference *ref, const struct amqp_scanner *s, size_t len);

bool reference_same_method(const struct amqp_connection_method *a, const struct amqp_connection_method *b);

#endif
