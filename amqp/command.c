/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/command.h"
#include "amqp/frame_reader.h"
#include "amqp/wire.h"
#include <amqp.h>
#include <assert.h>
#include <stdlib.h>

enum { BODY_FIRST = 4096 }; /* room for a body up to that is made with the header's, before any of it came */

struct amqp_command *amqp_command_create(const struct amqp_method_spec *spec, const uint8_t *payload,
                                         size_t len)
{
    struct amqp_command *command = malloc(sizeof(*command) + len);
    if (command == NULL)
        return NULL;
    *command = (struct amqp_command){.spec = spec, .payload_len = (uint32_t)len};
    memcpy(command->payload, payload, len);
    return command;
}

void amqp_command_destroy(struct amqp_command *command)
{
    if (command == NULL)
        return;
    free(command->content);
    free(command);
}

int amqp_command_set_header(struct amqp_command *command, const uint8_t *payload, size_t len)
{
    const uint64_t body_size = amqp_get_u64(payload + 4);
    const size_t room = body_size <= BODY_FIRST ? (size_t)body_size : 0;
    assert(command->content == NULL && len >= 12);
    command->content = malloc(len + room);
    if (command->content == NULL)
        return -1;
    memcpy(command->content, payload, len);
    command->header_len = (uint32_t)len;
    command->body_size = body_size;
    command->body_room = room;
    return 0;
}

/* Twice what there is, so that gathering stays linear; never more than will come. */
static int make_room(struct amqp_command *command, size_t least)
{
    size_t room = command->body_room > 0 ? 2 * command->body_room : BODY_FIRST;
    if (room < least)
        room = least;
    if (room > command->body_size)
        room = (size_t)command->body_size;
    uint8_t *content = realloc(command->content, command->header_len + room);
    if (content == NULL)
        return -1;
    command->content = content;
    command->body_room = room;
    return 0;
}

int amqp_command_add_body(struct amqp_command *command, const uint8_t *data, size_t len)
{
    const size_t total = command->body_len + len;
    assert(total <= command->body_size);
    if (len == 0)
        return 0;
    if (total > command->body_room && make_room(command, total) < 0)
        return -1;
    memcpy(command->content + command->header_len + command->body_len, data, len);
    command->body_len = total;
    return 0;
}

int amqp_command_retag(struct amqp_command **command, struct amqp_span tag)
{
    struct amqp_command *old = *command;
    const size_t behind = 4 + 1 + (size_t)old->payload[4]; /* the id, and the string */
    const size_t rest = old->payload_len - behind;
    struct amqp_command *new = malloc(sizeof(*new) + 4 + 1 + tag.len + rest);
    assert(old->cut == 0 && behind <= old->payload_len && tag.len <= UINT8_MAX);
    if (new == NULL)
        return -1;
    *new = *old;
    memcpy(new->payload, old->payload, 4);
    new->payload[4] = (uint8_t)tag.len;
    memcpy(new->payload + 5, tag.data, tag.len);
    memcpy(new->payload + 5 + tag.len, old->payload + behind, rest);
    new->payload_len = (uint32_t)(4 + 1 + tag.len + rest);
    free(old);
    *command = new;
    return 0;
}

size_t amqp_command_min_frame(const struct amqp_command *command)
{
    const size_t longest =
        command->payload_len > command->header_len ? command->payload_len : command->header_len;
    return longest + AMQP_FRAME_OVERHEAD;
}

/* One frame. Its length, or 0 when there is no room. */
static size_t write_frame(uint8_t type, uint16_t channel, const uint8_t *payload, size_t len, uint8_t *buf,
                          size_t size)
{
    if (size < len + AMQP_FRAME_OVERHEAD)
        return 0;
    buf[0] = type;
    amqp_put_u16(buf + 1, channel);
    amqp_put_u32(buf + 3, (uint32_t)len);
    memcpy(buf + 7, payload, len);
    buf[7 + len] = AMQP_FRAME_END;
    return len + AMQP_FRAME_OVERHEAD;
}

static size_t write_piece(struct amqp_command *command, uint32_t frame_max, uint8_t *buf, size_t size)
{
    const size_t left = command->body_len - command->body_cut;
    size_t room = size < frame_max ? size : frame_max;
    if (left == 0 || room <= AMQP_FRAME_OVERHEAD)
        return 0;
    room -= AMQP_FRAME_OVERHEAD;
    if (room < left && room < AMQP_COMMAND_PIECE_MIN)
        return 0;
    const size_t len = left < room ? left : room;
    const size_t written = write_frame(AMQP_FRAME_BODY, command->channel,
                                       amqp_command_body(command).data + command->body_cut, len, buf, size);
    command->body_cut += len;
    return written;
}

static size_t write_next(struct amqp_command *command, uint32_t frame_max, uint8_t *buf, size_t size)
{
    size_t written = 0;
    switch (command->cut) {
    case 0:
        written = write_frame(AMQP_FRAME_METHOD, command->channel, command->payload, command->payload_len,
                              buf, size);
        break;
    case 1:
        if (command->header_len > 0)
            written = write_frame(AMQP_FRAME_HEADER, command->channel, command->content, command->header_len,
                                  buf, size);
        break;
    default: return write_piece(command, frame_max, buf, size);
    }
    if (written > 0)
        command->cut++;
    return written;
}

size_t amqp_command_write(struct amqp_command *command, uint32_t frame_max, uint8_t *buf, size_t size)
{
    size_t used = 0;
    assert(command->body_len == command->body_size);
    for (;;) {
        const size_t written = write_next(command, frame_max, buf + used, size - used);
        if (written == 0)
            return used;
        used += written;
    }
}

bool amqp_command_written(const struct amqp_command *command)
{
    return command->cut >= (command->header_len > 0 ? 2u : 1u) && command->body_cut == command->body_len;
}

bool amqp_command_begun(const struct amqp_command *command)
{
    return command->cut > 0 && !amqp_command_written(command);
}

void amqp_command_queue_clear(struct amqp_command_queue *queue)
{
    while (!STAILQ_EMPTY(queue)) {
        struct amqp_command *command = STAILQ_FIRST(queue);
        STAILQ_REMOVE_HEAD(queue, entry);
        amqp_command_destroy(command);
    }
}
