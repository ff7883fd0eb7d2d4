/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/method_codec.h"
#include "amqp/wire.h"
#include <assert.h>
#include <stdlib.h>

enum { ID_SIZE = 4, SCRATCH_SIZE = 1024 };

void *amqp_command_decode(const struct amqp_command *command, amqp_pool_t *pool)
{
    void *decoded = NULL;
    const int rc =
        amqp_decode_method(command->spec->id, pool, amqp_bytes_of(amqp_command_arguments(command)), &decoded);
    assert(rc == AMQP_STATUS_OK || rc == AMQP_STATUS_NO_MEMORY);
    return rc == AMQP_STATUS_OK ? decoded : NULL;
}

/* Strings in `decoded` lie in the very bytes that are written, so it goes by way of a copy. */
int amqp_command_encode(struct amqp_command *command, void *decoded)
{
    const size_t room = command->payload_len - ID_SIZE;
    uint8_t on_stack[SCRATCH_SIZE];
    uint8_t *scratch = room <= sizeof(on_stack) ? on_stack : malloc(room);
    if (scratch == NULL)
        return -1;
    const amqp_bytes_t arguments = {.len = room, .bytes = scratch};
    const int length = amqp_encode_method(command->spec->id, decoded, arguments);
    assert(length >= 0 && (size_t)length <= room);
    memcpy(command->payload + ID_SIZE, scratch, (size_t)length);
    command->payload_len = ID_SIZE + (uint32_t)length;
    if (scratch != on_stack)
        free(scratch);
    return 0;
}

struct amqp_command *amqp_command_make_like(const struct amqp_command *like, void *decoded, size_t more)
{
    const size_t room = like->payload_len + more;
    uint8_t *payload = malloc(room);
    if (payload == NULL)
        return NULL;
    const amqp_bytes_t arguments = {.len = room - ID_SIZE, .bytes = payload + ID_SIZE};
    const int length = amqp_encode_method(like->spec->id, decoded, arguments);
    assert(length >= 0);
    amqp_put_u32(payload, like->spec->id);
    struct amqp_command *command = amqp_command_create(like->spec, payload, ID_SIZE + (size_t)length);
    free(payload);
    return command;
}

struct amqp_command *amqp_command_make(uint32_t method, void *decoded)
{
    uint8_t payload[ID_SIZE + SCRATCH_SIZE];
    const amqp_bytes_t arguments = {.len = SCRATCH_SIZE, .bytes = payload + ID_SIZE};
    const int length = amqp_encode_method(method, decoded, arguments);
    assert(length >= 0);
    amqp_put_u32(payload, method);
    return amqp_command_create(amqp_method_spec(method), payload, ID_SIZE + (size_t)length);
}
