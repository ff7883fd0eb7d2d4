/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMQP_DUE_H
#define AMQP_DUE_H

/* Notes on answers that are due, in the order of the questions: what to do with each when it comes. */

#include <stddef.h>
#include <stdint.h>

struct amqp_due {
    uint8_t *notes; /* a ring */
    size_t room;    /* a power of two, or 0 */
    size_t first;
    size_t count;
};

/* 0 or -1: out of memory. */
int amqp_due_push(struct amqp_due *due, uint8_t note);

/* The oldest note, taken off; `otherwise` if there is none. */
uint8_t amqp_due_pop(struct amqp_due *due, uint8_t otherwise);

void amqp_due_clear(struct amqp_due *due);

#endif
