/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_AMQP_SHRINK_H
#define TESTS_SIM_AMQP_SHRINK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Leaves out what a play can do without and still fail in the same way: by the same first line, and the same
 * signal. What remains is at `data`; returns how much: all of a play that does not fail.
 */
size_t shrink(uint8_t *data, size_t size);

#endif
