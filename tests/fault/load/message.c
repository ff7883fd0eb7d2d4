/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <assert.h>
#include <string.h>

/* Where in the noise a message begins is said by its number. */
#define STARTS 4096u

static uint8_t noise[MESSAGE_MAX + STARTS];

void message_init(void)
{
    uint32_t state = 1;

    for (size_t i = 0; i < sizeof(noise); i++) {
        state = state * 1664525u + 1013904223u;
        noise[i] = (uint8_t)(state >> 24);
    }
}

static const uint8_t *noise_of(const struct message_head *head)
{
    return noise + (head->number * 977u + head->pair) % STARTS;
}

amqp_bytes_t message_make(uint8_t *buffer, const struct message_head *head)
{
    assert(head->size >= sizeof(*head) && head->size <= MESSAGE_MAX);
    memcpy(buffer, head, sizeof(*head));
    memcpy(buffer + sizeof(*head), noise_of(head), head->size - sizeof(*head));
    return (amqp_bytes_t){.len = head->size, .bytes = buffer};
}

bool message_read(amqp_bytes_t body, struct message_head *head)
{
    if (body.len < sizeof(*head) || body.len > MESSAGE_MAX)
        return false;
    memcpy(head, body.bytes, sizeof(*head));
    return head->size == body.len &&
           memcmp((const uint8_t *)body.bytes + sizeof(*head), noise_of(head), body.len - sizeof(*head)) == 0;
}
