/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/assembler.h"
#include "amqp/content_check.h"
#include "amqp/method_check.h"
#include "amqp/wire.h"
#include <amqp.h>
#include <stdio.h>

enum { METHOD_ID_SIZE = 4 };

static const char no_header[] = "expected content header for class 60, got non content header frame instead";
static const char no_body[] = "expected content body, got non content body frame instead";

void amqp_assembler_init(struct amqp_assembler *a)
{
    *a = (struct amqp_assembler){.partial = NULL};
}

void amqp_assembler_reset(struct amqp_assembler *a)
{
    amqp_command_destroy(a->partial);
    amqp_assembler_init(a);
}

static int unexpected(const struct amqp_assembler *a, struct amqp_exception *e, const char *text)
{
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_UNEXPECTED_FRAME,
                       a->partial != NULL ? a->partial->spec->id : 0, "%s", text);
    return AMQP_ASSEMBLER_REFUSED;
}

static int wrong_class(const struct amqp_assembler *a, struct amqp_exception *e, unsigned class)
{
    char text[80];
    snprintf(text, sizeof(text), "expected content header for class 60, got one for class %u instead", class);
    return unexpected(a, e, text);
}

/* Frames that are no frames to RabbitMQ: too short for what their type says. */
static int unknown_frame(const struct amqp_frame *frame, struct amqp_exception *e)
{
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_FRAME_ERROR, 0,
                       "type %u, %u octets: unknown_frame", frame->type, frame->size);
    return AMQP_ASSEMBLER_REFUSED;
}

static int complete(struct amqp_assembler *a, struct amqp_command **command)
{
    *command = a->partial;
    a->partial = NULL;
    return AMQP_ASSEMBLER_COMMAND;
}

static int check_sender(const struct amqp_method_spec *spec, uint32_t id,
                        const struct amqp_assembler_rules *rules, struct amqp_exception *e)
{
    if (spec == NULL) /* RabbitMQ drops the connection without a word */
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_IMPLEMENTED, id, "unknown method (%u,%u)",
                           amqp_method_class(id), id & 0xFFFFu);
    else if (amqp_method_class(id) == AMQP_CLASS_CONNECTION || (spec->senders & rules->sender) == 0)
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_COMMAND_INVALID, id, "unimplemented method");
    else
        return 0;
    return AMQP_ASSEMBLER_REFUSED;
}

static int take_method(struct amqp_assembler *a, const struct amqp_assembler_rules *rules,
                       const struct amqp_frame *frame, struct amqp_command **command,
                       struct amqp_exception *e)
{
    const uint32_t id = amqp_get_u32(frame->payload);
    const struct amqp_method_spec *spec = amqp_method_spec(id);
    const struct amqp_span arguments = {frame->payload + METHOD_ID_SIZE, frame->size - METHOD_ID_SIZE};
    if (spec != NULL && !amqp_method_check(spec, arguments, e))
        return AMQP_ASSEMBLER_REFUSED;
    if (check_sender(spec, id, rules, e) < 0)
        return AMQP_ASSEMBLER_REFUSED;
    a->partial = amqp_command_create(spec, frame->payload, frame->size);
    if (a->partial == NULL)
        return AMQP_ASSEMBLER_NO_MEMORY;
    return spec->has_content ? AMQP_ASSEMBLER_MORE : complete(a, command);
}

static int check_properties(const struct amqp_frame *frame, struct amqp_exception *e)
{
    const struct amqp_span properties = {frame->payload + AMQP_CONTENT_FLAGS_AT,
                                         frame->size - AMQP_CONTENT_FLAGS_AT};
    if (amqp_properties_check(properties))
        return 0;
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_INTERNAL_ERROR, 0, NULL);
    return AMQP_ASSEMBLER_REFUSED;
}

static int take_header(struct amqp_assembler *a, const struct amqp_assembler_rules *rules,
                       const struct amqp_frame *frame, struct amqp_command **command,
                       struct amqp_exception *e)
{
    const uint16_t class = amqp_get_u16(frame->payload);
    if (class != amqp_method_class(a->partial->spec->id))
        return wrong_class(a, e, class);
    if (amqp_get_u16(frame->payload + 2) != 0) /* the weight */
        return unexpected(a, e, no_header);
    if (rules->checks_properties && check_properties(frame, e) < 0)
        return AMQP_ASSEMBLER_REFUSED;
    if (amqp_command_set_header(a->partial, frame->payload, frame->size) < 0)
        return AMQP_ASSEMBLER_NO_MEMORY;
    a->dropped = 0;
    return a->partial->body_size == 0 ? complete(a, command) : AMQP_ASSEMBLER_MORE;
}

static int take_body(struct amqp_assembler *a, const struct amqp_assembler_rules *rules,
                     const struct amqp_frame *frame, struct amqp_command **command, struct amqp_exception *e)
{
    struct amqp_command *partial = a->partial;
    if (frame->size > partial->body_size - partial->body_len - a->dropped)
        return unexpected(a, e, no_body); /* RabbitMQ notices with the next frame */
    if (partial->body_size > rules->body_max) {
        a->dropped += frame->size;
        return a->dropped == partial->body_size ? complete(a, command) : AMQP_ASSEMBLER_MORE;
    }
    if (amqp_command_add_body(partial, frame->payload, frame->size) < 0)
        return AMQP_ASSEMBLER_NO_MEMORY;
    return partial->body_len == partial->body_size ? complete(a, command) : AMQP_ASSEMBLER_MORE;
}

int amqp_assembler_feed(struct amqp_assembler *a, const struct amqp_assembler_rules *rules,
                        const struct amqp_frame *frame, struct amqp_command **command,
                        struct amqp_exception *e)
{
    if ((frame->type == AMQP_FRAME_METHOD && frame->size < METHOD_ID_SIZE) ||
        (frame->type == AMQP_FRAME_HEADER && frame->size < AMQP_CONTENT_HEADER_MIN) ||
        (frame->type == AMQP_FRAME_HEARTBEAT && frame->size > 0))
        return unknown_frame(frame, e);
    if (frame->type == AMQP_FRAME_HEARTBEAT)
        return unexpected(a, e, "type 8, 0 octets");
    if (a->partial == NULL)
        return frame->type == AMQP_FRAME_METHOD
                   ? take_method(a, rules, frame, command, e)
                   : unexpected(a, e, "expected method frame, got non method frame instead");
    if (a->partial->content == NULL)
        return frame->type == AMQP_FRAME_HEADER ? take_header(a, rules, frame, command, e)
                                                : unexpected(a, e, no_header);
    return frame->type == AMQP_FRAME_BODY ? take_body(a, rules, frame, command, e)
                                          : unexpected(a, e, no_body);
}
