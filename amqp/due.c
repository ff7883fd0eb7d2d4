/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/due.h"
#include <stdlib.h>

enum { FIRST_ROOM = 8 };

/* Twice the ring, straightened. */
static int grow(struct amqp_due *due)
{
    const size_t room = due->room > 0 ? 2 * due->room : FIRST_ROOM;
    uint8_t *notes = malloc(room);
    if (notes == NULL)
        return -1;
    for (size_t i = 0; i < due->count; i++)
        notes[i] = due->notes[(due->first + i) & (due->room - 1)];
    free(due->notes);
    *due = (struct amqp_due){.notes = notes, .room = room, .count = due->count};
    return 0;
}

int amqp_due_push(struct amqp_due *due, uint8_t note)
{
    if (due->count == due->room && grow(due) < 0)
        return -1;
    due->notes[(due->first + due->count) & (due->room - 1)] = note;
    due->count++;
    return 0;
}

uint8_t amqp_due_pop(struct amqp_due *due, uint8_t otherwise)
{
    if (due->count == 0)
        return otherwise;
    const uint8_t note = due->notes[due->first];
    due->first = (due->first + 1) & (due->room - 1);
    due->count--;
    return note;
}

void amqp_due_clear(struct amqp_due *due)
{
    free(due->notes);
    *due = (struct amqp_due){.notes = NULL};
}
