/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/queue_subject.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <string.h>

/* Bits of queue.declare behind the name. */
enum { DECLARE_PASSIVE = 1 << 0, DECLARE_EXCLUSIVE = 1 << 2 };

/* All methods that name a queue begin alike: ticket, name. */
static struct amqp_span take_name(struct amqp_cursor *c)
{
    amqp_take_u16(c);
    return amqp_take_short_string(c);
}

/* The name without CR and LF. */
static void strip(struct amqp_subject *subject, struct amqp_span name)
{
    subject->len = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] != '\r' && name.data[i] != '\n')
            subject->text[subject->len++] = name.data[i];
    }
}

/* The arguments are well-formed. Where the entry is part of something else, it does no harm to take it for
 * one. */
static bool has_stream_argument(const struct amqp_cursor *c)
{
    static const char entry[] = "\x0cx-queue-typeS\0\0\0\x06stream";
    return memmem(c->p, amqp_cursor_left(c), entry, sizeof(entry) - 1) != NULL;
}

static enum amqp_use_kind kind_of_declare(uint8_t bits, const struct amqp_cursor *arguments)
{
    if (bits & DECLARE_EXCLUSIVE)
        return AMQP_USE_CLAIM;
    return has_stream_argument(arguments) ? AMQP_USE_DECLARE_STREAM : AMQP_USE_DECLARE;
}

static void find_declared(struct amqp_cursor *c, struct amqp_subject *subject)
{
    strip(subject, take_name(c));
    const uint8_t bits = amqp_take_u8(c);
    const bool is_passive = bits & DECLARE_PASSIVE;
    const struct amqp_span text = {subject->text, subject->len};
    if (subject->len > 0)
        subject->how = AMQP_SUBJECT_NAMED;
    else
        subject->how = is_passive ? AMQP_SUBJECT_NONE : AMQP_SUBJECT_NEW;
    if (!is_passive && !amqp_name_is_reserved(text)) /* else it is refused with 403 */
        subject->kind = kind_of_declare(bits, c);
    if (subject->how == AMQP_SUBJECT_NEW && subject->kind == AMQP_USE_DECLARE_STREAM)
        subject->kind = AMQP_USE_DECLARE; /* 406 */
}

/* Behind the name: an exchange that has one. The default exchange lets nobody bind to it (403). */
static bool has_exchange(struct amqp_cursor *c)
{
    const struct amqp_span exchange = amqp_take_short_string(c);
    size_t i = 0;
    while (i < exchange.len && (exchange.data[i] == '\r' || exchange.data[i] == '\n'))
        i++;
    return i < exchange.len;
}

static void find_stripped(struct amqp_cursor *c, struct amqp_subject *subject)
{
    const struct amqp_span name = take_name(c);
    strip(subject, name);
    if (name.len == 0)
        subject->how = AMQP_SUBJECT_LAST;
    else
        subject->how = subject->len > 0 ? AMQP_SUBJECT_NAMED : AMQP_SUBJECT_NONE;
}

/* No queue has a name with CR or LF in it. */
static void find_as_it_is(struct amqp_cursor *c, struct amqp_subject *subject)
{
    const struct amqp_span name = take_name(c);
    strip(subject, name);
    subject->kind = AMQP_USE_TYPED;
    if (name.len == 0)
        subject->how = AMQP_SUBJECT_LAST;
    else
        subject->how = subject->len == name.len ? AMQP_SUBJECT_NAMED : AMQP_SUBJECT_NONE;
}

void amqp_subject_find(const struct amqp_command *command, struct amqp_subject *subject)
{
    struct amqp_cursor c = amqp_cursor_over(command->payload + 4, command->payload_len - 4);
    subject->how = AMQP_SUBJECT_NONE;
    subject->kind = AMQP_USE_PLAIN;
    switch (command->spec->id) {
    case AMQP_QUEUE_DECLARE_METHOD: find_declared(&c, subject); break;
    case AMQP_QUEUE_BIND_METHOD:
    case AMQP_QUEUE_UNBIND_METHOD:
        find_stripped(&c, subject);
        if (!has_exchange(&c))
            subject->how = AMQP_SUBJECT_NONE;
        break;
    case AMQP_QUEUE_DELETE_METHOD:
        find_stripped(&c, subject);
        subject->kind = AMQP_USE_DELETE;
        break;
    case AMQP_QUEUE_PURGE_METHOD:
    case AMQP_BASIC_CONSUME_METHOD:
    case AMQP_BASIC_GET_METHOD: find_as_it_is(&c, subject); break;
    default: break;
    }
}

bool amqp_subject_take_nowait(uint32_t method, void *decoded)
{
    amqp_boolean_t *nowait = NULL;
    amqp_boolean_t none = 0;
    switch (method) {
    case AMQP_QUEUE_DECLARE_METHOD: nowait = &((amqp_queue_declare_t *)decoded)->nowait; break;
    case AMQP_QUEUE_BIND_METHOD: nowait = &((amqp_queue_bind_t *)decoded)->nowait; break;
    case AMQP_QUEUE_DELETE_METHOD: nowait = &((amqp_queue_delete_t *)decoded)->nowait; break;
    case AMQP_QUEUE_PURGE_METHOD: nowait = &((amqp_queue_purge_t *)decoded)->nowait; break;
    case AMQP_BASIC_CONSUME_METHOD: nowait = &((amqp_basic_consume_t *)decoded)->nowait; break;
    default: nowait = &none; break;
    }
    const bool was_set = *nowait != 0;
    *nowait = 0;
    return was_set;
}

uint32_t amqp_subject_answered_by(uint32_t answer)
{
    switch (answer) {
    case AMQP_QUEUE_DECLARE_OK_METHOD: return AMQP_QUEUE_DECLARE_METHOD;
    case AMQP_QUEUE_BIND_OK_METHOD: return AMQP_QUEUE_BIND_METHOD;
    case AMQP_QUEUE_UNBIND_OK_METHOD: return AMQP_QUEUE_UNBIND_METHOD;
    case AMQP_QUEUE_PURGE_OK_METHOD: return AMQP_QUEUE_PURGE_METHOD;
    case AMQP_QUEUE_DELETE_OK_METHOD: return AMQP_QUEUE_DELETE_METHOD;
    case AMQP_BASIC_CONSUME_OK_METHOD: return AMQP_BASIC_CONSUME_METHOD;
    case AMQP_BASIC_GET_OK_METHOD:
    case AMQP_BASIC_GET_EMPTY_METHOD: return AMQP_BASIC_GET_METHOD;
    default: return 0;
    }
}
