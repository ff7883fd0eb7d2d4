/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered messages whose every byte can be checked. */
#ifndef FAULT_LOAD_MESSAGE_H
#define FAULT_LOAD_MESSAGE_H

#include <amqp.h>
#include <stdbool.h>
#include <stdint.h>

#define MESSAGE_MAX (256u * 1024u)

struct message_head {
    uint64_t number; /* from 0, without gaps */
    uint64_t sent_ms;
    uint32_t pair;
    uint32_t size; /* with this head */
};

/* To be called once, before the threads start. */
void message_init(void);

/* Write the message into `buffer`, MESSAGE_MAX bytes large. `size` is at least that of the head. */
amqp_bytes_t message_make(uint8_t *buffer, const struct message_head *head);

/* Is it a message as it was made? Then *head is filled in. */
bool message_read(amqp_bytes_t body, struct message_head *head);

#endif
